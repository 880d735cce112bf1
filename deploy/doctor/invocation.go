package doctor

import (
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// errors are the errors of functions, by their type and what their message says, and the cause. The first that fits is
// taken. Types are those of Lambda's runtimes ("Troubleshoot invocation issues in Lambda").
var errorKinds = []struct{ kind, message, cause string }{
	{"Extension.", "", "code.layer"},
	{"Runtime.InvalidEntrypoint", "exec format error", "code.architecture"},
	{"Runtime.InvalidEntrypoint", "permission denied", "code.not-executable"},
	{"Runtime.InvalidEntrypoint", "no such file", "code.dynamic-link"},
	{"Runtime.InvalidEntrypoint", "", "code.bootstrap"},
	{"Runtime.ImportModuleError", "", "code.import"},
	{"Runtime.UserCodeSyntaxError", "", "code.import"},
	{"Runtime.HandlerNotFound", "", "code.handler"},
	{"Runtime.MalformedHandlerName", "", "code.handler"},
	{"Runtime.BuiltInModuleConflict", "", "code.handler"},
	{"Runtime.CallbackHandlerDeprecated", "", "code.callback"},
	{"Function.ResponseSizeTooLarge", "", "response.too-large"},
	{"Runtime.MarshalError", "", "response.body"},
	{"", "signal: killed", "code.memory"},
	{"Runtime.OutOfMemory", "", "code.memory"},
	{"Sandbox.Timedout", "", "code.timeout"},
	{"", "Task timed out", "code.timeout"},
	{"Runtime.ExitError", "", "code.crash"},
	{"Runtime.Unknown", "", "code.crash"},
	{"", "", "code.error"},
}

// variable is the name of a missing variable of the environment, in the errors of Python and Node.
var variable = regexp.MustCompile(`^'?([A-Z][A-Z0-9_]{2,})'?$`)

// broken tells of the function's own error.
func (r *result) broken(i Fact[Invocation], p *pair, sure Certainty) {
	e := *i.Value
	if r.elsewhere(e) {
		return
	}
	f := found{pairs: r.alike(p), explains: r.explains(p, 500, 503), certainty: sure, values: values{
		"function": e.Function, "type": e.Type, "message": e.Message, "trace": e.Trace, "field": e.Message}}
	for _, kind := range errorKinds {
		if strings.HasPrefix(e.Type, kind.kind) && strings.Contains(e.Message, kind.message) {
			f.cause = kind.cause
			break
		}
	}
	c := p.configuration()
	if c != nil {
		f.values["handler"], f.values["runtime"] = c.Handler, c.Runtime
		f.values["memory"], f.values["timeout"] = c.Memory, c.Timeout
		f.values["architecture"] = strings.Join(c.processors(), ", ")
		f.fix = r.codeFix(f.cause, c)
	}
	r.refine(&f, e, p, i.Call == "lambda:Invoke")
	if c != nil && c.VPC && (f.cause == "code.timeout" || f.cause == "code.init-timeout") {
		at := p.function.Configuration
		r.find(found{cause: "network.no-way-out", certainty: Likely, pairs: f.pairs, values: f.values,
			evidence: []Evidence{{at.Call, at.Of, "VpcConfig", "set", ""}}})
	}
	f.evidence = []Evidence{{i.Call, i.Of, e.Type, e.Message, ""}}
	ofZip := slices.Contains([]string{"code.handler", "code.import", "code.bootstrap"}, f.cause)
	if code := p.code(); code != nil && ofZip {
		f.evidence = append(f.evidence, Evidence{p.function.Code.Call, p.function.Code.Of, "zip", listed(code),
			code.Wanted})
	}
	if e.Trace != "" {
		f.evidence = append(f.evidence, Evidence{i.Call, i.Of, "stackTrace", e.Trace, ""})
	}
	for _, line := range e.Log {
		f.evidence = append(f.evidence, Evidence{i.Call, i.Of, "LogResult", line, ""})
	}
	r.find(f)
}

// refine tells apart what an error's type leaves open.
func (r *result) refine(f *found, e Invocation, p *pair, direct bool) {
	during := slices.ContainsFunc(e.Log, func(line string) bool { return strings.Contains(line, "INIT_REPORT") })
	name := variable.FindStringSubmatch(e.Message)
	format := p.format(e)
	switch {
	case format != "":
		f.cause, f.certainty, f.pairs, f.values["format"] = "integration.payload-format", Likely, []*pair{p}, format
		f.fix = []Fix{r.aws(false, "fix.format", f.values, &apigatewayv2.UpdateIntegrationInput{ApiId: &r.Asked.API,
			IntegrationId: &p.integration.ID, PayloadFormatVersion: &format})}
	case f.cause == "code.import":
		r.unloaded(f, e, p)
	case f.cause == "response.body" && strings.Contains(e.Message, "coroutine"):
		f.variant = "response.body.async"
	case f.cause == "response.body":
		f.variant = "response.body.value"
	case strings.HasPrefix(e.Type, "Runtime.InvalidEntrypoint") && p.wrapped(e):
		f.cause, f.certainty = "code.wrapper", Likely
	case e.Type == "KeyError" && name != nil && !p.has(name[1]) &&
		(e.Trace == "" || ofEnvironment.MatchString(e.Trace)):
		f.cause, f.values["variable"] = "code.settings", name[1]
		if e.Trace == "" {
			f.certainty = Likely // it may be the key of anything
		}
	case f.cause == "code.timeout" && p.loopback() != "–": // SDKs try again until the time is over
		f.cause, f.certainty, f.values["variables"], f.fix = "table.local-endpoint", Likely, p.loopback(), nil
	case f.cause == "code.dynamic-link" && p.code() != nil && p.code().Program != nil &&
		strings.HasSuffix(p.code().Program.Interpreter, "\r"):
		f.cause, f.variant = "code.bootstrap", "code.bootstrap.lines"
	case during && f.cause == "code.timeout":
		f.cause = "code.init-timeout"
	case during && (f.cause == "code.error" || f.cause == "code.crash"):
		f.cause = "code.init"
	case f.cause == "code.error" && direct && r.synthetic(p):
		f.level, f.certainty, f.explains = Note, Likely, false
	case f.cause == "code.error" && r.unread(e.Type+" "+e.Message) && !p.mentions("isBase64Encoded"):
		f.cause, f.certainty, f.values["type"] = "request.base64-body", Likely, r.Asked.Encoded
	}
}

// ofEnvironment is code that reads a variable of the environment.
var ofEnvironment = regexp.MustCompile(`os\.environ|environ\[|getenv|frozen os`)

// wrapped reports whether it is a wrapper that does not start, and not the function's own program.
func (p *pair) wrapped(e Invocation) bool {
	c := p.configuration()
	return c != nil && p.has("AWS_LAMBDA_EXEC_WRAPPER") &&
		(!strings.HasPrefix(c.Runtime, "provided") || !strings.Contains(e.Message, "/var/task/bootstrap"))
}

// notLoaded are the words in which runtimes tell of a module that is missing.
var notLoaded = regexp.MustCompile(
	`(?:No module named|Cannot find module|Cannot find package|cannot load such file --) ` +
		`'?([^'\s]+)'?`,
)

// unloaded tells apart why code cannot be loaded: the handler's own file is missing, or it cannot be read. Else it is
// another module.
func (r *result) unloaded(f *found, e Invocation, p *pair) {
	c := p.configuration()
	if strings.HasPrefix(e.Type, "Runtime.UserCodeSyntaxError") ||
		strings.Contains(e.Message, "Syntax error in module") {
		f.variant = "code.import.syntax"
		return
	}
	m := notLoaded.FindStringSubmatch(e.Message)
	if c == nil || m == nil || c.Handler == "" {
		return
	}
	module := strings.TrimPrefix(m[1], "./")
	if at := strings.LastIndex(c.Handler, "."); at > 0 {
		own := strings.ReplaceAll(c.Handler[:at], "/", ".")
		named := strings.ReplaceAll(strings.TrimPrefix(module, "/var/task/"), "/", ".")
		if own == named || strings.HasPrefix(own, named+".") {
			f.cause, f.variant = "code.handler", "code.handler.file"
			f.values["file"] = strings.ReplaceAll(own, ".", "/")
			if p.function.Code.Seen() && p.function.Code.Value.Wanted != "" {
				f.values["file"] = p.function.Code.Value.Wanted
			}
			if code := p.function.Code.Value; code != nil && len(code.Alike) > 0 {
				f.variant, f.values["alike"] = "code.handler.folder", strings.Join(code.Alike, ", ")
			}
		}
	}
}

// noJSON is what parsers of JSON say of a text that is base64.
var noJSON = regexp.MustCompile(`JSONDecodeError|Expecting value: line 1 column 1|Unexpected token|` +
	`is not valid JSON|invalid character .* looking for|(?i:(invalid|malformed|parse|decode|bad).{0,12}json|` +
	`json.{0,12}(invalid|malformed|pars|decod))`)

// unread reports whether a text tells of a body that cannot be read, where the function receives it as base64.
func (r *result) unread(text string) bool { return r.Asked.Encoded != "" && noJSON.MatchString(text) }

// elsewhere reports whether an error tells of a right that lacks or of a table, which are judged by themselves.
func (r *result) elsewhere(e Invocation) bool {
	if refusesHere.MatchString(e.Message) && r.selected.loopback() != "–" {
		return true
	}
	return refusal.MatchString(e.Message) || unnamed.MatchString(e.Message) || tableCause(e.Message) != ""
}

// ofFormat are the fields of an event that one payload format has and the other lacks, as errors name them. Where other
// things have such a field too, the handler must say the word beside it.
var ofFormat = []struct{ lacks, has, field, word string }{
	{"1.0", "2.0", "rawPath", ""}, {"1.0", "2.0", "routeKey", ""}, {"1.0", "2.0", "rawQueryString", ""},
	{"1.0", "2.0", "http", "http"}, {"1.0", "2.0", "method", "http"}, {"1.0", "2.0", "path", "http"},
	{"1.0", "2.0", "sourceIp", "http"}, {"2.0", "1.0", "sourceIp", "identity"}, {"2.0", "1.0", "httpMethod", ""},
	{"2.0", "1.0", "resourcePath", ""}, {"2.0", "1.0", "multiValueHeaders", ""},
}

// anEvent is an event in a line of code, by the names that people give it.
var anEvent = regexp.MustCompile(`event|\b(e|ev|evt)\[`)

// ofBlueprint is what Lambda's examples say where they lack the method of payload format 1.0.
var ofBlueprint = regexp.MustCompile(`(?i)Unsupported (method|route):? "?undefined`)

// format is the payload format whose field an error names, where that is another than the integration's; "" for
// none.
func (p *pair) format(e Invocation) (has string) {
	if p == nil || p.integration == nil {
		return ""
	}
	if ofBlueprint.MatchString(e.Message) && p.integration.PayloadFormat == "2.0" {
		return "1.0"
	}
	for _, f := range ofFormat {
		read := strings.HasSuffix(e.Message, "(reading '"+f.field+"')") // of something that is undefined, in Node.js
		key := e.Message == "'"+f.field+"'"                             // that is missing, in Python
		if f.lacks != p.integration.PayloadFormat || !read && !key ||
			read && f.word != "" && !p.mentions(f.word) {
			continue
		}
		if read || f.word == "" || strings.Contains(e.Trace, "requestContext") {
			return f.has
		}
	}
	// Other things have a path and a resource too.
	if p.integration.PayloadFormat == "2.0" && (e.Message == "'path'" || e.Message == "'resource'") &&
		anEvent.MatchString(e.Trace) && !strings.Contains(e.Trace, "requestContext") {
		return "1.0"
	}
	return ""
}

// codeFix is a command that heals an error of the code, where a setting alone does.
func (r *result) codeFix(cause string, c *Configuration) []Fix {
	in := &lambda.UpdateFunctionConfigurationInput{FunctionName: &c.Name}
	switch cause {
	case "code.memory":
		in.MemorySize = aws.Int32(int32(min(2*c.Memory, 10240))) // #nosec G115 -- at most 10,240
	case "code.timeout":
		in.Timeout = aws.Int32(29) // below what API Gateway waits
		if c.Timeout >= 29 {
			return nil
		}
	default:
		return nil
	}
	return []Fix{r.aws(false, "fix.configure", nil, in)}
}
