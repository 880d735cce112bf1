package about

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5/static"

	"example.com/portable-notes/app"
)

// A file is a static file. It is sent as stored, compressed or not.
type file struct {
	mediaType    string
	cacheControl string // "" for the default of the app
	digest       string // of stored
	stored       []byte
	compressed   bool                   // whether stored is gzip
	plain        func() ([]byte, error) // returns stored, decompressed
}

func newFile(mediaType string, stored []byte) file {
	sum := sha256.Sum256(stored)
	return file{
		mediaType: mediaType,
		digest:    hex.EncodeToString(sum[:8]),
		stored:    stored,
		plain:     func() ([]byte, error) { return stored, nil },
	}
}

// readAssets returns the files of Swagger UI by name. Its module embeds most of them compressed.
func readAssets() map[string]file {
	assets := map[string]file{}
	names, _ := fs.Glob(static.FS, "*") // embedded files cannot fail
	for _, stored := range names {
		content, _ := fs.ReadFile(static.FS, stored)
		name, compressed := strings.CutSuffix(stored, ".gz")
		asset := newFile(mime.TypeByExtension(path.Ext(name)), content)
		if compressed {
			asset.compressed, asset.plain = true, sync.OnceValues(func() ([]byte, error) { return decompress(content) })
		}
		assets[name] = asset
	}
	return assets
}

func decompress(content []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// versioned returns name with the file's digest in it, so that every version of the file has its own name.
func (f file) versioned(name string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + f.digest + ext
}

// forever returns the file for its versioned name, which clients may cache without revalidation (RFC 8246).
func (f file) forever() file {
	f.cacheControl = "public, max-age=31536000, immutable"
	return f
}

// serve sends the file.
func (f file) serve(c echo.Context) error {
	header := c.Response().Header()
	if f.cacheControl != "" {
		header.Set("Cache-Control", f.cacheControl)
	}
	if strings.HasPrefix(f.mediaType, "text/html") { // CSP Level 3: no frames, no <base>, no plug-ins
		header.Set("Content-Security-Policy", "frame-ancestors 'none'; base-uri 'none'; object-src 'none'")
	}
	body, etag := f.stored, `"`+f.digest+`"`
	if f.compressed {
		header.Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
		if acceptsGzip(c.Request()) {
			header.Set(echo.HeaderContentEncoding, "gzip")
			etag = `"` + f.digest + `-gzip"` // strong, so each representation has its own (RFC 9110, section 8.8.3.3)
		} else {
			var err error
			if body, err = f.plain(); err != nil {
				return err
			}
		}
	}
	header.Set("ETag", etag)
	if app.IsCurrent(c.Request(), etag) {
		header.Del(echo.HeaderContentEncoding)
		return c.NoContent(http.StatusNotModified)
	}
	return app.Send(c, http.StatusOK, f.mediaType, body)
}

// acceptsGzip reports whether the client accepts gzip (RFC 9110, section 12.5.3).
func acceptsGzip(r *http.Request) bool {
	accepted := false
	for element := range strings.SplitSeq(r.Header.Get(echo.HeaderAcceptEncoding), ",") {
		coding, weight, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(element, " ", "")), ";")
		q, err := strconv.ParseFloat(strings.TrimPrefix(weight, "q="), 64)
		switch ok := weight == "" || err == nil && q > 0; coding {
		case "gzip", "x-gzip":
			return ok
		case "*":
			accepted = ok
		}
	}
	return accepted
}
