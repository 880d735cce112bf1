package facts

import (
	"archive/zip"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"example.com/portable-notes/deploy/doctor"
)

// zipped is a file in a zip.
type zipped struct {
	name, content string
	mode          uint32 // 0 for 0644
}

// zipOf returns a zip of some files.
func zipOf(t *testing.T, files []zipped) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		if h.SetMode(0o644); f.mode != 0 {
			h.SetMode(0o755)
		}
		file, err := w.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(file, f.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestCode checks that the code is read from the zip of a function, whatever its names begin with.
func TestCode(t *testing.T) {
	for _, name := range []string{"bootstrap", "./bootstrap"} {
		t.Run(name, func(t *testing.T) {
			packed := zipOf(t, []zipped{{name, "#!/bin/sh\necho\n", 1}, {"data/x", "", 0}})
			f := readCode(t, packed, "provided.al2023", "x")
			want := &doctor.Code{Files: []string{"bootstrap", "data/"}, Wanted: "bootstrap",
				Program: &doctor.Program{Name: "bootstrap", Executable: true, Interpreter: "/bin/sh"}}
			if got := f.Code.Value; !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, %+v", got, f.Code.Error)
			}
		})
	}
}

// readCode reads the code of a function whose zip is packed. If packed is nil, fetching the zip fails.
func readCode(t *testing.T, packed []byte, runtime, handler string) *doctor.Function {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if packed == nil {
			http.Error(w, "expired", http.StatusForbidden)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(packed))
	}))
	t.Cleanup(server.Close)
	f := &doctor.Function{}
	f.Configuration.Of, f.Configuration.Value = "notes", &doctor.Configuration{Runtime: runtime, Handler: handler}
	g := &gatherer{ctx: t.Context(), locations: map[string]string{"notes": server.URL + "/?secret"}}
	g.readCode(f)
	return f
}

// TestLargeCode: only parts of a large zip are read. A zip that cannot be read is unseen, and its URL is not kept.
func TestLargeCode(t *testing.T) {
	noise := make([]byte, 8<<20)
	for i := range noise {
		noise[i] = byte(i * i * 7919 >> 8) // does not compress well
	}
	t.Run("parts", func(t *testing.T) {
		f := readCode(t, zipOf(t, []zipped{{"data", string(noise), 0}, {"app.py", "handler = 1", 0},
			{"more", string(noise), 0}}), "python3.12", "app.handler")
		if p := f.Code.Or().Program; p == nil || p.Name != "app.py" {
			t.Errorf("%+v", f.Code)
		}
	})
	for _, c := range []struct {
		name   string
		packed []byte
	}{{"refused", nil}, {"no zip", []byte("<html>")},
		{"cut short", zipOf(t, []zipped{{"app.py", "handler", 0}})[:40]}} {
		t.Run(c.name, func(t *testing.T) {
			f := readCode(t, c.packed, "python3.12", "app.handler")
			if f.Code.Error == nil || strings.Contains(f.Code.Error.Message, "secret") {
				t.Errorf("%+v", f.Code)
			}
		})
	}
}
