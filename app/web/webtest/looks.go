package webtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"example.com/portable-notes/notes/storetest"
)

// testLooks shows the page on small and wide screens, light and dark, in both languages. Nothing overflows, and
// axe-core finds no fault of accessibility.
func testLooks(s *suite) {
	axe := readAxe(s)
	s.create("A recipe for soup", "Tomatoes, onions,\nsalt and pepper.", "food", "evening")
	n := s.create("Words "+strings.Repeat("long", 45), strings.Repeat("content ", 200), strings.Repeat("t", 50), "two")
	for _, c := range []struct {
		width, height int64
		scheme, lang  string
	}{
		{360, 740, "light", "en"}, {360, 740, "dark", "ja"}, {1440, 900, "light", "ja"}, {1440, 900, "dark", "en"},
	} {
		s.TB.(*testing.T).Run(fmt.Sprintf("%d %s %s", c.width, c.scheme, c.lang), func(t *testing.T) {
			p := newTab(t, s.browser, nil)
			p.run(emulation.SetDeviceMetricsOverride(c.width, c.height, 1, c.width < 500),
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
					{Name: "prefers-color-scheme", Value: c.scheme}}),
				emulation.SetUserAgentOverride("test").WithAcceptLanguage(c.lang))
			check := func(what string) {
				t.Helper()
				p.screenshot(fmt.Sprintf("%s-%d-%s-%s", what, c.width, c.scheme, c.lang))
				equal(t, "the width of the "+what, p.eval("Math.max(innerWidth, document.documentElement.scrollWidth)"),
					fmt.Sprint(c.width)) // a narrow screen shows wider pages smaller
				p.eval(axe)
				if found := p.eval(runAxe); found != "[]" {
					t.Errorf("axe-core finds, in the %s: %s", what, found)
				}
			}
			p.open(s.url)
			p.await("document.querySelectorAll('#list li').length === 2")
			equal(t, "the language", p.eval("document.documentElement.lang"), c.lang)
			equal(t, "the title", p.eval("document.title"), map[string]string{"en": "Notes", "ja": "ノート"}[c.lang])
			check("list")
			p.openNote(n.ID)
			check("note")
			p.eval("document.querySelector('#close').click()")
			p.eval("document.querySelector('#keys').showModal()")
			check("keys")
			p.eval("document.querySelector('#keys').close()")
			p.eval("document.querySelector('#help').removeAttribute('aria-label')")
			p.eval("document.querySelector('#help').textContent = ''")
			if p.eval(runAxe) == "[]" {
				t.Error("the control: axe-core does not find a button without a name")
			}
			other := map[string]string{"en": "ja", "ja": "en"}[c.lang]
			p.await("document.querySelector('#note').hidden")
			p.eval("document.querySelector('#language').value = '" + other +
				"'; document.querySelector('#language').dispatchEvent(new Event('change'))")
			p.await("document.documentElement.lang === '" + other + "'")
			p.await("document.querySelector('#new').innerText === " +
				quote(map[string]string{"en": "New note", "ja": "新しいノート"}[other]))
			p.reload()
			p.await("document.documentElement.lang === '" + other + "'") // the choice is remembered
		})
	}
}

// runAxe checks the page by the rules of WCAG 2.2 A and AA, and by best practices.
const runAxe = `axe.run().then((results) => results.violations.map(
	(v) => v.id + ': ' + v.nodes.map((n) => n.target + ' ' + n.failureSummary).join('; ')))`

// readAxe returns the script of axe-core, whose file NOTES_TEST_AXE names.
func readAxe(t testing.TB) string {
	t.Helper()
	path := os.Getenv("NOTES_TEST_AXE")
	if path == "" {
		storetest.Lacks(t, "axe-core", errors.New("NOTES_TEST_AXE does not name its axe.min.js"))
	}
	script, err := os.ReadFile(path) // #nosec G304 G703 -- a file that the tester names
	if err != nil {
		t.Fatal(err)
	}
	return string(script) + "; 0"
}
