package function

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// codeFolder returns the folder that holds the unpacked zip with a CodeSha256. It unpacks each zip once.
func (r *Runner) codeFolder(sha *string) (string, *fault) {
	name := *cmp.Or(sha, new(string))
	return r.unpackedFolder(name, name)
}

// layersFolder returns the folder that holds a function's layers, later ones over earlier ones; "" without layers.
func (r *Runner) layersFolder(c *Configuration) (string, *fault) {
	if len(c.Layers) == 0 {
		return "", nil
	}
	var shas []string
	for _, layer := range c.Layers {
		shas = append(shas, r.host.Layer(*layer.Arn))
	}
	return r.unpackedFolder("layers "+strings.Join(shas, " "), shas...)
}

// unpackedFolder returns the folder that some zips are unpacked into, in order.
func (r *Runner) unpackedFolder(name string, shas ...string) (string, *fault) {
	bad := func(format string, values ...any) (string, *fault) {
		return "", &fault{kind: "Runtime.InvalidEntrypoint", message: fmt.Sprintf(format, values...)}
	}
	r.unpacking.Lock()
	defer r.unpacking.Unlock()
	if r.ended.Load() {
		return bad("the sandbox is shutting down")
	}
	sum := sha256.Sum256([]byte(name))
	folder := filepath.Join(r.host.Folder, hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(folder); err == nil { // #nosec G703 -- a folder of ours, named by a hash
		return folder, nil
	}
	var archives []*zip.Reader
	for _, sha := range shas {
		packed := r.host.Code(sha)
		if packed == nil {
			return bad("the sandbox runs only code that was uploaded to it as a zip; this function, or one of its " +
				"layers, has none")
		}
		archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			return bad("the zip cannot be read: %v", err)
		}
		archives = append(archives, archive)
	}
	// A program cannot be executed while a descriptor is open for writing, and a child that is being forked inherits
	// the descriptor (https://go.dev/issue/22315).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unpack(folder, archives); err != nil {
		_ = os.RemoveAll(folder) // #nosec G703 -- a folder of ours, named by a hash
		return bad("the zip cannot be unpacked: %v", err)
	}
	return folder, nil
}

// maxUnpacked limits a function's code, and its layers, in bytes unpacked (Lambda quotas).
const maxUnpacked = 262_144_000

// unpack makes a folder and unpacks the archives into it. A file outside the folder is an error.
func unpack(folder string, archives []*zip.Reader) error {
	if err := os.Mkdir(folder, 0o750); err != nil { // #nosec G703 -- a folder of ours, named by a hash
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	left := int64(maxUnpacked)
	for _, archive := range archives {
		for _, file := range archive.File {
			if err == nil {
				err = unpackFile(root, file, &left)
			}
		}
	}
	return errors.Join(err, root.Close())
}

func unpackFile(root *os.Root, file *zip.File, left *int64) error {
	if !filepath.IsLocal(file.Name) {
		return fmt.Errorf("%q is outside the folder", file.Name)
	}
	if file.FileInfo().IsDir() {
		return root.MkdirAll(filepath.Clean(file.Name), 0o750)
	}
	if err := root.MkdirAll(filepath.Dir(file.Name), 0o750); err != nil {
		return err
	}
	if err := root.Remove(filepath.Clean(file.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // an earlier layer's file would keep its mode
	}
	in, err := file.Open()
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if file.Mode()&fs.ModeSymlink != 0 {
		to, err := io.ReadAll(io.LimitReader(in, 4096))
		if err != nil {
			return err
		}
		return root.Symlink(string(to), filepath.Clean(file.Name)) // os.Root follows no link that leads outside
	}
	out, err := root.OpenFile(file.Name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, file.Mode().Perm())
	if err != nil {
		return err
	}
	n, err := io.CopyN(out, in, *left+1)
	if *left -= n; errors.Is(err, io.EOF) {
		err = nil
	}
	if *left < 0 {
		err = fmt.Errorf("unpacked, it has more than %d bytes", maxUnpacked)
	}
	return errors.Join(err, out.Close())
}
