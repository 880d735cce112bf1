package process

import (
	"os"
	"syscall"
)

// OwnGroup returns nil: Windows has no process groups of this kind.
func OwnGroup() *syscall.SysProcAttr { return nil }

// KillGroup kills a process, but not its descendants.
func KillGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}
