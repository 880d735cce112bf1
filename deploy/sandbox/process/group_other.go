//go:build !linux

package process

import "syscall"

// DieWithParent is OwnGroup: this system cannot kill a process when its parent ends. A function whose sandbox was
// killed ends when it loses the Runtime API.
func DieWithParent() *syscall.SysProcAttr { return OwnGroup() }
