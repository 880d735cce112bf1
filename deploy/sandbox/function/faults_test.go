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

// example is a function, mostly one with a fault that people report.
type example struct {
	name, handler string
	files         files
	event         string
	environment   map[string]string
	want          string // a part of the answer
}

var pythonExamples = []example{
	{"a wrong module", "wrong.handler", files{"app.py": "def handler(e, c): pass"}, "", nil,
		`"Unable to import module 'wrong': No module named 'wrong'", "errorType": "Runtime.ImportModuleError"`},
	{"a wrong function", "app.wrong", files{"app.py": "def handler(e, c): pass"}, "", nil,
		`"Handler 'wrong' missing on module 'app'", "errorType": "Runtime.HandlerNotFound"`},
	{"a handler without a dot", "handler", files{"handler.py": ""}, "", nil, "Runtime.MalformedHandlerName"},
	{"a module that is built in", "sys.handler", files{"app.py": ""}, "", nil, "Runtime.BuiltInModuleConflict"},
	{"a syntax error", "app.handler", files{"app.py": "def handler(e, c)\n    pass\n"}, "", nil,
		"Runtime.UserCodeSyntaxError"},
	{"wrong indentation", "app.handler", files{"app.py": "def handler(e, c):\npass\n"}, "", nil,
		"Runtime.UserCodeSyntaxError"},
	{"a missing dependency", "app.handler", files{"app.py": "import nosuchthing\ndef handler(e, c): pass"}, "", nil,
		"No module named 'nosuchthing'"},
	{"a name that a module lacks", "app.handler", files{"app.py": "from json import nosuch\ndef handler(e, c): pass"},
		"",
		nil, "cannot import name 'nosuch'"},
	{"a missing variable at import", "app.handler", files{"app.py": "import os\nTABLE = os.environ['TABLE']\n"}, "",
		nil,
		`"errorType": "KeyError"`},
	{"an exception at import", "app.handler", files{"app.py": "raise RuntimeError('on purpose')\n"}, "", nil,
		`"errorType": "RuntimeError"`},
	{"an exit at import", "app.handler", files{"app.py": "import sys\nsys.exit(3)\n"}, "", nil,
		"Runtime exited with error: exit status 3"},
	{"an exception", "app.handler", files{"app.py": `def handler(event, context):
    return inner(event)

def inner(event):
    return 1 / event["zero"]
`}, `{"zero":0}`, nil, `"errorType": "ZeroDivisionError"`},
	{"a missing key", "app.handler", files{"app.py": "def handler(event, context):\n    return event['a']['b']\n"},
		`{"a":{}}`,
		nil, `"errorType": "KeyError"`},
	{"an exception of its own without a message", "app.handler", files{"app.py": `class Mine(Exception): pass
def handler(event, context):
    raise Mine()
`}, "", nil, `"errorType": "Mine"`},
	{"an exception from another", "app.handler", files{"app.py": `def handler(event, context):
    try:
        int('x')
    except ValueError as e:
        raise LookupError('no ü') from e
`}, "", nil, `"errorType": "LookupError"`},
	{"an answer that is no JSON", "app.handler", files{"app.py": "def handler(e, c):\n    return {'a': {1, 2}}\n"}, "",
		nil,
		"Unable to marshal response: Object of type set is not JSON serializable"},
	{"a circular answer", "app.handler", files{"app.py": "def handler(e, c):\n    a = {}\n    a['a'] = a\n    return " +
		"a\n"}, "",
		nil, "Unable to marshal response: Circular reference detected"},
	{"a decimal", "app.handler", files{"app.py": "from decimal import Decimal\ndef handler(e, c):\n" +
		"    return {'n': Decimal('1.10'), 'i': Decimal(3)}\n"}, "", nil, `{"n": 1.10, "i": 3}`},
	{"bytes", "app.handler", files{"app.py": "def handler(e, c):\n    return b'{\"a\":1}'\n"}, "", nil, `{"a":1}`},
	{"letters of all kinds", "app.handler", files{"app.py": "def handler(e, c):\n    return 'ü€😀'\n"}, "", nil,
		"ü€😀"},
	{"nothing", "app.handler", files{"app.py": "def handler(e, c):\n    pass\n"}, "", nil, "null"},
	{"a handler that takes one argument", "app.handler", files{"app.py": "def handler(e):\n    pass\n"}, "", nil,
		"takes 1 positional argument but 2 were given"},
	{"print and logging", "app.handler", files{"app.py": `import logging, sys
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
`}, "", nil, "arn:f"},
	{"a module in a folder", "src/app.handler", files{"src/app.py": "def handler(e, c):\n    return __name__\n"}, "",
		nil,
		"src.app"},
	{"an exit in the middle", "app.handler", files{"app.py": "import os\ndef handler(e, c):\n    os._exit(7)\n"}, "",
		nil,
		"Runtime exited with error: exit status 7"},
	{"more than its time", "app.handler", files{"app.py": "import time\ndef handler(e, c):\n    time.sleep(60)\n"}, "",
		nil,
		"Task timed out after 3.00 seconds"},
	{"more than its memory", "app.handler", files{"app.py": "import time\ndef handler(e, c):\n    a = " +
		"bytearray(300_000_000)\n" +
		"    time.sleep(1)\n    return len(a)\n"}, "", nil, "Runtime exited with error: signal: killed"},
	{"the log as JSON", "app.handler", files{"app.py": `import logging
def handler(event, context):
    logging.warning("warned")
    raise ValueError("on purpose")
`}, "", map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON"}, "ValueError"},
}

var nodeExamples = []example{
	{"a wrong module", "wrong.handler", files{"index.js": ""}, "", nil, "Runtime.ImportModuleError"},
	{"a wrong function", "index.wrong", files{"index.js": "exports.handler = async () => 1;"}, "", nil,
		"index.wrong is undefined or not exported"},
	{"an export that is no function", "index.handler", files{"index.js": "exports.handler = 5;"}, "", nil,
		"index.handler is not a function"},
	{"a handler without a dot", "handler", files{"handler.js": ""}, "", nil, "Runtime.MalformedHandlerName"},
	{"a handler with two dots", "../index.handler", files{"index.js": ""}, "", nil, "is not a valid handler name"},
	{"a syntax error", "index.handler", files{"index.js": "exports.handler = async () => {\n"}, "", nil,
		"Runtime.UserCodeSyntaxError"},
	{"a missing dependency", "index.handler", files{"index.js": "require('nosuchthing');\n"}, "", nil,
		"Cannot find module 'nosuchthing'"},
	{"an exception at import", "index.handler", files{"index.js": "throw new TypeError('on purpose');\n"}, "", nil,
		`"errorType":"TypeError"`},
	{"a missing variable at import", "index.handler", files{"index.js": "process.env.TABLE.toLowerCase();\n"}, "", nil,
		`"errorType":"TypeError"`},
	{"an exit at import", "index.handler", files{"index.js": "process.exit(3);\n"}, "", nil, "exit status 3"},
	{"an exception", "index.handler", files{"index.js": "exports.handler = async (e) => e.a.b.c;\n"}, `{"a":{}}`, nil,
		`"errorType":"TypeError"`},
	{"an exception without await", "index.handler", files{"index.js": "exports.handler = (e) => { throw new " +
		"RangeError('no'); };\n"},
		"", nil, `"errorType":"RangeError"`},
	{"an error of its own", "index.handler", files{"index.js": `class Mine extends Error {
  constructor(m) { super(m); this.name = 'Mine'; this.code = 'E1'; this.extra = { a: 1 }; }
}
exports.handler = async () => { throw new Mine('on purpose'); };
`}, "", nil, `"errorType":"Mine"`},
	{"a text that is thrown", "index.handler", files{"index.js": "exports.handler = async () => { throw 'just text'; " +
		"};\n"}, "",
		nil, `{"errorType":"string","errorMessage":"just text","trace":[]}`},
	{"nothing", "index.handler", files{"index.js": "exports.handler = async () => {};\n"}, "", nil, "null"},
	{"a circular answer", "index.handler", files{"index.js": "exports.handler = async () => { const a = {}; a.a = a; " +
		"return a; };\n"},
		"", nil, "Unable to stringify response body"},
	{"a callback", "index.handler", files{"index.js": "exports.handler = (e, c, callback) => { callback(null, { a: 1 " +
		"}); };\n"}, "",
		nil, `{"a":1}`},
	{"a callback with an error", "index.handler",
		files{"index.js": "exports.handler = (e, c, callback) => { callback(new Error('on purpose')); };\n"}, "", nil,
		"on purpose"},
	{"a callback before the end", "index.handler", files{"index.js": `exports.handler = (e, c, callback) => {
  setTimeout(() => console.log('later'), 50);
  callback(null, 1);
};
`}, "", nil, "1"},
	{"neither promise nor callback", "index.handler", files{"index.js": "exports.handler = () => 5;\n"}, "", nil,
		"null"},
	{"a rejection that nobody handles", "index.handler", files{"index.js": `exports.handler = () => {
  Promise.reject(new Error('on purpose'));
  setTimeout(() => {}, 1000);
};
`}, "", nil, "Runtime.UnhandledPromiseRejection"},
	{"an exception that nobody catches", "index.handler", files{"index.js": `exports.handler = (e, c, callback) => {
  setTimeout(() => { throw new Error('on purpose'); }, 10);
};
`}, "", nil, "on purpose"},
	{"an exit in the middle", "index.handler", files{"index.js": "exports.handler = async () => process.exit(7);\n"},
		"", nil,
		"exit status 7"},
	{"the console", "index.handler", files{"index.js": `console.log('at import');
exports.handler = async (event, context) => {
  console.log('logged %s', 1, { a: 1 });
  console.error('two\nlines');
  console.warn(new Error('shown').message);
  console.debug('debugged');
  return context.awsRequestId !== '' && context.invokedFunctionArn;
};
`}, "", nil, "arn:f"},
	{"an ES module", "index.handler", files{"index.mjs": "export const handler = async () => { throw new Error('on " +
		"purpose'); };\n"}, "",
		nil, "on purpose"},
	{"a package of ES modules", "index.handler", files{"package.json": `{"type":"module"}`,
		"index.js": "export const handler = async () => 'module';\n"}, "", nil, `"module"`},
	{"more than its time", "index.handler", files{"index.js": "exports.handler = () => new Promise((r) => " +
		"setTimeout(r, 60000));\n"}, "",
		nil, "Task timed out after 3.00 seconds"},
}

// TestOddErrors: errors that can hardly be told are told, and do not keep a function from its next event.
func TestOddErrors(t *testing.T) {
	for _, c := range []struct{ name, runtime, file, content, want string }{
		{"a name of other letters in Python", "python3.12", "app.py",
			"def handler(e, c):\n    raise type('无效', (Exception,), {})('no')\n", `"errorMessage": "no"`},
		{"half of a letter in Python", "python3.12", "app.py",
			"def handler(e, c):\n    print('\\ud800')\n    raise ValueError('\\ud800 x')\n",
			`"errorType": "ValueError"`},
		{"a stack that is no text in Node", "nodejs20.x", "app.js",
			"exports.handler = async () => { const e = new Error('no'); e.stack = 5; throw e; };", "problem while"},
		{"a circle in a log as JSON in Node", "nodejs20.x", "app.js",
			"exports.handler = async () => { const a = {}; a.a = a; console.log(a); return 'said'; };", `"said"`},
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

// TestTailOfFailedStart: who invokes a function that does not start is told why by the end of its log.
func TestTailOfFailedStart(t *testing.T) {
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

// TestLateException: an exception after the answer ends the process then, not with the next event.
func TestLateException(t *testing.T) {
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
	// nobody tells when another one's process ends
	for end := time.Now().Add(30 * time.Second); process.Signal(syscall.Signal(0)) == nil; time.Sleep(
		time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it runs on")
		}
	}
}

// awsClient is a program that runs a function by AWS's own runtime client of a language.
func awsClient(t *testing.T, folder, language string) string {
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
		// The part that is in C only makes requests; here curl makes them.
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
	if said, err := install.CombinedOutput(); err != nil {
		storetest.Lacks(t, "AWS's runtime client of "+language, fmt.Errorf("%w: %s", err, said))
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

// differs is what of an answer or a log differs from run to run, or with the client: ids, times, folders and the
// client's own places in the code.
var differs = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|` +
	`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|[^" (]*/[0-9a-f]{16}/|` +
	`(\\r|\r|\\n|",")\s*at [^"\\\r]*(node:|bootstrap\.js|index\.mjs|aws\.mjs)[^"\\\r]*|` +
	`(\\n|",")- [^\\"\r]*(bootstrap\.js|index\.mjs)|File \\?"[^"]*bootstrap\.py\\?", line \d+, in \w+(\r|\\n)[^"\r]*`)

var many = regexp.MustCompile(`~+`)

// plain is a text without what differs.
func plain(text string) string {
	return many.ReplaceAllString(differs.ReplaceAllString(strings.ReplaceAll(text, "\u00a0", " "), "~"), "~")
}

// TestProofAsAWSRunsThem: what functions answer and log under our runtime clients is what they do under AWS's.
func TestProofAsAWSRunsThem(t *testing.T) {
	storetest.NotWithRace(t)
	for _, of := range []struct {
		language *language
		runtime  string
		examples []example
	}{{languages[0], "python3.12", pythonExamples}, {languages[1], "nodejs20.x", nodeExamples}} {
		t.Run(of.language.name, func(t *testing.T) {
			t.Parallel()
			theirs, ours := open(t), open(t)
			i := *ours.interpreter(of.language)
			i.client = awsClient(t, filepath.Join(theirs.host.Folder, "client"), of.language.name)
			theirs.interpreter(of.language)
			theirs.interpreters.found[of.language.name] = &i
			same := 0
			for _, c := range of.examples {
				t.Run(c.name, func(t *testing.T) {
					event := c.event
					if event == "" {
						event = "{}"
					}
					environment := map[string]string{"AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1": "true"}
					for name, value := range c.environment {
						environment[name] = value
					}
					o, lines := ours.invoke(ours.function(of.runtime, c.handler, c.files, environment), event)
					if !strings.Contains(string(o.Payload), c.want) {
						t.Errorf("it answers %s, want %s", o.Payload, c.want)
					}
					aws, their := theirs.invoke(theirs.function(of.runtime, c.handler, c.files, environment), event)
					if o.Failed != aws.Failed || plain(string(o.Payload)) != plain(string(aws.Payload)) {
						t.Errorf("ours answers\n%s\nAWS's\n%s", o.Payload, aws.Payload)
					}
					got, want := plain(strings.Join(logged(lines), "\n")), plain(strings.Join(logged(their), "\n"))
					if got != want {
						t.Errorf("ours logs\n%s\nAWS's\n%s", got, want)
					}
					if !t.Failed() {
						same++
					}
				})
			}
			storetest.Proved(t, fmt.Sprintf("%d functions", len(of.examples)), fmt.Sprintf("%d answer and log the same",
				same),
				"under AWS's own runtime client")
		})
	}
}
