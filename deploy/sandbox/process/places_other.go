//go:build !linux

package process

import (
	"errors"
	"os/exec"
)

// Start always fails: only Linux has mount namespaces.
func (*Places) Start(*exec.Cmd) error { return errors.ErrUnsupported }
