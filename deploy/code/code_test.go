package code

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"example.com/portable-notes/deploy/doctor"
)

// file is a file of a function's code.
type file struct {
	name, content string
	mode          uint32 // 0 for 0644
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

// TestDescribe checks that a description shows whether a runtime finds its program, but not the content of the files.
func TestDescribe(t *testing.T) {
	const python, node, custom = "python3.12", "nodejs22.x", "provided.al2023"
	for _, c := range []struct {
		name, runtime, handler string
		files                  []file
		program                *doctor.Program
		alike                  []string
	}{
		{"a handler in Python", python, "app.handler", []file{{"app.py", "def handler(e, c): pass", 0}},
			&doctor.Program{Name: "app.py", Function: "handler"}, nil},
		{"a function with another name", python, "app.handler", []file{{"app.py", "def main(e, c): pass", 0}},
			&doctor.Program{Name: "app.py", Function: "handler", Lacks: true}, nil},
		{"a function that another module may define", python, "app.handler",
			[]file{{"app.py", "from other import *", 0}}, &doctor.Program{Name: "app.py", Function: "handler"}, nil},
		{"a package", python, "src.app.handler", []file{{"src/app/__init__.py", "handler = 1", 0}},
			&doctor.Program{Name: "src/app/__init__.py", Function: "handler"}, nil},
		{"a folder around the files", python, "app.handler", []file{{"build/app.py", "handler = 1", 0}}, nil,
			[]string{"build/app.py"}},
		{"a name that differs in case", python, "App.handler", []file{{"app.py", "handler = 1", 0}}, nil,
			[]string{"app.py"}},
		{"CommonJS", node, "index.handler", []file{{"index.js", "exports.handler = async () => 1", 0}},
			&doctor.Program{Name: "index.js", Function: "handler"}, nil},
		{"import in CommonJS", node, "index.handler",
			[]file{{"index.js", "import x from 'x'\nexport const handler = x", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Mixed: "import"}, nil},
		{"an ES module", node, "src/index.handler", []file{{"package.json", `{"type": "module"}`, 0},
			{"src/index.js", "export const handler = 1", 0}},
			&doctor.Program{Name: "src/index.js", Function: "handler"}, nil},
		{"require in an ES module", node, "index.handler", []file{{"package.json", `{"type":"module"}`, 0},
			{"index.js", "const x = require('x')\nexports.handler = x", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Mixed: "require"}, nil},
		{"a callback", node, "index.handler",
			[]file{{"index.js", "exports.handler = (event, context, callback) => callback()", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Callback: true}, nil},
		{"the exports of a bundle", node, "index.handler", []file{{"index.js", "module.exports = require('./x')", 0}},
			&doctor.Program{Name: "index.js", Function: "handler"}, nil},
		{"a static program", custom, "bootstrap", []file{{"bootstrap", elfOf(elf.EM_X86_64, "", ""), 1}},
			&doctor.Program{Name: "bootstrap", Executable: true, Architecture: "x86_64"}, nil},
		{"a program for another architecture", custom, "main", []file{
			{"bootstrap", elfOf(elf.EM_AARCH64, "", ""), 1}},
			&doctor.Program{Name: "bootstrap", Executable: true, Architecture: "arm64"}, nil},
		{"a dynamic program", custom, "main", []file{{"bootstrap", elfOf(elf.EM_X86_64,
			"/lib64/ld-linux-x86-64.so.2", "GLIBC_2.2.5\x00GLIBC_2.38\x00GLIBC_2.4"), 0}},
			&doctor.Program{Name: "bootstrap", Architecture: "x86_64", Loader: "/lib64/ld-linux-x86-64.so.2",
				GLIBC: 38}, nil},
		{"a script with Windows line endings", custom, "x", []file{{"bootstrap", "#!/bin/sh\r\necho\r\n", 1}},
			&doctor.Program{Name: "bootstrap", Executable: true, Interpreter: "/bin/sh\r"}, nil},
		{"a program with another name", custom, "main", []file{{"main", "x", 1}}, nil, nil},
		{"Ruby", "ruby3.3", "app.Shop::Notes.handler", []file{{"app.rb", "", 0}},
			&doctor.Program{Name: "app.rb", Function: "handler", Lacks: true}, nil},
		{"copied exports", node, "index.handler",
			[]file{{"index.js", "module.exports = { ...require('./lib') }", 0}},
			&doctor.Program{Name: "index.js", Function: "handler"}, nil},
		{"a compiled module", python, "app.handler", []file{{"app.cpython-312-x86_64-linux-gnu.so", "\x00", 0}},
			&doctor.Program{Name: "app.cpython", Function: "handler"}, nil},
		{"event fields that a handler mentions", node, "index.handler",
			[]file{{"index.js", "exports.handler = async (e) => e.requestContext.http.path", 0}},
			&doctor.Program{Name: "index.js", Function: "handler", Format: "2.0", Mentions: []string{"http"}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for _, f := range c.files {
				files[f.name] = &fstest.MapFile{Data: []byte(f.content), Mode: 0o644}
				if f.mode != 0 {
					files[f.name].Mode = 0o755
				}
			}
			got, err := Describe(files, c.runtime, c.handler)
			if err != nil {
				t.Fatal(err)
			}
			if got := got.Program; !reflect.DeepEqual(got, c.program) {
				t.Errorf("the program is %+v, want %+v", got, c.program)
			}
			if !reflect.DeepEqual(got.Alike, c.alike) {
				t.Errorf("the similar files are %q, want %q", got.Alike, c.alike)
			}
		})
	}
}

// TestLayerPaths checks where a layer may have a file.
func TestLayerPaths(t *testing.T) {
	for _, c := range []struct {
		runtime string
		want    []string
	}{
		{"python3.12", []string{"python/app.py", "python/lib/python3.12/site-packages/app.py"}},
		{"nodejs22.x", []string{"nodejs/app.py", "nodejs/node_modules/app.py"}}, {
			"ruby3.3", []string{"ruby/lib/app.py"}},
		{"provided.al2", []string{"app.py"}},
	} {
		t.Run(c.runtime, func(t *testing.T) {
			if got := layerPaths(c.runtime, []string{"app.py"}); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestFormat checks which payload format a handler needs.
func TestFormat(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"app.py", `event["rawPath"]`, "2.0"},
		{"app.py", `event['requestContext']['http']['method']`, "2.0"},
		{"app.py", `event["httpMethod"]`, "1.0"},
		{"app.py", `event.get("rawPath")`, ""},
		{"app.py", `event["rawPath"] if "rawPath" in event else event["httpMethod"]`, ""},
		{"app.py", `event.get("rawPath") or event["httpMethod"]`, ""},
		{"index.js", `event.requestContext.http.method`, "2.0"},
		{"index.js", `event.requestContext?.http?.method`, ""},
		{"index.js", `event.requestContext.http?.method`, ""},
		{"index.js", `if (event.requestContext.http) {`, ""},
		{"index.js", `event.httpMethod ?? event.requestContext.http.method`, ""},
		{"index.js", `event.rawPath`, ""}, // undefined, which is no error by itself
	} {
		t.Run(c.text, func(t *testing.T) {
			if got := formatOf(c.name, c.text); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestLayer checks that a program is found in a layer, and that the files at the top are listed.
func TestLayer(t *testing.T) {
	files := fstest.MapFS{"python/app.py": {Data: []byte("def handler(e, c): pass")}, "node_modules/x/index.js": {}}
	p, err := DescribeLayer(files, "python3.12", "app.handler")
	if err != nil || p == nil || p.Name != "python/app.py" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := DescribeLayer(files, "nodejs22.x", "x.handler"); err != nil || p != nil {
		t.Errorf("%+v, %v", p, err)
	}
	c, err := Top(files)
	if want := []string{"node_modules/", "python/"}; err != nil || !reflect.DeepEqual(c.Files, want) || c.Wanted != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestZip checks that a name with a backslash is no folder, and that the last of equal names is read.
func TestZip(t *testing.T) {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for _, f := range []file{{name: `src\app.py`, content: "x = 1"}, {name: "app.py", content: "main = 1"},
		{name: "app.py", content: "handler = 1"}} {
		one, err := w.Create(f.name)
		if err == nil {
			_, err = io.WriteString(one, f.content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := Zip(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Describe(files, "python3.12", "app.handler"); err != nil || c.Program == nil || c.Program.Lacks {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := Describe(files, "python3.12", "src/app.handler"); err != nil || c.Program != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Zip(strings.NewReader("no zip"), 6); err == nil {
		t.Error("what is no zip is opened")
	}
	if _, err := Describe(os.DirFS("/nosuch"), "python3.12", "app.handler"); err == nil {
		t.Error("a folder that is not there has files")
	}
}

// TestELF checks that a broken program is described as far as it can be read.
func TestELF(t *testing.T) {
	whole := elfOf(elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2", "GLIBC_2.38")
	for n := range len(whole) {
		readELF(&doctor.Program{}, []byte(whole[:n]))
	}
	big := []byte(whole)
	big[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	p := &doctor.Program{}
	if readELF(p, big); p.Architecture == "x86_64" || p.Loader != "" {
		t.Errorf("%+v", p)
	}
	huge := []byte(whole)
	for i := 64 + 8; i < 64+16; i++ { // the offset of the loader
		huge[i] = 0xff
	}
	for i := 32; i < 40; i++ { // that of the segments
		big[i] = 0xff
	}
	readELF(p, huge)
	readELF(p, big)
}
