package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/portable-notes/notes"
)

// Salvage holds the records that can be read from a damaged notes file. It never writes to the file.
type Salvage struct {
	// Lost lists what cannot be read: notes by their id if their key is readable, otherwise pages.
	Lost []string
	// Unused lists intact notes on pages that the last commit does not use. They are deleted notes, earlier versions,
	// or notes that a damaged tree no longer leads to.
	Unused []string

	file  *os.File
	notes map[string]spot // by key
	keys  map[string]spot
}

// spot is the place of an intact record in the file.
type spot struct {
	offset  int64 // of the key, which the value follows
	key     int   // size in bytes
	value   int   // size in bytes
	page    int64
	version int64 // of a note
}

// OpenSalvage finds every note and idempotency key whose record is intact, even if the tree to it is damaged.
// It reads the whole file. Of several versions of a note the highest wins.
//
// Records on pages that the last commit does not use are left out unless all is set, because deleted notes are among
// them. If both the tree and the free list are damaged, a deleted note can come back even without all.
//
// OpenSalvage fails if the file cannot be read, if another process has it open, or if it holds no record of a notes
// file. The caller must close the result.
func OpenSalvage(path string, all bool) (*Salvage, error) {
	s, err := openSalvage(path, all)
	if err != nil {
		return nil, fmt.Errorf("notes file %s: %w", path, err)
	}
	return s, nil
}

func openSalvage(path string, all bool) (*Salvage, error) {
	if err := checkRegular(path); err != nil {
		return nil, err
	}
	file, err := openLocked(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s := &Salvage{file: file, notes: map[string]spot{}, keys: map[string]spot{}}
	scan := scanner{Salvage: s, size: info.Size(), all: all, damaged: map[string]string{}, unused: map[string]spot{},
		inside: map[int64]bool{}}
	scan.use, s.Lost = pagesInUse(file, info.Size())
	if err := scan.run(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// Close closes the file.
func (s *Salvage) Close() error { return s.file.Close() }

// Get returns a note. It returns [notes.ErrNotFound] if the note was not found in the file.
func (s *Salvage) Get(_ context.Context, owner string, id notes.ID) (notes.Note, error) {
	at, ok := s.notes[string(noteKey(owner, id))]
	if !ok {
		return notes.Note{}, notes.ErrNotFound
	}
	r, err := s.read(at, false)
	if err != nil {
		return notes.Note{}, err
	}
	return *r.Note, nil
}

// Export yields all records, keys before notes. The first error ends the walk.
func (s *Salvage) Export(ctx context.Context) iter.Seq2[notes.Record, error] {
	return func(yield func(notes.Record, error) bool) {
		for _, isKey := range []bool{true, false} {
			spots := s.notes
			if isKey {
				spots = s.keys
			}
			for _, key := range slices.Sorted(maps.Keys(spots)) {
				r, err := s.read(spots[key], isKey)
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

func (s *Salvage) read(at spot, isKey bool) (notes.Record, error) {
	p := make([]byte, at.key+at.value)
	if _, err := s.file.ReadAt(p, at.offset); err != nil {
		return notes.Record{}, err
	}
	return decodeRecord(isKey, p[:at.key], p[at.key:])
}

// usage is how the last commit uses a page.
type usage byte

const (
	unusedPage     usage = iota
	overflowPage         // continues a page of the tree
	usedPage             // in the tree
	likelyUsedPage       // not free, and the tree is too damaged to lead to it
)

// pagesInUse returns the usage of each page, and what is lost for lack of pages.
//
// The tree names the pages in use, the free list the others. If the tree is damaged, a page that neither names is taken
// to belong to the damaged part.
func pagesInUse(file io.ReaderAt, size int64) (use func(id uint64) usage, lost []string) {
	m0, err0 := readMeta(file, 0)
	m1, err1 := readMeta(file, 1)
	newest := m0
	switch {
	case err0 != nil && err1 != nil:
		return func(uint64) usage { return unusedPage }, []string{
			"both meta pages: which pages are in use is not known"}
	case err0 != nil || err1 == nil && m1.txid > m0.txid:
		newest = m1
	}
	pages := uint64(size) / pageSize // #nosec G115 -- a size is not negative
	broken := newest.pages > pages
	if broken {
		lost = append(lost, fmt.Sprintf("pages %d to %d: the file is truncated", pages, newest.pages-1))
		newest.pages = pages
	}
	w := &walker{
		file:   file,
		meta:   newest,
		report: func(string, ...any) { broken = true },
		visit:  func(string, []byte, []byte) {},
		used:   make([]pageUse, newest.pages),
	}
	w.bucket("", newest.root)
	free, known := w.readFree()
	broken = broken || !known
	isFree := make([]bool, newest.pages)
	for _, id := range free {
		isFree[id] = true
		broken = broken || w.used[id] > rejected
	}
	return func(id uint64) usage {
		switch {
		case id >= newest.pages:
			return unusedPage
		case w.used[id] == inTree:
			return usedPage
		case w.used[id] == inOverflow && !isFree[id]:
			return overflowPage
		case !known && w.used[id] == rejected, known && broken && !isFree[id]:
			return likelyUsedPage
		default:
			return unusedPage
		}
	}, lost
}

// readFree returns the ids on the free list. It returns false if the list is damaged or out of order.
func (w *walker) readFree() (free []uint64, ok bool) {
	p, ok := w.page(w.meta.freelist, maxFreeList(w.meta.pages))
	if !ok {
		return nil, false
	}
	ids := freeIDs(p)
	if ids == nil {
		return nil, false
	}
	last := uint64(1)
	for ; len(ids) > 0; ids = ids[8:] {
		id := le.Uint64(ids)
		if id <= last || id >= w.meta.pages {
			return nil, false
		}
		free, last = append(free, id), id
	}
	return free, true
}

// scanner reads each page on its own and needs no page to find another.
type scanner struct {
	*Salvage
	size      int64
	all       bool
	use       func(id uint64) usage
	formatErr error             // from checkFormat; nil if the format record was not found
	counts    *counts           // nil if the record of the counts was not found
	damaged   map[string]string // descriptions of notes with a wrong checksum, by key
	unused    map[string]spot   // the highest versions on pages that are not in use, by key
	pages     []string          // unreadable pages that are in use
	inside    map[int64]bool    // pages that begin inside a record, so that its content is never taken for a page
}

func (s *scanner) run() error {
	for id := int64(2); id*pageSize+pageHeader <= s.size; id++ {
		if !s.inside[id] && !s.page(id) && s.inUse(id) {
			s.pages = append(s.pages, fmt.Sprint(id))
		}
	}
	if s.formatErr != nil {
		return s.formatErr
	}
	if len(s.notes)+len(s.keys)+len(s.unused)+len(s.damaged) == 0 && s.counts == nil {
		return errNoRecords
	}
	s.conclude()
	return nil
}

var errNoRecords = fmt.Errorf("%w: no page holds a note", errForeign)

// inUse reports whether a page is in use, or likely to be, as other than an overflow page.
func (s *scanner) inUse(id int64) bool { return s.use(uint64(id)) > overflowPage } // #nosec G115 -- not negative

// page finds the records of a page. It reports whether the page can be read.
func (s *scanner) page(id int64) bool {
	p := make([]byte, pageSize)
	n, err := s.file.ReadAt(p, id*pageSize)
	if err != nil && err != io.EOF || n < pageHeader {
		return false
	}
	isPage := le.Uint64(p) == uint64(id) // #nosec G115 -- not negative
	switch le.Uint16(p[8:]) {
	case branchPage, freelistPage:
		return isPage
	default:
		return s.leaf(s.inUse(id), id*pageSize, p[:n]) || isPage && le.Uint16(p[8:]) == leafPage
	}
}

// leaf finds the records of a leaf page at offset at and reports whether it found any. p is the beginning of the page.
func (s *scanner) leaf(inUse bool, at int64, p []byte) (found bool) {
	if len(p) < pageHeader+elementHeader {
		return false
	}
	// The first record begins where the entries end. This tells their number even if the header is damaged.
	count := max(int64(le.Uint16(p[10:])), int64(le.Uint32(p[pageHeader+4:]))/elementHeader)
	for i := range min(count, int64(len(p)-pageHeader)/elementHeader) {
		entry := pageHeader + i*elementHeader
		e := p[entry:]
		from := at + entry + int64(le.Uint32(e[4:]))
		keySize, valueSize := int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
		if keySize == 0 || keySize > maxKey || from+keySize > s.size {
			continue
		}
		record := make([]byte, keySize+min(valueSize, maxValue, s.size-from-keySize))
		if _, err := s.file.ReadAt(record, from); err != nil {
			continue
		}
		key, value := record[:keySize], record[keySize:]
		if le.Uint32(e) == bucketEntry && len(value) > bucketHeader && le.Uint64(value) == 0 {
			// A small bucket is stored inside its entry.
			found = s.leaf(inUse, from+keySize+bucketHeader, value[bucketHeader:]) || found
		} else if s.record(inUse, from, key, value) {
			found = true
			for id := from/pageSize + 1; id*pageSize < from+int64(len(record)); id++ {
				s.inside[id] = true
			}
		}
	}
	return found
}

const (
	maxKey   = 2 + 512 + 255 // bytes of an idempotency key's key: the owner's size, the owner, the value
	maxValue = 1 << 20       // bytes; a note's text has at most 256 KiB, its title and its tags
)

// record stores the place of an entry and reports whether it is an intact record. The page that the record lies on must
// be in use too, because a damaged entry can point to another page.
func (s *scanner) record(inUse bool, from int64, key, value []byte) bool {
	page := from / pageSize
	at := spot{offset: from, key: len(key), value: len(value), page: page}
	inUse = inUse && s.use(uint64(page)) != unusedPage // #nosec G115 -- not negative
	if _, err := unseal(key, value); err == nil {
		switch string(key) {
		case string(formatKey):
			s.formatErr = checkFormat(value)
			return true
		case string(countsKey):
			if n, err := decodeCounts(key, value); err == nil && inUse {
				s.counts = &n
			}
			return true
		}
	}
	owner, rest, ok := splitKey(key)
	if !ok {
		return false
	}
	if isUsedKey(key, value) {
		if _, had := s.keys[string(key)]; inUse || s.all && !had {
			s.keys[string(key)] = at
		}
		return true
	}
	if len(rest) != len(notes.ID{}) {
		return false
	}
	n, err := decodeNote(key, value)
	if err != nil || !bytes.Equal(encodeNote(key, n), value) {
		if inUse && len(value) > 0 {
			s.damaged[string(key)] = fmt.Sprintf("note %s of owner %q, on page %d", notes.ID(rest), owner, page)
		}
		return false
	}
	at.version = n.Version
	found := s.notes
	if !inUse && !s.all {
		found = s.unused
	}
	if had, ok := found[string(key)]; !ok || had.version < at.version {
		found[string(key)] = at
	}
	return true
}

// isUsedKey reports whether an entry is the record of an idempotency key. A note could be mistaken for one only if its
// text ended in two plausible times.
func isUsedKey(key, value []byte) bool {
	o, err := decodeUsedKey(key, value)
	return err == nil && bytes.Equal(encodeUsedKey(key, o), value) &&
		o.Created.Year() >= 2000 && o.Expires.After(o.Created)
}

// splitKey splits the key of a note or of an idempotency key into the owner and the rest.
func splitKey(key []byte) (owner string, rest []byte, ok bool) {
	if len(key) < 2 {
		return "", nil, false
	}
	end := 2 + int(binary.BigEndian.Uint16(key))
	if end >= len(key) || !utf8.Valid(key[2:end]) {
		return "", nil, false
	}
	return string(key[2:end]), key[end:], true
}

// conclude fills Lost and Unused.
func (s *scanner) conclude() {
	for _, key := range slices.Sorted(maps.Keys(s.damaged)) {
		if _, saved := s.notes[key]; !saved {
			s.Lost = append(s.Lost, s.damaged[key])
		}
	}
	if len(s.pages) > 0 {
		s.Lost = append(s.Lost, "unreadable pages: "+strings.Join(s.pages, ", "))
	}
	if s.counts != nil && s.counts.notes > uint64(len(s.notes)) {
		s.Lost = append(s.Lost, fmt.Sprintf("%d of %d notes in all",
			s.counts.notes-uint64(len(s.notes)), s.counts.notes))
	}
	for _, key := range slices.Sorted(maps.Keys(s.unused)) {
		at := s.unused[key]
		saved, ok := s.notes[key]
		if ok && saved.version >= at.version {
			continue
		}
		owner, id, _ := splitKey([]byte(key))
		s.Unused = append(s.Unused, fmt.Sprintf("note %s of owner %q, version %d, on page %d", notes.ID(id), owner,
			at.version, at.page))
	}
}
