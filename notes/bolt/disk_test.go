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

// disk is a file system with one folder in memory. It knows what would survive a power cut: everything that was synced,
// and the part of the rest that a [survival] selects.
type disk struct {
	fs.Inode
	mu sync.Mutex

	names       map[string]*diskFile // as programs see them
	durable     map[string]*diskFile // at the folder's last sync
	nameChanges []nameChange         // since then

	ops      int           // changes and syncs so far
	cutAt    int           // the op at which the power fails; 0 for never
	powerOff bool          // the power has failed
	cut      chan struct{} // closed when the power fails
}

// nameChange gives a name to a file, or removes the name if file is nil.
type nameChange struct {
	name string
	file *diskFile
}

type diskFile struct {
	fs.Inode
	disk    *disk
	content []byte       // as programs see it
	synced  []byte       // at the last sync
	pending []diskChange // since then
}

// diskChange is a write at an offset, or a new size if data is nil.
type diskChange struct {
	at   int64
	data []byte
}

// survival says which unsynced changes survive a power cut.
type survival string

const (
	drop survival = "drop" // none
	keep survival = "keep" // all
	torn survival = "torn" // random sectors and sizes, and the name changes up to a random one
)

const sector = 512

// mountDisk mounts a new disk on a folder. It returns the disk and a function that unmounts it.
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

// op counts an operation and reports whether there is power for it. The caller holds the lock.
func (d *disk) op() bool {
	if d.powerOff {
		return false
	}
	if d.ops++; d.ops == d.cutAt {
		d.powerOff = true
		close(d.cut)
	}
	return !d.powerOff
}

// cutAfter makes the power fail at the nth operation from now.
func (d *disk) cutAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutAt = d.ops + n
}

// survivors returns the files that exist after the power is restored.
func (d *disk) survivors(s survival, random *rand.Rand) map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.powerOff = true
	names := d.names
	if s != keep {
		names = maps.Clone(d.durable)
	}
	if s == torn {
		for _, n := range d.nameChanges[:random.IntN(len(d.nameChanges)+1)] {
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
				left = diskChange{c.at + int64(from), c.data[from:min(from+sector, len(c.data))]}.apply(left)
			}
		}
	}
	return left
}

func (c diskChange) apply(content []byte) []byte {
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

func (n nameChange) apply(names map[string]*diskFile) {
	if n.file == nil {
		delete(names, n.name)
	} else {
		names[n.name] = n.file
	}
}

// changeNames applies and records name changes.
func (d *disk) changeNames(all ...nameChange) syscall.Errno {
	if !d.op() {
		return syscall.EIO
	}
	for _, n := range all {
		n.apply(d.names)
		d.nameChanges = append(d.nameChanges, n)
	}
	return 0
}

// applyChange applies and records a change of a file.
func (f *diskFile) applyChange(c diskChange) syscall.Errno {
	if f.disk.powerOff {
		return syscall.EIO
	}
	f.pending = append(f.pending, c)
	if !f.disk.op() { // the power fails during the write
		return syscall.EIO
	}
	f.content = c.apply(f.content)
	return 0
}

// The methods of the folder.

func (d *disk) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle,
	uint32, syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &diskFile{disk: d}
	if errno := d.changeNames(nameChange{name, f}); errno != 0 {
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
	if errno := d.changeNames(nameChange{name, f}); errno != 0 {
		return nil, errno
	}
	f.attr(&out.Attr)
	return &f.Inode, 0
}

func (d *disk) Rename(_ context.Context, name string, _ fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changeNames(nameChange{newName, d.names[name]}, nameChange{name, nil})
}

func (d *disk) Unlink(_ context.Context, name string) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changeNames(nameChange{name, nil})
}

func (d *disk) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.op() {
		return syscall.EIO
	}
	d.durable, d.nameChanges = maps.Clone(d.names), nil
	return 0
}

// The methods of a file.

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
		if errno := f.applyChange(diskChange{at: int64(size)}); errno != 0 {
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
	return uint32(len(data)), f.applyChange(diskChange{at, slices.Clone(data)})
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
