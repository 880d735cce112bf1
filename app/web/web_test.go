package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/web"
)

// newHandler returns an app with the page at a base path.
func newHandler(base string, options web.Options) http.Handler {
	e := app.New(nil, app.Options{})
	web.Mount(e, options)
	return app.Under(base, e)
}

// send sends a GET request. Headers are pairs of name and value.
func send(t *testing.T, h http.Handler, target string, headers ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
	r.URL.Path = target
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

// browser is the Accept header of Chromium.
const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

// TestAccept: only a client that prefers HTML gets the page. Others get the addresses of the API.
func TestAccept(t *testing.T) {
	for _, c := range []struct {
		accept string
		isHTML bool
	}{
		{browser, true}, {"text/html", true}, {"text/html, application/json", true},
		{"text/html;q=0.9, application/json;q=0.1", true},
		{"", false}, {"*/*", false}, {"application/json", false}, {"text/html;q=0", false},
		{"application/json, text/html;q=0.5", false}, {"image/png", false}, {"nonsense", false},
	} {
		t.Run(c.accept, func(t *testing.T) {
			answer, body := send(t, newHandler("/api", web.Options{Reference: true}), "/api/", "Accept", c.accept)
			mediaType, want := answer.Header.Get("Content-Type"), "application/json"
			if c.isHTML {
				want = "text/html; charset=utf-8"
			}
			if answer.StatusCode != 200 || mediaType != want ||
				!slices.Contains(answer.Header.Values("Vary"), "Accept") {
				t.Errorf("%d %v", answer.StatusCode, answer.Header)
			}
			const pointers = `{"docs":"/api/docs","notes":"/api/notes","openapi":"/api/openapi.json"}` + "\n"
			if !c.isHTML && body != pointers {
				t.Errorf("the body is %s", body)
			}
		})
	}
	t.Run("without a reference", func(t *testing.T) {
		if _, body := send(t, newHandler("", web.Options{}), "/"); body != `{"notes":"/notes"}`+"\n" {
			t.Errorf("the body is %s", body)
		}
	})
}

// TestBase: the page's links begin with the base path, with and without a slash at the end of the URL.
func TestBase(t *testing.T) {
	for _, c := range []struct{ base, target, want string }{
		{"", "/", "/"}, {"/dev", "/dev", "/dev/"}, {"/dev", "/dev/", "/dev/"}, {"/a/b", "/", "/a/b/"},
	} {
		t.Run(c.target+" under "+c.base, func(t *testing.T) {
			h := newHandler(c.base, web.Options{})
			answer, page := send(t, h, c.target, "Accept", browser)
			if answer.StatusCode != 200 || !strings.Contains(page, `<base href="`+c.want+`">`) {
				t.Fatalf("%d %.400s", answer.StatusCode, page)
			}
			links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page, -1)
			if len(links) < 10 {
				t.Errorf("the page has the links %v", links)
			}
			for _, link := range links[1:] { // the first is the base
				answer, body := send(t, h, c.want+link[1])
				if answer.StatusCode != 200 || body == "" ||
					answer.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" ||
					!strings.HasPrefix(answer.Header.Get("ETag"), `"`) {
					t.Errorf("%s: %d %v", link[1], answer.StatusCode, answer.Header)
				}
				packed, content := send(t, h, c.want+link[1], "Accept-Encoding", "gzip")
				r, err := gzip.NewReader(strings.NewReader(content))
				if err != nil || packed.Header.Get("Content-Encoding") != "gzip" {
					t.Fatalf("%s: %v %v", link[1], err, packed.Header)
				}
				if plain, err := io.ReadAll(r); err != nil || string(plain) != body {
					t.Errorf("%s: the compressed file differs: %v", link[1], err)
				}
			}
		})
	}
}

// TestLanguage: the language is the reader's choice, or else that of the browser.
func TestLanguage(t *testing.T) {
	h := newHandler("", web.Options{})
	etags := map[string]string{}
	for _, c := range []struct{ accept, cookie, want string }{
		{"", "", "en"}, {"ja", "", "ja"}, {"ja-JP,en;q=0.5", "", "ja"}, {"fr, ja;q=0.5", "", "ja"}, {"de", "", "en"},
		{"en-GB", "ja", "ja"}, {"ja", "en", "en"}, {"ja", "xx", "ja"}, {"ja", "\"<b>", "ja"}, {"*", "", "en"},
	} {
		t.Run(c.accept+" "+c.cookie, func(t *testing.T) {
			answer, page := send(t, h, "/", "Accept", browser, "Accept-Language", c.accept,
				"Cookie", "other=1; notes-language="+c.cookie)
			if !strings.Contains(page, `<html lang="`+c.want+`"`) || answer.Header.Get("Content-Language") != c.want {
				t.Errorf("the language is %s: %.100s", answer.Header.Get("Content-Language"), page)
			}
			etag := answer.Header.Get("ETag")
			if known, seen := etags[c.want]; seen && known != etag {
				t.Errorf("the ETag changes from %s to %s", known, etag)
			}
			etags[c.want] = etag
			again, _ := send(t, h, "/", "Accept", browser, "Accept-Language", c.want, "If-None-Match", etag)
			if again.StatusCode != http.StatusNotModified {
				t.Errorf("If-None-Match: %d", again.StatusCode)
			}
		})
	}
	if etags["en"] == etags["ja"] {
		t.Error("both languages have one ETag")
	}
}

// TestPolicy: the page runs only its own scripts and cannot be framed, and nothing from the settings becomes HTML.
func TestPolicy(t *testing.T) {
	h := newHandler("", web.Options{Auth: "jwt", Issuer: `https://issuer.example/"><script>`})
	answer, page := send(t, h, "/", "Accept", browser)
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'",
		"form-action 'none'"} {
		if !strings.Contains(answer.Header.Get("Content-Security-Policy"), part) {
			t.Errorf("the policy lacks %s", part)
		}
	}
	if strings.Contains(page, "issuer.example/\">") || !strings.Contains(page, "https://issuer.example/&#34;&gt;") {
		t.Error("the issuer is not escaped")
	}
	for _, inline := range []string{"<script>", " style=", " onclick=", "//fonts.", "{{"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page has %s", inline)
		}
	}
}

// TestUnknownFiles: another version, and other names, are not found.
func TestUnknownFiles(t *testing.T) {
	h := newHandler("", web.Options{})
	_, page := send(t, h, "/", "Accept", browser)
	script := regexp.MustCompile(`page/[0-9a-f]{16}/main\.js`).FindString(page)
	if script == "" {
		t.Fatal("the page has no script")
	}
	for _, target := range []string{"/page", "/page/", "/page/0000000000000000/main.js", "/" + path.Dir(script),
		"/" + script + "/x", "/" + path.Dir(script) + "/index.html", "/" + path.Dir(script) + "/../web.go"} {
		if answer, _ := send(t, h, target); answer.StatusCode != 404 {
			t.Errorf("%s: %d", target, answer.StatusCode)
		}
	}
}

// TestSize: all that a browser loads for the page has at most 60 KB, compressed.
func TestSize(t *testing.T) {
	total := 0
	for _, name := range files(t) {
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		_, _ = w.Write(read(t, name))
		_ = w.Close()
		total += packed.Len()
	}
	t.Logf("%d bytes", total)
	if total > 60_000 {
		t.Errorf("the page has %d bytes", total)
	}
}

// TestTexts: both languages have every text that the page uses, with the same values, and no other.
func TestTexts(t *testing.T) {
	used := map[string]bool{}
	for _, name := range files(t) {
		patterns := map[string]string{
			".js":   `'([a-z]+(?:\.[a-z]+)*)'`,
			".html": `data-(?:text|label|hint)="([\w.]+)"|\{\{(title)\}\}`,
		}
		if pattern := patterns[path.Ext(name)]; pattern != "" {
			for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(read(t, name)), -1) {
				used[match[1]+strings.Join(match[2:], "")] = true
			}
		}
	}
	value := regexp.MustCompile(`\{\w+\}`)
	texts := map[string]map[string]string{}
	for _, language := range []string{"en", "ja"} {
		var all map[string]string
		if err := json.Unmarshal(read(t, language+".json"), &all); err != nil {
			t.Fatal(err)
		}
		texts[language] = all
		for key := range all {
			if !used[strings.TrimSuffix(key, ".one")] {
				t.Errorf("%s: nothing uses %s", language, key)
			}
		}
	}
	for key, text := range texts["en"] {
		if strings.HasSuffix(key, ".one") {
			continue // Japanese has no plural
		}
		other, found := texts["ja"][key]
		values, others := value.FindAllString(text, -1), value.FindAllString(other, -1)
		slices.Sort(values)
		slices.Sort(others)
		if !found || !slices.Equal(values, others) {
			t.Errorf("%s: %q, %q", key, text, other)
		}
	}
	named := regexp.MustCompile(`data-(?:text|label|hint)="([\w.]+)"|\bt\('([\w.]+)'`)
	for _, name := range files(t) {
		for _, match := range named.FindAllStringSubmatch(string(read(t, name)), -1) {
			if key := match[1] + match[2]; texts["en"][key] == "" {
				t.Errorf("%s uses the text %s, which does not exist", name, key)
			}
		}
	}
}

// TestSources: lines of the page's sources end by column 120, and no text becomes HTML.
func TestSources(t *testing.T) {
	for _, name := range files(t) {
		source := string(read(t, name))
		for i, line := range strings.Split(source, "\n") {
			if path.Ext(name) != ".json" && path.Ext(name) != ".svg" && len([]rune(line)) > 120 {
				t.Errorf("%s:%d has %d columns", name, i+1, len([]rune(line)))
			}
		}
		for _, sink := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("} {
			if strings.Contains(source, sink) {
				t.Errorf("%s uses %s", name, sink)
			}
		}
	}
}

func files(t *testing.T) (names []string) {
	t.Helper()
	entries, err := fs.ReadDir(os.DirFS("page"), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("page/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
