package webtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// testOffline saves without a connection: the text is kept, also when the page is loaded again, and saved once when the
// connection is back.
func testOffline(s *suite) {
	p := s.visit()
	s.plant(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
	p.writeNew("Written on a train")
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "cannot be reached")
	p.awaitText("#unsaved", "Written on a train")
	p.screenshot("offline")
	p.open(s.url)
	p.awaitText("#unsaved", "Written on a train")
	p.awaitText("#notice", "cannot be reached")
	s.plant(nil)
	p.eval("dispatchEvent(new Event('online'))")
	p.await("!document.querySelector('#unsaved').innerText")
	p.awaitText("#list", "Written on a train")
	if all := s.all(); len(all) != 1 {
		s.Errorf("the notes are %+v", all)
	}
}

// testBusy: a save that is refused with Retry-After is repeated after that time, and the page says so.
func testBusy(s *suite) {
	n := s.create("Busy", "")
	p := s.visit()
	p.openNote(n.ID)
	for _, status := range []int{429, 503} {
		refused := make(chan time.Time, 100)
		s.plant(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Method == http.MethodPatch {
				refused <- time.Now()
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(status)
				return
			}
			pass.ServeHTTP(w, r)
		})
		text := fmt.Sprintf("text %d", status)
		p.enter("#content", text)
		p.click("#save")
		first := <-refused
		if wait := (<-refused).Sub(first); wait < time.Second {
			s.Errorf("the page sends again after %v, but was told to wait 1 s", wait)
		}
		p.awaitText("#state", fmt.Sprintf("busy (%d)", status))
		s.plant(nil)
		p.awaitText("#state", "Saved")
		equal(s, "the text", s.get(n.ID).Content, text)
	}
}

// testLostAnswer: the answers to writes are lost after the service has made them. The reader writes on. There is one
// note with the last text, and no conflict with oneself.
func testLostAnswer(s *suite) {
	p := s.visit()
	loseAnswers := func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodGet {
			pass.ServeHTTP(w, r)
			return
		}
		pass.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	s.plant(loseAnswers)
	p.writeNew("Once")
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "cannot be reached")
	p.enter("#content", "and more")
	s.plant(nil)
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "Saved")
	if all := s.all(); len(all) != 1 || all[0].Content != "and more" || all[0].Version != 2 {
		s.Errorf("the notes are %+v", all)
	}
	s.plant(loseAnswers)
	p.enter("#content", "and again")
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "cannot be reached")
	s.plant(nil)
	p.await("document.querySelector('#times').innerText.includes('version 3')")
	p.await("document.querySelector('#conflict').hidden")
	equal(s, "the text", s.all()[0].Content, "and again")
}

// testDrafts: text that is not saved outlasts the page, one tab does not disturb another, and it can be discarded.
func testDrafts(s *suite) {
	n := s.create("Draft", "as saved")
	p := s.visit()
	p.openNote(n.ID)
	p.enter("#content", "not saved yet")
	p.awaitText("#state", "The text is kept in this browser")
	p.awaitText("#unsaved", "Draft")
	other := s.visitBeside(p)
	other.openNote(n.ID)
	equal(s, "the text in another tab", other.eval("document.querySelector('#content').value"), "as saved")
	p.reload()
	p.await("document.querySelector('#content').value === 'not saved yet'")
	p.click("#discard")
	p.await("document.querySelector('#content').value === 'as saved'")
	p.await("!document.querySelector('#unsaved').innerText")
	p.reload()
	p.await("document.querySelector('#content').value === 'as saved'")
	equal(s, "the note", s.get(n.ID).Version, 1)

	// A text keeps its line ends, although a text area has others.
	lines := s.create("Lines", "one\r\ntwo\r\n")
	p.open(s.url + "?")
	p.openNote(lines.ID)
	p.eval("document.querySelector('#content').setSelectionRange(8, 8); document.querySelector('#content').focus()")
	p.insert("three\n")
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "Saved")
	equal(s, "the line ends", s.get(lines.ID).Content, "one\r\ntwo\r\nthree\r\n")
}

// testUnsure: a creation whose answer is lost, and whose repetition is refused for a while, stays one creation.
func testUnsure(s *suite) {
	p := s.visit()
	attempts := 0
	s.plant(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method != http.MethodPost {
			pass.ServeHTTP(w, r)
			return
		}
		if attempts++; attempts == 1 {
			pass.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	p.writeNew("Once")
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "busy (429)")
	p.enter("#content", "and more")
	s.plant(nil)
	p.awaitText("#state", "Saved")
	if all := s.all(); len(all) != 1 || all[0].Content != "and more" {
		s.Errorf("the notes are %+v", all)
	}

	// A change whose answer is lost is not a conflict with oneself, also if the reader writes on.
	s.plant(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodPatch {
			pass.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusGatewayTimeout)
			return
		}
		pass.ServeHTTP(w, r)
	})
	p.enter("#content", "first")
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "busy (504)")
	p.enter("#content", "first and second")
	s.plant(nil)
	p.press("s", input.ModifierCtrl)
	p.awaitText("#state", "Saved")
	equal(s, "the text", s.all()[0].Content, "first and second")
	equal(s, "a conflict", p.eval("document.querySelector('#conflict').hidden"), "true")
}

// testTyping: what happens while the reader types takes neither the focus nor the text.
func testTyping(s *suite) {
	n := s.create("Typing", "one")
	other := s.create("Other", "two")
	p := s.visit()

	// A key that deletes a word does not delete the note.
	p.openNote(n.ID)
	p.enter("#content", "one mine")
	p.press(kb.Delete, input.ModifierCtrl)
	equal(s, "the open note", p.eval("document.querySelector('#note').hidden"), "false")

	// A conflict leaves the focus where the reader types.
	s.call("PATCH", "/notes/"+n.ID, map[string]string{"content": "one theirs"}, nil)
	p.press("s", input.ModifierCtrl)
	p.await("!document.querySelector('#conflict').hidden")
	equal(s, "the focus", p.eval("document.activeElement.id"), "content")

	// Deleting a note that was changed elsewhere keeps the text that is not saved.
	p.click("#delete")
	p.awaitText("#toasts", "Not deleted, because it was changed elsewhere")
	p.awaitText("#unsaved", "Typing")
	p.openNote(n.ID)
	equal(s, "the text", p.eval("document.querySelector('#content').value"), "one mine")

	// A tag that was typed and not added goes to its own note.
	p.enter("#new-tag", "mine")
	p.eval("history.pushState(null, '', '#note=" + other.ID + "'); dispatchEvent(new Event('hashchange'))")
	p.await("document.querySelector('#title').value === 'Other'")
	equal(s, "the other note's tags", p.text("#tags"), "")
	p.openNote(n.ID)
	p.await("document.querySelector('#tags').innerText.includes('mine')")

	// A slow read of a note does not replace what was typed into it meanwhile.
	p.click("#close")
	p.click("#unsaved a")
	p.await("!document.querySelector('#note').hidden")
	p.click("#discard")
	p.click("#close")
	held, release := make(chan bool, 8), make(chan bool)
	s.plant(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, n.ID) {
			held <- true
			<-release
		}
		pass.ServeHTTP(w, r)
	})
	p.click(link(n.ID))
	<-held
	p.press(kb.Escape)
	p.await("!location.hash.includes('" + n.ID + "')")
	p.click(link(n.ID)) // the browser may wait for the answer to the first request
	p.await("location.hash.includes('" + n.ID + "')")
	close(release)
	p.await("document.querySelector('#title').value === 'Typing' && !document.querySelector('#note').hidden")
	p.enter("#content", "MY TEXT")
	p.awaitText("#unsaved", "Typing")
	equal(s, "the text", p.eval("document.querySelector('#content').value"), "MY TEXT")

	// A draft that this browser cannot store any more is not lost, and the page says so.
	p.eval("localStorage.setItem('full', 'x'.repeat(5200000 - JSON.stringify(localStorage).length)); 0")
	p.enter("#content", strings.Repeat("long ", 20_000))
	p.awaitText("#state", "this browser cannot keep the text")
}
