package facts

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
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

// elfOf returns an ELF file that needs a loader and a version of the GNU C library.
func elfOf(machine elf.Machine, loader, needs string) string {
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64,
		Phentsize: 56}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	if loader != "" {
		header.Phnum = 1
	}
	_ = binary.Write(&b, binary.LittleEndian, header)
	if loader != "" {
		_ = binary.Write(&b, binary.LittleEndian, elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120,
			Filesz: uint64(len(loader) + 1)})
		b.WriteString(loader + "\x00" + needs)
	}
	return b.String()
}

// TestCode: the facts about a zip show whether a runtime finds its program, but not the content of the files.
func TestCode(t *testing.T) {
	const python, node, custom = "python3.12", "nodejs22.x", "provided.al2023"
	for _, c := range []struct {
		name, runtime, handler string
		files                  []zipped
		program                *doctor.Program
		alike                  []string
	}{
		{"a handler in Python", python, "app.handler", []zipped{{"app.py", "def handler(e, c): pass", 0}},
			&doctor.Program{Name: "app.py", Function: "handler"}, nil},
		{"a function with another name", python, "app.handler", []zipped{{"app.py", "def main(e, c): pass", 0}},
			&doctor.Program{Name: "app.py", Function: "handler", Lacks: true}, nil},
		{"a function that another module may define", python, "app.handler",
			[]zipped{{"app.py", "from other import *", 0}}, &doctor.Program{Name: "app.py", Function: "handler"}, nil},
		{"a package", python, "src.app.handler", []zipped{{"src/app/__init__.py", "handler = 1", 0}},
			&doctor.Program{Name: "src/app/__init__.py", Function: "handler"}, nil},
		{"a folder around the files", python, "app.handler", []zipped{{"build/app.py", "handler = 1", 0}}, nil,
			[]string{"build/app.py"}},
		{"a name that differs in case", python, "App.handler", []zipped{{"app.py", "handler = 1", 0}}, nil,
			[]string{"app.py"}},
		{"CommonJS", node, "index.handler", []zipped{{"index.js", "exports.handler = async () => 1", 0}},
			&doctor.Program{Name: "index.js", Function: "handler"}, nil},
		{"import in CommonJS", node, "index.handler",
			[]zipped{{"index.js", "import x from 'x'\nexport const handler = x", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Mixed: "import"}, nil},
		{"an ES module", node, "src/index.handler", []zipped{{"package.json", `{"type": "module"}`, 0},
			{"src/index.js", "export const handler = 1", 0}},
			&doctor.Program{Name: "src/index.js", Function: "handler"}, nil},
		{"require in an ES module", node, "index.handler", []zipped{{"package.json", `{"type":"module"}`, 0},
			{"index.js", "const x = require('x')\nexports.handler = x", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Mixed: "require"}, nil},
		{"a callback", node, "index.handler",
			[]zipped{{"index.js", "exports.handler = (event, context, callback) => callback()", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Callback: true}, nil},
		{"the exports of a bundle", node, "index.handler", []zipped{{"index.js", "module.exports = require('./x')", 0}},
			&doctor.Program{Name: "index.js", Function: "handler"}, nil},
		{"a static program", custom, "bootstrap", []zipped{{"bootstrap", elfOf(elf.EM_X86_64, "", ""), 1}},
			&doctor.Program{Name: "bootstrap", Executable: true, Architecture: "x86_64"}, nil},
		{"a program for another architecture", custom, "main", []zipped{
			{"bootstrap", elfOf(elf.EM_AARCH64, "", ""), 1}},
			&doctor.Program{Name: "bootstrap", Executable: true, Architecture: "arm64"}, nil},
		{"a dynamic program", custom, "main", []zipped{{"bootstrap", elfOf(elf.EM_X86_64,
			"/lib64/ld-linux-x86-64.so.2", "GLIBC_2.2.5\x00GLIBC_2.38\x00GLIBC_2.4"), 0}},
			&doctor.Program{Name: "bootstrap", Architecture: "x86_64", Loader: "/lib64/ld-linux-x86-64.so.2",
				GLIBC: 38}, nil},
		{"a script with Windows line endings", custom, "x", []zipped{{"./bootstrap", "#!/bin/sh\r\necho\r\n", 1}},
			&doctor.Program{Name: "bootstrap", Executable: true, Interpreter: "/bin/sh\r"}, nil},
		{"a program with another name", custom, "main", []zipped{{"main", "x", 1}}, nil, nil},
		{"Ruby", "ruby3.3", "app.Shop::Notes.handler", []zipped{{"app.rb", "", 0}},
			&doctor.Program{Name: "app.rb", Function: "handler", Lacks: true}, nil},
		{"copied exports", node, "index.handler",
			[]zipped{{"index.js", "module.exports = { ...require('./lib') }", 0}},
			&doctor.Program{Name: "index.js", Function: "handler"}, nil},
		{"a compiled module", python, "app.handler", []zipped{{"app.cpython-312-x86_64-linux-gnu.so", "\x00", 0}},
			&doctor.Program{Name: "app.cpython", Function: "handler"}, nil},
		{"event fields that a handler mentions", node, "index.handler",
			[]zipped{{"index.js", "exports.handler = async (e) => e.requestContext.http", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Mentions: []string{"http"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := readCode(t, zipOf(t, c.files), c.runtime, c.handler)
			if f.Code.Error != nil {
				t.Fatal(f.Code.Error)
			}
			if got := f.Code.Value.Program; !reflect.DeepEqual(got, c.program) {
				t.Errorf("the program is %+v, want %+v", got, c.program)
			}
			if got := f.Code.Value.Alike; !reflect.DeepEqual(got, c.alike) {
				t.Errorf("the similar files are %q, want %q", got, c.alike)
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
