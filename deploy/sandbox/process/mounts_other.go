//go:build !linux

package process

import (
	"errors"
	"os/exec"
)

// Start always fails: only Linux has mount namespaces.
func (*Mounts) Start(*exec.Cmd) error { return errors.ErrUnsupported }
