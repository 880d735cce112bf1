package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/portable-notes/notes/storetest"
)

// noteJSON is a note as a client reads it.
type noteJSON struct {
	ID      string
	Title   string
	Content string
	Version int
}

func parseNote(t testing.TB, body string) (n noteJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &n); err != nil {
		t.Fatalf("%v in %.200q", err, body)
	}
	return n
}

// reply is the answer to a request; status 0 means that none came.
type reply struct {
	status int
	header http.Header
	body   string
}

// sendOnce sends a request. A body that cannot be rewound keeps http.Client from retrying it.
func sendOnce(c *http.Client, method, target, body string, headers ...string) reply {
	r, err := http.NewRequest(method, target, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		panic(err)
	}
	r.ContentLength = int64(len(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		return reply{}
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		return reply{}
	}
	return reply{status: answer.StatusCode, header: answer.Header, body: text.String()}
}

// diary is what a writer knows of its notes: the last answer for each, and the request that got no answer.
type diary struct {
	url     string
	client  *http.Client
	random  *rand.Rand
	name    string
	late    bool // a write without an answer may still take effect after a restart
	created int
	entries []*noteEntry
	refused []reply // answers that are errors
}

// noteEntry is what a writer knows of one note.
type noteEntry struct {
	title        string // with which it was created, unique
	sent         string // the body of the create
	key          string // the idempotency key of the create; "" for none
	first        reply  // the answer to the create
	current      string // the note in the last answer; "" if it was deleted
	pending      string // the method of a change without an answer; "" for none
	pendingTitle string // the title that this change would set
	touched      bool   // since the last restart
}

// send sends a write. If writes may be late, a 503 says as little as no answer.
func (d *diary) send(method, target, body string, headers ...string) reply {
	a := sendOnce(d.client, method, target, body, headers...)
	if d.late && a.status == http.StatusServiceUnavailable {
		return reply{}
	}
	return a
}

// ask sends a request that can be repeated, again while a slow store is not available.
func (d *diary) ask(method, target, body string, headers ...string) (a reply) {
	for range 10 {
		if a = sendOnce(d.client, method, target, body, headers...); !d.late ||
			a.status != http.StatusServiceUnavailable {
			break
		}
	}
	return a
}

// write makes a random write. It returns false if the write failed or got no answer.
func (d *diary) write() bool {
	switch pick := d.random.IntN(10); {
	case pick < 5 || len(d.entries) == 0:
		d.created++
		e := &noteEntry{title: fmt.Sprintf("%s-%d", d.name, d.created), touched: true}
		e.sent = `{"title":"` + e.title + `","content":"` + strings.Repeat("c", d.random.IntN(2000)) + `"}`
		var headers []string
		if d.created%2 == 0 {
			e.key = e.title
			headers = []string{"Idempotency-Key", e.key}
		}
		e.first = d.send("POST", d.url+"/notes", e.sent, headers...)
		if e.first.status != 201 && e.first.status != 0 {
			d.refused = append(d.refused, e.first)
			return false
		}
		e.current = e.first.body
		d.entries = append(d.entries, e)
		return e.first.status != 0
	default:
		e := d.entries[d.random.IntN(len(d.entries))]
		if e.current == "" || e.pending != "" || e.first.status == 0 {
			return true
		}
		var n noteJSON
		if err := json.Unmarshal([]byte(e.current), &n); err != nil {
			panic(err)
		}
		e.touched = true
		method, body := "PATCH", ""
		if pick == 9 {
			method = "DELETE"
		} else {
			e.pendingTitle = fmt.Sprintf("%s v%d", e.title, n.Version+1)
			body = `{"title":"` + e.pendingTitle + `"}`
		}
		a := d.send(method, d.url+"/notes/"+n.ID, body, "If-Match", fmt.Sprintf(`"%d"`, n.Version))
		switch a.status {
		case 200:
			e.current = a.body
		case 204:
			e.current = ""
		case 0:
			e.pending = method
		default:
			d.refused = append(d.refused, a)
		}
		return a.status == 200 || a.status == 204
	}
}

// verify compares the service with the diary and returns where they differ. A write without an answer may have taken
// effect or not; verify records which.
func (d *diary) verify() (violations []string) {
	report := func(format string, args ...any) { violations = append(violations, fmt.Sprintf(format, args...)) }
	for _, e := range d.entries {
		if !e.touched {
			continue
		}
		e.touched = false
		if e.key != "" {
			again := d.ask("POST", d.url+"/notes", e.sent, "Idempotency-Key", e.key)
			switch {
			case e.first.status == 0 && again.status == 201: // it took effect once, either before or now
				e.first, e.current = again, again.body
			case again.status != 201 || again.body != e.first.body ||
				again.header.Get("Idempotency-Replayed") != "true":
				report("repeated with its key, %s is answered with %d %.100s", e.title, again.status, again.body)
			}
		}
		if e.first.status == 0 {
			continue
		}
		var first noteJSON
		_ = json.Unmarshal([]byte(e.first.body), &first)
		got := d.ask("GET", d.url+"/notes/"+first.ID, "")
		var now, before noteJSON
		_ = json.Unmarshal([]byte(got.body), &now)
		_ = json.Unmarshal([]byte(e.current), &before)
		switch {
		case e.current == "" && got.status == 404, e.current != "" && got.status == 200 && got.body == e.current:
			if d.late {
				continue // the pending change is not over yet
			}
		case e.pending == "DELETE" && got.status == 404:
			e.current = ""
		case e.pending == "PATCH" && got.status == 200 && now.Title == e.pendingTitle &&
			now.Version == before.Version+1 &&
			now.Content == before.Content:
			e.current = got.body
		default:
			report("the last answer for %s was %.100q, now it is %d %.100s", e.title, e.current, got.status, got.body)
		}
		e.pending = ""
	}
	for _, r := range d.refused {
		report("a write was answered with %d %.200s", r.status, r.body)
	}
	d.refused = nil
	return violations
}

// listByTitle lists all notes, by the title that they were created with. Two notes of the same title are a violation.
func listByTitle(c *http.Client, base string) (notes map[string]noteJSON, violations []string) {
	notes = map[string]noteJSON{}
	for cursor := ""; ; {
		a := sendOnce(c, "GET", base+"/notes?limit=100"+cursor, "")
		var page struct {
			Notes []noteJSON
			Next  string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != 200 {
			return notes, append(violations, fmt.Sprintf("the list is answered with %d %.100s", a.status, a.body))
		}
		for _, n := range page.Notes {
			title, _, _ := strings.Cut(n.Title, " v")
			if _, twice := notes[title]; twice {
				violations = append(violations, "two notes have the title "+title)
			}
			notes[title] = n
		}
		if page.Next == "" {
			return notes, violations
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// crash repeatedly kills a server under 16 writers. It returns the number of answered writes, and where the service
// differs from what it answered. Late says that a write may still take effect after its server was killed.
func crash(t *testing.T, kills int, late bool, start func(file string) *process) (answered int64, violations []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "notes.db")
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	diaries := make([]*diary, 16)
	for i := range diaries {
		diaries[i] = &diary{client: c, random: rand.New(rand.NewPCG(3, uint64(i))), name: fmt.Sprint("w", i),
			late: late}
	}
	var count atomic.Int64
	random := rand.New(rand.NewPCG(4, 4))
	for range kills {
		p := start(file)
		enough := count.Load() + 20 + random.Int64N(400)
		var once sync.Once
		reached := make(chan struct{})
		var writers sync.WaitGroup
		for _, d := range diaries {
			d.url = p.url
			writers.Go(func() {
				for d.write() {
					if count.Add(1) >= enough {
						once.Do(func() { close(reached) })
					}
				}
				once.Do(func() { close(reached) }) // do not wait for a server that fails by itself
			})
		}
		<-reached
		p.kill()
		writers.Wait()
		p = start(file)
		for _, d := range diaries {
			d.url = p.url
			violations = append(violations, d.verify()...)
		}
		if len(violations) > 0 {
			return count.Load(), violations
		}
		p.kill()
	}
	p := start(file)
	notes, twice := listByTitle(c, p.url)
	violations = append(violations, twice...)
	for _, d := range diaries {
		for _, e := range d.entries {
			n, there := notes[e.title]
			before := noteJSON{}
			_ = json.Unmarshal([]byte(e.current), &before)
			if e.pending == "PATCH" && there && n.Title == e.pendingTitle && n.Version == before.Version+1 ||
				e.pending == "DELETE" && !there {
				delete(notes, e.title) // the change took effect late
				continue
			}
			if e.first.status != 0 && there != (e.current != "") {
				violations = append(violations, fmt.Sprintf("%s: listed: %v; its last answer was %.100q", e.title,
					there, e.current))
			}
			if there && e.first.status != 0 && n.Version != before.Version {
				violations = append(violations, fmt.Sprintf("%s is listed at version %d; its last answer was %.100q",
					e.title,
					n.Version, e.current))
			}
			delete(notes, e.title)
		}
	}
	for title := range notes {
		violations = append(violations, title+" is listed, but no writer created it")
	}
	return count.Load(), violations
}

// TestProofCrash: a server that is killed under load has kept every write that it answered.
func TestProofCrash(t *testing.T) {
	kills := storetest.Amount(50, 500)
	answered, violations := crash(t, kills, false, func(file string) *process { return startServer(t, file) })
	if len(violations) > 0 {
		t.Errorf("%d violations: %.2000s", len(violations), strings.Join(violations, "\n"))
	}
	table := dynamoDBEnv(t)
	onTable, more := storetest.Amount(10, 100), int64(0)
	more, violations = crash(t, onTable, true, func(file string) *process {
		return startServer(t, file, table...)
	})
	if len(violations) > 0 {
		t.Errorf("on DynamoDB %d violations: %.2000s", len(violations), strings.Join(violations, "\n"))
	}
	_, caught := crash(t, 20, false, func(file string) *process { return startControl(t, faultForgetful, file) })
	if len(caught) == 0 {
		t.Error("the control, a server that answers before it writes, lost nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d kills, %d answered writes; on DynamoDB Local %d and %d", kills, answered,
		onTable, more), fmt.Sprintf("%d lost", len(violations)), fmt.Sprintf("answering early: %d lost", len(caught)))
}

// fillDisk fills the small disk of a server and then frees space. It returns the number of refused writes, and where
// the service differs from what it answered.
func fillDisk(t *testing.T, start func(file string) *process) (refusals int, violations []string) {
	t.Helper()
	folder := t.TempDir()
	storetest.MountSmall(t, folder, 4<<20)
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(filepath.Join(folder, "notes.db"))
	defer p.kill()
	made := map[string]string{} // id to note
	write := func() reply {
		a := sendOnce(client, "POST", p.url+"/notes", `{"title":"x","content":"`+strings.Repeat("c", 20_000)+`"}`)
		if a.status == 201 {
			made[parseNote(t, a.body).ID] = a.body
		}
		return a
	}
	for i := 0; i < 1000 && refusals < 5; i++ {
		if a := write(); a.status == 503 && a.header.Get("Retry-After") != "" {
			refusals++
		} else if a.status != 201 {
			return refusals, append(violations, fmt.Sprintf("on a full disk, a write is answered with %d %.200s",
				a.status,
				a.body))
		}
	}
	read := func() {
		for id, note := range made {
			if a := sendOnce(client, "GET", p.url+"/notes/"+id, ""); a.status != 200 || a.body != note {
				violations = append(violations, fmt.Sprintf("%s is answered with %d %.100s", id, a.status, a.body))
			}
		}
		if all, twice := listByTitle(client, p.url); len(all)+len(twice) != len(made) {
			violations = append(violations, fmt.Sprintf("%d notes were answered, %d are listed", len(made), len(all)+
				len(twice)))
		}
	}
	read()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if a := write(); a.status != 201 {
		violations = append(violations, fmt.Sprintf("with free space again, a write is answered with %d %.200s",
			a.status, a.body))
	}
	read()
	return refusals, violations
}

// TestProofFullDisk: on a full disk, writes are refused and reads go on. With free space again, writes succeed
// without a restart.
func TestProofFullDisk(t *testing.T) {
	refusals, violations := fillDisk(t, func(file string) *process { return startServer(t, file) })
	if refusals == 0 || len(violations) > 0 {
		t.Errorf("%d refusals, %d violations: %.2000s", refusals, len(violations), strings.Join(violations, "\n"))
	}
	_, caught := fillDisk(t, func(file string) *process { return startControl(t, faultForgetful, file) })
	if len(caught) == 0 {
		t.Error("the control, a server that answers before it writes, lost nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d writes refused with 503", refusals),
		fmt.Sprintf("%d answered writes lost", len(violations)), fmt.Sprintf("answering early: %d lost", len(caught)))
}
