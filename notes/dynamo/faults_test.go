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

func key(value string) *notes.IdempotencyKey {
	return &notes.IdempotencyKey{Value: value, Request: [32]byte{1}, Now: epoch, Expires: epoch.Add(25 * time.Hour)}
}

// writes are the ways to write, each on a note of its own; made tells whether the note was made with a key.
var writes = []struct {
	name  string
	keyed bool // the note is made with a key
	do    func(ctx context.Context, s *dynamo.Store, n notes.Note) error
	// stood tells whether the write took place, exactly once: what it says of the note that is there, or of none.
	stood func(n notes.Note, there bool) bool
	calls int // that it takes
}{
	{"update", false, func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
		got, err := s.Update(ctx, owner, n.ID, notes.Patch{Title: aws.String("after")}, epoch, notes.Condition{})
		return told(got, err, 2, "after")
	}, func(n notes.Note, there bool) bool { return there && n.Version == 2 && n.Title == "after" }, 1},
	{"update of a version", false, func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
		got, err := s.Update(ctx, owner, n.ID, notes.Patch{Title: aws.String("after")}, epoch, notes.Condition{
			OneOf: []int64{1}})
		return told(got, err, 2, "after")
	}, func(n notes.Note, there bool) bool { return there && n.Version == 2 && n.Title == "after" }, 1},
	{"delete", false, func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
		return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{})
	}, func(_ notes.Note, there bool) bool { return !there }, 1},
	{"delete of a version", false, func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
		return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{OneOf: []int64{1}})
	}, func(_ notes.Note, there bool) bool { return !there }, 1},
	{"delete of a note with a key", true, func(ctx context.Context, s *dynamo.Store, n notes.Note) error {
		return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{})
	}, func(_ notes.Note, there bool) bool { return !there }, 2},
}

// told checks what a write says of the note after it.
func told(n notes.Note, err error, version int64, title string) error {
	if err == nil && (n.Version != version || n.Title != title) {
		return fmt.Errorf("the write tells of version %d, %q", n.Version, n.Title)
	}
	return err
}

// TestLostAnswers: whatever message of a write is lost, the store never reports a failure that is none, nor a success
// that is none, nor does it write twice. What it cannot know it says.
func TestLostAnswers(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	for _, write := range writes {
		for nth := range write.calls {
			for _, what := range []loss{request, response, half} {
				n := newNote("before")
				var k *notes.IdempotencyKey
				if write.keyed {
					k = key(n.ID.String())
				}
				if _, err := direct.Create(t.Context(), owner, n, k); err != nil {
					t.Fatal(err)
				}
				w.reset(lose(nth, what))
				err := write.do(t.Context(), s, n)
				got, getErr := direct.Get(t.Context(), owner, n.ID)
				there := getErr == nil
				stood := write.stood(got, there)
				untouched := there && got.Version == 1 && got.Title == "before"
				switch {
				case !stood && !untouched:
					t.Errorf("%s, message %d, loss %d: the note is %+v, %v", write.name, nth, what, got, getErr)
				case err == nil && !stood:
					t.Errorf("%s, message %d, loss %d: a success that is none", write.name, nth, what)
				case err != nil && !errors.Is(err, notes.ErrUnavailable):
					t.Errorf("%s, message %d, loss %d: says %v (the write stood: %v)", write.name, nth, what, err,
						stood)
				case err != nil && stood && !strings.HasPrefix(write.name, "delete"):
					t.Errorf("%s, message %d, loss %d: could have known that the write stood, says %v", write.name,
						nth, what, err)
				}
			}
		}
	}
}

// TestLostAnswersOfCreates: a create ends in one note, at once or at its retry.
func TestLostAnswersOfCreates(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	for round, what := range []loss{request, response, half} {
		who := fmt.Sprint(owner, round)
		w.reset(lose(0, what))
		n := newNote("without a key")
		if got, err := s.Create(t.Context(), who, n, nil); err != nil || got.ID != n.ID {
			t.Errorf("loss %d: %v", what, err)
		}
		for nth := range 2 {
			w.reset(lose(nth, what))
			n := newNote(fmt.Sprint("with a key ", nth))
			first, err := s.Create(t.Context(), who, n, key(fmt.Sprint(nth)))
			if err != nil || first.ID != n.ID {
				t.Errorf("loss %d of message %d: %v", what, nth, err)
			}
			again, err := s.Create(t.Context(), who, newNote(n.Title), key(fmt.Sprint(nth)))
			if err != nil || again.ID != first.ID {
				t.Errorf("loss %d of message %d: the retry gives %s, %v; the first was %s", what, nth, again.ID, err,
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

// TestStockClientLies is the control: the SDK's own client repeats a conditional write whose answer was lost, and
// reports that the condition failed.
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
	w.reset(lose(0, response))
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
		t.Errorf("the stock client says %v, the note is at version %d", err, got.Version)
	}
}

// TestOtherWritersMeanwhile: after a lost answer others write; the store claims no refusal for a write that may have
// stood.
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
		then  func(notes.ID) // between the lost attempt and the next message
		cond  notes.Condition
		right func(error) bool
	}{
		{"ours stood, another followed", response, change, pinned, func(err error) bool {
			return errors.Is(err, notes.ErrUnavailable)
		}},
		{"ours stood, another followed, unpinned", response, change, notes.Condition{}, func(err error) bool {
			return errors.Is(err, notes.ErrUnavailable)
		}},
		{"ours never came, another won", request, change, pinned, func(err error) bool {
			return errors.As(err, &refused) && refused.Current.Version == 2
		}},
		{"ours stood, another deleted it", response, func(id notes.ID) {
			if err := direct.Delete(t.Context(), owner, id, epoch, notes.Condition{}); err != nil {
				t.Error(err)
			}
		}, pinned, func(err error) bool {
			return errors.Is(err, notes.ErrUnavailable) && !errors.Is(err, notes.ErrNotFound)
		}},
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
			return nothing
		})
		if _, err := s.Update(t.Context(), owner, n.ID, notes.Patch{Title: aws.String("ours")}, epoch,
			c.cond); !c.right(err) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestARacerBetweenItsTwoWrites: one copy of a create stops between its writes, another completes it, the note is
// deleted, and the first goes on: the note stays deleted.
func TestARacerBetweenItsTwoWrites(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	direct := open(t, cfg, table)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	stopped, goOn := make(chan struct{}), make(chan struct{})
	w.reset(func(n int, _ string) loss {
		if n == 1 {
			w.mu.Unlock() // the others go on meanwhile
			close(stopped)
			<-goOn
			w.mu.Lock()
		}
		return nothing
	})
	n := newNote("once")
	slow := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := s.Create(ctx, owner, n, key("k"))
		slow <- err
	}()
	<-stopped
	first, err := direct.Create(t.Context(), owner, newNote("once"), key("k"))
	if err != nil || first.ID != n.ID {
		t.Fatalf("the retry gives %s, %v; the first chose %s", first.ID, err, n.ID)
	}
	if err := direct.Delete(t.Context(), owner, n.ID, epoch.Add(time.Hour), notes.Condition{}); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-slow; err != nil {
		t.Errorf("the racer that stopped is told %v", err)
	}
	if _, err := direct.Get(t.Context(), owner, n.ID); !errors.Is(err, notes.ErrNotFound) {
		t.Errorf("the deleted note is back: %v", err)
	}
	for n, err := range direct.Newest(t.Context(), owner, uuid.Max, 10) {
		if err != nil || !n.Deleted() {
			t.Errorf("the list shows %v, %v", n, err)
		}
	}
	if again, err := direct.Create(t.Context(), owner, newNote("once"), key("k")); err != nil || again.ID != n.ID {
		t.Errorf("a later retry gives %s, %v", again.ID, err)
	}
	// When the key has expired, nothing of the note is left but what its time to live removes.
	late, now := newNote("once"), epoch.Add(26*time.Hour)
	other := &notes.IdempotencyKey{Value: "k", Request: [32]byte{2}, Now: now, Expires: now.Add(time.Hour)}
	if again, err := direct.Create(t.Context(), owner, late, other); err != nil || again.ID != late.ID {
		t.Errorf("after its expiry the key gives %s, %v", again.ID, err)
	}
}

// TestALateCreateIsNotRepeated: a create without a key whose attempt timed out may still arrive. A second one could be
// deleted before, and the first would bring the note back.
func TestALateCreateIsNotRepeated(t *testing.T) {
	cfg := dynamotest.Config(t)
	table := dynamotest.NewTable(t, cfg)
	w := newWire(t, cfg)
	s := open(t, w.cfg, table)
	arrive := make(chan struct{})
	w.reset(func(n int, _ string) loss {
		if n == 0 {
			w.mu.Unlock() // the others go on meanwhile
			<-arrive
			w.mu.Lock()
		}
		return nothing
	})
	n := newNote("late")
	if _, err := s.Create(t.Context(), owner, n, nil); !errors.Is(err, notes.ErrUnavailable) {
		t.Errorf("a create that timed out: %v", err)
	}
	close(arrive)
	puts := 0
	for _, m := range w.passed() {
		if m.operation == "PutItem" {
			puts++
		}
	}
	if puts != 1 {
		t.Errorf("%d attempts to create were made", puts)
	}
}

// TestProofTombstones: what one page reads of deleted notes is bounded, however many there are: in calls, and in units.
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
	deleted := storetest.Amount(700, 4000)
	for i := range deleted {
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
		for _, m := range w.passed() {
			units += m.units
		}
		pages, mostCalls, mostUnits, all = pages+1, max(mostCalls, len(w.passed())), max(mostUnits, units), all+units
		cursor = page.Next
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages show %q, want %q", got, want)
	}
	// 277 items of some 110 bytes are 8 units of 4 KB, and each call rounds up.
	if mostUnits > 12 || mostCalls > 5 {
		t.Errorf("a page takes up to %v units in %d calls", mostUnits, mostCalls)
	}
	if all < mostUnits*1.5 {
		t.Errorf("all pages take %v units: there are too few deleted notes to show a bound", all)
	}
	storetest.Proved(t, fmt.Sprintf("%d deleted notes before a list of 20 of 25", deleted),
		fmt.Sprintf("a page takes at most %v read units in %d calls", mostUnits, mostCalls),
		fmt.Sprintf("all %d pages together: %v units", pages, all))
}

// TestCallsAndUnits: what an operation costs on the wire.
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
		{"create", 1, 1, func() error { _, err := s.Create(ctx, owner, n, nil); return err }},
		{"get", 1, 1, func() error { _, err := s.Get(ctx, owner, n.ID); return err }},
		{"update", 1, 1, func() error {
			_, err := s.Update(ctx, owner, n.ID, notes.Patch{
				Title: aws.String("t"), Content: &n.Content, Tags: &[]string{"a"}}, epoch, notes.Condition{})
			return err
		}},
		{"update of a version", 1, 1, func() error {
			_, err := s.Update(ctx, owner, n.ID, notes.Patch{}, epoch, notes.Condition{OneOf: []int64{2}})
			return err
		}},
		{"list of 20", 1, 3, func() error {
			for _, err := range s.Newest(ctx, "lister", uuid.Max, 21) {
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"delete", 1, 1, func() error { return s.Delete(ctx, owner, n.ID, epoch, notes.Condition{}) }},
		{"create with a key", 2, 2, func() error { _, err := s.Create(ctx, owner, keyed, key("k")); return err }},
		{"replay of a create", 2, 2, func() error {
			_, err := s.Create(ctx, owner, newNote(keyed.Title), key("k"))
			return err
		}},
		{"delete of a note with a key", 2, 2, func() error {
			return s.Delete(ctx, owner, keyed.ID, epoch, notes.Condition{})
		}},
	} {
		w.reset(nil)
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		units, size := 0.0, 0
		for _, m := range w.passed() {
			if m.units == 0 { // a condition that failed tells no units, and costs a write
				m.units = 1
			}
			units, size = units+m.units, size+m.bytes
		}
		if len(w.passed()) != c.calls || units > c.units {
			t.Errorf("%s takes %v, want %d calls and at most %v units", c.name, w.passed(), c.calls, c.units)
		}
		costs = append(costs, fmt.Sprintf("%s %d call(s), %v unit(s), %d bytes", c.name, len(w.passed()), units, size))
	}
	storetest.Proved(t, strings.Join(costs, "; "), "as promised", "none")
}
