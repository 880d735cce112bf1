package dynamo_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/dynamo"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

const owner = "someone"

var epoch = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func newNote(title string) notes.Note {
	return notes.Note{ID: uuid.Must(uuid.NewV7()), Title: title, CreatedAt: epoch, UpdatedAt: epoch, Version: 1}
}

func newKey(value string) *notes.IdempotencyKey {
	return &notes.IdempotencyKey{Value: value, Request: [32]byte{1}, Now: epoch, Expires: epoch.Add(25 * time.Hour)}
}

// updated reports whether a note was updated exactly once.
func updated(n notes.Note, exists bool) bool { return exists && n.Version == 2 && n.Title == "after" }

// deleted reports whether a note was deleted.
func deleted(_ notes.Note, exists bool) bool { return !exists }

// writes are the kinds of write, each to a new note.
var writes = []struct {
	name      string
	keyed     bool // the note is created with a key
	do        func(ctx context.Context, s *dynamo.Store, n notes.Note) error
	tookPlace func(n notes.Note, exists bool) bool // judges the note after the write
	calls     int                                  // to DynamoDB
}{
	{
		name: "update",
		do: func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
			got, err := s.Update(ctx, owner, n.ID, notes.Patch{Title: aws.String("after")}, epoch, notes.Condition{})
			return checkResult(got, err, 2, "after")
		},
		tookPlace: updated, calls: 1,
	},
	{
		name: "update of a version",
		do: func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
			got, err := s.Update(ctx, owner, n.ID, notes.Patch{Title: aws.String("after")}, epoch,
				notes.Condition{OneOf: []int64{1}})
			return checkResult(got, err, 2, "after")
		},
		tookPlace: updated, calls: 1,
	},
	{
		name: "delete",
		do: func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
			return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{})
		},
		tookPlace: deleted, calls: 1,
	},
	{
		name: "delete of a version",
		do: func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
			return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{OneOf: []int64{1}})
		},
		tookPlace: deleted, calls: 1,
	},
	{
		name: "delete of a note with a key", keyed: true,
		do: func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
			return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{})
		},
		tookPlace: deleted, calls: 2,
	},
}

// checkResult checks the note that a write returned.
func checkResult(n notes.Note, err error, version int64, title string) error {
	if err == nil && (n.Version != version || n.Title != title) {
		return fmt.Errorf("the write returns version %d, %q", n.Version, n.Title)
	}
	return err
}

// TestLostAnswers loses each message of each kind of write. The store must not write twice, and must not report a
// failure if the write took effect, nor a success if it did not. If it cannot know, it must return ErrUnavailable.
func TestLostAnswers(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	for _, write := range writes {
		for nth := range write.calls {
			for _, what := range []loss{loseRequest, loseResponse, loseHalf} {
				n := newNote("before")
				var k *notes.IdempotencyKey
				if write.keyed {
					k = newKey(n.ID.String())
				}
				if _, err := direct.Create(t.Context(), owner, n, k); err != nil {
					t.Fatal(err)
				}
				w.reset(lose(nth, what))
				err := write.do(t.Context(), s, n)
				got, getErr := direct.Get(t.Context(), owner, n.ID)
				exists := getErr == nil
				tookPlace := write.tookPlace(got, exists)
				unchanged := exists && got.Version == 1 && got.Title == "before"
				switch {
				case !tookPlace && !unchanged:
					t.Errorf("%s, message %d, loss %d: the note is %+v, %v", write.name, nth, what, got, getErr)
				case err == nil && !tookPlace:
					t.Errorf("%s, message %d, loss %d: success, but the write did not take place", write.name, nth,
						what)
				case err != nil && !errors.Is(err, notes.ErrUnavailable):
					t.Errorf("%s, message %d, loss %d: %v (did the write take place: %v)", write.name, nth, what, err,
						tookPlace)
				case err != nil && tookPlace && !strings.HasPrefix(write.name, "delete"):
					t.Errorf("%s, message %d, loss %d: the token shows that the write took place, but it returns %v",
						write.name, nth, what, err)
				}
			}
		}
	}
}

// TestLostAnswersOfCreates checks that a create with a lost message results in one note, also after a retry.
func TestLostAnswersOfCreates(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	for round, what := range []loss{loseRequest, loseResponse, loseHalf} {
		who := fmt.Sprint(owner, round)
		w.reset(lose(0, what))
		n := newNote("without a key")
		if got, err := s.Create(t.Context(), who, n, nil); err != nil || got.ID != n.ID {
			t.Errorf("loss %d: %v", what, err)
		}
		for nth := range 2 {
			w.reset(lose(nth, what))
			n := newNote(fmt.Sprint("with a key ", nth))
			first, err := s.Create(t.Context(), who, n, newKey(fmt.Sprint(nth)))
			if err != nil || first.ID != n.ID {
				t.Errorf("loss %d of message %d: %v", what, nth, err)
			}
			again, err := s.Create(t.Context(), who, newNote(n.Title), newKey(fmt.Sprint(nth)))
			if err != nil || again.ID != first.ID {
				t.Errorf("loss %d of message %d: the retry returns %s, %v; the first was %s", what, nth, again.ID, err,
					first.ID)
			}
		}
		count := 0
		for _, err := range direct.Newest(t.Context(), who, uuid.Max, 100) {
			if count++; err != nil {
				t.Fatal(err)
			}
		}
		if count != 3 {
			t.Errorf("loss %d: three creates made %d notes", what, count)
		}
	}
}

// TestStockClientLies is the control: the SDK's own client repeats a conditional write whose answer was lost, and then
// reports a failed condition although the write took effect.
func TestStockClientLies(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	client := dynamodb.NewFromConfig(w.cfg)
	n := newNote("before")
	if _, err := direct.Create(t.Context(), owner, n, nil); err != nil {
		t.Fatal(err)
	}
	w.reset(lose(0, loseResponse))
	_, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &table,
		Key: map[string]types.AttributeValue{
			"pk": &types.AttributeValueMemberS{Value: "O#" + owner}, "sk": &types.AttributeValueMemberS{
				Value: "N#" + strings.ReplaceAll(n.ID.String(), "-", "")},
		},
		UpdateExpression:    aws.String("SET v = v + :one"),
		ConditionExpression: aws.String("v = :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":one": &types.AttributeValueMemberN{Value: "1"},
		},
	})
	var refused *types.ConditionalCheckFailedException
	got, _ := direct.Get(t.Context(), owner, n.ID)
	if !errors.As(err, &refused) || got.Version != 2 {
		t.Errorf("the stock client returns %v, the note is at version %d", err, got.Version)
	}
}

// TestOtherWritersMeanwhile lets others write after a lost answer. The store must not report a refusal if the write may
// have taken effect.
func TestOtherWritersMeanwhile(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	change := func(id notes.ID) {
		if _, err := direct.Update(t.Context(), owner, id, notes.Patch{Content: aws.String("another's")}, epoch,
			notes.Condition{}); err != nil {
			t.Error(err)
		}
	}
	pinned := notes.Condition{OneOf: []int64{1}}
	var refused *notes.PreconditionError
	for _, c := range []struct {
		name  string
		what  loss
		then  func(notes.ID) // runs between the lost attempt and the next message
		cond  notes.Condition
		right func(error) bool
	}{
		{
			name: "ours took effect, another followed",
			what: loseResponse, then: change, cond: pinned,
			right: func(err error) bool { return errors.Is(err, notes.ErrUnavailable) },
		},
		{
			name: "ours took effect, another followed, without a version",
			what: loseResponse, then: change,
			right: func(err error) bool { return errors.Is(err, notes.ErrUnavailable) },
		},
		{
			name: "ours never arrived, another won",
			what: loseRequest, then: change, cond: pinned,
			right: func(err error) bool { return errors.As(err, &refused) && refused.Current.Version == 2 },
		},
		{
			name: "ours took effect, another deleted the note",
			what: loseResponse,
			then: func(id notes.ID) {
				if err := direct.Delete(t.Context(), owner, id, epoch, notes.Condition{}); err != nil {
					t.Error(err)
				}
			},
			cond: pinned,
			right: func(err error) bool {
				return errors.Is(err, notes.ErrUnavailable) && !errors.Is(err, notes.ErrNotFound)
			},
		},
	} {
		n := newNote("before")
		if _, err := direct.Create(t.Context(), owner, n, nil); err != nil {
			t.Fatal(err)
		}
		var once sync.Once
		w.reset(func(i int, _ string) loss {
			if i == 0 {
				return c.what
			}
			once.Do(func() { c.then(n.ID) })
			return noLoss
		})
		if _, err := s.Update(t.Context(), owner, n.ID, notes.Patch{Title: aws.String("ours")}, epoch,
			c.cond); !c.right(err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestARacerBetweenItsTwoWrites pauses a create between its writes. Meanwhile a retry completes it and the note is
// deleted. When the first create continues, the note must stay deleted.
func TestARacerBetweenItsTwoWrites(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	stopped, goOn := make(chan struct{}), make(chan struct{})
	w.reset(func(n int, _ string) loss {
		if n == 1 {
			w.mu.Unlock() // let the other requests pass
			close(stopped)
			<-goOn
			w.mu.Lock()
		}
		return noLoss
	})
	n := newNote("once")
	slow := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.Create(ctx, owner, n, newKey("k"))
		slow <- err
	}()
	<-stopped
	first, err := direct.Create(t.Context(), owner, newNote("once"), newKey("k"))
	if err != nil || first.ID != n.ID {
		t.Fatalf("the retry returns %s, %v; the first create chose %s", first.ID, err, n.ID)
	}
	if err := direct.Delete(t.Context(), owner, n.ID, epoch.Add(time.Hour), notes.Condition{}); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-slow; err != nil {
		t.Errorf("the paused create returns %v", err)
	}
	if _, err := direct.Get(t.Context(), owner, n.ID); !errors.Is(err, notes.ErrNotFound) {
		t.Errorf("the deleted note is back: %v", err)
	}
	for n, err := range direct.Newest(t.Context(), owner, uuid.Max, 10) {
		if err != nil || !n.Deleted() {
			t.Errorf("the list has %v, %v", n, err)
		}
	}
	if again, err := direct.Create(t.Context(), owner, newNote("once"), newKey("k")); err != nil || again.ID != n.ID {
		t.Errorf("a later retry returns %s, %v", again.ID, err)
	}
	// After its expiry the key can be used for another note.
	late, now := newNote("once"), epoch.Add(26*time.Hour)
	other := &notes.IdempotencyKey{Value: "k", Request: [32]byte{2}, Now: now, Expires: now.Add(time.Hour)}
	if again, err := direct.Create(t.Context(), owner, late, other); err != nil || again.ID != late.ID {
		t.Errorf("a create with the expired key returns %s, %v", again.ID, err)
	}
}

// TestALateCreateIsNotRepeated checks that a create without a key is not repeated after a timeout. The first attempt
// may still arrive, and would restore the note if the second one had succeeded and been deleted.
func TestALateCreateIsNotRepeated(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	arrive := make(chan struct{})
	w.reset(func(n int, _ string) loss {
		if n == 0 {
			w.mu.Unlock() // let the other requests pass
			<-arrive
			w.mu.Lock()
		}
		return noLoss
	})
	n := newNote("late")
	if _, err := s.Create(t.Context(), owner, n, nil); !errors.Is(err, notes.ErrUnavailable) {
		t.Errorf("the create that timed out returns %v", err)
	}
	close(arrive)
	puts := 0
	for _, m := range w.messages() {
		if m.operation == "PutItem" {
			puts++
		}
	}
	if puts != 1 {
		t.Errorf("the create was attempted %d times", puts)
	}
}

// TestProofTombstones checks that a page makes a bounded number of calls and reads a bounded number of units, however
// many notes have been deleted.
func TestProofTombstones(t *testing.T) {
	storetest.NotWithRace(t)
	cfg := dynamotest.Config(t)
	w := newWire(t, cfg)
	s := open(t, w.cfg, dynamotest.NewTable(t, cfg))
	service := notes.NewService(s, time.Now, rand.Reader)
	ctx := t.Context()
	want := []string{}
	create := func(title, key string) notes.Note {
		t.Helper()
		n, _, err := service.Create(ctx, owner, notes.Draft{Title: title}, key)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 25 {
		title := fmt.Sprint("stays ", i)
		create(title, "")
		want = append([]string{title}, want...)
	}
	count := storetest.Amount(700, 4000)
	for i := range count {
		if err := service.Delete(ctx, owner, create("goes", fmt.Sprint(i)).ID, notes.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	var mostCalls, pages int
	var mostUnits, all float64
	for cursor, more := "", true; more; more = cursor != "" {
		w.reset(nil)
		page, err := service.List(ctx, owner, notes.Query{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range page.Notes {
			got = append(got, n.Title)
		}
		units := 0.0
		for _, m := range w.messages() {
			units += m.units
		}
		pages, mostCalls, mostUnits, all = pages+1, max(mostCalls, len(w.messages())), max(mostUnits, units), all+units
		cursor = page.Next
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages have %q, want %q", got, want)
	}
	// 277 items of about 110 bytes take 8 units of 4 KB; each call rounds up.
	if mostUnits > 12 || mostCalls > 5 {
		t.Errorf("a page takes up to %v units in %d calls", mostUnits, mostCalls)
	}
	if all < mostUnits*1.5 {
		t.Errorf("all pages take %v units: too few notes are deleted to show a bound", all)
	}
	storetest.Proved(t, fmt.Sprintf("%d deleted notes before a list of 20 of 25", count),
		fmt.Sprintf("a page takes at most %v read units in %d calls", mostUnits, mostCalls),
		fmt.Sprintf("all %d pages together: %v units", pages, all))
}

// TestCallsAndUnits checks how many calls and units each operation takes.
func TestCallsAndUnits(t *testing.T) {
	cfg := dynamotest.Config(t)
	w := newWire(t, cfg)
	s := open(t, w.cfg, dynamotest.NewTable(t, cfg))
	n := newNote("half a kilobyte")
	n.Content = strings.Repeat("c", 350)
	ctx := t.Context()
	fill := make([]notes.Note, 25)
	for i := range fill {
		fill[i] = n
		fill[i].ID = uuid.Must(uuid.NewV7())
		if _, err := s.Create(ctx, "lister", fill[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	keyed := n
	keyed.ID = uuid.Must(uuid.NewV7())
	var costs []string
	for _, c := range []struct {
		name  string
		calls int
		units float64
		do    func() error
	}{
		{name: "create", calls: 1, units: 1, do: func() error { _, err := s.Create(ctx, owner, n, nil); return err }},
		{name: "get", calls: 1, units: 1, do: func() error { _, err := s.Get(ctx, owner, n.ID); return err }},
		{name: "update", calls: 1, units: 1, do: func() error {
			_, err := s.Update(ctx, owner, n.ID, notes.Patch{
				Title: aws.String("t"), Content: &n.Content, Tags: &[]string{"a"}}, epoch, notes.Condition{})
			return err
		}},
		{name: "update of a version", calls: 1, units: 1, do: func() error {
			_, err := s.Update(ctx, owner, n.ID, notes.Patch{}, epoch, notes.Condition{OneOf: []int64{2}})
			return err
		}},
		{name: "list of 20", calls: 1, units: 3, do: func() error {
			for _, err := range s.Newest(ctx, "lister", uuid.Max, 21) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "delete", calls: 1, units: 1, do: func() error {
			return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{})
		}},
		{name: "create with a key", calls: 2, units: 2, do: func() error {
			_, err := s.Create(ctx, owner, keyed, newKey("k"))
			return err
		}},
		{name: "replay of a create", calls: 2, units: 2, do: func() error {
			_, err := s.Create(ctx, owner, newNote(keyed.Title), newKey("k"))
			return err
		}},
		{name: "delete of a note with a key", calls: 2, units: 2, do: func() error {
			return s.Delete(ctx, owner, keyed.ID, epoch, notes.Condition{})
		}},
	} {
		w.reset(nil)
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		units, size := 0.0, 0
		for _, m := range w.messages() {
			if m.units == 0 { // DynamoDB does not return the unit that a failed condition costs
				m.units = 1
			}
			units, size = units+m.units, size+m.bytes
		}
		if len(w.messages()) != c.calls || units > c.units {
			t.Errorf("%s takes %v, want %d calls and at most %v units", c.name, w.messages(), c.calls, c.units)
		}
		costs = append(costs, fmt.Sprintf("%s %d call(s), %v unit(s), %d bytes", c.name, len(w.messages()), units,
			size))
	}
	storetest.Proved(t, strings.Join(costs, "; "), "as promised", "none")
}
