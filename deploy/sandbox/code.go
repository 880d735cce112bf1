package sandbox

import (
	"archive/zip"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
)

// unpacked is the folder that a function's zip is unpacked to, once for all that have it.
func (s *Sandbox) unpacked(sha *string) (string, *fault) {
	bad := func(format string, values ...any) (string, *fault) {
		return "", &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	s.mu.Lock()
	packed := s.code[*cmp.Or(sha, new(string))]
	s.mu.Unlock()
	if packed == nil {
		return bad("the sandbox runs functions from a zip that was uploaded to it; this one has none")
	}
	s.unpacking.Lock()
	defer s.unpacking.Unlock()
	if s.ended.Load() {
		return bad("the sandbox ends")
	}
	folder := filepath.Join(s.folder, url.PathEscape(*sha))
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return bad("the zip cannot be read: %v", err)
	}
	// A program that is being written cannot be run, and a process that is just being started holds it open for writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, file := range archive.File {
		if err := unpack(folder, file); err != nil {
			_ = os.RemoveAll(folder)
			return bad("the zip cannot be unpacked: %v", err)
		}
	}
	return folder, nil
}

func unpack(folder string, file *zip.File) error {
	if !filepath.IsLocal(file.Name) {
		return fmt.Errorf("%q is outside the folder", file.Name)
	}
	path := filepath.Join(folder, file.Name)
	if file.FileInfo().IsDir() {
		return os.MkdirAll(path, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, file.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
