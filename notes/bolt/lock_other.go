//go:build !unix || aix || solaris

package bolt

import "os"

// openLocked leaves the lock to bbolt, which takes it a moment later.
func openLocked(path string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag, mode)
}
