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

// bbolt trusts the pages that it has mapped. On a page that leads back to itself it recurses until the stack overflows,
// which ends the process. [Open] checks every page, but a file can be damaged while it is open. So readers use the code
// here instead of bbolt's, and writers check each path before bbolt follows it.
//
// The layout is described in inspect.go. All functions here must run under guard, because an access outside a page
// panics and one outside the file faults.

var (
	errBadPage = errors.New("a pointer leads to the wrong page")
	errLoop    = errors.New("a page leads back to itself")
)

// tree is the B+ tree of one bucket.
type tree struct {
	pages
	root node
}

// pages are the pages of one commit.
type pages struct {
	file []byte // bbolt's mapping, up to the last page of the commit
	free []byte // the free list: sorted page numbers of 8 bytes each; nil if unknown
}

// node is a page of a tree with its overflow pages.
type node []byte

// pagesOf returns the pages that a transaction reads. They are valid until the transaction ends.
func pagesOf(db *bbolt.DB, tx *bbolt.Tx) pages {
	data := db.Info().Data
	file := unsafe.Slice(*(**byte)(unsafe.Pointer(&data)), tx.Size()) // #nosec G103 -- bbolt returns only the address
	p := pages{file: file}
	commit := uint64(tx.ID()) // #nosec G115 -- commits are numbered from 1
	if tx.Writable() {
		commit-- // a writer reads the last commit
	}
	// A commit may be writing the page right now, so copy it first and check the copy.
	var page [metaSize]byte
	copy(page[:], p.file[commit%2*pageSize+pageHeader:])
	if le.Uint64(page[metaCommit:]) == commit && checksumMatches(page[:]) { // else two newer commits have followed
		p.free = freeIDs(pageAt(p.file, le.Uint64(page[metaFreelist:])))
	}
	return p
}

// isFree reports whether a page is on the free list.
func (p pages) isFree(id uint64) bool {
	_, found := sort.Find(len(p.free)/8, func(i int) int { return cmp.Compare(id, le.Uint64(p.free[8*i:])) })
	return found
}

// treeOf returns the tree of the named bucket.
func treeOf(db *bbolt.DB, tx *bbolt.Tx, name []byte) tree {
	root := rootOf(db, tx)
	value := root.get(name)
	if page := le.Uint64(value); page != 0 {
		return tree{root.pages, root.node(page)}
	}
	return tree{root.pages, value[bucketHeader:]} // a small bucket is stored inside its entry
}

// rootOf returns the tree whose entries are the buckets.
func rootOf(db *bbolt.DB, tx *bbolt.Tx) tree {
	p := pagesOf(db, tx)
	return tree{p, p.node(uint64(tx.Cursor().Bucket().RootPage()))}
}

// pageAt returns page id with its overflow pages, or nil if there is no such page.
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

// node returns page id. It panics unless that is a tree page in use.
func (p pages) node(id uint64) node {
	n := node(pageAt(p.file, id))
	if n == nil || p.isFree(id) {
		panic(errBadPage)
	}
	if flags := le.Uint16(n[8:]); flags != leafPage && (flags != branchPage || n.count() == 0) {
		panic(errBadPage)
	}
	return n
}

// childOf returns the page that entry i of a branch points to. A damaged entry may point to another intact page. Such a
// page has keys outside the range of the entry, or it is an earlier version of the right page and therefore free. A
// reader that lasts longer than two commits has no free list and cannot detect the latter.
func (p pages) childOf(branch node, i int) node {
	n := p.node(branch.child(i))
	if n.count() == 0 || bytes.Compare(n.key(0), branch.key(i)) < 0 ||
		i+1 < branch.count() && bytes.Compare(n.key(n.count()-1), branch.key(i+1)) >= 0 {
		panic(errBadPage)
	}
	return n
}

func (n node) isLeaf() bool { return le.Uint16(n[8:]) == leafPage }
func (n node) count() int   { return int(le.Uint16(n[10:])) }

// element returns the page from the header of entry i on, because offsets are relative to that header.
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

// find returns the index of the first key that is not less than key. In a branch it returns the entry whose page may
// have the key.
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
			n = t.childOf(n, at)
		case exact:
			return n.value(at)
		default:
			return nil
		}
	}
	panic(errLoop)
}

// checkPath panics unless bbolt can safely follow the path to key and change the entry there. It checks the neighbours
// of each page too, because bbolt reads them when it merges pages.
func (t tree) checkPath(key []byte) {
	n := t.root
	var passed []uint64
	for range maxDepth {
		if n.isLeaf() {
			return
		}
		at, _ := n.find(key)
		next := t.childOf(n, at)
		passed = append(passed, n.child(at))
		for _, beside := range []int{at - 1, at + 1} {
			if beside < 0 || beside >= n.count() {
				continue
			}
			if slices.Contains(passed, n.child(beside)) || t.childOf(n, beside).isLeaf() != next.isLeaf() {
				panic(errBadPage)
			}
		}
		n = next
	}
	panic(errLoop)
}

// treeCursor is a position in a tree: the pages from the root to a leaf, with an index in each.
type treeCursor struct {
	pages
	path []position
}

type position struct {
	node
	at int
}

// seek returns a cursor at the first key that is not less than key. It may be after the last entry of a leaf.
func (t tree) seek(key []byte) *treeCursor {
	c := &treeCursor{pages: t.pages, path: make([]position, 0, 4)} // few trees are deeper
	c.descend(t.root, func(n node) int { at, _ := n.find(key); return at })
	return c
}

func (c *treeCursor) descend(n node, choose func(node) int) {
	for ; ; n = c.childOf(n, c.path[len(c.path)-1].at) {
		if len(c.path) == maxDepth {
			panic(errLoop)
		}
		c.path = append(c.path, position{n, choose(n)})
		if n.isLeaf() {
			return
		}
	}
}

func firstEntry(node) int  { return 0 }
func lastEntry(n node) int { return n.count() - 1 }

// next and prev move to a neighbouring entry and return it. The key is nil if there is none.
func (c *treeCursor) next() (key, value []byte) { return c.move(1, firstEntry) }
func (c *treeCursor) prev() (key, value []byte) { return c.move(-1, lastEntry) }

func (c *treeCursor) move(by int, choose func(node) int) (key, value []byte) {
	for len(c.path) > 0 {
		top := &c.path[len(c.path)-1]
		top.at += by
		if top.at < 0 || top.at >= top.count() {
			c.path = c.path[:len(c.path)-1]
			continue
		}
		if !top.isLeaf() {
			c.descend(c.childOf(top.node, top.at), choose)
		}
		return c.entry()
	}
	return nil, nil
}

// entry returns the entry at the cursor. The key is nil if the cursor is after the last entry of its leaf.
func (c *treeCursor) entry() (key, value []byte) {
	leaf := c.path[len(c.path)-1]
	if leaf.at >= leaf.count() {
		return nil, nil
	}
	return leaf.key(leaf.at), leaf.value(leaf.at)
}

// writeBucket is a bucket in a write transaction. It checks each path before bbolt follows it.
type writeBucket struct {
	*bbolt.Bucket
	tree tree // of the last commit; bbolt changes its shape only when it commits
}

func writeBucketOf(db *bbolt.DB, tx *bbolt.Tx, name []byte) *writeBucket {
	rootOf(db, tx).checkPath(name)
	return &writeBucket{tx.Bucket(name), treeOf(db, tx, name)}
}

// Get is [bbolt.Bucket.Get].
func (b *writeBucket) Get(key []byte) []byte {
	b.tree.checkPath(key)
	return b.Bucket.Get(key)
}

// Put is [bbolt.Bucket.Put].
func (b *writeBucket) Put(key, value []byte) error {
	b.tree.checkPath(key)
	return b.Bucket.Put(key, value)
}

// Delete is [bbolt.Bucket.Delete].
func (b *writeBucket) Delete(key []byte) error {
	b.tree.checkPath(key)
	return b.Bucket.Delete(key)
}

// Cursor is [bbolt.Bucket.Cursor]. Only the path to the first entry is checked.
func (b *writeBucket) Cursor() *bbolt.Cursor {
	b.tree.checkPath(nil)
	return b.Bucket.Cursor()
}
