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

// Patient is the same store for who moves many notes: it waits for a table that throttles, or is far away, instead of
// giving up within the time of a request.
func (s *Store) Patient() *Store { return newStore(s.cfg, s.table, mover) }

// Export walks all records of all owners, an owner's keys before its notes. It needs the right to dynamodb:Scan, which
// the service does not have. It is no snapshot: while others write, a record may be as it was before or after.
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
				record, there, err := s.record(ctx, it)
				if (there || err != nil) && (!yield(record, err) || err != nil) {
					return
				}
			}
		}
	}
}

// record is what an item holds. A tombstone is none: that its key has no note says the same. Nor is a key whose note
// was never made, because the service was killed in between: a retry is to make it.
func (s *Store) record(ctx context.Context, it item) (r notes.Record, there bool, err error) {
	reading := reader{item: it}
	owner, place := strings.TrimPrefix(reading.text("pk"), ownerPrefix), reading.text("sk")
	value, isKey := strings.CutPrefix(place, oncePrefix)
	if !isKey {
		n, err := it.note()
		if errors.Is(err, notes.ErrNotFound) {
			return r, false, nil
		}
		return notes.Record{Owner: owner, Note: &n}, true, err
	}
	o, err := decodeOnce(it)
	if err != nil {
		return r, false, err
	}
	ctx, _, cancel := s.begin(ctx)
	defer cancel()
	made, err := s.read(ctx, owner, o.ID)
	used := &notes.UsedKey{ID: o.ID, Created: o.Created}
	used.Value, used.Request, used.Expires = value, o.Request, o.Expires
	return notes.Record{Owner: owner, Key: used}, made != nil, err
}

// Import keeps a record as it is, in place of what is there. Of a key, it also keeps what stops its note from coming
// back when it is deleted; so the note, if there is one, must come after its key.
func (s *Store) Import(ctx context.Context, r notes.Record) error {
	ctx, _, cancel := s.begin(ctx)
	defer cancel()
	if r.Key != nil {
		o := *r.Key
		if err := s.keep(ctx, onceItem(r.Owner, r.Key.Value, o)); err != nil {
			return err
		}
		// Where the note is there, from an earlier copy, it stays.
		_, err := s.put(ctx, tombstone(r.Owner, o.ID, o.Expires, newToken()), "attribute_not_exists(pk)", nil,
			s.passing)
		return err
	}
	it := noteItem(r.Owner, *r.Note, nil, newToken())
	there, err := s.read(ctx, r.Owner, r.Note.ID)
	if err != nil {
		return err
	}
	if there["k"] != nil {
		it["k"] = there["k"]
	}
	return s.keep(ctx, it)
}

// keep puts an item whatever is there.
func (s *Store) keep(ctx context.Context, it item) error {
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: it})
	return s.explain("PutItem", err)
}
