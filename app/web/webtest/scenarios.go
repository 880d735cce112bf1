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
	p.click("#new")
	p.await("document.activeElement.id === 'title'")
	p.insert("Shopping")
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

// testOffline saves without a connection: the text is kept, also when the page is loaded again, and saved once when the
// connection is back.
func testOffline(s *suite) {
	p := s.visit()
	s.plant(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
	p.click("#new")
	p.await("document.activeElement.id === 'title'")
	p.insert("Written on a train")
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
		refused := 0
		s.plant(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
			if r.Method == http.MethodPatch && refused < 2 {
				refused++
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(status)
				return
			}
			pass.ServeHTTP(w, r)
		})
		text := fmt.Sprintf("text %d", status)
		p.enter("#content", text)
		p.click("#save")
		p.awaitText("#state", fmt.Sprintf("busy (%d)", status))
		p.awaitText("#state", "Saved")
		equal(s, "the text", s.get(n.ID).Content, text)
		equal(s, "refusals", refused, 2)
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
	p.click("#new")
	p.await("document.activeElement.id === 'title'")
	p.insert("Once")
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

	// Nobody can put the page into a frame.
	frame := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "<!DOCTYPE html><iframe src=%q></iframe>", s.url)
	}))
	defer frame.Close()
	outer := newTab(discard{s}, s.browser, nil)
	outer.open(frame.URL)
	outer.await("document.querySelector('iframe').contentDocument === null") // an error page of the browser
}

// testToken asks for a token and keeps it as long as the reader wants.
func testToken(s *suite) {
	s.create("Secret", "")
	p := s.visit()
	p.awaitText("#entrance", "Enter your token")
	p.screenshot("token")
	p.enter("#token", "wrong")
	p.press(kb.Enter)
	p.awaitText("#token-error", "unknown or has expired")
	p.enter("#token", "two words")
	p.press(kb.Enter)
	p.awaitText("#token-error", "no spaces")
	p.enter("#token", s.site.Write)
	p.press(kb.Enter)
	p.awaitText("#list", "Secret")
	p.reload()
	p.await("!document.querySelector('#entrance').hidden") // it was in memory alone
	p.enter("#token", s.site.Write)
	p.click("#keep")
	p.click("#token-form button")
	p.awaitText("#list", "Secret")
	p.reload()
	p.awaitText("#list", "Secret")
	equal(s, "the token in the storage that stays", p.eval("JSON.stringify(localStorage)"), "{}")
	p.click("#forget")
	p.await("!document.querySelector('#entrance').hidden && !document.querySelector('#list').innerText")

	// A token that expires while somebody writes: the text is kept, and saved with the next token.
	p.enter("#token", s.site.Write)
	p.press(kb.Enter)
	p.awaitText("#list", "Secret")
	p.click("#new")
	p.await("document.activeElement.id === 'title'")
	p.insert("Still here")
	s.plant(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusUnauthorized) })
	p.press("s", input.ModifierCtrl)
	p.awaitText("#token-error", "unknown or has expired")
	s.plant(nil)
	p.enter("#token", s.site.Write)
	p.press(kb.Enter)
	p.awaitText("#list", "Still here")
}

// testReadOnly: a token that may only read shows notes and offers no change.
func testReadOnly(s *suite) {
	n := s.create("Secret", "text")
	p := s.visit()
	p.enter("#token", s.site.Read)
	p.press(kb.Enter)
	p.awaitText("#notice", "Read only")
	p.openNote(n.ID)
	p.awaitText("#state", "Read only")
	equal(s, "fields that can be changed", p.eval(
		"document.querySelectorAll('#editor :is(input, textarea):not([readonly], [hidden])').length"), "0")
	equal(s, "buttons that change notes", p.eval("[...document.querySelectorAll('#new, #save, #discard, #delete')]"+
		".filter((button) => button.checkVisibility()).length"), "0")
	p.press(kb.Escape)
	p.press("n")
	p.screenshot("read-only")
	equal(s, "a new note", p.eval("location.hash.includes('note=new')"), "false")
	equal(s, "notes", len(s.all()), 1)
}

// testAnotherOwner: a text that was written before a token expires is not sent under the next token by itself, and not
// twice.
func testAnotherOwner(s *suite) {
	p := s.visit()
	p.enter("#token", s.site.Write)
	p.press(kb.Enter)
	p.awaitText("#progress", "No notes yet")
	p.click("#new")
	p.await("document.activeElement.id === 'title'")
	p.insert("Private")
	s.plant(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusUnauthorized) })
	p.press("s", input.ModifierCtrl)
	p.awaitText("#token-error", "unknown or has expired")
	s.plant(nil)
	s.requests()
	p.enter("#token", s.site.Read)
	p.press(kb.Enter)
	p.awaitText("#notice", "Read only")
	p.awaitText("#unsaved", "Private")
	for _, request := range s.requests() {
		if strings.HasPrefix(request, "POST ") {
			s.Errorf("the page sends %s", request)
		}
	}
	equal(s, "stored drafts", p.eval("Object.keys(localStorage).length"), "1")
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
	p.click("#new")
	p.await("document.activeElement.id === 'title'")
	p.insert("Once")
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
	for range 2 {
		p.click(link(n.ID))
		<-held
		p.press(kb.Escape)
	}
	p.click(link(n.ID))
	<-held
	close(release)
	p.await("document.querySelector('#title').value === 'Typing'")
	p.enter("#content", "MY TEXT")
	p.awaitText("#unsaved", "Typing")
	equal(s, "the text", p.eval("document.querySelector('#content').value"), "MY TEXT")

	// A draft that this browser cannot store any more is not lost, and the page says so.
	p.eval("localStorage.setItem('full', 'x'.repeat(5200000 - JSON.stringify(localStorage).length)); 0")
	p.enter("#content", strings.Repeat("long ", 20_000))
	p.awaitText("#state", "this browser cannot keep the text")
}
