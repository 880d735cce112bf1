// Package web serves the notes page, on which people read and write notes in a browser.
//
// The page is a client of the public API and uses nothing else. It consists of plain HTML, CSS and JavaScript modules,
// which are sent as they are stored in the folder page; nothing is built. It asks no other host for anything.
package web

import (
	"embed"
	"encoding/json"
	"html"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/munnerz/goautoneg"
	"golang.org/x/text/language"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/asset"
)

// Options say what the page tells its readers about the service.
type Options struct {
	// Auth is how callers are authenticated: token or jwt. With either, the page asks for a token; with anything else,
	// it does not.
	Auth string

	// Issuer is the URL of the issuer of the tokens if Auth is jwt. The page says that tokens come from there.
	Issuer string

	// Reference reports whether the app has the routes of package about, to which the JSON at / then points.
	Reference bool
}

// Paths are the path templates of the page, for routers in front of the app such as API Gateway.
var Paths = []string{"/", "/page/{file+}"}

//go:embed page
var folder embed.FS

// policy is the page's Content-Security-Policy (CSP Level 3): scripts and styles from its own host, no inline code, no
// frames, and no text that is inserted as HTML (Trusted Types).
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'self'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; " +
	"trusted-types 'none'"

// languageCookie has the language that the reader chose on the page.
const languageCookie = "notes-language"

// languages are those of the page. The first is the default.
var languages = []language.Tag{language.English, language.Japanese}

var matcher = sync.OnceValue(func() language.Matcher { return language.NewMatcher(languages) })

// Mount adds the page at / and its files under /page/. The page's links begin with [app.Base] of the request.
func Mount(e *echo.Echo, options Options) {
	made := sync.OnceValue(func() *page { return newPage(options) }) // not before it is needed: servers start sooner
	get := func(c echo.Context) error {
		header := c.Response().Header()
		header.Add(echo.HeaderVary, "Accept")
		if !wantsHTML(c.Request()) {
			return app.JSON(c, http.StatusOK, made().pointers(app.Base(c.Request().Context())))
		}
		header.Add(echo.HeaderVary, "Accept-Language, Cookie")
		header.Set(echo.HeaderContentSecurityPolicy, policy)
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		lang := chooseLanguage(c.Request())
		header.Set("Content-Language", lang)
		return made().pageFor(lang, app.Base(c.Request().Context())).Serve(c)
	}
	app.Get(e, "/", get)
	app.Get(e, "/page/:version/:name", func(c echo.Context) error {
		p := made()
		file, ok := p.files[c.Param("name")]
		if !ok || c.Param("version") != p.version {
			return echo.ErrNotFound
		}
		return file.Serve(c)
	})
	// In Echo the last parameter of a path matches slashes too. This route makes it end at the first one.
	e.RouteNotFound("/page/:version/:name/*", echo.NotFoundHandler)
}

// wantsHTML reports whether a client names text/html, with at least the weight of application/json. Browsers do, and
// curl does not. Wildcards do not count.
func wantsHTML(r *http.Request) bool {
	weights := map[string]float64{}
	for _, accepted := range goautoneg.ParseAccept(r.Header.Get("Accept")) {
		weights[accepted.Type+"/"+accepted.SubType] = accepted.Q
	}
	page := weights["text/html"]
	return page > 0 && page >= weights["application/json"]
}

// chooseLanguage returns the language of the reader's choice, or else the best one of Accept-Language.
func chooseLanguage(r *http.Request) string {
	chosen := ""
	if cookie, err := r.Cookie(languageCookie); err == nil {
		chosen = cookie.Value
	}
	_, i := language.MatchStrings(matcher(), chosen, r.Header.Get("Accept-Language"))
	return languages[i].String()
}

// page is the notes page: its files, and the HTML for each language and base path.
type page struct {
	options  Options
	version  string                // of all files
	files    map[string]asset.File // by name
	modules  []string              // names of the scripts
	template string                // index.html
	texts    map[string]map[string]string
	pages    sync.Map // from [2]string{language, base path} to asset.File
}

func newPage(options Options) *page {
	p := &page{options: options, files: map[string]asset.File{}, texts: map[string]map[string]string{}}
	var everything strings.Builder
	entries, _ := folder.ReadDir("page") // embedded files cannot fail
	for _, entry := range entries {
		name := entry.Name()
		content, _ := folder.ReadFile("page/" + name)
		everything.WriteString(name + "\n" + string(content))
		if name == "index.html" {
			p.template = string(content)
			continue
		}
		p.files[name] = asset.NewText(mediaTypes[path.Ext(name)], content).Forever()
		switch path.Ext(name) {
		case ".js":
			p.modules = append(p.modules, name)
		case ".json":
			texts := map[string]string{}
			if err := json.Unmarshal(content, &texts); err != nil {
				panic(name + ": " + err.Error()) // a test reads every file
			}
			p.texts[strings.TrimSuffix(name, ".json")] = texts
		}
	}
	p.version = asset.Digest([]byte(everything.String()))
	return p
}

// mediaTypes are the media types of the page's files. The table of package mime depends on the machine.
var mediaTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".json": "application/json", ".svg": "image/svg+xml"}

// pointers returns where the API and its description are.
func (p *page) pointers(base string) map[string]string {
	to := map[string]string{"notes": base + "/notes"}
	if p.options.Reference {
		to["openapi"], to["docs"] = base+"/openapi.json", base+"/docs"
	}
	return to
}

// pageFor returns the HTML in a language for a base path.
func (p *page) pageFor(lang, base string) asset.File {
	key := [2]string{lang, base}
	if file, ok := p.pages.Load(key); ok {
		return file.(asset.File)
	}
	file, _ := p.pages.LoadOrStore(key, asset.NewText("text/html; charset=utf-8", []byte(p.render(lang, base))))
	return file.(asset.File)
}

// slot matches the places of the template that are filled: {{name}}, and attributes that name a text. The texts stand
// in attributes so that the page's script can replace them too, when the reader chooses another language.
var slot = regexp.MustCompile(`\{\{(\w+)\}\}|(data-text="([\w.]+)"[^>]*>)|data-(label|hint)="([\w.]+)"`)

// attributes are the HTML attributes of the data attributes in slot.
var attributes = map[string]string{"label": "aria-label", "hint": "placeholder"}

// render fills the template.
func (p *page) render(lang, base string) string {
	texts := p.texts[lang]
	preloads := ""
	for _, name := range p.modules {
		preloads += `<link rel="modulepreload" href="page/` + p.version + "/" + name + `">`
	}
	values := map[string]string{
		"lang": lang, "base": html.EscapeString(base), "files": "page/" + p.version,
		"auth": p.options.Auth, "issuer": html.EscapeString(p.options.Issuer), "preloads": preloads,
	}
	return slot.ReplaceAllStringFunc(p.template, func(found string) string {
		match := slot.FindStringSubmatch(found)
		switch {
		case match[1] != "":
			if value, ok := values[match[1]]; ok {
				return value
			}
			return html.EscapeString(texts[match[1]])
		case match[2] != "":
			return match[2] + html.EscapeString(texts[match[3]])
		}
		return found + " " + attributes[match[4]] + `="` + html.EscapeString(texts[match[5]]) + `"`
	})
}
