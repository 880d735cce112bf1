//go:build unix

// Package process starts processes so that they end with all that they started.
package process

import "syscall"

// OwnGroup starts a process in a group of its own: a signal to the group reaches all that it started, and ^C in a
// terminal does not reach it.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// KillGroup ends a process that was started so, and its children.
func KillGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // fails where all have ended
