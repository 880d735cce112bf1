//go:build !unix || aix || solaris

package bolt

import "os"

// openLocked opens a file. On this system only bbolt locks it, a moment later.
func openLocked(path string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag, mode)
}
