//go:build !linux

package process

import (
	"errors"
	"os/exec"
)

// Start fails: this system has no mount namespaces.
func (*Places) Start(*exec.Cmd) error { return errors.ErrUnsupported }
