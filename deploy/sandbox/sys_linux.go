package sandbox

import "syscall"

// mortal is ownGroup for a function's process: it also ends when the sandbox does, however that ends.
func mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
