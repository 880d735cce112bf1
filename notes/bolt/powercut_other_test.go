//go:build !linux

package bolt

import (
	"errors"
	"testing"

	"example.com/portable-notes/notes/storetest"
)

var errFUSE = errors.New("the test needs a file system of Linux's FUSE")

func TestProofPowerCut(t *testing.T) { storetest.Lacks(t, "a disk that can lose power", errFUSE) }

func TestProofCreationCut(t *testing.T) { storetest.Lacks(t, "a disk that can lose power", errFUSE) }
