//go:build unix && !aix && !solaris

package bolt

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// openLocked opens a file and locks it, so that it does not change before bbolt locks it too. bbolt uses the same open
// file, which already has the lock, so it does not wait.
func openLocked(path string, flag int, mode os.FileMode) (*os.File, error) {
	file, err := os.OpenFile(path, flag, mode) // #nosec G304 -- the file that the operator names
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(10 * time.Millisecond) {
		switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return file, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return nil, errors.Join(&os.PathError{Op: "lock", Path: path, Err: err}, file.Close())
		case time.Now().After(deadline):
			return nil, errors.Join(errInUse, file.Close())
		}
	}
}
