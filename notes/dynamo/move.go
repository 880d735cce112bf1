package dynamo

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"example.com/portable-notes/notes"
)

// Patient returns a store in the same table for copying many notes. It waits for a table that throttles or is slow,
// instead of giving up within the time of a request.
func (s *Store) Patient() *Store { return newStore(s.cfg, s.table, moverPolicy) }

// Export walks all records of all owners, an owner's keys before its notes. It needs permission for dynamodb:Scan,
// which the service does not have. It is not a snapshot: it may or may not see concurrent writes.
func (s *Store) Export(ctx context.Context) iter.Seq2[notes.Record, error] {
	return func(yield func(notes.Record, error) bool) {
		pages := dynamodb.NewScanPaginator(s.client, &dynamodb.ScanInput{
			TableName: &s.table, ConsistentRead: aws.Bool(true)})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield(notes.Record{}, s.explain("Scan", err))
				return
			}
			for _, it := range page.Items {
				record, ok, err := s.record(ctx, it)
				if (ok || err != nil) && (!yield(record, err) || err != nil) {
					return
				}
			}
		}
	}
}

// record returns the record in an item. It reports false for a tombstone, because a key without a note says the same.
// It also reports false for a key whose note does not exist yet because the create was interrupted: a retry will create
// it.
func (s *Store) record(ctx context.Context, it item) (r notes.Record, ok bool, err error) {
	reading := reader{item: it}
	owner, sortKeyValue := strings.TrimPrefix(reading.text("pk"), ownerPrefix), reading.text("sk")
	value, isKey := strings.CutPrefix(sortKeyValue, usedKeyPrefix)
	if !isKey {
		n, err := it.note()
		if errors.Is(err, notes.ErrNotFound) {
			return r, false, nil
		}
		return notes.Record{Owner: owner, Note: &n}, true, err
	}
	o, err := decodeUsedKey(it)
	if err != nil {
		return r, false, err
	}
	ctx, _, cancel := s.begin(ctx)
	defer cancel()
	note, err := s.read(ctx, owner, o.ID)
	used := &notes.UsedKey{ID: o.ID, Created: o.Created}
	used.Value, used.Request, used.Expires = value, o.Request, o.Expires
	return notes.Record{Owner: owner, Key: used}, note != nil, err
}

// Import stores a record, replacing an existing one. For a key it also stores a tombstone of the key's note, in case
// that was deleted. So if there is a note, it must be imported after its key.
func (s *Store) Import(ctx context.Context, r notes.Record) error {
	ctx, _, cancel := s.begin(ctx)
	defer cancel()
	if r.Key != nil {
		o := *r.Key
		if err := s.overwrite(ctx, usedKeyItem(r.Owner, r.Key.Value, o)); err != nil {
			return err
		}
		// If an earlier copy has stored the note, it stays.
		_, err := s.putIf(ctx, tombstone(r.Owner, o.ID, o.Expires, newToken()), "attribute_not_exists(pk)", nil,
			s.transient)
		return err
	}
	it := noteItem(r.Owner, *r.Note, nil, newToken())
	current, err := s.read(ctx, r.Owner, r.Note.ID)
	if err != nil {
		return err
	}
	if current["k"] != nil {
		it["k"] = current["k"]
	}
	return s.overwrite(ctx, it)
}

// overwrite puts an item unconditionally.
func (s *Store) overwrite(ctx context.Context, it item) error {
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: it})
	return s.explain("PutItem", err)
}
