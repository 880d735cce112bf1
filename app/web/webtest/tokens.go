package webtest

import (
	"net/http"
	"strings"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// testToken asks for a token and keeps it as long as the reader wants.
func testToken(s *suite) {
	s.create("Secret", "")
	p := s.visit()
	p.awaitText("#entrance", "Enter your token")
	p.screenshot("token")
	p.signIn("wrong")
	p.awaitText("#token-error", "unknown or has expired")
	p.signIn("two words")
	p.awaitText("#token-error", "no spaces")
	p.signIn(s.site.Write)
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
	p.signIn(s.site.Write)
	p.awaitText("#list", "Secret")
	p.writeNew("Still here")
	s.plant(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusUnauthorized) })
	p.press("s", input.ModifierCtrl)
	p.awaitText("#token-error", "unknown or has expired")
	s.plant(nil)
	p.signIn(s.site.Write)
	p.awaitText("#list", "Still here")
}

// testReadOnly: a token that may only read shows notes and offers no change.
func testReadOnly(s *suite) {
	n := s.create("Secret", "text")
	p := s.visit()
	p.signIn(s.site.Read)
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
	p.signIn(s.site.Write)
	p.awaitText("#progress", "No notes yet")
	p.writeNew("Private")
	s.plant(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusUnauthorized) })
	p.press("s", input.ModifierCtrl)
	p.awaitText("#token-error", "unknown or has expired")
	s.plant(nil)
	s.requests()
	p.signIn(s.site.Read)
	p.awaitText("#notice", "Read only")
	p.awaitText("#unsaved", "Private")
	for _, request := range s.requests() {
		if strings.HasPrefix(request, "POST ") {
			s.Errorf("the page sends %s", request)
		}
	}
	equal(s, "stored drafts", p.eval("Object.keys(localStorage).length"), "1")
}
