//go:build !linux

package storetest

import (
	"errors"
	"os"
	"time"
)

var errLinux = errors.New("the test needs Linux")

func mount(string, int) (unmount func() error, err error) { return nil, errLinux }

func becomeNobody() (end func(), err error) { return nil, errLinux }

func makeFIFO(string) error { return errLinux }

func processorTime() (time.Duration, error) { return 0, errLinux }

func freeze(*os.Process) (thaw func(), err error) { return nil, errLinux }
