package notes

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"time"
)

// Record is one thing that a store keeps, as it moves from one store to another: a note, or what is remembered of an
// idempotency key. A key whose note is not there is that of a note that was deleted.
type Record struct {
	Owner string
	Note  *Note    // nil for a key
	Key   *UsedKey // nil for a note
}

// UsedKey is what a store remembers of an [IdempotencyKey].
type UsedKey struct {
	Value   string
	Request [32]byte
	Expires time.Time
	ID      ID        // of the note that the key made
	Created time.Time // when; UTC, whole microseconds
}

// Sum tells records apart: equal records have equal sums, on every store.
func (r Record) Sum() [32]byte {
	h := sha256.New()
	field := func(s string) {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		_, _ = io.WriteString(h, s)
	}
	// #nosec G115 -- the bits, of whatever sign
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
