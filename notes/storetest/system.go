package storetest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// MountSmall mounts a file system of a few bytes at dir until the test ends. It skips the test if that is impossible.
func MountSmall(t testing.TB, dir string, size int) {
	t.Helper()
	unmount, err := mount(dir, size)
	if err != nil {
		Lacks(t, "the right to mount a small file system", err)
	}
	t.Cleanup(func() {
		if err := unmount(); err != nil {
			t.Error(err)
		}
	})
}

// AsNobody makes the test's thread access files as the user nobody, if it would access them as root. It returns a
// function that ends this.
func AsNobody(t testing.TB) (end func()) {
	t.Helper()
	end, err := becomeNobody()
	if err != nil {
		Lacks(t, "a user whose rights to files are limited", err)
	}
	return end
}

// Programs skips a test unless all of these programs are installed.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Lacks(t, name, err)
		}
	}
}

// FIFO makes a named pipe at path.
func FIFO(t testing.TB, path string) {
	t.Helper()
	if err := makeFIFO(path); err != nil {
		Lacks(t, "named pipes", err)
	}
}

// Symlink makes a symbolic link at path. On Windows this takes a right that not every user has.
func Symlink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		Lacks(t, "symbolic links", err)
	}
}

// ProcessorTime returns a function that returns how long this process has used a processor.
func ProcessorTime(t testing.TB) func() time.Duration {
	t.Helper()
	if _, err := processorTime(); err != nil {
		Lacks(t, "a measure of processor time", err)
	}
	return func() time.Duration {
		used, err := processorTime()
		if err != nil {
			t.Error(err)
		}
		return used
	}
}

// Freeze stops a process without its notice, as Lambda does between requests, until the function that it returns is
// called.
func Freeze(t testing.TB, p *os.Process) (thaw func()) {
	t.Helper()
	thaw, err := freeze(p)
	if err != nil {
		Lacks(t, "a way to stop a process", err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		if err != nil {
			thaw()
			Lacks(t, "/proc", err)
		}
		if _, state, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(state, "T") {
			return thaw
		}
		if time.Now().After(end) {
			t.Fatal("the process does not stop")
		}
	}
}
