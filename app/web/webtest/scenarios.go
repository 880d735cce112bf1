package webtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// testWrite writes, changes and reads a note.
func testWrite(s *suite) {
	p := s.visit()
	p.awaitText("#progress", "No notes yet")
	p.writeNew("Shopping")
	p.enter("#content", "milk\nbread")
	p.enter("#new-tag", "home")
	p.press(kb.Enter)
	p.awaitText("#state", "Not saved. The text is kept")
	p.click("#save")
	p.awaitText("#state", "Saved")
	all := s.all()
	if len(all) != 1 || all[0].Title != "Shopping" || all[0].Content != "milk\nbread" ||
		!slices.Equal(all[0].Tags, []string{"home"}) || all[0].Version != 1 {
		s.Fatalf("the notes are %+v", all)
	}
	p.await("location.hash.includes('" + all[0].ID + "')")
	p.awaitText("#list", "Shopping")
	equal(s, "drafts that are left", p.text("#unsaved"), "")

	p.enter("#content", "milk")
	p.press("s", input.ModifierCtrl)
	p.await("document.querySelector('#times').innerText.includes('version 2')")
	equal(s, "the text", s.get(all[0].ID).Content, "milk")
	p.click("#close")
	p.await("document.querySelector('#note').hidden")
}

// testConflict changes a note in two tabs: nothing is lost, and the reader chooses or merges.
func testConflict(choice, content string) func(*suite) {
	return func(s *suite) {
		n := s.create("Plan", "one\ntwo\nthree")
		one := s.visit()
		two := s.visitBeside(one)
		one.openNote(n.ID)
		two.openNote(n.ID)
		one.enter("#content", "one A\ntwo\nthree")
		two.enter("#content", "one\ntwo\nthree B")
		one.click("#save")
		one.awaitText("#state", "Saved")
		two.click("#save")
		two.await("!document.querySelector('#conflict').hidden")
		two.awaitText("#difference", "one A")
		two.awaitText("#difference", "three B")
		equal(s, "the note before the choice", s.get(n.ID).Content, "one A\ntwo\nthree")
		two.screenshot("conflict")
		two.click(choice)
		if choice == "#merge" {
			two.awaitText("#state", "Merged")
			two.click("#save")
		}
		two.await("document.querySelector('#conflict').hidden && !document.querySelector('#unsaved').innerText")
		if choice != "#take-theirs" {
			two.awaitText("#state", "Saved")
		}
		equal(s, "the note", s.get(n.ID).Content, content)
		equal(s, "the form", two.eval("document.querySelector('#content').value"), content)
	}
}

// testGone saves a note that was deleted elsewhere: it becomes a new note.
func testGone(s *suite) {
	n := s.create("Old", "text")
	p := s.visit()
	p.openNote(n.ID)
	p.enter("#content", "text of mine")
	s.call("DELETE", "/notes/"+n.ID, nil, nil)
	p.click("#save")
	p.awaitText("#state", "deleted elsewhere")
	p.click("#save")
	p.awaitText("#state", "Saved")
	all := s.all()
	if len(all) != 1 || all[0].ID == n.ID || all[0].Content != "text of mine" {
		s.Errorf("the notes are %+v", all)
	}
}

// testDelete deletes a note, with and without undo.
func testDelete(s *suite) {
	kept, deleted := s.create("Keep me", ""), s.create("Delete me", "")
	p := s.visit()
	p.openNote(kept.ID)
	p.click("#delete")
	p.awaitText("#toasts", "Keep me")
	p.await("!document.querySelector('#list').innerText.includes('Keep me')")
	p.click("#toasts button")
	p.awaitText("#list", "Keep me")
	p.openNote(deleted.ID)
	s.requests()
	p.click("#delete")
	p.await("!document.querySelector('#list').innerText.includes('Delete me')")
	p.await("!document.querySelector('#toasts').innerText.includes('Delete me')")
	equal(s, "the deleted note", s.call("GET", "/notes/"+deleted.ID, nil, nil), 404)
	s.get(kept.ID)
	if seen := s.requests(); len(seen) != 1 || !strings.HasPrefix(seen[0], "DELETE ") {
		s.Errorf("the requests are %v", seen)
	}

	// A note that is changed during the delay stays, and comes back.
	p.openNote(kept.ID)
	p.click("#delete")
	s.call("PATCH", "/notes/"+kept.ID, map[string]string{"content": "important"}, nil)
	p.awaitText("#toasts", "Not deleted, because it was changed elsewhere")
	p.awaitText("#list", "Keep me")
	s.get(kept.ID)

	// A page that is left during the delay deletes at once.
	last := s.create("Last", "")
	p.open(s.url + "?")
	p.openNote(last.ID)
	p.click("#delete")
	p.awaitText("#toasts", "Last")
	p.open("about:blank")
	for deadline := time.Now().Add(patience); s.call("GET", "/notes/"+last.ID, nil, nil) != 404; {
		if time.Now().After(deadline) {
			s.Fatal("the note was not deleted when the page was left")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// testSearch searches and filters.
func testSearch(s *suite) {
	for i := range 30 {
		s.create(fmt.Sprintf("Note %d", i), "nothing of interest", "even")
	}
	found := s.create("Recipe", "Tomato soup", "food", "even")
	s.create("Other recipe", "Cake", "food")
	p := s.visit()
	p.awaitText("#progress", "32 notes")
	p.enter("#query", "TOMATO")
	p.awaitText("#progress", "1 found")
	equal(s, "the address", p.eval("location.hash"), "#q=TOMATO")
	p.openNote(found.ID)
	p.enter("#query", "")
	p.awaitText("#progress", "32 notes")
	p.enter("#tag", "food")
	p.press(kb.Enter)
	p.awaitText("#progress", "2 found")
	p.click("#list .row-tags button[aria-label$=' even']")
	p.awaitText("#progress", "1 found")
	p.click("#filters button")
	p.awaitText("#progress", "31 found")
	p.eval("history.back()")
	p.awaitText("#progress", "1 found")
	p.enter("#query", "no such text")
	p.awaitText("#progress", "Nothing found")
}

// testKeyboard does everything without a mouse.
func testKeyboard(s *suite) {
	s.create("First", "")
	s.create("Second", "")
	p := s.visit()
	p.awaitText("#list", "First")
	p.press("?")
	p.await("document.querySelector('#keys').open")
	p.press(kb.Escape)
	p.await("!document.querySelector('#keys').open")
	p.press("j")
	p.press("j")
	p.await("document.activeElement.innerText.includes('First')")
	p.press(kb.Enter)
	p.await("document.activeElement.id === 'note-pane'")
	p.press(kb.Tab)
	p.await("document.activeElement.id === 'title'")
	p.press(kb.Escape)
	p.await("document.querySelector('#note').hidden && document.activeElement.innerText.includes('First')")
	p.press("n")
	p.await("document.activeElement.id === 'title'")
	p.insert("Third")
	p.press(kb.Tab)
	p.insert("its text")
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "Saved")
	p.eval("document.querySelector('#save').focus()") // in a text, the key deletes a word
	p.press(kb.Delete, input.ModifierCtrl)
	p.awaitText("#toasts", "Third")
	p.await("document.querySelector('#note').hidden && document.activeElement.innerText.includes('Second')")
	p.press("u")
	p.awaitText("#list", "Third")
	p.press("/")
	p.await("document.activeElement.id === 'query'")
	p.insert("second")
	p.awaitText("#progress", "1 found")

	// Single keys can be switched off.
	p.press(kb.Escape)
	p.eval("document.activeElement.blur()")
	p.press("?")
	p.click("#single-keys")
	p.press(kb.Escape)
	p.await("!document.querySelector('#keys').open")
	p.eval("document.activeElement.blur()")
	p.press("n")
	equal(s, "a new note", p.eval("location.hash.includes('note=new')"), "false")
}

// hostileTexts are texts that a page could mistake for something else.
var hostileTexts = []string{
	`<img src=x onerror="alert(1)"><script>alert(2)</script>`,
	`</textarea><iframe srcdoc="<script>alert(3)</script>">`,
	`javascript:alert(4)`,
	"right \u202e to left \u2066 isolate",
	"control \u0001 here",
	strings.Repeat("w", 200),
	`{{base}} ${t('title')} &lt;b&gt;`,
}

// discard ignores errors: in the frame, the browser reports that it refused the page.
type discard struct{ testing.TB }

func (discard) Errorf(string, ...any) {}

// testHostile shows hostile notes as text.
func testHostile(s *suite) {
	for _, text := range hostileTexts {
		title := "Hostile " + strings.ReplaceAll(text, "\u0001", "") // a title has no control characters
		s.create(title[:min(len(title), 200)], text, "<b>tag</b>")
	}
	p := s.visit()
	p.await(fmt.Sprintf("document.querySelectorAll('#list li').length === %d", len(hostileTexts)))
	equal(s, "elements made from notes", p.eval(
		"document.querySelectorAll('#list :is(img, script, iframe, b)').length"), "0")
	equal(s, "an overflow to the side", p.eval("document.documentElement.scrollWidth <= innerWidth"), "true")
	for _, n := range s.all() {
		p.openNote(n.ID)
		p.await("document.querySelector('#title').value === " + quote(n.Title))
		equal(s, "the text", p.eval("document.querySelector('#content').value"), n.Content)
		p.click("#close")
		p.await("document.querySelector('#note').hidden")
	}

	// The control: a note that became HTML, or a script, would be refused and found.
	for _, script := range []string{"document.body.innerHTML = '<img>'", "document.body.setAttribute('onclick', '5')"} {
		if _, err := p.tryEval(script); err == nil {
			s.Errorf("%s is not a violation", script)
		}
		p.awaitFault("policy violation")
	}

	// Nobody can put the page into a frame.
	frame := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "<!DOCTYPE html><iframe src=%q></iframe>", s.url)
	}))
	defer frame.Close()
	outer := newTab(discard{s}, s.browser, nil)
	outer.open(frame.URL)
	outer.await("document.querySelector('iframe').contentDocument === null") // an error page of the browser
}
