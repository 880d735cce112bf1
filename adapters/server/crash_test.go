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

	"golang.org/x/sys/unix"

	"example.com/portable-notes/notes/storetest"
)

// noteJSON is a note as a client reads it.
type noteJSON struct {
	ID      string
	Title   string
	Content string
	Version int
}

func parse(t testing.TB, body string) (n noteJSON) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &n); err != nil {
		t.Fatalf("%v in %.200q", err, body)
	}
	return n
}

// reply is what a client gets; status 0 where no answer came.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request that a client sends once: nothing is sent again behind its back.
func ask(c *http.Client, method, target, body string, headers ...string) reply {
	r, err := http.NewRequest(method, target, io.NopCloser(strings.NewReader(body))) // a body that cannot be rewound
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
	return reply{answer.StatusCode, answer.Header, text.String()}
}

// diary is what one writer knows of its notes: what was answered last, and the one request that had no answer.
type diary struct {
	url     string
	client  *http.Client
	random  *rand.Rand
	name    string
	made    int
	kept    []*entry
	refused []reply // answers that are neither success nor none
}

// entry is one note.
type entry struct {
	title   string // at its creation: no other note had it
	sent    string // the body of its creation
	key     string // of its creation, "" for none
	first   reply  // the answer to its creation; status 0 where none came
	now     string // the note as last answered; "" is deleted
	open    string // the method of a change that had no answer
	openTo  string // the title that it would set
	touched bool   // since the last restart
}

// write does something, and reports whether it was answered.
func (d *diary) write() bool {
	switch pick := d.random.IntN(10); {
	case pick < 5 || len(d.kept) == 0:
		d.made++
		e := &entry{title: fmt.Sprintf("%s-%d", d.name, d.made), touched: true}
		e.sent = `{"title":"` + e.title + `","content":"` + strings.Repeat("c", d.random.IntN(2000)) + `"}`
		var headers []string
		if d.made%2 == 0 {
			e.key = e.title
			headers = []string{"Idempotency-Key", e.key}
		}
		e.first = ask(d.client, "POST", d.url+"/notes", e.sent, headers...)
		if e.first.status != 201 && e.first.status != 0 {
			d.refused = append(d.refused, e.first)
			return false
		}
		e.now = e.first.body
		d.kept = append(d.kept, e)
		return e.first.status != 0
	default:
		e := d.kept[d.random.IntN(len(d.kept))]
		if e.now == "" || e.open != "" || e.first.status == 0 {
			return true
		}
		var n noteJSON
		if err := json.Unmarshal([]byte(e.now), &n); err != nil {
			panic(err)
		}
		e.touched = true
		method, body := "PATCH", ""
		if pick == 9 {
			method = "DELETE"
		} else {
			e.openTo = fmt.Sprintf("%s v%d", e.title, n.Version+1)
			body = `{"title":"` + e.openTo + `"}`
		}
		a := ask(d.client, method, d.url+"/notes/"+n.ID, body, "If-Match", fmt.Sprintf(`"%d"`, n.Version))
		switch a.status {
		case 200:
			e.now = a.body
		case 204:
			e.now = ""
		case 0:
			e.open = method
		default:
			d.refused = append(d.refused, a)
		}
		return a.status == 200 || a.status == 204
	}
}

// lost compares the service with the diary, and says where an answer was a lie. What had no answer may have happened or
// not; afterwards the diary knows.
func (d *diary) lost() (lies []string) {
	lie := func(format string, args ...any) { lies = append(lies, fmt.Sprintf(format, args...)) }
	for _, e := range d.kept {
		if !e.touched {
			continue
		}
		e.touched = false
		if e.key != "" {
			again := ask(d.client, "POST", d.url+"/notes", e.sent, "Idempotency-Key", e.key)
			switch {
			case e.first.status == 0 && again.status == 201: // whether it happened before or now, it happened once
				e.first, e.now = again, again.body
			case again.status != 201 || again.body != e.first.body ||
				again.header.Get("Idempotency-Replayed") != "true":
				lie("the key of %s gives %d %.100s", e.title, again.status, again.body)
			}
		}
		if e.first.status == 0 {
			continue
		}
		var first noteJSON
		_ = json.Unmarshal([]byte(e.first.body), &first)
		got := ask(d.client, "GET", d.url+"/notes/"+first.ID, "")
		var now, before noteJSON
		_ = json.Unmarshal([]byte(got.body), &now)
		_ = json.Unmarshal([]byte(e.now), &before)
		switch {
		case e.now == "" && got.status == 404, e.now != "" && got.status == 200 && got.body == e.now:
		case e.open == "DELETE" && got.status == 404:
			e.now = ""
		case e.open == "PATCH" && got.status == 200 && now.Title == e.openTo && now.Version == before.Version+1 &&
			now.Content == before.Content:
			e.now = got.body
		default:
			lie("%s was answered as %.100q, is %d %.100s", e.title, e.now, got.status, got.body)
		}
		e.open = ""
	}
	for _, r := range d.refused {
		lie("a write was answered with %d %.200s", r.status, r.body)
	}
	d.refused = nil
	return lies
}

// list is all notes by title; of one title that two notes have it says so.
func list(c *http.Client, base string) (notes map[string]noteJSON, lies []string) {
	notes = map[string]noteJSON{}
	for cursor := ""; ; {
		a := ask(c, "GET", base+"/notes?limit=100"+cursor, "")
		var page struct {
			Notes []noteJSON
			Next  string `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(a.body), &page); err != nil || a.status != 200 {
			return notes, append(lies, fmt.Sprintf("the list is %d %.100s", a.status, a.body))
		}
		for _, n := range page.Notes {
			title, _, _ := strings.Cut(n.Title, " v")
			if _, twice := notes[title]; twice {
				lies = append(lies, "there are two notes "+title)
			}
			notes[title] = n
		}
		if page.Next == "" {
			return notes, lies
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
	}
}

// crash kills a server under 16 writers, again and again, and returns how many writes were answered and which answers
// were lies.
func crash(t *testing.T, kills int, start func(file string) *process) (answered int64, lies []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "notes.db")
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport}
	diaries := make([]*diary, 16)
	for i := range diaries {
		diaries[i] = &diary{client: c, random: rand.New(rand.NewPCG(3, uint64(i))), name: fmt.Sprint("w", i)}
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
				once.Do(func() { close(reached) }) // a server that fails by itself must not be waited for
			})
		}
		<-reached
		p.kill()
		writers.Wait()
		p = start(file)
		for _, d := range diaries {
			d.url = p.url
			lies = append(lies, d.lost()...)
		}
		if len(lies) > 0 {
			return count.Load(), lies
		}
		p.kill()
	}
	p := start(file)
	notes, twice := list(c, p.url)
	lies = append(lies, twice...)
	for _, d := range diaries {
		for _, e := range d.kept {
			n, there := notes[e.title]
			if e.first.status != 0 && there != (e.now != "") {
				lies = append(lies, fmt.Sprintf("%s: listed %v, was answered as %.100q", e.title, there, e.now))
			}
			if there && e.first.status != 0 && n.Version != parse(t, e.now).Version {
				lies = append(lies, fmt.Sprintf("%s is listed at version %d, was answered as %.100q", e.title,
					n.Version, e.now))
			}
			delete(notes, e.title)
		}
	}
	for title := range notes {
		lies = append(lies, title+" is listed, but nobody made it")
	}
	return count.Load(), lies
}

// TestProofCrash: a server that is killed under load keeps every write that it answered.
func TestProofCrash(t *testing.T) {
	kills := storetest.Amount(50, 500)
	answered, lies := crash(t, kills, func(file string) *process { return startServer(t, file) })
	if len(lies) > 0 {
		t.Errorf("%d lies: %.2000s", len(lies), strings.Join(lies, "\n"))
	}
	table := onDynamoDB(t)
	onTable, more := storetest.Amount(10, 100), int64(0)
	more, lies = crash(t, onTable, func(file string) *process {
		p := startServer(t, file, table...)
		for range 3 { // the table may still be at writes of the server that was killed: wait until it has done more
			ask(client, "DELETE", p.url+"/notes/019ab1c2-d3e4-7f56-8a7b-9c0d1e2f3a4b", "")
		}
		return p
	})
	if len(lies) > 0 {
		t.Errorf("on DynamoDB %d lies: %.2000s", len(lies), strings.Join(lies, "\n"))
	}
	_, caught := crash(t, 20, func(file string) *process { return startControl(t, faultForgetful, file) })
	if len(caught) == 0 {
		t.Error("the control, a server that answers before it writes, lost nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d kills, %d answered writes; on DynamoDB Local %d and %d", kills, answered,
		onTable, more), fmt.Sprintf("%d lost", len(lies)), fmt.Sprintf("answering early: %d lost", len(caught)))
}

// fullDisk fills a server's small disk, makes room again, and returns what was wrong.
func fullDisk(t *testing.T, start func(file string) *process) (refusals int, lies []string) {
	t.Helper()
	folder := t.TempDir()
	if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		storetest.Lacks(t, "the right to mount a small file system", err)
	}
	defer func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(filepath.Join(folder, "notes.db"))
	defer p.kill()
	made := map[string]string{} // id to note
	write := func() reply {
		a := ask(client, "POST", p.url+"/notes", `{"title":"x","content":"`+strings.Repeat("c", 20_000)+`"}`)
		if a.status == 201 {
			made[parse(t, a.body).ID] = a.body
		}
		return a
	}
	for i := 0; i < 1000 && refusals < 5; i++ {
		if a := write(); a.status == 503 && a.header.Get("Retry-After") != "" {
			refusals++
		} else if a.status != 201 {
			return refusals, append(lies, fmt.Sprintf("on a full disk a write is answered with %d %.200s", a.status,
				a.body))
		}
	}
	read := func() {
		for id, note := range made {
			if a := ask(client, "GET", p.url+"/notes/"+id, ""); a.status != 200 || a.body != note {
				lies = append(lies, fmt.Sprintf("%s is answered with %d %.100s", id, a.status, a.body))
			}
		}
		if all, twice := list(client, p.url); len(all)+len(twice) != len(made) {
			lies = append(lies, fmt.Sprintf("%d notes were answered, %d are listed", len(made), len(all)+len(twice)))
		}
	}
	read()
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if a := write(); a.status != 201 {
		lies = append(lies, fmt.Sprintf("with room again a write is answered with %d %.200s", a.status, a.body))
	}
	read()
	return refusals, lies
}

// TestProofFullDisk: writes are refused, reads go on, and with room writes go on, without a restart.
func TestProofFullDisk(t *testing.T) {
	refusals, lies := fullDisk(t, func(file string) *process { return startServer(t, file) })
	if refusals == 0 || len(lies) > 0 {
		t.Errorf("%d refusals, %d lies: %.2000s", refusals, len(lies), strings.Join(lies, "\n"))
	}
	_, caught := fullDisk(t, func(file string) *process { return startControl(t, faultForgetful, file) })
	if len(caught) == 0 {
		t.Error("the control, a server that answers before it writes, lost nothing")
	}
	storetest.Proved(t, fmt.Sprintf("%d writes refused with 503", refusals),
		fmt.Sprintf("%d answered writes lost", len(lies)), fmt.Sprintf("answering early: %d lost", len(caught)))
}
