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
				read, readLine := newToken(t, "owner", "read")
				write, writeLine := newToken(t, "owner", "write")
				site.Read, site.Write = read, write
				all = append(all, "NOTES_AUTH=token", "NOTES_TOKENS="+readLine+","+writeLine)
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
