package bolt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"example.com/portable-notes/notes"
)

// Keys. The keys of an owner's notes are adjacent and ordered by id. They begin with the length of the owner, so that
// an owner's keys are never prefixes of another's.

func ownerPrefix(owner string) []byte {
	// #nosec G115 -- an owner has at most 512 bytes
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(owner))), owner...)
}

func noteKey(owner string, id notes.ID) []byte { return append(ownerPrefix(owner), id[:]...) }

func idempotencyKey(owner, value string) []byte { return append(ownerPrefix(owner), value...) }

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

// decodeNote copies what it returns, because key and value are in the mapped file.
func decodeNote(key, value []byte) (notes.Note, error) {
	p, err := unseal(key, value)
	if err != nil {
		return notes.Note{}, err
	}
	r := reader{rest: p}
	n := notes.Note{
		ID:        notes.ID(key[len(key)-16:]),
		Version:   int64(r.uvarint()), // #nosec G115 -- it was written as an int64
		CreatedAt: r.time(),
		UpdatedAt: r.time(),
		Title:     r.text(),
		Content:   r.text(),
	}
	for len(r.rest) > 0 && !r.truncated {
		n.Tags = append(n.Tags, r.text())
	}
	if r.truncated {
		return notes.Note{}, errDamaged
	}
	return n, nil
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
	s := string(r.rest[:size])
	r.rest = r.rest[size:]
	return s
}
