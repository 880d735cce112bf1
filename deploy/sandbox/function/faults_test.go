package function

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/portable-notes/notes/storetest"
)

// example is a function, usually with a fault that people report.
type example struct {
	name, handler string
	files         files
	event         string
	environment   map[string]string
	want          string // part of the answer
}

var pythonExamples = []example{
	{name: "a wrong module", handler: "wrong.handler", files: files{"app.py": "def handler(e, c): pass"},
		want: `"Unable to import module 'wrong': No module named 'wrong'", "errorType": "Runtime.ImportModuleError"`},
	{name: "a wrong function", handler: "app.wrong", files: files{"app.py": "def handler(e, c): pass"},
		want: `"Handler 'wrong' missing on module 'app'", "errorType": "Runtime.HandlerNotFound"`},
	{name: "a handler without a dot", handler: "handler",
		files: files{"handler.py": ""}, want: "Runtime.MalformedHandlerName"},
	{name: "a module that is built in", handler: "sys.handler",
		files: files{"app.py": ""}, want: "Runtime.BuiltInModuleConflict"},
	{name: "a syntax error", handler: "app.handler", files: files{"app.py": "def handler(e, c)\n    pass\n"},
		want: "Runtime.UserCodeSyntaxError"},
	{name: "wrong indentation", handler: "app.handler", files: files{"app.py": "def handler(e, c):\npass\n"},
		want: "Runtime.UserCodeSyntaxError"},
	{name: "a missing dependency", handler: "app.handler",
		files: files{"app.py": "import nosuchthing\ndef handler(e, c): pass"},
		want:  "No module named 'nosuchthing'"},
	{name: "a name that a module lacks", handler: "app.handler",
		files: files{"app.py": "from json import nosuch\ndef handler(e, c): pass"},
		want:  "cannot import name 'nosuch'"},
	{name: "an unset variable at import", handler: "app.handler",
		files: files{"app.py": "import os\nTABLE = os.environ['TABLE']\n"},
		want:  `"errorType": "KeyError"`},
	{name: "an exception at import", handler: "app.handler",
		files: files{"app.py": "raise RuntimeError('on purpose')\n"},
		want:  `"errorType": "RuntimeError"`},
	{name: "an exit at import", handler: "app.handler", files: files{"app.py": "import sys\nsys.exit(3)\n"},
		want: "Runtime exited with error: exit status 3"},
	{name: "an exception", handler: "app.handler", files: files{"app.py": `def handler(event, context):
    return inner(event)

def inner(event):
    return 1 / event["zero"]
`}, event: `{"zero":0}`, want: `"errorType": "ZeroDivisionError"`},
	{name: "a missing key", handler: "app.handler",
		files: files{"app.py": "def handler(event, context):\n    return event['a']['b']\n"},
		event: `{"a":{}}`,
		want:  `"errorType": "KeyError"`},
	{name: "a custom exception without a message", handler: "app.handler",
		files: files{"app.py": `class Mine(Exception): pass
def handler(event, context):
    raise Mine()
`}, want: `"errorType": "Mine"`},
	{name: "a chained exception", handler: "app.handler", files: files{"app.py": `def handler(event, context):
    try:
        int('x')
    except ValueError as e:
        raise LookupError('no ü') from e
`}, want: `"errorType": "LookupError"`},
	{name: "an answer that JSON cannot encode", handler: "app.handler",
		files: files{"app.py": "def handler(e, c):\n    return {'a': {1, 2}}\n"},
		want:  "Unable to marshal response: Object of type set is not JSON serializable"},
	{name: "a circular answer", handler: "app.handler",
		files: files{"app.py": "def handler(e, c):\n    a = {}\n    a['a'] = a\n    return " +
			"a\n"},
		want: "Unable to marshal response: Circular reference detected"},
	{name: "a decimal", handler: "app.handler",
		files: files{"app.py": "from decimal import Decimal\ndef handler(e, c):\n" +
			"    return {'n': Decimal('1.10'), 'i': Decimal(3)}\n"}, want: `{"n": 1.10, "i": 3}`},
	{name: "bytes", handler: "app.handler",
		files: files{"app.py": "def handler(e, c):\n    return b'{\"a\":1}'\n"}, want: `{"a":1}`},
	{name: "non-ASCII letters", handler: "app.handler",
		files: files{"app.py": "def handler(e, c):\n    return 'ü€😀'\n"},
		want:  "ü€😀"},
	{name: "nothing", handler: "app.handler", files: files{"app.py": "def handler(e, c):\n    pass\n"}, want: "null"},
	{name: "a handler that takes one argument", handler: "app.handler",
		files: files{"app.py": "def handler(e):\n    pass\n"},
		want:  "takes 1 positional argument but 2 were given"},
	{name: "print and logging", handler: "app.handler", files: files{"app.py": `import logging, sys
logging.getLogger().setLevel(logging.INFO)
def handler(event, context):
    print("printed")
    print("to stderr", file=sys.stderr)
    logging.info("informed %s", 1)
    logging.warning("two\nlines")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.exception("caught")
    return context.aws_request_id != "" and context.invoked_function_arn
`}, want: "arn:f"},
	{name: "a module in a folder", handler: "src/app.handler",
		files: files{"src/app.py": "def handler(e, c):\n    return __name__\n"},
		want:  "src.app"},
	{name: "an exit in the middle", handler: "app.handler",
		files: files{"app.py": "import os\ndef handler(e, c):\n    os._exit(7)\n"},
		want:  "Runtime exited with error: exit status 7"},
	{name: "more than its time", handler: "app.handler",
		files: files{"app.py": "import time\ndef handler(e, c):\n    time.sleep(60)\n"},
		want:  "Task timed out after 3.00 seconds"},
	{name: "more than its memory", handler: "app.handler",
		files: files{"app.py": "import time\ndef handler(e, c):\n    a = bytearray(300_000_000)\n" +
			"    time.sleep(1)\n    return len(a)\n"}, want: "Runtime exited with error: signal: killed"},
	{name: "the log as JSON", handler: "app.handler", files: files{"app.py": `import logging
def handler(event, context):
    logging.warning("warned")
    raise ValueError("on purpose")
`}, environment: map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON"}, want: "ValueError"},
}

var nodeExamples = []example{
	{name: "a wrong module", handler: "wrong.handler", files: files{"index.js": ""}, want: "Runtime.ImportModuleError"},
	{name: "a wrong function", handler: "index.wrong", files: files{"index.js": "exports.handler = async () => 1;"},
		want: "index.wrong is undefined or not exported"},
	{name: "an export that is not a function", handler: "index.handler",
		files: files{"index.js": "exports.handler = 5;"},
		want:  "index.handler is not a function"},
	{name: "a handler without a dot", handler: "handler",
		files: files{"handler.js": ""}, want: "Runtime.MalformedHandlerName"},
	{name: "a handler with two dots", handler: "../index.handler",
		files: files{"index.js": ""}, want: "is not a valid handler name"},
	{name: "a syntax error", handler: "index.handler", files: files{"index.js": "exports.handler = async () => {\n"},
		want: "Runtime.UserCodeSyntaxError"},
	{name: "a missing dependency", handler: "index.handler", files: files{"index.js": "require('nosuchthing');\n"},
		want: "Cannot find module 'nosuchthing'"},
	{name: "an exception at import", handler: "index.handler",
		files: files{"index.js": "throw new TypeError('on purpose');\n"},
		want:  `"errorType":"TypeError"`},
	{name: "an unset variable at import", handler: "index.handler",
		files: files{"index.js": "process.env.TABLE.toLowerCase();\n"},
		want:  `"errorType":"TypeError"`},
	{name: "an exit at import", handler: "index.handler",
		files: files{"index.js": "process.exit(3);\n"}, want: "exit status 3"},
	{name: "an exception", handler: "index.handler",
		files: files{"index.js": "exports.handler = async (e) => e.a.b.c;\n"}, event: `{"a":{}}`,
		want: `"errorType":"TypeError"`},
	{name: "an exception without await", handler: "index.handler",
		files: files{"index.js": "exports.handler = (e) => { throw new " +
			"RangeError('no'); };\n"},
		want: `"errorType":"RangeError"`},
	{name: "a custom error", handler: "index.handler", files: files{"index.js": `class Mine extends Error {
  constructor(m) { super(m); this.name = 'Mine'; this.code = 'E1'; this.extra = { a: 1 }; }
}
exports.handler = async () => { throw new Mine('on purpose'); };
`}, want: `"errorType":"Mine"`},
	{name: "a thrown string", handler: "index.handler",
		files: files{"index.js": "exports.handler = async () => { throw 'just text'; " +
			"};\n"},
		want: `{"errorType":"string","errorMessage":"just text","trace":[]}`},
	{name: "nothing", handler: "index.handler",
		files: files{"index.js": "exports.handler = async () => {};\n"}, want: "null"},
	{name: "a circular answer", handler: "index.handler",
		files: files{"index.js": "exports.handler = async () => { const a = {}; a.a = a; " +
			"return a; };\n"},
		want: "Unable to stringify response body"},
	{name: "a callback", handler: "index.handler",
		files: files{"index.js": "exports.handler = (e, c, callback) => { callback(null, { a: 1 " +
			"}); };\n"},
		want: `{"a":1}`},
	{name: "a callback with an error", handler: "index.handler",
		files: files{"index.js": "exports.handler = (e, c, callback) => { callback(new Error('on purpose')); };\n"},
		want:  "on purpose"},
	{name: "a callback before the handler is done", handler: "index.handler",
		files: files{"index.js": `exports.handler = (e, c, callback) => {
  setTimeout(() => console.log('later'), 50);
  callback(null, 1);
};
`}, want: "1"},
	{name: "neither promise nor callback", handler: "index.handler",
		files: files{"index.js": "exports.handler = () => 5;\n"},
		want:  "null"},
	{name: "an unhandled rejection", handler: "index.handler",
		files: files{"index.js": `exports.handler = () => {
  Promise.reject(new Error('on purpose'));
  setTimeout(() => {}, 1000);
};
`}, want: "Runtime.UnhandledPromiseRejection"},
	{name: "an uncaught exception", handler: "index.handler",
		files: files{"index.js": `exports.handler = (e, c, callback) => {
  setTimeout(() => { throw new Error('on purpose'); }, 10);
};
`}, want: "on purpose"},
	{name: "an exit in the middle", handler: "index.handler",
		files: files{"index.js": "exports.handler = async () => process.exit(7);\n"},
		want:  "exit status 7"},
	{name: "the console", handler: "index.handler", files: files{"index.js": `console.log('at import');
exports.handler = async (event, context) => {
  console.log('logged %s', 1, { a: 1 });
  console.error('two\nlines');
  console.warn(new Error('shown').message);
  console.debug('debugged');
  return context.awsRequestId !== '' && context.invokedFunctionArn;
};
`}, want: "arn:f"},
	{name: "an ES module", handler: "index.handler",
		files: files{"index.mjs": "export const handler = async () => { throw new Error('on " +
			"purpose'); };\n"},
		want: "on purpose"},
	{name: "a package of ES modules", handler: "index.handler", files: files{"package.json": `{"type":"module"}`,
		"index.js": "export const handler = async () => 'module';\n"}, want: `"module"`},
	{name: "more than its time", handler: "index.handler",
		files: files{"index.js": "exports.handler = () => new Promise((r) => " +
			"setTimeout(r, 60000));\n"},
		want: "Task timed out after 3.00 seconds"},
}

// TestOddErrors: errors that are hard to encode are reported, and the function handles its next event.
func TestOddErrors(t *testing.T) {
	storetest.Programs(t, "python3", "node")
	for _, c := range []struct{ name, runtime, file, content, want string }{
		{"a non-ASCII error type in Python", "python3.12", "app.py",
			"def handler(e, c):\n    raise type('无效', (Exception,), {})('no')\n", `"errorMessage": "no"`},
		{"a lone surrogate in Python", "python3.12", "app.py",
			"def handler(e, c):\n    print('\\ud800')\n    raise ValueError('\\ud800 x')\n",
			`"errorType": "ValueError"`},
		{"a stack that is not a string in Node", "nodejs20.x", "app.js",
			"exports.handler = async () => { const e = new Error('no'); e.stack = 5; throw e; };", "problem while"},
		{"a circular value in a JSON log in Node", "nodejs20.x", "app.js",
			"exports.handler = async () => { const a = {}; a.a = a; console.log(a); return 'done'; };", `"done"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			f := w.function(c.runtime, "app.handler", files{c.file: c.content},
				map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON"})
			for range 2 {
				if o, lines := w.invoke(f, `{}`); !strings.Contains(string(o.Payload), c.want) {
					t.Fatalf("%s %q, want %s", o.Payload, lines, c.want)
				}
			}
		})
	}
}

// TestTailOfFailedStart: the log tail of a function that does not start says why.
func TestTailOfFailedStart(t *testing.T) {
	storetest.Programs(t, "python3")
	w := open(t)
	f := w.function("python3.12", "app.handler", files{"app.py": "import nosuchthing\n"}, nil)
	for _, when := range []string{"the first event", "the next event"} {
		t.Run(when, func(t *testing.T) {
			o, _ := w.invoke(f, `{}`)
			if tail := string(o.Tail); !strings.Contains(tail, "No module named 'nosuchthing'") ||
				!strings.Contains(tail, "START RequestId: ") || !strings.Contains(tail, "REPORT RequestId: ") {
				t.Errorf("the tail is %s", tail)
			}
		})
	}
}

// TestLateException: an exception after the answer ends the process at once, not at the next event.
func TestLateException(t *testing.T) {
	storetest.Programs(t, "node")
	w := open(t)
	o, _ := w.invoke(w.function("nodejs20.x", "app.handler", files{"app.js": `exports.handler = async () => {
  setTimeout(() => { throw new Error('late'); }, 20);
  return process.pid;
};
`}, nil), `{}`)
	pid, err := strconv.Atoi(string(o.Payload))
	if err != nil {
		t.Fatalf("%s: %v", o.Payload, err)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	// only polling shows that a process with another parent has ended
	for end := time.Now().Add(30 * time.Second); process.Signal(syscall.Signal(0)) == nil; time.Sleep(
		time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the process still runs")
		}
	}
}

// installAWSClient installs AWS's own runtime client of a language and returns the path of a program that runs a
// function under it.
func installAWSClient(t *testing.T, folder, language string) string {
	t.Helper()
	install := exec.Command("pip", "install", "-q", "--no-input", "--target", folder, "awslambdaric==4.2.2")
	name, program := "aws.py", `import os, sys
sys.path[0] = os.environ["LAMBDA_TASK_ROOT"]
sys.path.append(`+fmt.Sprintf("%q", folder)+`)
from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient
bootstrap.run(os.environ["_HANDLER"], LambdaRuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"], False))
`
	if language == "Node.js" {
		// The native module only makes HTTP requests. The program uses curl instead.
		install = exec.Command("npm", "install", "--silent", "--ignore-scripts", "--prefix", folder,
			"aws-lambda-ric@3.3.0")
		name, program = "aws.mjs", `import Module from 'module';
import { spawnSync } from 'child_process';
const post = (to, body) => spawnSync('curl', ['-s', '-H', 'Expect:', '--data-binary', '@-', 'http://' +
  process.env.AWS_LAMBDA_RUNTIME_API + '/2018-06-01/runtime/invocation/' + to], { input: body });
Module._extensions['.node'] = (module) => { module.exports = { initializeClient() {},
  done: (id, body) => post(id + '/response', body), error: (id, body) => post(id + '/error', body) }; };
const dist = `+fmt.Sprintf("%q", folder)+` + '/node_modules/aws-lambda-ric/dist/';
const { run } = await import(dist + 'index.mjs');
await run(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
`
	}
	if output, err := install.CombinedOutput(); err != nil {
		storetest.Lacks(t, "AWS's runtime client of "+language, fmt.Errorf("%w: %s", err, output))
	}
	if language == "Node.js" {
		native := filepath.Join(folder, "node_modules", "aws-lambda-ric", "dist", "rapid-client.node")
		if err := os.WriteFile(native, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// varying matches the parts of an answer or a log that depend on the run or on the client: ids, times, folders, and
// stack frames of the client.
var varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|` +
	`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|[^" (]*/[0-9a-f]{16}/|` +
	`(\\r|\r|\\n|",")\s*at [^"\\\r]*(node:|bootstrap\.js|index\.mjs|aws\.mjs)[^"\\\r]*|` +
	`(\\n|",")- [^\\"\r]*(bootstrap\.js|index\.mjs)|File \\?"[^"]*bootstrap\.py\\?", line \d+, in \w+(\r|\\n)[^"\r]*`)

var tildes = regexp.MustCompile(`~+`)

// normalize replaces the varying parts of a text.
func normalize(text string) string {
	return tildes.ReplaceAllString(varying.ReplaceAllString(strings.ReplaceAll(text, "\u00a0", " "), "~"), "~")
}

// TestProofAsAWSRunsThem: functions answer and log under our runtime clients as they do under AWS's.
func TestProofAsAWSRunsThem(t *testing.T) {
	storetest.Programs(t, "python3", "node")
	storetest.NotWithRace(t)
	for _, l := range []struct {
		language *language
		runtime  string
		examples []example
	}{{managedLanguages[0], "python3.12", pythonExamples}, {managedLanguages[1], "nodejs20.x", nodeExamples}} {
		t.Run(l.language.name, func(t *testing.T) {
			t.Parallel()
			theirs, ours := open(t), open(t)
			i := *ours.interpreter(l.language)
			i.client = installAWSClient(t, filepath.Join(theirs.host.Folder, "client"), l.language.name)
			theirs.interpreter(l.language)
			theirs.interpreters.found[l.language.name] = &i
			same := 0
			for _, c := range l.examples {
				t.Run(c.name, func(t *testing.T) {
					event := c.event
					if event == "" {
						event = "{}"
					}
					environment := map[string]string{"AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1": "true"}
					for name, value := range c.environment {
						environment[name] = value
					}
					o, lines := ours.invoke(ours.function(l.runtime, c.handler, c.files, environment), event)
					if !strings.Contains(string(o.Payload), c.want) {
						t.Errorf("the answer is %s, want %s", o.Payload, c.want)
					}
					aws, their := theirs.invoke(theirs.function(l.runtime, c.handler, c.files, environment), event)
					if o.Failed != aws.Failed || normalize(string(o.Payload)) != normalize(string(aws.Payload)) {
						t.Errorf("our client answers\n%s\nAWS's\n%s", o.Payload, aws.Payload)
					}
					got := normalize(strings.Join(functionLines(lines), "\n"))
					want := normalize(strings.Join(functionLines(their), "\n"))
					if got != want {
						t.Errorf("our client logs\n%s\nAWS's\n%s", got, want)
					}
					if !t.Failed() {
						same++
					}
				})
			}
			storetest.Proved(t, fmt.Sprintf("%d functions", len(l.examples)), fmt.Sprintf("%d answer and log the same",
				same),
				"under AWS's own runtime client")
		})
	}
}
