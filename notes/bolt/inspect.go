package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads a bbolt file as untrusted bytes. bbolt maps its file and follows every pointer in it: a pointer
// outside the file causes a fault, and a page that points to itself causes endless recursion. A program may not survive
// either. So [Open] and -check walk the tree with this code, and bbolt opens the file only after that.
//
// The layout is version 2 of bbolt's (go.etcd.io/bbolt, internal/common: page.go, meta.go, bucket.go) in the byte order
// of the machine. This code assumes little-endian, as on every platform in common use with bbolt.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	pageSize    = 4096 // set at creation, so that the file can be moved between machines

	pageHeader    = 16 // id 8, flags 2, count 2, overflow 4
	elementHeader = 16 // leaf: flags 4, position 4, key size 4, value size 4; branch: position 4, key size 4, page 8
	bucketHeader  = 16 // root page 8, sequence 8
	metaFreelist  = 32 // offset after the header of a meta page: the page of the free list
	metaCommit    = 48 // offset of the commit number
	metaSum       = 56 // offset of the FNV-1a checksum over the bytes before it
	metaSize      = 64

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketEntry  = 0x01

	maxDepth = 64                  // levels of a tree: far more than any file needs
	maxSpan  = 16 << 20 / pageSize // pages of a tree page with overflow; bbolt splits those with over four records
)

var le = binary.LittleEndian

// metaPage is one of the two pages that say where a commit's tree begins. Commits alternate between them.
type metaPage struct {
	root     uint64 // page of the root bucket
	freelist uint64 // page of the free list
	pages    uint64 // number of pages in the file; all page numbers are smaller
	txid     uint64 // number of the commit
}

// readMeta reads the meta page i, 0 or 1.
func readMeta(file io.ReaderAt, i int64) (metaPage, error) {
	p := make([]byte, pageHeader+metaSize)
	if _, err := file.ReadAt(p, i*pageSize); err == io.EOF {
		return metaPage{}, errors.New("the file ends before it")
	} else if err != nil {
		return metaPage{}, err
	}
	p = p[pageHeader:]
	switch {
	case le.Uint32(p) != boltMagic:
		return metaPage{}, errors.New("it is not a bbolt meta page")
	case le.Uint32(p[4:]) != boltVersion || le.Uint32(p[8:]) != pageSize:
		return metaPage{}, fmt.Errorf("its layout is version %d with pages of %d bytes, not version %d with %d",
			le.Uint32(p[4:]), le.Uint32(p[8:]), boltVersion, pageSize)
	case !checksumMatches(p):
		return metaPage{}, errors.New("its checksum does not match")
	}
	return metaPage{root: le.Uint64(p[16:]), freelist: le.Uint64(p[metaFreelist:]), pages: le.Uint64(p[40:]),
		txid: le.Uint64(p[metaCommit:])}, nil
}

// checksumMatches reports whether the checksum of a meta page is correct. Meta begins after the page header.
func checksumMatches(meta []byte) bool {
	sum := fnv.New64a()
	_, _ = sum.Write(meta[:metaSum]) // never fails
	return le.Uint64(meta[metaSum:]) == sum.Sum64()
}

// walk visits every record of the newest commit in order, and reports everything wrong with the file's structure. It
// returns an error if the file cannot be read at all, errForeign if it is not a bbolt file.
func walk(file io.ReaderAt, size int64, report func(format string, args ...any),
	visit func(bucket string, key, value []byte)) error {
	m0, err0 := readMeta(file, 0)
	m1, err1 := readMeta(file, 1)
	newest := m0
	switch {
	case err0 != nil && err1 != nil:
		return fmt.Errorf("%w: first page: %w; second page: %w", errForeign, err0, err1)
	case err0 != nil:
		newest = m1
		report("%w: page 0 is damaged (%w), page 1 has commit %d", errOneMeta, err0, m1.txid)
	case err1 != nil:
		report("%w: page 1 is damaged (%w), page 0 has commit %d", errOneMeta, err1, m0.txid)
	case m1.txid > m0.txid:
		newest = m1
	}
	if newest.pages > uint64(size)/pageSize { // #nosec G115 -- a size is not negative
		return fmt.Errorf("%w: it is truncated to %d bytes, but its last commit has %d pages of %d", errBroken, size,
			newest.pages, pageSize)
	}
	w := &walker{file: file, meta: newest, report: report, visit: visit, used: make([]pageUse, newest.pages)}
	w.bucket("", newest.root)
	w.freeList()
	return nil
}

var (
	errForeign = errors.New("not a notes file")
	errOneMeta = errors.New("one of the two meta pages cannot be read: the last write may be missing")
	errOrphans = errors.New("some pages are neither in use nor free")
)

type pageUse byte

const (
	unknown    pageUse = iota
	rejected           // the tree points to it, but it is damaged or another page
	inOverflow         // it continues a page of the tree
	inTree
	inFreelist
)

type walker struct {
	file   io.ReaderAt
	meta   metaPage
	report func(format string, args ...any)
	visit  func(bucket string, key, value []byte)
	used   []pageUse
}

// page reads page id with its overflow pages, at most limit pages in all, and marks them as used. It reports any
// problem and returns false.
func (w *walker) page(id, limit uint64) (p []byte, ok bool) {
	if id < 2 || id >= w.meta.pages {
		w.report("a pointer leads to page %d, but the file's pages are 2 to %d", id, w.meta.pages-1)
		return nil, false
	}
	head := make([]byte, pageHeader)
	if _, err := w.file.ReadAt(head, int64(id)*pageSize); err != nil { // #nosec G115 -- below the number of pages
		w.report("page %d cannot be read: %v", id, err)
		return nil, false
	}
	if named := le.Uint64(head); named != id {
		w.used[id] = max(w.used[id], rejected)
		w.report("page %d has the number %d", id, named)
		return nil, false
	}
	span := uint64(le.Uint32(head[12:])) + 1
	if span > w.meta.pages-id {
		w.report("page %d claims %d pages, more than the file has", id, span)
		return nil, false
	}
	if span > limit {
		w.report("page %d claims %d pages, more than allowed", id, span)
		return nil, false
	}
	for i := id; i < id+span; i++ {
		if w.used[i] > rejected {
			w.report("page %d is used twice", i)
			return nil, false
		}
		w.used[i] = inOverflow
	}
	w.used[id] = inTree
	p = make([]byte, span*pageSize)
	if _, err := w.file.ReadAt(p, int64(id)*pageSize); err != nil { // #nosec G115 -- below the number of pages
		w.report("page %d cannot be read: %v", id, err)
		return nil, false
	}
	return p, true
}

// bucket walks the tree below a root page.
func (w *walker) bucket(name string, root uint64) {
	if p, ok := w.page(root, maxSpan); ok && !w.tree(name, fmt.Sprintf("page %d", root), p, nil, nil, 0) {
		w.reject(root, p)
	}
}

// reject marks a page and its overflow as rejected.
func (w *walker) reject(id uint64, p []byte) {
	for i := range uint64(len(p)) / pageSize {
		w.used[id+i] = rejected
	}
}

// tree walks a page and all pages below it. Their keys must be in [low, high); nil means no bound. It returns false
// without a visit if the page itself is damaged.
func (w *walker) tree(bucket, where string, p, low, high []byte, depth int) bool {
	flags, count := le.Uint16(p[8:]), int(le.Uint16(p[10:]))
	if flags != leafPage && flags != branchPage || depth > maxDepth || flags == branchPage && count == 0 {
		w.report("%s is not a tree page (flags %#x, %d entries)", where, flags, count)
		return false
	}
	type entry struct {
		key, value []byte // value is set in a leaf only
		child      uint64 // set in a branch only
		isBucket   bool
	}
	entries := make([]entry, 0, count)
	for i := range count {
		at := pageHeader + i*elementHeader
		if at+elementHeader > len(p) {
			w.report("%s claims %d entries, more than it holds", where, count)
			return false
		}
		e := p[at:]
		var pos, keySize, valueSize uint64
		var it entry
		if flags == leafPage {
			kind := le.Uint32(e)
			if it.isBucket = kind == bucketEntry; kind > bucketEntry {
				w.report("%s: entry %d is of unknown kind %#x", where, i, kind)
				return false
			}
			pos, keySize, valueSize = uint64(le.Uint32(e[4:])), uint64(le.Uint32(e[8:])), uint64(le.Uint32(e[12:]))
		} else {
			pos, keySize, it.child = uint64(le.Uint32(e)), uint64(le.Uint32(e[4:])), le.Uint64(e[8:])
		}
		from := uint64(at) + pos
		if keySize == 0 || from+keySize+valueSize > uint64(len(p)) || from < uint64(pageHeader+count*elementHeader) {
			w.report("%s: entry %d is outside the page", where, i)
			return false
		}
		it.key = p[from : from+keySize]
		it.value = p[from+keySize : from+keySize+valueSize]
		if low != nil && (bytes.Compare(it.key, low) < 0 || i > 0 && bytes.Equal(it.key, low)) ||
			high != nil && bytes.Compare(it.key, high) >= 0 {
			w.report("%s: entry %d is out of order", where, i)
			return false
		}
		low = it.key
		entries = append(entries, it)
	}
	for i, it := range entries {
		switch {
		case flags == branchPage:
			next := high
			if i+1 < len(entries) {
				next = entries[i+1].key
			}
			if child, ok := w.page(it.child, maxSpan); ok &&
				!w.tree(bucket, fmt.Sprintf("page %d", it.child), child, it.key, next, depth+1) {
				w.reject(it.child, child)
			}
		case !it.isBucket:
			w.visit(bucket, it.key, it.value)
		case bucket != "":
			w.report("%s has a bucket inside bucket %q, which does not belong in a notes file", where, bucket)
		case len(it.value) < bucketHeader:
			w.report("%s: bucket %q has no root", where, it.key)
		case le.Uint64(it.value) != 0:
			w.bucket(string(it.key), le.Uint64(it.value))
		case len(it.value) < bucketHeader+pageHeader:
			w.report("%s: bucket %q has no page", where, it.key)
		default: // a small bucket is stored inside its entry
			w.tree(string(it.key), fmt.Sprintf("bucket %q in %s", it.key, where), it.value[bucketHeader:], nil, nil,
				depth+1)
		}
	}
	return true
}

// freeList walks the free list and reports pages that are neither on it nor in a tree.
func (w *walker) freeList() {
	p, ok := w.page(w.meta.freelist, maxFreeList(w.meta.pages))
	if !ok {
		return
	}
	ids := freeIDs(p)
	if ids == nil {
		w.report("page %d is not a free list", w.meta.freelist)
		return
	}
	for ; len(ids) > 0; ids = ids[8:] {
		id := le.Uint64(ids)
		if id < 2 || id >= w.meta.pages || w.used[id] > rejected {
			w.report("page %d is on the free list, but it is in use or does not exist", id)
			return
		}
		w.used[id] = inFreelist
	}
	lost := 0
	for _, use := range w.used[2:] {
		if use == unknown {
			lost++
		}
	}
	if lost > 0 {
		w.report("%w: %d of them; they may have held notes", errOrphans, lost)
	}
}

// maxFreeList returns how many pages the free list of a file may have. It has 8 bytes for each page.
func maxFreeList(pages uint64) uint64 { return pages*8/pageSize + 2 }

// freeIDs returns the page numbers in a free-list page, sorted, 8 bytes each. It returns nil if page is not a free
// list.
func freeIDs(page []byte) []byte {
	if len(page) < pageHeader || le.Uint16(page[8:]) != freelistPage {
		return nil
	}
	count, ids := uint64(le.Uint16(page[10:])), page[pageHeader:]
	if count == 0xFFFF { // the first entry has the real count
		count, ids = le.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return nil
	}
	return ids[:8*count]
}
