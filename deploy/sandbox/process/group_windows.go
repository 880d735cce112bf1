package process

import (
	"os"
	"syscall"
)

// OwnGroup starts a process as any other: Windows has no groups of this kind.
func OwnGroup() *syscall.SysProcAttr { return nil }

// KillGroup ends a process.
func KillGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}
