//go:build linux

package bolt

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"example.com/portable-notes/notes/storetest"
)

// disk is a file system of one folder that is kept in memory and knows what of it a power cut would leave: what was
// synced, and of the rest what the [survival] says.
type disk struct {
	fs.Inode
	mu sync.Mutex

	names   map[string]*diskFile // as programs see them
	durable map[string]*diskFile // as of the folder's last sync
	renames []naming             // since then

	ops   int           // changes and syncs so far
	cutAt int           // the op at which the power goes; 0 for never
	off   bool          // the power is gone
	cut   chan struct{} // closed then
}

// naming gives a name to a file, or takes it away (nil).
type naming struct {
	name string
	file *diskFile
}

type diskFile struct {
	fs.Inode
	disk    *disk
	content []byte // as programs see it
	synced  []byte // as of the last sync
	pending []change
}

// change is a write at an offset, or with no data a new size.
type change struct {
	at   int64
	data []byte
}

// survival is what a power cut leaves of what was not synced.
type survival string

const (
	drop survival = "drop" // nothing
	keep survival = "keep" // all
	torn survival = "torn" // each sector, size and name by chance, names in their order
)

const sector = 512

// mountDisk mounts a new disk on a folder and returns what unmounts it.
func mountDisk(t testing.TB, folder string) (*disk, func()) {
	t.Helper()
	d := &disk{names: map[string]*diskFile{}, durable: map[string]*diskFile{}, cut: make(chan struct{})}
	server, err := fs.Mount(folder, d, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "disk"}})
	if err != nil {
		storetest.Lacks(t, "FUSE (/dev/fuse and the right to mount)", err)
	}
	return d, func() {
		if err := server.Unmount(); err != nil {
			t.Error(err)
		}
		server.Wait()
	}
}

// op counts an operation and reports whether there is power for it. The lock is held.
func (d *disk) op() bool {
	if d.off {
		return false
	}
	if d.ops++; d.ops == d.cutAt {
		d.off = true
		close(d.cut)
	}
	return !d.off
}

// cutAfter has the power go at the nth operation from now.
func (d *disk) cutAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt = d.ops + n
}

// survivors are the files that are there when the power is back.
func (d *disk) survivors(s survival, random *rand.Rand) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	names := d.names
	if s != keep {
		names = maps.Clone(d.durable)
	}
	if s == torn {
		for _, n := range d.renames[:random.IntN(len(d.renames)+1)] {
			n.apply(names)
		}
	}
	left := map[string][]byte{}
	for name, f := range names {
		left[name] = f.survivor(s, random)
	}
	return left
}

func (f *diskFile) survivor(s survival, random *rand.Rand) []byte {
	switch s {
	case drop:
		return f.synced
	case keep:
		return f.content
	}
	left := slices.Clone(f.synced)
	for _, c := range f.pending {
		if c.data == nil {
			if random.IntN(2) == 0 {
				left = c.apply(left)
			}
			continue
		}
		for from := 0; from < len(c.data); from += sector {
			if random.IntN(2) == 0 {
				left = change{c.at + int64(from), c.data[from:min(from+sector, len(c.data))]}.apply(left)
			}
		}
	}
	return left
}

func (c change) apply(content []byte) []byte {
	end := int(c.at) + len(c.data)
	if c.data == nil && end < len(content) {
		return content[:end]
	}
	if end > len(content) {
		content = append(content, make([]byte, end-len(content))...)
	}
	copy(content[c.at:], c.data)
	return content
}

func (n naming) apply(names map[string]*diskFile) {
	if n.file == nil {
		delete(names, n.name)
	} else {
		names[n.name] = n.file
	}
}

// name makes and remembers namings.
func (d *disk) name(all ...naming) syscall.Errno {
	if !d.op() {
		return syscall.EIO
	}
	for _, n := range all {
		n.apply(d.names)
		d.renames = append(d.renames, n)
	}
	return 0
}

// change makes and remembers a change of a file.
func (f *diskFile) change(c change) syscall.Errno {
	if f.disk.off {
		return syscall.EIO
	}
	f.pending = append(f.pending, c)
	if !f.disk.op() { // the power went while it was written
		return syscall.EIO
	}
	f.content = c.apply(f.content)
	return 0
}

// The folder.

func (d *disk) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle,
	uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &diskFile{disk: d}
	if errno := d.name(naming{name, f}); errno != 0 {
		return nil, nil, 0, errno
	}
	inode := d.NewInode(ctx, f, fs.StableAttr{Mode: syscall.S_IFREG})
	f.attr(&out.Attr)
	return inode, nil, 0, 0
}

func (d *disk) Lookup(_ context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.names[name]
	if f == nil {
		return nil, syscall.ENOENT
	}
	f.attr(&out.Attr)
	return &f.Inode, 0
}

func (d *disk) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode,
	syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := target.(*diskFile)
	if d.names[name] != nil {
		return nil, syscall.EEXIST
	}
	if errno := d.name(naming{name, f}); errno != 0 {
		return nil, errno
	}
	f.attr(&out.Attr)
	return &f.Inode, 0
}

func (d *disk) Rename(_ context.Context, name string, _ fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.name(naming{newName, d.names[name]}, naming{name, nil})
}

func (d *disk) Unlink(_ context.Context, name string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.name(naming{name, nil})
}

func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.op() {
		return syscall.EIO
	}
	d.durable, d.renames = maps.Clone(d.names), nil
	return 0
}

// A file.

func (f *diskFile) attr(out *fuse.Attr) {
	out.Mode, out.Size, out.Nlink = syscall.S_IFREG|0o600, uint64(len(f.content)), 1
}

func (f *diskFile) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.attr(&out.Attr)
	return 0
}

func (f *diskFile) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		if errno := f.change(change{at: int64(size)}); errno != 0 {
			return errno
		}
	}
	f.attr(&out.Attr)
	return 0
}

func (f *diskFile) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (f *diskFile) Read(_ context.Context, _ fs.FileHandle, dest []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if at >= int64(len(f.content)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData(dest[:copy(dest, f.content[at:])]), 0
}

func (f *diskFile) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return uint32(len(data)), f.change(change{at, slices.Clone(data)})
}

func (f *diskFile) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if !f.disk.op() {
		return syscall.EIO
	}
	f.synced, f.pending = slices.Clone(f.content), nil
	return 0
}
