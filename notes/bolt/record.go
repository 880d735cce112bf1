package bolt

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"example.com/portable-notes/notes"
)

// Keys. An owner's notes lie side by side, in the order of their ids; the length before the owner keeps one owner's
// keys apart from those of another whose name begins alike.

func ownerPrefix(owner string) []byte {
	// #nosec G115 -- an owner has at most 512 bytes
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(owner))), owner...)
}

func noteKey(owner string, id notes.ID) []byte { return append(ownerPrefix(owner), id[:]...) }

func onceKey(owner, value string) []byte { return append(ownerPrefix(owner), value...) }

// An entry of the expiry index leads from the time at which an idempotency key may go to the key.
func expiryKey(expires time.Time, once []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(expires.UnixMicro())), once...)
}

// Values. Each begins with a checksum over its key and the rest, so that neither a flipped bit nor a value that slid
// under another key is ever served.

var errDamaged = errors.New("the record is damaged: its checksum does not fit; run -check on the file and restore " +
	"a copy")

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

// decodeNote copies what it returns: key and value are the file's own memory.
func decodeNote(key, value []byte) (notes.Note, error) {
	p, err := unseal(key, value)
	if err != nil {
		return notes.Note{}, err
	}
	r := reader{rest: p}
	n := notes.Note{
		ID:        notes.ID(key[len(key)-16:]),
		Version:   int64(r.uvarint()), // #nosec G115 -- as it was written
		CreatedAt: r.time(),
		UpdatedAt: r.time(),
		Title:     r.text(),
		Content:   r.text(),
	}
	for len(r.rest) > 0 && !r.short {
		n.Tags = append(n.Tags, r.text())
	}
	if r.short {
		return notes.Note{}, errDamaged
	}
	return n, nil
}

func encodeOnce(key []byte, o notes.UsedKey) []byte {
	p := append(o.ID[:], o.Request[:]...)
	p = binary.AppendVarint(p, o.Created.UnixMicro())
	return seal(key, binary.AppendVarint(p, o.Expires.UnixMicro()))
}

func decodeOnce(key, value []byte) (notes.UsedKey, error) {
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
	if r.short {
		return notes.UsedKey{}, errDamaged
	}
	return o, nil
}

// counts is how many records the file holds, so that -check finds a loss that leaves no other trace.
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
	if r.short {
		return counts{}, errDamaged
	}
	return c, nil
}

func appendText(p []byte, s string) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}

// reader takes a payload apart; short tells that it ended too early.
type reader struct {
	rest  []byte
	short bool
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
		r.short, n = true, 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	size := r.uvarint()
	if size > uint64(len(r.rest)) {
		r.short = true
		return ""
	}
	s := string(r.rest[:size])
	r.rest = r.rest[size:]
	return s
}
