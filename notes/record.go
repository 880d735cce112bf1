package notes

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"time"
)

// Record is the unit in which one store's data are copied to another: a note or a used idempotency key. If a key's note
// does not exist, it was deleted.
type Record struct {
	Owner string
	Note  *Note    // nil for a key
	Key   *UsedKey // nil for a note
}

// UsedKey is a stored [IdempotencyKey] with the note that it created.
type UsedKey struct {
	Value   string
	Request [32]byte
	Expires time.Time
	ID      ID        // of the note created with the key
	Created time.Time // the note's CreatedAt
}

// Sum returns a hash of the record. Equal records have equal sums in every store.
func (r Record) Sum() [32]byte {
	h := sha256.New()
	field := func(s string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		_, _ = io.WriteString(h, s)
	}
	// #nosec G115 -- the sign does not matter, only the bits
	number := func(n int64) { h.Write(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	field(r.Owner)
	if n := r.Note; n != nil {
		field(string(n.ID[:]))
		number(n.Version)
		number(n.CreatedAt.UnixMicro())
		number(n.UpdatedAt.UnixMicro())
		field(n.Title)
		field(n.Content)
		for _, tag := range n.Tags {
			field(tag)
		}
	}
	if k := r.Key; k != nil {
		field("key")
		field(k.Value)
		field(string(k.Request[:]))
		field(string(k.ID[:]))
		number(k.Created.UnixMicro())
		number(k.Expires.UnixMicro())
	}
	return [32]byte(h.Sum(nil))
}
