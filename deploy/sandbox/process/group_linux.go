package process

import "syscall"

// Mortal is OwnGroup for a function's process: it also ends when the sandbox does, however that ends.
func Mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
