package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"

	"example.com/portable-notes/notes"
)

// Export walks all records of all owners, keys before notes, in one snapshot. A damaged record ends the walk.
func (s *Store) Export(ctx context.Context) iter.Seq2[notes.Record, error] {
	return func(yield func(notes.Record, error) bool) {
		tx, err := s.begin()
		if err != nil {
			yield(notes.Record{}, err)
			return
		}
		defer s.end(tx)
		for _, bucket := range [][]byte{keysBucket, notesBucket} {
			var cursor *treeCursor
			var previous []byte
			for {
				var record notes.Record
				var end bool
				err := guard(func() (err error) {
					if ctx.Err() != nil {
						return unavailable(context.Cause(ctx))
					}
					var key, value []byte
					if cursor == nil {
						cursor = treeOf(s.db, tx, bucket).seek(nil)
						key, value = cursor.entry()
					} else {
						key, value = cursor.next()
					}
					if end = key == nil; end {
						return nil
					}
					if bytes.Compare(key, previous) <= 0 { // else the walk could repeat records, or never end
						return errDisorder
					}
					previous = append(previous[:0], key...)
					record, err = decodeRecord(string(bucket) == string(keysBucket), key, value)
					return err
				})
				if end {
					break
				}
				if !yield(record, err) || err != nil {
					return
				}
			}
		}
	}
}

func decodeRecord(isKey bool, key, value []byte) (notes.Record, error) {
	if isKey {
		o, err := decodeUsedKey(key, value)
		if err != nil {
			return notes.Record{}, err
		}
		end := 2 + int(binary.BigEndian.Uint16(key))
		used := &notes.UsedKey{ID: o.ID, Created: o.Created}
		used.Value, used.Request, used.Expires = string(key[end:]), o.Request, o.Expires
		return notes.Record{Owner: string(key[2:end]), Key: used}, nil
	}
	n, err := decodeNote(key, value)
	if err != nil {
		return notes.Record{}, err
	}
	return notes.Record{Owner: string(key[2 : len(key)-len(n.ID)]), Note: &n}, nil
}

// Import stores a record, replacing an existing one.
func (s *Store) Import(ctx context.Context, r notes.Record) error {
	_, err := s.submit(ctx, func(tx *txn) (notes.Note, error) {
		if r.Note != nil {
			key := noteKey(r.Owner, r.Note.ID)
			if tx.notes.Get(key) == nil {
				tx.counts.notes++
			}
			return notes.Note{}, tx.put(tx.notes, key, encodeNote(key, *r.Note))
		}
		key := idempotencyKey(r.Owner, r.Key.Value)
		if value := tx.keys.Get(key); value != nil {
			if err := tx.forget(key, value); err != nil {
				return notes.Note{}, err
			}
		}
		tx.counts.keys++
		o := *r.Key
		if err := tx.put(tx.keys, key, encodeUsedKey(key, o)); err != nil {
			return notes.Note{}, err
		}
		return notes.Note{}, tx.put(tx.expiry, expiryKey(r.Key.Expires, key), nil)
	})
	return err
}
