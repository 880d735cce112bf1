package bolt

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sort"
	"unsafe"

	"go.etcd.io/bbolt"
)

// bbolt trusts the pages that it has mapped. On a page that leads back to itself it descends without end, and a stack
// that overflows ends the process: nothing recovers from that. [Open] checks every page, but a file can be damaged
// while it is open. So readers walk the trees here, and a writer's path is checked before bbolt takes it.
//
// The layout is described in inspect.go. All functions here run under guard: what lies outside a page panics, and what
// lies outside the file faults.

var (
	errPage  = errors.New("a page is not what points to it")
	errDepth = errors.New("a page leads back to itself")
)

// tree is the tree of one bucket.
type tree struct {
	pages
	root node
}

// pages are the pages of one commit.
type pages struct {
	file []byte // as bbolt has it mapped, up to the last page of the commit
	free []byte // the free list, ids in order of 8 bytes each; nil where it is not known
}

// node is a page of a tree with its overflow pages.
type node []byte

// pagesOf returns the pages that a transaction reads. They are valid until the transaction ends.
func pagesOf(db *bbolt.DB, tx *bbolt.Tx) pages {
	data := db.Info().Data
	file := unsafe.Slice(*(**byte)(unsafe.Pointer(&data)), tx.Size()) // #nosec G103 -- bbolt tells its address alone
	p := pages{file: file}
	commit := uint64(tx.ID()) // #nosec G115 -- commits are numbered from 1
	if tx.Writable() {
		commit-- // a writer builds on the last one
	}
	// A commit may be writing the page just now, so it is copied, and the copy is believed if its checksum fits.
	meta := bytes.Clone(p.file[commit%2*pageSize+pageHeader:][:metaSize])
	if le.Uint64(meta[metaCommit:]) == commit && fits(meta) { // else two commits have followed since the begin
		p.free = freelist(pageAt(p.file, le.Uint64(meta[metaFreelist:])))
	}
	return p
}

// isFree reports whether the free list names a page.
func (p pages) isFree(id uint64) bool {
	_, found := sort.Find(len(p.free)/8, func(i int) int { return cmp.Compare(id, le.Uint64(p.free[8*i:])) })
	return found
}

// treeOf returns the tree of the named bucket.
func treeOf(db *bbolt.DB, tx *bbolt.Tx, name []byte) tree {
	top := topOf(db, tx)
	value := top.get(name)
	if root := le.Uint64(value); root != 0 {
		return tree{top.pages, top.node(root)}
	}
	return tree{top.pages, value[bucketHeader:]} // a small bucket lies within its entry
}

// topOf returns the tree whose entries are the buckets.
func topOf(db *bbolt.DB, tx *bbolt.Tx) tree {
	p := pagesOf(db, tx)
	return tree{p, p.node(uint64(tx.Cursor().Bucket().RootPage()))}
}

// pageAt returns a page with its overflow pages, or nil where page id is none.
func pageAt(file []byte, id uint64) []byte {
	count := uint64(len(file)) / pageSize
	if id < 2 || id >= count {
		return nil
	}
	p := file[id*pageSize:]
	span := uint64(le.Uint32(p[12:])) + 1
	if le.Uint64(p) != id || span > count-id {
		return nil
	}
	return p[:span*pageSize]
}

// node returns page id, which must be in use by a tree.
func (p pages) node(id uint64) node {
	n := node(pageAt(p.file, id))
	if n == nil || p.isFree(id) {
		panic(errPage)
	}
	if flags := le.Uint16(n[8:]); flags != leafPage && (flags != branchPage || n.count() == 0) {
		panic(errPage)
	}
	return n
}

// below returns the page that entry i of a branch points to. Damage to that entry can have it point to another page
// that is sound. Such a page has other keys than the branch says, or it is an earlier version of the right one, and
// thus free: a reader that goes on for longer than two commits has no free list to tell by.
func (p pages) below(branch node, i int) node {
	n := p.node(branch.child(i))
	if n.count() == 0 || bytes.Compare(n.key(0), branch.key(i)) < 0 ||
		i+1 < branch.count() && bytes.Compare(n.key(n.count()-1), branch.key(i+1)) >= 0 {
		panic(errPage)
	}
	return n
}

func (n node) isLeaf() bool { return le.Uint16(n[8:]) == leafPage }
func (n node) count() int   { return int(le.Uint16(n[10:])) }

// element returns the header of entry i, and the page from there: positions count from the header.
func (n node) element(i int) []byte { return n[pageHeader+i*elementHeader:] }

func (n node) child(i int) uint64 { return le.Uint64(n.element(i)[8:]) }

func (n node) key(i int) []byte {
	e := n.element(i)
	at := e
	if n.isLeaf() {
		at = e[4:]
	}
	return e[le.Uint32(at):][:le.Uint32(at[4:])]
}

func (n node) value(i int) []byte {
	e := n.element(i)
	return e[le.Uint32(e[4:]):][le.Uint32(e[8:]):][:le.Uint32(e[12:])]
}

// find returns the place of the first key that is not below key; of a branch, the entry whose page may hold key.
func (n node) find(key []byte) (at int, exact bool) {
	count := n.count()
	at = sort.Search(count, func(i int) bool { return bytes.Compare(n.key(i), key) >= 0 })
	exact = at < count && bytes.Equal(n.key(at), key)
	if !n.isLeaf() && !exact && at > 0 {
		at--
	}
	return at, exact
}

// get returns the value of key, or nil.
func (t tree) get(key []byte) []byte {
	n := t.root
	for range maxDepth {
		at, exact := n.find(key)
		switch {
		case !n.isLeaf():
			n = t.below(n, at)
		case exact:
			return n.value(at)
		default:
			return nil
		}
	}
	panic(errDepth)
}

// check panics unless bbolt can go to key, and change what is there: to merge a page, it looks at the pages beside it.
func (t tree) check(key []byte) {
	n := t.root
	var passed []uint64
	for range maxDepth {
		if n.isLeaf() {
			return
		}
		at, _ := n.find(key)
		next := t.below(n, at)
		passed = append(passed, n.child(at))
		for _, beside := range []int{at - 1, at + 1} {
			if beside < 0 || beside >= n.count() {
				continue
			}
			if slices.Contains(passed, n.child(beside)) || t.below(n, beside).isLeaf() != next.isLeaf() {
				panic(errPage)
			}
		}
		n = next
	}
	panic(errDepth)
}

// cursor is a place in a tree: the pages from the root to a leaf, with a place in each.
type cursor struct {
	pages
	path []place
}

type place struct {
	node
	at int
}

// seek returns a cursor at the first key that is not below key, which may lie behind the last entry of a leaf.
func (t tree) seek(key []byte) *cursor {
	c := &cursor{pages: t.pages}
	c.descend(t.root, func(n node) int { at, _ := n.find(key); return at })
	return c
}

func (c *cursor) descend(n node, choose func(node) int) {
	for ; ; n = c.below(n, c.path[len(c.path)-1].at) {
		if len(c.path) == maxDepth {
			panic(errDepth)
		}
		c.path = append(c.path, place{n, choose(n)})
		if n.isLeaf() {
			return
		}
	}
}

func first(node) int  { return 0 }
func last(n node) int { return n.count() - 1 }

// next and prev move to a neighbour and return its entry; the key is nil where there is none.
func (c *cursor) next() (key, value []byte) { return c.move(1, first) }
func (c *cursor) prev() (key, value []byte) { return c.move(-1, last) }

func (c *cursor) move(by int, choose func(node) int) (key, value []byte) {
	for len(c.path) > 0 {
		top := &c.path[len(c.path)-1]
		top.at += by
		if top.at < 0 || top.at >= top.count() {
			c.path = c.path[:len(c.path)-1]
			continue
		}
		if !top.isLeaf() {
			c.descend(c.below(top.node, top.at), choose)
		}
		return c.entry()
	}
	return nil, nil
}

// entry returns the entry at the cursor; the key is nil where the leaf ends before it.
func (c *cursor) entry() (key, value []byte) {
	leaf := c.path[len(c.path)-1]
	if leaf.at >= leaf.count() {
		return nil, nil
	}
	return leaf.key(leaf.at), leaf.value(leaf.at)
}

// bucket is a bucket of a writer. It checks each path before bbolt takes it.
type bucket struct {
	*bbolt.Bucket
	tree tree // as the last commit left it; bbolt changes its shape when it commits
}

func bucketOf(db *bbolt.DB, tx *bbolt.Tx, name []byte) *bucket {
	topOf(db, tx).check(name)
	return &bucket{tx.Bucket(name), treeOf(db, tx, name)}
}

// Get is [bbolt.Bucket.Get].
func (b *bucket) Get(key []byte) []byte {
	b.tree.check(key)
	return b.Bucket.Get(key)
}

// Put is [bbolt.Bucket.Put].
func (b *bucket) Put(key, value []byte) error {
	b.tree.check(key)
	return b.Bucket.Put(key, value)
}

// Delete is [bbolt.Bucket.Delete].
func (b *bucket) Delete(key []byte) error {
	b.tree.check(key)
	return b.Bucket.Delete(key)
}

// Cursor is [bbolt.Bucket.Cursor], for the first entry.
func (b *bucket) Cursor() *bbolt.Cursor {
	b.tree.check(nil)
	return b.Bucket.Cursor()
}
