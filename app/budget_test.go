package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"example.com/portable-notes/notes"
)

func TestReservation(t *testing.T) {
	const mib = 1 << 20
	waited := func(resize func() error) (time.Duration, error) {
		start := time.Now()
		err := resize()
		return time.Since(start), err
	}
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b *budget)
	}{
		{"a caller may have a quarter", func(t *testing.T, b *budget) {
			first, second := b.reservation("a"), b.reservation("a")
			if err := first.resize(t.Context(), 12*mib); err != nil {
				t.Fatal(err)
			}
			if took, err := waited(func() error { return second.resize(t.Context(), mib) }); err == nil ||
				took != time.Second {
				t.Errorf("more than a quarter: %v after %v", err, took)
			}
			if took, err := waited(func() error {
				return b.reservation("b").resize(t.Context(),
					12*mib)
			}); err != nil ||
				took != 0 {
				t.Errorf("another caller: %v after %v", err, took)
			}
			first.release()
			if took, err := waited(func() error { return second.resize(t.Context(), 12*mib) }); err != nil ||
				took != 0 {
				t.Errorf("after the release: %v after %v", err, took)
			}
		}},
		{"four callers may use all", func(t *testing.T, b *budget) {
			for _, who := range []string{"a", "b", "c", "d"} {
				if err := b.reservation(who).resize(t.Context(), 12*mib); err != nil {
					t.Fatal(err)
				}
			}
			last := b.reservation("e")
			if took, err := waited(func() error { return last.resize(t.Context(), mib) }); err == nil ||
				took != time.Second {
				t.Errorf("more than the budget: %v after %v", err, took)
			}
			last.release()
		}},
		{"a release ends the wait", func(t *testing.T, b *budget) {
			r := b.reservation("a")
			if err := r.resize(t.Context(), 12*mib); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(300*time.Millisecond, func() { _ = r.resize(t.Context(), 11*mib) })
			took, err := waited(func() error { return b.reservation("a").resize(t.Context(), mib) })
			if err != nil || took != 300*time.Millisecond {
				t.Errorf("%v after %v", err, took)
			}
		}},
		{"a disconnect ends the wait", func(t *testing.T, b *budget) {
			if err := b.reservation("a").resize(t.Context(), 12*mib); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			took, err := waited(func() error { return b.reservation("a").resize(ctx, mib) })
			if !errors.Is(err, context.Canceled) || took != 100*time.Millisecond {
				t.Errorf("%v after %v", err, took)
			}
		}},
		{"the timeout covers all waits of a request", func(t *testing.T, b *budget) {
			r, other := b.reservation("a"), b.reservation("a")
			if err := errors.Join(r.resize(t.Context(), 6*mib), other.resize(t.Context(), 6*mib)); err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(700*time.Millisecond, func() { _ = other.resize(t.Context(), 5*mib) })
			if took, err := waited(func() error { return r.resize(t.Context(), 7*mib) }); err != nil ||
				took != 700*time.Millisecond {
				t.Errorf("the first wait: %v after %v", err, took)
			}
			if took, err := waited(func() error { return r.resize(t.Context(), 8*mib) }); err == nil ||
				took != 300*time.Millisecond {
				t.Errorf("the second wait: %v after %v", err, took)
			}
		}},
		{"small sizes are not counted", func(t *testing.T, b *budget) {
			for range 100_000 {
				if err := b.reservation("a").resize(t.Context(), uncounted); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"a size over a quarter takes a quarter", func(t *testing.T, b *budget) {
			if err := b.reservation("a").resize(t.Context(), 100*mib); err != nil {
				t.Error(err)
			}
		}},
		{"few large bodies are decoded at a time", func(t *testing.T, b *budget) {
			var now, most atomic.Int32
			var all sync.WaitGroup
			for range 50 {
				all.Go(func() {
					err := b.reservation("a").decode(t.Context(), largeBody, func() error {
						most.Store(max(most.Load(), now.Add(1)))
						time.Sleep(10 * time.Millisecond)
						now.Add(-1)
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if most.Load() != maxDecoders {
				t.Errorf("%d concurrent decodes, want %d", most.Load(), maxDecoders)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test.run(t, newBudget(48*mib, time.Second)) })
		})
	}

	t.Run("a release leaves nothing", func(t *testing.T) {
		b := newBudget(48*mib, time.Millisecond)
		var all sync.WaitGroup
		for worker := range 32 {
			all.Go(func() {
				random := mrand.New(mrand.NewPCG(1, uint64(worker)))
				for range 1000 {
					r := b.reservation(fmt.Sprint(random.IntN(6)))
					for range random.IntN(4) {
						_ = r.resize(t.Context(), random.IntN(5*mib))
					}
					r.release()
				}
			})
		}
		all.Wait()
		if len(b.callers) != 0 || !b.total.TryAcquire(48*mib) {
			t.Errorf("%d callers are still recorded, or memory is still reserved", len(b.callers))
		}
	})
}

// largePages is a store whose lists have the largest possible size.
type largePages struct{ notes.Store }

func (largePages) Newest(context.Context, string, notes.ID, int) iter.Seq2[notes.Note, error] {
	return func(yield func(notes.Note, error) bool) {
		content := strings.Repeat("\x01", 174_000)
		for i := range byte(4) {
			if !yield(notes.Note{ID: notes.ID{i}, Title: "x", Content: content, Version: 1}, nil) {
				return
			}
		}
	}
}

// slowReader is a client that does not read its response until reads is closed.
type slowReader struct {
	*httptest.ResponseRecorder
	reads chan struct{}
}

func (s slowReader) Write(b []byte) (int, error) {
	<-s.reads
	return s.ResponseRecorder.Write(b)
}

// TestSlowReaders: a client that does not read its responses takes at most a quarter of the memory, and others are
// served.
func TestSlowReaders(t *testing.T) {
	for _, test := range []struct {
		name     string
		inFlight int64
		held     int // responses in memory, of 8 that nobody reads
		status   int // of the next request of the same client
	}{
		{"bounded", 48 << 20, 3, 503},
		{"without a bound", 0, 8, 200}, // the control
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := notes.NewService(largePages{}, time.Now, rand.Reader)
				e := New(service, Options{MaxInFlight: test.inFlight, Timeout: time.Second})
				ask := func(w http.ResponseWriter, from string) {
					r := httptest.NewRequest("GET", "/notes", nil)
					r.RemoteAddr = from
					e.ServeHTTP(w, r)
				}
				reads := make(chan struct{})
				var made [8]slowReader
				var asking sync.WaitGroup
				for i := range made {
					made[i] = slowReader{httptest.NewRecorder(), reads}
					// All these addresses are in one /64 and count as one.
					asking.Go(func() { ask(made[i], fmt.Sprintf("[2001:db8::%x]:1", i+1)) })
				}
				time.Sleep(2 * time.Second) // longer than the timeout, so nobody waits any more
				synctest.Wait()
				held := 0
				for i := range made {
					if length, err := strconv.Atoi(made[i].Header().Get("Content-Length")); err == nil &&
						length > 4_000_000 {
						held++
					}
				}
				if held != test.held {
					t.Errorf("%d responses are in memory, want %d", held, test.held)
				}
				w := httptest.NewRecorder()
				if ask(w, "[2001:db8::ffff]:1"); w.Code != test.status || w.Code == 503 &&
					w.Header().Get("Retry-After") == "" {
					t.Errorf("the same client gets %d %v", w.Code, w.Header())
				}
				w = httptest.NewRecorder()
				if ask(w, "[2001:db9::1]:1"); w.Code != 200 ||
					w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
					t.Errorf("another client gets %d, %d bytes of %s", w.Code, w.Body.Len(),
						w.Header().Get("Content-Length"))
				}
				close(reads)
				asking.Wait()
				w = httptest.NewRecorder()
				if ask(w, "[2001:db8::1]:1"); w.Code != 200 {
					t.Errorf("after the responses are read, the client gets %d", w.Code)
				}
			})
		})
	}
}

// TestBodiesInFlight: the slow bodies of one client take at most a quarter of the memory.
func TestBodiesInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(notes.NewService(onlyNote{}, time.Now, rand.Reader), Options{
			MaxInFlight: 24 << 20, Timeout: time.Second})
		post := func(from string, body io.Reader, length int64) int {
			r := httptest.NewRequest("POST", "/notes", body)
			r.Header.Set("Content-Type", "application/json")
			r.RemoteAddr, r.ContentLength = from, length
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			return w.Code
		}
		var sending sync.WaitGroup
		var senders []*io.PipeWriter
		for i := range 5 { // 1 MiB each: a body without Content-Length counts as the largest
			body, sender := io.Pipe()
			senders = append(senders, sender)
			length := int64(1 << 20)
			if i%2 == 0 {
				length = -1
			}
			sending.Go(func() { post("192.0.2.1:1", body, length) })
		}
		synctest.Wait()
		for _, c := range []struct {
			from   string
			length int
			want   int
		}{{"192.0.2.1:2", 1_047_000, 503}, {"192.0.2.1:3", 20, 422}, {"192.0.2.2:1", 100_000, 422}} {
			body := `{"title":` + strings.Repeat(" ", c.length) + `""}`
			if got := post(c.from, strings.NewReader(body), int64(len(body))); got != c.want {
				t.Errorf("%d bytes from %s: %d, want %d", c.length, c.from, got, c.want)
			}
		}
		for _, sender := range senders {
			sender.CloseWithError(io.ErrUnexpectedEOF)
		}
		sending.Wait()
		body := `{"title":` + strings.Repeat(" ", 100_000) + `""}`
		if got := post("192.0.2.1:4", strings.NewReader(body), int64(len(body))); got != 422 {
			t.Errorf("after the others have ended: %d", got)
		}
	})
}

// oneNote is a store of one note.
type oneNote struct {
	notes.Store
	note notes.Note
}

func (k *oneNote) Get(context.Context, string, notes.ID) (notes.Note, error) { return k.note, nil }

func (k *oneNote) Create(_ context.Context, _ string, n notes.Note, _ *notes.IdempotencyKey) (notes.Note, error) {
	k.note = n
	return n, nil
}

func (k *oneNote) Update(
	_ context.Context, _ string, _ notes.ID, patch notes.Patch, _ time.Time, _ notes.Condition,
) (notes.Note, error) {
	k.note = patch.Apply(k.note)
	k.note.Version++
	return k.note, nil
}

// TestNoMemoryForTheResponse: without memory for the response, a write is not carried out.
func TestNoMemoryForTheResponse(t *testing.T) {
	large := strings.Repeat("\x01", 174_000) // 1 MB as JSON
	id := notes.ID{6: 0x70, 8: 0x80}
	for _, test := range []struct {
		name, method, path, body string
		content                  string // of the stored note
		busy                     bool   // whether other requests fill the caller's share
		status                   int
	}{
		{"a patch of a large note", "PATCH", "/notes/" + id.String(), `{"title":"new"}`, large, true, 503},
		{"a patch of a small note", "PATCH", "/notes/" + id.String(), `{"title":"new"}`, "small", true, 200},
		{"a patch of a large note with enough memory", "PATCH", "/notes/" + id.String(), `{"title":"new"}`, large,
			false, 200},
		{"a create", "POST", "/notes",
			`{"title":"new","content":"` + strings.Repeat("€", 1300) + `"}`, "", true, 503},
		{"a small create", "POST", "/notes", `{"title":"new","content":"` + strings.Repeat("€", 1100) + `"}`, "",
			true, 201},
		{"a replacement", "PUT", "/notes/" + id.String(),
			`{"title":"new","content":"` + strings.Repeat("€", 1300) + `"}`, "", true, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &oneNote{note: notes.Note{ID: id, Title: "old", Content: test.content, Version: 1}}
				before := store.note
				e := New(notes.NewService(store, time.Now, rand.Reader), Options{
					MaxInFlight: 24 << 20, Timeout: time.Second})
				var sending sync.WaitGroup
				var senders []*io.PipeWriter
				send := func(method, path string, body io.Reader, length int64) *httptest.ResponseRecorder {
					r := httptest.NewRequest(method, path, body)
					r.Header.Set("Content-Type", "application/json")
					r.ContentLength = length
					w := httptest.NewRecorder()
					e.ServeHTTP(w, r)
					return w
				}
				for range 6 { // fills the share of a caller
					if body, sender := io.Pipe(); test.busy {
						senders = append(senders, sender)
						sending.Go(func() { send("POST", "/notes", body, maxBody) })
					}
				}
				synctest.Wait()
				w := send(test.method, test.path, strings.NewReader(test.body), int64(len(test.body)))
				if w.Code != test.status {
					t.Errorf("%d %.300s, want %d", w.Code, w.Body, test.status)
				}
				if changed := store.note.Title != before.Title; changed != (w.Code < 300) {
					t.Errorf("%d, and the note is %q at version %d", w.Code, store.note.Title, store.note.Version)
				}
				if w.Code == 503 && (w.Header().Get("Location") != "" || w.Header().Get("ETag") != "" ||
					!strings.Contains(w.Body.String(), "nothing was changed")) {
					t.Errorf("%v %s", w.Header(), w.Body)
				}
				for _, sender := range senders {
					sender.CloseWithError(io.ErrUnexpectedEOF)
				}
				sending.Wait()
			})
		})
	}
}

// TestCreatesDoNotWaitForEachOther: the memory reserved for the body of a create suffices for the response, whatever
// is escaped.
func TestCreatesDoNotWaitForEachOther(t *testing.T) {
	for _, text := range []string{`\n`, `\r\n`, `\t`, `\u0001`, `\"`, `\\`, "€", "\u2028", "x", "a b\\n"} {
		t.Run(text, func(t *testing.T) {
			body := `{"title":"x","content":"` + strings.Repeat(text, 150_000/len(text)) + `"}`
			draft, err := decodeDraft([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if size := encodedSize(draft.Patch().Apply(notes.Note{})); size > len(body)+responseOverhead {
				t.Errorf("the response takes %d bytes, the body %d", size, len(body))
			}
		})
	}
}

// TestEncodedSize: no note and no page is larger than the size computed for it.
func TestEncodedSize(t *testing.T) {
	random := mrand.New(mrand.NewPCG(1, 2))
	alphabet := []rune("ax \"\\/<>&\x00\x01\b\f\n\r\t\x1f\x7f" +
		"\u0080é\u2027\u2028\u2029\u202a日\ufffd\U0001f600\U0010ffff")
	text := func(most int) string {
		var b strings.Builder
		for range random.IntN(most) {
			b.WriteRune(alphabet[random.IntN(len(alphabet))])
		}
		return b.String()
	}
	last := time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	for range 300 {
		page := notes.Page{Next: strings.Repeat("A", random.IntN(2)*36)}
		for range random.IntN(4) {
			n := notes.Note{Title: text(200), Content: text(2000), CreatedAt: last, UpdatedAt: last,
				Version: math.MaxInt64}
			for range random.IntN(20) {
				n.Tags = append(n.Tags, text(50))
			}
			page.Notes = append(page.Notes, n)
			if quoted := len(appendText(nil, n.Content)); quoted != quotedSize(n.Content) {
				t.Fatalf("%q has %d bytes, %d are reserved", n.Content, quoted, quotedSize(n.Content))
			}
			if b := append(appendNote(nil, n), '\n'); len(b) > encodedSize(n) {
				t.Fatalf("%d bytes, %d are reserved", len(b), encodedSize(n))
			}
		}
		got, size := appendPage(nil, page), encodedPageSize(page)
		if len(got) > size {
			t.Fatalf("the page has %d bytes, %d are reserved", len(got), size)
		}
		type note struct {
			ID        string    `json:"id"`
			Title     string    `json:"title"`
			Content   string    `json:"content"`
			Tags      []string  `json:"tags"`
			CreatedAt time.Time `json:"created_at"`
			UpdatedAt time.Time `json:"updated_at"`
			Version   int64     `json:"version"`
		}
		type answer struct {
			Notes      []note `json:"notes"`
			NextCursor string `json:"next_cursor,omitempty"`
		}
		want := answer{[]note{}, page.Next}
		for _, n := range page.Notes {
			tags := append([]string{}, n.Tags...)
			want.Notes = append(want.Notes, note{n.ID.String(), n.Title, n.Content, tags, n.CreatedAt, n.UpdatedAt,
				n.Version})
		}
		var read answer
		if err := json.Unmarshal(got, &read); err != nil || !reflect.DeepEqual(read, want) {
			t.Fatalf("the page is %q, want %v, %v", got, want, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	for _, c := range []struct{ addr, want string }{
		{"2001:db8::1", "2001:db8::/64"}, {"2001:db8::ffff:1", "2001:db8::/64"}, {
			"2001:db8:0:1::1", "2001:db8:0:1::/64"},
		{"fe80::1%eth0", "fe80::/64"}, {"192.0.2.1", "192.0.2.1"}, {"::ffff:192.0.2.1", "::ffff:192.0.2.1"}, {"?", "?"},
	} {
		if got := network(c.addr); got != c.want {
			t.Errorf("%s is in %s, want %s", c.addr, got, c.want)
		}
	}
}
