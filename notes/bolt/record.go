package bolt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"example.com/portable-notes/notes"
)

// Keys. The keys of an owner's notes are adjacent and ordered by id. They begin with the length of the owner, so that
// an owner's keys are never prefixes of another's.

func ownerPrefix(owner string) []byte { return ownerKey(owner, "") }

func noteKey(owner string, id notes.ID) []byte { return ownerKey(owner, string(id[:])) }

func idempotencyKey(owner, value string) []byte { return ownerKey(owner, value) }

func ownerKey(owner, rest string) []byte {
	key := make([]byte, 0, 2+len(owner)+len(rest))
	key = binary.BigEndian.AppendUint16(key, uint16(len(owner))) // #nosec G115 -- an owner has at most 512 bytes
	return append(append(key, owner...), rest...)
}

// expiryKey returns the entry of the expiry index for a key in keysBucket.
func expiryKey(expires time.Time, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(expires.UnixMicro())), key...)
}

// Values. Each begins with a checksum over its key and the rest of the value, so that reads detect flipped bits and
// values under the wrong key.

var errDamaged = errors.New("the record is damaged: its checksum does not match; run -check on the file and restore " +
	"a copy, or copy the other records with deploy copy --salvage")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

func seal(key, payload []byte) []byte {
	value := make([]byte, 0, 4+len(payload))
	return append(binary.BigEndian.AppendUint32(value, checksum(key, payload)), payload...)
}

func unseal(key, value []byte) ([]byte, error) {
	if len(value) < 4 || binary.BigEndian.Uint32(value) != checksum(key, value[4:]) {
		return nil, errDamaged
	}
	return value[4:], nil
}

func encodeNote(key []byte, n notes.Note) []byte {
	p := make([]byte, 0, n.TextSize()+64)
	p = binary.AppendUvarint(p, uint64(n.Version)) // #nosec G115 -- a version is 1 or more
	p = binary.AppendVarint(p, n.CreatedAt.UnixMicro())
	p = binary.AppendVarint(p, n.UpdatedAt.UnixMicro())
	p = appendText(p, n.Title)
	p = appendText(p, n.Content)
	for _, tag := range n.Tags {
		p = appendText(p, tag)
	}
	return seal(key, p)
}

// decodeNote returns a note, copied from the mapped file.
func decodeNote(key, value []byte) (notes.Note, error) { return new(copies).decode(key, value) }

// copies decodes notes from the mapped file. The texts and tags of the notes of one list share memory, which saves
// allocations. A note that is kept may keep up to mostText bytes of other notes.
type copies struct {
	texts strings.Builder
	tags  []string
}

// decode decodes a note and copies its texts.
func (c *copies) decode(key, value []byte) (notes.Note, error) {
	p, err := unseal(key, value)
	if err != nil {
		return notes.Note{}, err
	}
	r := reader{rest: p, copied: c.copyPayload(p)}
	n := notes.Note{
		ID:        notes.ID(key[len(key)-16:]),
		Version:   int64(r.uvarint()), // #nosec G115 -- it was written as an int64
		CreatedAt: r.time(),
		UpdatedAt: r.time(),
		Title:     r.text(),
		Content:   r.text(),
	}
	tags := make([]string, 0, notes.MaxTags) // on the stack
	for len(r.rest) > 0 && !r.truncated {
		tags = append(tags, r.text())
	}
	if r.truncated {
		return notes.Note{}, errDamaged
	}
	n.Tags = c.copyTags(tags)
	return n, nil
}

const (
	growth   = 4        // an allocation is this many times as large as the one before it
	mostText = 32 << 10 // maximum bytes that one allocation has for several notes
	mostTags = 80       // maximum tags that one allocation has for several notes
)

// copyPayload returns a copy of p.
func (c *copies) copyPayload(p []byte) string {
	if c.texts.Cap()-c.texts.Len() < len(p) {
		size := max(len(p), min(growth*c.texts.Cap(), mostText))
		c.texts = strings.Builder{}
		c.texts.Grow(size)
	}
	c.texts.Write(p)
	return c.texts.String()[c.texts.Len()-len(p):]
}

// copyTags returns a copy of tags, or nil if there are none.
func (c *copies) copyTags(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	if cap(c.tags)-len(c.tags) < len(tags) {
		c.tags = make([]string, 0, max(len(tags), min(growth*cap(c.tags), mostTags)))
	}
	from := len(c.tags)
	c.tags = append(c.tags, tags...)
	return slices.Clip(c.tags[from:])
}

func encodeUsedKey(key []byte, o notes.UsedKey) []byte {
	p := append(o.ID[:], o.Request[:]...)
	p = binary.AppendVarint(p, o.Created.UnixMicro())
	return seal(key, binary.AppendVarint(p, o.Expires.UnixMicro()))
}

func decodeUsedKey(key, value []byte) (notes.UsedKey, error) {
	p, err := unseal(key, value)
	if err != nil {
		return notes.UsedKey{}, err
	}
	if len(p) < 48 {
		return notes.UsedKey{}, errDamaged
	}
	o := notes.UsedKey{ID: notes.ID(p[:16]), Request: [32]byte(p[16:48])}
	r := reader{rest: p[48:]}
	o.Created, o.Expires = r.time(), r.time()
	if r.truncated {
		return notes.UsedKey{}, errDamaged
	}
	return o, nil
}

// counts are the numbers of records in the file. With them -check finds a loss that leaves no other trace.
type counts struct{ notes, keys uint64 }

func encodeCounts(key []byte, c counts) []byte {
	return seal(key, binary.AppendUvarint(binary.AppendUvarint(nil, c.notes), c.keys))
}

func decodeCounts(key, value []byte) (counts, error) {
	p, err := unseal(key, value)
	if err != nil {
		return counts{}, err
	}
	r := reader{rest: p}
	c := counts{notes: r.uvarint(), keys: r.uvarint()}
	if r.truncated {
		return counts{}, errDamaged
	}
	return c, nil
}

func appendText(p []byte, s string) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}

// reader decodes a payload. Truncated is set if the payload ends too early.
type reader struct {
	rest      []byte
	copied    string // a copy of the payload, which contains the texts; empty for a payload without texts
	truncated bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	return advance(r, v, n)
}

func (r *reader) time() time.Time {
	v, n := binary.Varint(r.rest)
	return time.UnixMicro(advance(r, v, n)).UTC()
}

func advance[T any](r *reader, v T, n int) T {
	if n <= 0 {
		r.truncated, n = true, 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	size := r.uvarint()
	if size > uint64(len(r.rest)) {
		r.truncated = true
		return ""
	}
	s := r.copied[len(r.copied)-len(r.rest):][:size]
	r.rest = r.rest[size:]
	return s
}
