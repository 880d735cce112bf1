package process

import "syscall"

// DieWithParent is OwnGroup, and the kernel also kills the process when the sandbox ends for whatever reason.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
