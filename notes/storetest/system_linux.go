package storetest

import (
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

func mount(dir string, size int) (unmount func() error, err error) {
	err = unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
	return func() error { return unix.Unmount(dir, 0) }, err
}

// becomeNobody changes how the thread accesses files. Without root's rights it changes nothing.
func becomeNobody() (end func(), err error) {
	if os.Geteuid() != 0 {
		return func() {}, nil
	}
	runtime.LockOSThread()
	if err := unix.Setfsuid(65534); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		_ = unix.Setfsuid(0)
		runtime.UnlockOSThread()
	}, nil
}

func makeFIFO(path string) error { return unix.Mkfifo(path, 0o600) }

func processorTime() (time.Duration, error) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// freeze stops a process until thaw is called.
func freeze(p *os.Process) (thaw func(), err error) {
	return func() { _ = p.Signal(unix.SIGCONT) }, p.Signal(unix.SIGSTOP)
}
