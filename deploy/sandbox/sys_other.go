//go:build !linux

package sandbox

import "syscall"

// mortal is ownGroup: where the system cannot end a function with the sandbox, losing the Runtime API does.
func mortal() *syscall.SysProcAttr { return ownGroup() }
