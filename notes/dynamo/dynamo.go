// Package dynamo keeps notes in one DynamoDB table.
//
// An owner is a partition, in which notes lie in the order of their ids (item.go), so that the newest are one query.
// Reads are strongly consistent. Each method of the store is one call to DynamoDB; a create with an idempotency key is
// two writes, and the delete of a note that was made with a key within the last day may be two.
//
// A call's answer may be lost on its way after DynamoDB did what it asked for. So every write leaves a random token on
// its item by which it is known again, and is repeated only where that can do no harm: where it surely did not happen,
// or where a version or the absence of the item is its condition. What stays unclear is notes.ErrUnavailable, never
// "not found" nor a precondition that failed.
//
// The table is made by somebody else, from the definition in table.go; the store itself only calls GetItem, PutItem,
// UpdateItem, DeleteItem and Query.
package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"example.com/portable-notes/notes"
)

// Store is a [notes.Store] over one table. It is made by [Open].
type Store struct {
	cfg     aws.Config
	client  *dynamodb.Client
	table   string
	retries // of its calls
}

var _ notes.Store = (*Store)(nil)

// Open returns a store over a table, whose region, credentials and endpoint cfg holds. It makes one bounded read: a
// table that is not there, or one of another key schema, is an error that says what to do. A DynamoDB that does not
// answer is only logged, because it may later. Options such as [Units] change the client.
func Open(ctx context.Context, cfg aws.Config, table string, log *slog.Logger,
	options ...func(*dynamodb.Options)) (*Store, error) {
	s := newStore(cfg, table, service, options...)
	_, err := s.Get(ctx, "readiness", notes.ID{})
	switch {
	case errors.Is(err, errNoTable):
		return nil, fmt.Errorf("table %s does not exist in region %s: create it with: deploy table %[1]s", table,
			cfg.Region)
	case errors.Is(err, errForeignTable):
		return nil, fmt.Errorf("table %s is no notes table, its keys are others: name another, or create one with: "+
			"deploy table NAME", table)
	case err != nil && !errors.Is(err, notes.ErrNotFound):
		log.Warn("the table cannot be read yet", "error", err)
	}
	return s, nil
}

// Create implements [notes.Store].
func (s *Store) Create(ctx context.Context, owner string, note notes.Note, key *notes.IdempotencyKey) (notes.Note,
	error) {
	ctx, call, cancel := s.begin(ctx)
	defer cancel()
	if key == nil {
		exists, err := s.put(ctx, noteItem(owner, note, nil, newToken()), "attribute_not_exists(pk)", nil, s.ended)
		if err != nil && call.unclear {
			if it, readErr := s.read(ctx, owner, note.ID); readErr == nil && it != nil {
				exists, err = it, nil
			}
		}
		if exists != nil && !call.unclear {
			return notes.Note{}, notes.ErrExists
		}
		return note, err // what is there after an attempt that got no answer is that attempt's: nobody else has its id
	}
	// First the record of the key, then the note under the id that the record names. Whoever comes later, or again
	// after it was killed in between, finds the record and does the second step for the first one.
	o := notes.UsedKey{ID: note.ID, Created: note.CreatedAt, Request: key.Request, Expires: key.Expires}
	const free = "attribute_not_exists(pk) OR k < :now"
	before, err := s.put(ctx, onceItem(owner, key.Value, o), free, values{":now": micros(key.Now)}, s.passing)
	if err != nil {
		return notes.Note{}, err
	}
	if before != nil {
		if o, err = decodeOnce(before); err != nil {
			return notes.Note{}, err
		}
		if o.Request != key.Request {
			return notes.Note{}, notes.ErrKeyReused
		}
		note.ID, note.CreatedAt, note.UpdatedAt = o.ID, o.Created, o.Created // an equal request made an equal note
	}
	// Where the note is there already, or was there and left a tombstone, this changes nothing.
	_, err = s.put(ctx, noteItem(owner, note, &o.Expires, newToken()), "attribute_not_exists(pk)", nil, s.passing)
	return note, err
}

// put puts an item if a condition holds; else it returns the item that is there.
//
// Both puts of a create with a key may be repeated in any case: they are pinned to absence, or to a record that has
// expired, and a tombstone keeps the place of a deleted note. A note without a key leaves none, so an attempt that
// timed out, which may still arrive after the note was deleted, is not repeated.
func (s *Store) put(ctx context.Context, it item, condition string, v values, repeat retry) (there item, err error) {
	_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &s.table,
		Item:                                it,
		ConditionExpression:                 &condition,
		ExpressionAttributeValues:           v,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, repeat)
	if there, failed := conditionFailed(err); failed {
		return there, nil
	}
	return nil, s.explain("PutItem", err)
}

// Get implements [notes.Store].
func (s *Store) Get(ctx context.Context, owner string, id notes.ID) (notes.Note, error) {
	ctx, _, cancel := s.begin(ctx)
	defer cancel()
	it, err := s.read(ctx, owner, id)
	if err != nil {
		return notes.Note{}, err
	}
	return it.note()
}

// read reads an item, strongly; nil where there is none.
func (s *Store) read(ctx context.Context, owner string, id notes.ID) (item, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &s.table, Key: noteKey(owner, id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, s.explain("GetItem", err)
	}
	return out.Item, nil
}

// Update implements [notes.Store].
func (s *Store) Update(ctx context.Context, owner string, id notes.ID, patch notes.Patch, at time.Time,
	cond notes.Condition) (notes.Note, error) {
	set := "SET v = v + :one, u = :u, w = :w"
	v := values{":one": number(1), ":u": micros(at)}
	if patch.Title != nil {
		set += ", t = :t"
		v[":t"] = text(*patch.Title)
	}
	if patch.Content != nil {
		set += ", b = :b"
		v[":b"] = text(*patch.Content)
	}
	if patch.Tags != nil {
		set += ", g = :g"
		v[":g"] = texts(*patch.Tags)
	}
	var after notes.Note
	err := s.change(ctx, owner, id, cond, func(ctx context.Context, c check, token []byte, repeat retry) error {
		out, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                           &s.table,
			Key:                                 noteKey(owner, id),
			UpdateExpression:                    &set,
			ConditionExpression:                 &c.expression,
			ExpressionAttributeValues:           c.with(v, values{":w": bin(token)}),
			ReturnValues:                        types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, repeat)
		if err != nil {
			return s.explain("UpdateItem", err)
		}
		after, err = item(out.Attributes).note()
		return err
	}, func(it item) (err error) { after, err = it.note(); return err })
	return after, err
}

// Delete implements [notes.Store].
func (s *Store) Delete(ctx context.Context, owner string, id notes.ID, at time.Time, cond notes.Condition) error {
	// A note that was made with a key that is still remembered leaves a tombstone until then: else another copy of that
	// request, still on its way, would bring it back.
	var expires *time.Time
	return s.change(ctx, owner, id, cond, func(ctx context.Context, c check, token []byte, repeat retry) error {
		if expires == nil {
			free := c.expression + " AND (attribute_not_exists(k) OR k < :at)"
			_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName:                           &s.table,
				Key:                                 noteKey(owner, id),
				ConditionExpression:                 &free,
				ExpressionAttributeValues:           c.with(values{":at": micros(at.Add(-grace))}),
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			}, repeat)
			there, failed := conditionFailed(err)
			if !failed {
				return s.explain("DeleteItem", err)
			}
			if expires = there.keyExpires(); expires == nil || expires.Before(at.Add(-grace)) {
				expires = nil
				return s.explain("DeleteItem", err)
			}
		}
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName:                           &s.table,
			Item:                                tombstone(owner, id, *expires, token),
			ConditionExpression:                 &c.expression,
			ExpressionAttributeValues:           c.with(nil),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, repeat)
		return s.explain("PutItem", err)
	}, func(item) error { return nil })
}

// change makes a change of one note, by a call whose condition is a check, and finds out what came of it. Where an
// earlier attempt of ours turns out to have done it, own is given the item as that left it.
func (s *Store) change(ctx context.Context, owner string, id notes.ID, cond notes.Condition,
	call func(context.Context, check, []byte, retry) error, own func(item) error) error {
	ctx, attempts, cancel := s.begin(ctx)
	defer cancel()
	token := newToken()
	for c := checkOf(cond); ; {
		repeat := s.undone
		if c.pinned {
			repeat = s.passing
		}
		err := call(ctx, c, token, repeat)
		there, failed := conditionFailed(err)
		switch {
		case err == nil:
			return nil
		case !failed && attempts.unclear:
			// One strong read may still tell.
			if it, readErr := s.read(ctx, owner, id); readErr == nil && it.wroteBy(token) {
				return own(it)
			}
			return err
		case !failed:
			return err
		case there.wroteBy(token):
			return own(there)
		}
		note, err := there.note()
		switch {
		case errors.Is(err, notes.ErrNotFound) && attempts.unclear:
			return fmt.Errorf("%w: the note is gone, but an earlier attempt of this write had no answer",
				notes.ErrUnavailable)
		case err != nil:
			return err
		case attempts.unclear && note.Version != c.version+1 && note.Version != c.version:
			// The note has moved on so far that our attempt may have been one of the steps.
			return fmt.Errorf("%w: the note has changed since an attempt of this write that had no answer",
				notes.ErrUnavailable)
		case !cond.Holds(note.Version):
			return &notes.PreconditionError{Current: note}
		}
		c = pin(note.Version) // the versions were too many to name, or the note changed between two calls
	}
}

// Newest implements [notes.Store]. It is one query for each megabyte of notes; a tombstone is the place of a deleted
// note.
func (s *Store) Newest(ctx context.Context, owner string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		ctx, _, cancel := s.begin(ctx)
		defer cancel()
		last, any := below(before)
		if !any {
			return
		}
		input := &dynamodb.QueryInput{
			TableName:              &s.table,
			KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :low AND :high"),
			ExpressionAttributeValues: values{
				":pk": text(partition(owner)), ":low": text(notePrefix), ":high": text(sortKey(last)),
			},
			ScanIndexForward: aws.Bool(false),
			ConsistentRead:   aws.Bool(true),
		}
		places := notes.MaxTombstones
		for window := limit; ; window *= 2 { // which grows, because a page may hold tombstones alone
			input.Limit = aws.Int32(int32(min(window, limit+places, 1<<20))) // #nosec G115 -- at most 1<<20
			out, err := s.client.Query(ctx, input)
			if err != nil {
				yield(notes.Note{}, s.explain("Query", err))
				return
			}
			for _, it := range out.Items {
				note, err := item(it).note()
				if errors.Is(err, notes.ErrNotFound) {
					note.ID, err = item(it).id()
					places--
				} else {
					limit--
				}
				if !yield(note, err) || err != nil || limit == 0 || places == 0 {
					return
				}
			}
			if input.ExclusiveStartKey = out.LastEvaluatedKey; input.ExclusiveStartKey == nil {
				return
			}
		}
	}
}

// check is the condition of a change as DynamoDB judges it. It holds only for a note that is there.
type check struct {
	expression string
	values     values
	pinned     bool  // to one version
	version    int64 // which
}

// maxOperands is how many versions are named in one expression: DynamoDB's IN takes 100 operands (Constraints in Amazon
// DynamoDB).
const maxOperands = 100

func checkOf(cond notes.Condition) check {
	switch {
	case len(cond.OneOf) == 1 && len(cond.NoneOf) == 0:
		return pin(cond.OneOf[0])
	case cond.OneOf != nil && len(cond.OneOf) == 0, len(cond.OneOf) > maxOperands, len(cond.NoneOf) > maxOperands:
		// It holds for no version. Where there are too many to name, the answer tells the one to pin next.
		return check{expression: "attribute_exists(v) AND v < :zero", values: values{":zero": number(0)}}
	}
	c := check{expression: "attribute_exists(v)", values: values{}}
	in := func(prefix string, versions []int64) string {
		list := ""
		for i, version := range versions {
			name := prefix + strconv.Itoa(i)
			c.values[name] = number(version)
			if i > 0 {
				list += ", "
			}
			list += name
		}
		return "v IN (" + list + ")"
	}
	if len(cond.OneOf) > 0 {
		c.expression += " AND " + in(":i", cond.OneOf)
	}
	if len(cond.NoneOf) > 0 {
		c.expression += " AND NOT " + in(":n", cond.NoneOf)
	}
	return c
}

func pin(version int64) check {
	return check{expression: "v = :v", values: values{":v": number(version)}, pinned: true, version: version}
}

// with joins values for an expression with those of the check.
func (c check) with(more ...values) values {
	all := values{}
	for _, v := range append(more, c.values) {
		for name, value := range v {
			all[name] = value
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func newToken() []byte {
	token := make([]byte, 8)
	_, _ = rand.Read(token) // it never fails: crypto/rand
	return token
}

// grace is how much longer than its key a tombstone stays: a create that was judged in time may come late.
const grace = 10 * time.Minute

// begin bounds the calls of one operation, and returns what is known of their attempts.
func (s *Store) begin(ctx context.Context) (context.Context, *attempts, context.CancelFunc) {
	a := &attempts{}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, attemptsKey{}, a), s.patience.budget)
	return ctx, a, cancel
}
