package function

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"example.com/portable-notes/notes/storetest"
)

// files maps the names of a function's files to their contents.
type files map[string]string

func (f files) zip(t testing.TB) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, content := range f {
		header := &zip.FileHeader{Name: name}
		header.SetMode(0o755)
		file, err := w.CreateHeader(header)
		if err == nil {
			_, err = io.WriteString(file, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// world is a runner with a host that keeps zips, log lines and messages in memory.
type world struct {
	*Runner
	t testing.TB

	mu       sync.Mutex
	code     map[string][]byte
	lines    []string
	messages bytes.Buffer
}

func (w *world) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages.Write(b)
}

func open(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, code: map[string][]byte{}}
	w.Runner = New(Host{
		Endpoint: "http://127.0.0.1:9", Folder: t.TempDir(), Log: log.New(w, "", 0),
		Code: func(sha string) []byte {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.code[sha]
		},
		Layer: func(arn string) string { return arn },
		Begin: func(string, *Configuration) Session {
			return Session{Key: "KEY", Group: "/aws/lambda/f", Stream: "stream", End: func() {},
				Write: func(line string) {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.lines = append(w.lines, line)
				}}
		},
	})
	t.Cleanup(w.Close)
	return w
}

// function returns the configuration of a function that has the files.
func (w *world) function(runtime, handler string, f files, environment map[string]string) *Configuration {
	sha := uuid.NewString()
	w.mu.Lock()
	w.code[sha] = f.zip(w.t)
	w.mu.Unlock()
	return &Configuration{
		FunctionName: aws.String("f"), Version: aws.String("$LATEST"), Runtime: types.Runtime(runtime),
		Handler:    &handler,
		CodeSha256: &sha, MemorySize: aws.Int32(128), Timeout: aws.Int32(3), Role: aws.String("role"),
		Environment: &types.EnvironmentResponse{Variables: environment},
	}
}

// invoke invokes a function and returns the outcome and its log lines.
func (w *world) invoke(c *Configuration, event string) (Outcome, []string) {
	w.t.Helper()
	w.mu.Lock()
	w.lines = nil
	w.mu.Unlock()
	o, err := w.Invoke(w.t.Context(), "us-east-1", c, Event{ARN: "arn:f", Trace: "Root=1", Payload: []byte(event)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return o, append([]string(nil), w.lines...)
}

// hasLogged reports whether the last invocation has logged a line.
func (w *world) hasLogged(line string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.lines, line)
}

// functionLines returns the lines of the function and its runtime, without Lambda's own.
func functionLines(lines []string) (own []string) {
	for _, line := range lines {
		switch word, _, _ := strings.Cut(line, " "); word {
		case "START", "END", "REPORT", "INIT_START", "INIT_REPORT":
		default:
			own = append(own, line)
		}
	}
	return own
}

// TestHello: tutorial functions run, and a second event reaches the same process.
func TestHello(t *testing.T) {
	storetest.Programs(t, "python3", "node")
	for _, c := range []struct {
		name, runtime, handler string
		files                  files
		want                   string
	}{
		{"Python", "python3.12", "lambda_function.lambda_handler", files{"lambda_function.py": `import json
count = 0
def lambda_handler(event, context):
    global count
    count += 1
    left = context.get_remaining_time_in_millis() > 1000
    print("hello", event["n"], context.function_name, context.memory_limit_in_mb, left)
    return {"statusCode": 200, "body": json.dumps(count)}
`}, `{"statusCode": 200, "body": "2"}`},
		{"Node", "nodejs20.x", "index.handler", files{"index.js": `let count = 0;
exports.handler = async (event, context) => {
  const left = context.getRemainingTimeInMillis() > 1000;
  console.log('hello', event.n, context.functionName, context.memoryLimitInMB, left);
  return { statusCode: 200, body: String(++count) };
};
`}, `{"statusCode":200,"body":"2"}`},
		{"Node modules", "nodejs22.x", "src/app.handler", files{"src/app.mjs": `import { readFileSync } from 'fs';
let count = 0;
export const handler = async (event) => { console.log('hello', event.n, 'f 128', true); ++count; return count; };
`}, `2`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			f := w.function(c.runtime, c.handler, c.files, nil)
			if o, lines := w.invoke(f, `{"n":1}`); o.Failed || !strings.Contains(strings.Join(lines, "\n"),
				"hello 1 f 128 ") {
				t.Fatalf("%s %q", o.Payload, lines)
			}
			o, lines := w.invoke(f, `{"n":2}`)
			if string(o.Payload) != c.want || !strings.Contains(string(o.Tail), "hello 2 f 128 ") {
				t.Errorf("%s %q", o.Payload, lines)
			}
			if own := strings.ToLower(strings.Join(functionLines(lines), "\n")); !strings.HasSuffix(own, "true") {
				t.Errorf("the log is %q", lines)
			}
		})
	}
}

// TestLayers: both languages and a bootstrap find the files of layers, and a wrapper script runs the function.
func TestLayers(t *testing.T) {
	storetest.Programs(t, "python3", "node")
	wrapper := "#!/bin/sh\nexport WRAPPED=yes\nexec \"$@\"\n"
	for _, c := range []struct {
		name, runtime, handler string
		files                  files
		layers                 []files
		environment            map[string]string
		want                   string
	}{
		{"Python", "python3.12", "app.handler",
			files{"app.py": "import lib, other\ndef handler(e, c):\n    return lib.value + other.value\n"},
			[]files{{"python/lib.py": "value = 'a'", "python/other.py": "value = 'b'"},
				{"python/lib.py": "value = 'c'"}}, nil, `"cb"`},
		{"Python of another version than this machine's", "python3.9", "app.handler",
			files{"app.py": "import lib\ndef handler(e, c):\n    return lib.value\n"},
			[]files{{"python/lib/python3.9/site-packages/lib.py": "value = 'for 3.9'"}}, nil, `"for 3.9"`},
		{"Node", "nodejs20.x", "app.handler", files{"app.js": "exports.handler = async () => require('lib');"},
			[]files{{"nodejs/node_modules/lib/index.js": "module.exports = 'found';"}}, nil, `"found"`},
		{"a wrapper", "nodejs20.x", "app.handler",
			files{"app.js": "exports.handler = async () => process.env.WRAPPED;"},
			[]files{{"wrap": wrapper}}, map[string]string{"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}, `"yes"`},
		{"a bootstrap", "provided.al2023", "x", files{"x": ""},
			[]files{{"bootstrap": "#!/bin/sh\nexit 5\n"}}, nil,
			"exit status 5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			f := w.function(c.runtime, c.handler, c.files, c.environment)
			for _, layer := range c.layers {
				sha := *w.function(c.runtime, c.handler, layer, nil).CodeSha256
				f.Layers = append(f.Layers, types.Layer{Arn: &sha})
			}
			if o, lines := w.invoke(f, `{}`); !strings.Contains(string(o.Payload), c.want) {
				t.Errorf("%s %q", o.Payload, lines)
			}
		})
	}
}

// TestMounts: a function sees its files where Lambda puts them, cannot change them, and has its own /tmp.
func TestMounts(t *testing.T) {
	storetest.Programs(t, "python3")
	w := open(t)
	if w.mountFolder() == "" {
		storetest.Lacks(t, "mount namespaces", errors.New("this system does not allow them"))
	}
	beside, err := os.CreateTemp("/tmp", "beside")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(beside.Close(), os.Remove(beside.Name())) }()
	f := w.function("python3.12", "app.handler", files{"app.py": `import os
def tried(what):
    try:
        return what()
    except OSError as e:
        return e.strerror
def write(path, size):
    with open(path, "wb") as f:
        f.write(bytes(size))
    return "written"
def handler(event, context):
    return [__file__, os.getcwd(), os.environ["LAMBDA_TASK_ROOT"], open("/opt/data/x").read(),
            os.path.exists("` + beside.Name() + `"), tried(lambda: write(os.environ["CODE"] + "/new", 1)),
            tried(lambda: write("/var/task/new", 1)), tried(lambda: write("/opt/new", 1)),
            tried(lambda: write("` + beside.Name() + `", 11 << 20)), tried(lambda: write("/tmp/a", 1 << 20))]
`}, map[string]string{"CODE": w.host.Folder})
	layer := *w.function("python3.12", "x", files{"data/x": "of a layer"}, nil).CodeSha256
	f.Layers, f.EphemeralStorage = []types.Layer{{Arn: &layer}}, &types.EphemeralStorage{Size: aws.Int32(10)}
	o, lines := w.invoke(f, `{}`)
	want := `["/var/task/app.py", "/var/task", "/var/task", "of a layer", false, ` +
		`"Read-only file system", "Read-only file system", "Read-only file system", ` +
		`"No space left on device", "No space left on device"]`
	if string(o.Payload) != want {
		t.Errorf("%s %q, want %s", o.Payload, lines, want)
	}
	f.Layers, f.Version = nil, aws.String("2")
	if o, _ := w.invoke(f, `{}`); !strings.Contains(string(o.Payload), "No such file or directory: '/opt/data/x'") {
		t.Errorf("without layers: %s", o.Payload)
	}
	if info, err := beside.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("the function wrote to a file of this machine: %v, %v", info, err)
	}
}

// TestLinksAndModes: unpacking keeps symbolic links and modes, and does not write through a link that leads outside.
func TestLinksAndModes(t *testing.T) {
	packed := func(entries ...any) *zip.Reader {
		var out bytes.Buffer
		w := zip.NewWriter(&out)
		for i := 0; i < len(entries); i += 3 {
			header := &zip.FileHeader{Name: entries[i].(string)}
			header.SetMode(entries[i+1].(fs.FileMode))
			f, err := w.CreateHeader(header)
			if err == nil {
				_, err = io.WriteString(f, entries[i+2].(string))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	const program, text, link = fs.FileMode(0o755), fs.FileMode(0o644), fs.ModeSymlink | 0o777
	folder := filepath.Join(t.TempDir(), "inside")
	err := unpack(
		folder,
		[]*zip.Reader{packed("bin/real", program, "x", "bin/link", link, "real", "run", text, "old"),
			packed("run", program, "new")},
	)
	if err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(filepath.Join(folder, "bin", "link")); to != "real" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if info, err := os.Stat(filepath.Join(folder, "run")); err != nil || info.Mode().Perm() != program {
		t.Errorf("the later layer's file is %v, %v", info, err)
	}
	outside := filepath.Join(t.TempDir(), "inside")
	if err := unpack(outside, []*zip.Reader{packed("up", link, "..", "up/written", text, "x")}); err == nil {
		t.Error("unpack writes through a link that leads outside")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(outside), "written")); err == nil {
		t.Error("a file was written outside the folder")
	}
}

// TestExtensions: an extension runs beside the function and receives its events; one that cannot start is a fault.
func TestExtensions(t *testing.T) {
	storetest.Programs(t, "node")
	extension := `#!/bin/sh
api=http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension
id=$(curl -s -D - -o /dev/null -d '{"events":["INVOKE"]}' $api/register |
  tr -d '\r' | sed -n 's/^Lambda-Extension-Identifier: //p')
while event=$(curl -sf -H "Lambda-Extension-Identifier: $id" $api/event/next); do echo "heard $event"; done
`
	w := open(t)
	f := w.function("nodejs20.x", "app.handler", files{
		"app.js": "exports.handler = async () => new Promise((done) => setTimeout(() => done(1), 500));"}, nil)
	useExtension := func(content string) {
		sha := *w.function("nodejs20.x", "x", files{"extensions/mine": content}, nil).CodeSha256
		f.Layers = []types.Layer{{Arn: &sha}}
	}
	useExtension(extension)
	w.invoke(f, `{}`)
	if _, lines := w.invoke(f, `{}`); !strings.Contains(strings.Join(lines, "\n"), `heard {"eventType":"INVOKE"`) {
		t.Errorf("%q", lines)
	}
	useExtension("not a program")
	g := *f
	g.Version = aws.String("2")
	if o, _ := w.invoke(&g, `{}`); !strings.Contains(string(o.Payload), `"errorType":"Extension.LaunchError"`) {
		t.Errorf("%s", o.Payload)
	}
}

// TestInDocker: a function with a bootstrap runs in a container, answers and logs, and the container is removed.
func TestInDocker(t *testing.T) {
	storetest.NotWithRace(t)
	if !HasDocker() {
		storetest.Lacks(t, "Docker", errors.New("docker version fails"))
	}
	folder := t.TempDir()
	program := filepath.Join(folder, "bootstrap")
	if err := os.WriteFile(program+".go", []byte(`package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(api + "next")
		if err != nil {
			return
		}
		event, _ := io.ReadAll(next.Body)
		fmt.Println("in the container with", string(event))
		_, layer := os.Stat("/opt/layer.txt")
		text := fmt.Sprintf("%q", os.Getenv("LAMBDA_TASK_ROOT")+" "+os.Getenv("MINE")+" "+fmt.Sprint(layer))
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		answer, err := http.Post(api+id+"/response", "application/json", strings.NewReader(text))
		if err == nil {
			answer.Body.Close()
		}
	}
}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, program+".go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	image := exec.Command("docker", "build", "-q", "-t", "portable-notes-sandbox-test", "-")
	image.Stdin = strings.NewReader("FROM scratch\nENV A=1\n")
	if output, err := image.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	w := open(t)
	w.host.Docker = "portable-notes-sandbox-test"
	f := w.function("provided.al2023", "x", files{"bootstrap": string(content)}, map[string]string{"MINE": "yes"})
	f.Timeout = aws.Int32(30)
	layer := *w.function("provided.al2023", "x", files{"layer.txt": "x"}, nil).CodeSha256
	f.Layers = []types.Layer{{Arn: &layer}}
	for range 2 {
		o, lines := w.invoke(f, `{"a":1}`)
		if string(o.Payload) != `"/var/task yes <nil>"` {
			t.Fatalf("%s %q", o.Payload, lines)
		}
	}
	// Docker delivers log lines after the answer.
	for end := time.Now().Add(10 * time.Second); !w.hasLogged(`in the container with {"a":1}`); {
		if time.Now().After(end) {
			t.Fatal("its log line does not arrive")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Close()
	left, err := exec.Command("docker", "ps", "-q", "--filter", "ancestor=portable-notes-sandbox-test").Output()
	if err != nil || len(left) > 0 {
		t.Errorf("containers left behind: %s, %v", left, err)
	}
}

// TestNoInterpreter: without the interpreter of a language, the error says so.
func TestNoInterpreter(t *testing.T) {
	t.Setenv("PATH", "")
	w := open(t)
	o, _ := w.invoke(w.function("nodejs20.x", "index.handler", files{"index.js": ""}, nil), `{}`)
	if !o.Failed ||
		!strings.Contains(string(o.Payload), "functions in Node.js need node, which this machine does "+
			"not have") {
		t.Errorf("%s", o.Payload)
	}
}

// BenchmarkWarm measures the overhead of a warm invocation.
func BenchmarkWarm(b *testing.B) {
	for _, c := range []struct{ name, runtime, handler, file, content string }{
		{"Python", "python3.12", "app.handler", "app.py", "def handler(event, context):\n    return event\n"},
		{"Node", "nodejs20.x", "app.handler", "app.js", "exports.handler = async (event) => event;\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := open(b)
			f := w.function(c.runtime, c.handler, files{c.file: c.content}, nil)
			w.invoke(f, `{}`)
			for b.Loop() {
				w.invoke(f, `{"a":1}`)
			}
		})
	}
}

// TestDisabledFeatures: the Node.js features that Lambda disables are disabled, unless NODE_OPTIONS enable them.
func TestDisabledFeatures(t *testing.T) {
	storetest.Programs(t, "node")
	w := open(t)
	for _, c := range []struct {
		name, runtime, options string
		fails                  bool
	}{
		{"import in a .js file", "nodejs22.x", "", true},
		{"import, enabled by NODE_OPTIONS", "nodejs22.x",
			"--experimental-detect-module --experimental-require-module", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := w.invoke(w.function(c.runtime, "app.handler", files{"app.js": "import 'fs';\n" +
				"export const handler = async () => 1;\n"}, map[string]string{"NODE_OPTIONS": c.options}), `{}`)
			if o.Failed != c.fails {
				t.Errorf("%v %s", o.Failed, o.Payload)
			}
		})
	}
}
