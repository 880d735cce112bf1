// Package dynamo keeps notes in one DynamoDB table.
//
// Each owner is a partition, in which notes are sorted by id (item.go), so one query returns the newest. Reads are
// strongly consistent. Each method of the store makes one call to DynamoDB, with two exceptions: creating a note with
// an idempotency key takes two writes, and deleting a note whose key is still remembered may take two.
//
// The answer to a write may be lost after the write took effect. So every write stores a random token in its item, by
// which the store recognizes its own write. It repeats a write only if that is harmless: because the write certainly
// did not take effect, or because its condition requires a version or the absence of the item. If the outcome remains
// unknown, the store returns notes.ErrUnavailable, never "not found" or a failed precondition.
//
// The store does not create the table; table.go defines it. The store only calls GetItem, PutItem, UpdateItem,
// DeleteItem and Query. Export also calls Scan.
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

// Store is a [notes.Store] in one DynamoDB table. [Open] returns one.
type Store struct {
	cfg    aws.Config
	client *dynamodb.Client
	table  string
	retries
}

var _ notes.Store = (*Store)(nil)

// Open returns a store in a table; cfg has the region, credentials and endpoint. Open reads the table once. If there is
// no such table, or it has another key schema, the error says what to do. If DynamoDB does not answer, Open only logs
// that, because it may answer later. Options such as [Units] change the client.
func Open(ctx context.Context, cfg aws.Config, table string, log *slog.Logger,
	options ...func(*dynamodb.Options)) (*Store, error) {
	s := newStore(cfg, table, servicePolicy, options...)
	_, err := s.Get(ctx, "readiness", notes.ID{})
	switch {
	case errors.Is(err, errNoTable):
		return nil, fmt.Errorf("table %s does not exist in region %s: create it with: deploy table %[1]s", table,
			cfg.Region)
	case errors.Is(err, errForeignTable):
		return nil, fmt.Errorf("table %s is not a notes table, it has another key schema: name another table, or "+
			"create one with: deploy table NAME", table)
	case err != nil && !errors.Is(err, notes.ErrNotFound):
		log.Warn("the table cannot be read yet", "error", err)
	}
	return s, nil
}

// Create implements [notes.Store].
func (s *Store) Create(ctx context.Context, owner string, note notes.Note, key *notes.IdempotencyKey) (notes.Note,
	error) {
	ctx, state, cancel := s.begin(ctx)
	defer cancel()
	if key == nil {
		it := noteItem(owner, note, nil, newToken())
		existing, err := s.putIf(ctx, it, "attribute_not_exists(pk)", nil, s.settled)
		if err != nil && state.ambiguous {
			if found, readErr := s.read(ctx, owner, note.ID); readErr == nil && found != nil {
				existing, err = found, nil
			}
		}
		if existing != nil && !state.ambiguous {
			return notes.Note{}, notes.ErrExists
		}
		return note, err // ids are unique, so after an ambiguous attempt an existing note is ours
	}
	// First write the record of the key, then the note under the id in that record. If a call fails in between, the
	// next call with the key finds the record and writes the note.
	o := notes.UsedKey{ID: note.ID, Created: note.CreatedAt, Request: key.Request, Expires: key.Expires}
	const free = "attribute_not_exists(pk) OR k < :now"
	existing, err := s.putIf(ctx, usedKeyItem(owner, key.Value, o), free, values{":now": micros(key.Now)}, s.transient)
	if err != nil {
		return notes.Note{}, err
	}
	if existing != nil {
		if o, err = decodeUsedKey(existing); err != nil {
			return notes.Note{}, err
		}
		if o.Request != key.Request {
			return notes.Note{}, notes.ErrKeyReused
		}
		note.ID, note.CreatedAt, note.UpdatedAt = o.ID, o.Created, o.Created // equal requests have equal notes
	}
	// If the note exists, or was deleted and left a tombstone, this changes nothing.
	_, err = s.putIf(ctx, noteItem(owner, note, &o.Expires, newToken()), "attribute_not_exists(pk)", nil, s.transient)
	return note, err
}

// putIf puts an item if a condition holds. Otherwise it returns the existing item.
//
// Both puts of a create with a key may always be repeated: their condition is that there is no item or only an expired
// key, and a deleted note leaves a tombstone. A note without a key leaves no tombstone. So an attempt that timed out is
// not repeated in this case: it might still arrive after the note was deleted, and restore it.
func (s *Store) putIf(ctx context.Context, it item, condition string, v values, retry retryOption) (item, error) {
	_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:                           &s.table,
		Item:                                it,
		ConditionExpression:                 &condition,
		ExpressionAttributeValues:           v,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, retry)
	if current, failed := conditionFailed(err); failed {
		return current, nil
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

// read returns a note's item by a strongly consistent read, or nil if there is none.
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
	err := s.change(ctx, owner, id, cond, func(ctx context.Context, c check, token []byte, retry retryOption) error {
		out, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName:                           &s.table,
			Key:                                 noteKey(owner, id),
			UpdateExpression:                    &set,
			ConditionExpression:                 &c.expression,
			ExpressionAttributeValues:           c.with(v, values{":w": bin(token)}),
			ReturnValues:                        types.ReturnValueAllNew,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}, retry)
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
	// A note created with a key leaves a tombstone until the key expires. Otherwise a copy of the create that is still
	// on its way could restore the note.
	var expires *time.Time
	return s.change(ctx, owner, id, cond, func(ctx context.Context, c check, token []byte, retry retryOption) error {
		if expires == nil {
			free := c.expression + " AND (attribute_not_exists(k) OR k < :at)"
			_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
				TableName:                           &s.table,
				Key:                                 noteKey(owner, id),
				ConditionExpression:                 &free,
				ExpressionAttributeValues:           c.with(values{":at": micros(at.Add(-tombstoneGrace))}),
				ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
			}, retry)
			current, failed := conditionFailed(err)
			if !failed {
				return s.explain("DeleteItem", err)
			}
			if expires = current.keyExpires(); expires == nil || expires.Before(at.Add(-tombstoneGrace)) {
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
		}, retry)
		return s.explain("PutItem", err)
	}, func(item) error { return nil })
}

// change changes one note by a conditional call and determines the outcome. If an earlier attempt turns out to have
// made the change, it passes the resulting item to tookPlace.
func (s *Store) change(ctx context.Context, owner string, id notes.ID, cond notes.Condition,
	call func(context.Context, check, []byte, retryOption) error, tookPlace func(item) error) error {
	ctx, state, cancel := s.begin(ctx)
	defer cancel()
	token := newToken()
	for c := checkOf(cond); ; {
		retry := s.noEffect
		if c.pinned {
			retry = s.transient
		}
		err := call(ctx, c, token, retry)
		current, failed := conditionFailed(err)
		switch {
		case err == nil:
			return nil
		case !failed && state.ambiguous:
			// The item may show that an attempt took effect.
			if it, readErr := s.read(ctx, owner, id); readErr == nil && it.hasToken(token) {
				return tookPlace(it)
			}
			return err
		case !failed:
			return err
		case current.hasToken(token):
			return tookPlace(current)
		}
		note, err := current.note()
		switch {
		case errors.Is(err, notes.ErrNotFound) && state.ambiguous:
			return fmt.Errorf("%w: the note is gone, and an earlier attempt at this write got no answer",
				notes.ErrUnavailable)
		case err != nil:
			return err
		case state.ambiguous && note.Version != c.version+1 && note.Version != c.version:
			// The version has increased so much that our attempt may have been one of the changes.
			return fmt.Errorf("%w: the note has changed, and an earlier attempt at this write got no answer",
				notes.ErrUnavailable)
		case !cond.Holds(note.Version):
			return &notes.PreconditionError{Current: note}
		}
		c = pin(note.Version) // there were too many versions to list, or the note changed between two calls
	}
}

// Newest implements [notes.Store]. It makes one query for each megabyte of notes.
func (s *Store) Newest(ctx context.Context, owner string, before notes.ID, limit int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		ctx, _, cancel := s.begin(ctx)
		defer cancel()
		last, ok := predecessor(before)
		if !ok {
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
		tombstonesLeft := notes.MaxTombstones
		for window := limit; ; window *= 2 { // grows, because a page may have only tombstones
			input.Limit = aws.Int32(int32(min(window, limit+tombstonesLeft, 1<<20))) // #nosec G115 -- at most 1<<20
			out, err := s.client.Query(ctx, input)
			if err != nil {
				yield(notes.Note{}, s.explain("Query", err))
				return
			}
			for _, it := range out.Items {
				note, err := item(it).note()
				if errors.Is(err, notes.ErrNotFound) {
					note.ID, err = item(it).id()
					tombstonesLeft--
				} else {
					limit--
				}
				if !yield(note, err) || err != nil || limit == 0 || tombstonesLeft == 0 {
					return
				}
			}
			if input.ExclusiveStartKey = out.LastEvaluatedKey; input.ExclusiveStartKey == nil {
				return
			}
		}
	}
}

// check is the condition of a change as an expression for DynamoDB. It holds only for an existing note.
type check struct {
	expression string
	values     values
	pinned     bool  // holds for one version only
	version    int64 // that version, if pinned
}

// maxOperands is the maximum number of operands of IN in an expression ("Constraints in Amazon DynamoDB", developer
// guide).
const maxOperands = 100

func checkOf(cond notes.Condition) check {
	switch {
	case len(cond.OneOf) == 1 && len(cond.NoneOf) == 0:
		return pin(cond.OneOf[0])
	case cond.OneOf != nil && len(cond.OneOf) == 0, len(cond.OneOf) > maxOperands, len(cond.NoneOf) > maxOperands:
		// Never holds. If there are too many versions to list, change pins the version that the answer shows.
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

// with returns the values of the check together with others.
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
	_, _ = rand.Read(token) // crypto/rand never fails
	return token
}

// tombstoneGrace is how much longer than its key a tombstone stays, because a create that was within the key's lifetime
// may arrive late.
const tombstoneGrace = 10 * time.Minute

// begin limits the time for the calls of one operation and returns the state of their attempts.
func (s *Store) begin(ctx context.Context) (context.Context, *attemptState, context.CancelFunc) {
	a := &attemptState{}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, attemptStateKey{}, a), s.policy.budget)
	return ctx, a, cancel
}
