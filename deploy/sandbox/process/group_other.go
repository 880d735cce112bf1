//go:build !linux

package process

import "syscall"

// Mortal is OwnGroup: where the system cannot end a function with the sandbox, losing the Runtime API does.
func Mortal() *syscall.SysProcAttr { return OwnGroup() }
