//go:build unix

package sandbox

import "syscall"

// ownGroup starts a process in a group of its own: a signal to the group reaches all that it started, and ^C in a
// terminal does not reach it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends a process that was started so, and its children.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // fails where all have ended
