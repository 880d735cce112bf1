package function

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
func (r *Runner) unpacked(sha *string) (string, *fault) {
	bad := func(format string, values ...any) (string, *fault) {
		return "", &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	packed := r.host.Code(*cmp.Or(sha, new(string)))
	if packed == nil {
		return bad("the sandbox runs functions from a zip that was uploaded to it; this one has none")
	}
	r.unpacking.Lock()
	defer r.unpacking.Unlock()
	if r.ended.Load() {
		return bad("the sandbox ends")
	}
	folder := filepath.Join(r.host.Folder, url.PathEscape(*sha))
	if _, err := os.Stat(folder); err == nil { // #nosec G703 -- a folder of ours, named by a hash
		return folder, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return bad("the zip cannot be read: %v", err)
	}
	// A program that is being written cannot be run, and a process that is just being started holds it open for
	// writing.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unpack(folder, archive.File); err != nil {
		_ = os.RemoveAll(folder) // #nosec G703 -- a folder of ours, named by a hash
		return bad("the zip cannot be unpacked: %v", err)
	}
	return folder, nil
}

// maxUnpacked is the most bytes of a function's code, unpacked (Lambda quotas).
const maxUnpacked = 262_144_000

// unpack makes a folder of files, none of which can be outside it.
func unpack(folder string, files []*zip.File) error {
	if err := os.Mkdir(folder, 0o750); err != nil { // #nosec G703 -- a folder of ours, named by a hash
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	left := int64(maxUnpacked)
	for _, file := range files {
		if err = unpackOne(root, file, &left); err != nil {
			break
		}
	}
	return errors.Join(err, root.Close())
}

func unpackOne(root *os.Root, file *zip.File, left *int64) error {
	if !filepath.IsLocal(file.Name) {
		return fmt.Errorf("%q is outside the folder", file.Name)
	}
	if file.FileInfo().IsDir() {
		return root.MkdirAll(filepath.Clean(file.Name), 0o750)
	}
	if err := root.MkdirAll(filepath.Dir(file.Name), 0o750); err != nil {
		return err
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := root.OpenFile(file.Name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, file.Mode().Perm())
	if err != nil {
		return err
	}
	n, err := io.CopyN(out, in, *left+1)
	if *left -= n; errors.Is(err, io.EOF) {
		err = nil
	}
	if *left < 0 {
		err = fmt.Errorf("it has more than %d bytes", maxUnpacked)
	}
	return errors.Join(err, out.Close())
}
