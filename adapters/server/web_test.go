package main

import (
	"testing"

	"example.com/portable-notes/app/web/webtest"
	"example.com/portable-notes/notes/storetest"
)

// TestPage runs the suite of the notes page in a browser, on both stores.
func TestPage(t *testing.T) {
	storetest.NotWithRace(t)
	start := func(env func(testing.TB) []string) func(*testing.T, bool) webtest.Site {
		return func(t *testing.T, tokens bool) webtest.Site {
			site, all := webtest.Site{}, env(t)
			if tokens {
				read, write, accepted := webtest.NewTokens(t)
				site.Read, site.Write = read, write
				all = append(all, "NOTES_AUTH=token", "NOTES_TOKENS="+accepted)
			}
			site.URL = startServer(t, newFile(t), all...).url + "/"
			return site
		}
	}
	t.Run("file", func(t *testing.T) {
		webtest.Run(t, start(func(testing.TB) []string { return nil }))
	})
	t.Run("table at a base path", func(t *testing.T) {
		webtest.Run(t, start(func(t testing.TB) []string { return append(dynamoDBEnv(t), "NOTES_BASE_PATH=/api") }))
	})
}

// TestPageMany runs the page on a store with many notes.
func TestPageMany(t *testing.T) {
	storetest.NotWithRace(t)
	webtest.RunMany(t, webtest.Site{URL: startServer(t, newFile(t)).url + "/"})
}

// BenchmarkPage measures the page in a browser.
func BenchmarkPage(b *testing.B) {
	webtest.Measure(b, webtest.Site{URL: startServer(b, newFile(b)).url + "/"})
}
