// Package asset serves static files from memory, compressed if the client accepts it. Each coding has its own strong
// ETag, and clients may keep a file with a versioned name for ever.
package asset

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"example.com/portable-notes/app"
)

// A File is a static file.
type File struct {
	mediaType    string
	cacheControl string // "" for the default of the app
	digest       string
	plain        func() ([]byte, error)
	compressed   func() ([]byte, error) // nil if the file is only sent plain
}

// New returns a file that is always sent as it is.
func New(mediaType string, content []byte) File {
	return File{mediaType: mediaType, digest: Digest(content),
		plain: func() ([]byte, error) { return content, nil }}
}

// NewText returns a file that is sent compressed to clients that accept it. It is compressed when it is first needed.
func NewText(mediaType string, content []byte) File {
	f := New(mediaType, content)
	f.compressed = sync.OnceValues(func() ([]byte, error) { return compress(content) })
	return f
}

// NewCompressed returns a file whose content is given in gzip's format. It is decompressed for clients that do not
// accept that.
func NewCompressed(mediaType string, content []byte) File {
	f := New(mediaType, content)
	f.compressed, f.plain = f.plain, sync.OnceValues(func() ([]byte, error) { return decompress(content) })
	return f
}

func compress(content []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // a valid level
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	err := w.Close()
	return packed.Bytes(), err
}

func decompress(content []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// Digest returns the first 16 hexadecimal digits of the SHA-256 of content. It names a version of a file.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// Versioned returns name with the file's digest in it, so that every version of the file has its own name.
func (f File) Versioned(name string) string {
	ext := path.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + f.digest + ext
}

// Forever returns the file for a versioned name, which clients may cache without revalidation (RFC 8246).
func (f File) Forever() File {
	f.cacheControl = "public, max-age=31536000, immutable"
	return f
}

// MediaType returns the media type of the file.
func (f File) MediaType() string { return f.mediaType }

// Serve sends the file.
func (f File) Serve(c echo.Context) error {
	header := c.Response().Header()
	if f.cacheControl != "" {
		header.Set("Cache-Control", f.cacheControl)
	}
	content, etag := f.plain, `"`+f.digest+`"`
	if f.compressed != nil {
		header.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
		if acceptsGzip(c.Request()) {
			header.Set(echo.HeaderContentEncoding, "gzip")
			etag = `"` + f.digest + `-gzip"` // strong, so each representation has its own (RFC 9110, section 8.8.3.3)
			content = f.compressed
		}
	}
	header.Set("ETag", etag)
	if app.IsCurrent(c.Request(), etag) {
		header.Del(echo.HeaderContentEncoding)
		return c.NoContent(http.StatusNotModified)
	}
	body, err := content()
	if err != nil {
		return err
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
