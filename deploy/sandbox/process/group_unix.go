//go:build unix

// Package process starts processes whose descendants can be killed with them.
package process

import "syscall"

// OwnGroup puts a process into a process group of its own: a signal to the group reaches its descendants too, and ^C in
// a terminal does not reach it.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// KillGroup kills a process that leads its own group, and its descendants.
func KillGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) } // fails if all have ended
