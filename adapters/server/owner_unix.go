//go:build unix

package main

import (
	"fmt"
	"os"
	"syscall"
)

// keepOwner gives a file that was replaced to the user and group of the file before it. Otherwise a server that runs as
// another user than the operator could no longer read it.
func keepOwner(file string, before os.FileInfo) error {
	owner, ok := before.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if err := os.Lchown(file, int(owner.Uid), int(owner.Gid)); err != nil {
		return fmt.Errorf("%s was changed, but the server may be unable to read it: %w", file, err)
	}
	return nil
}
