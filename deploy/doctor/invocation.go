package doctor

import (
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// errorKinds maps errors of functions, by the prefix of their type and a part of their message, to causes. The first
// match applies. The types are those of Lambda's runtimes ("Troubleshoot invocation issues in Lambda").
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

// missingVariable matches the name of a missing environment variable in errors of Python and Node.js.
var missingVariable = regexp.MustCompile(`^'?([A-Z][A-Z0-9_]{2,})'?$`)

// judgeError judges the function's own error.
func (r *result) judgeError(i Fact[Invocation], p *pair, sure Certainty) {
	e := *i.Value
	if r.isJudgedElsewhere(e) {
		return
	}
	f := draft{pairs: r.sharingFunction(p), explains: r.explainsAnswer(p, 500, 503), certainty: sure, values: values{
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
		f.values["architecture"] = strings.Join(c.architectures(), ", ")
		f.fix = r.codeFix(f.cause, c)
	}
	r.refine(&f, e, p, i.Call == "lambda:Invoke")
	if c != nil && c.VPC && (f.cause == "code.timeout" || f.cause == "code.init-timeout") {
		at := p.function.Configuration
		r.addFinding(draft{cause: "network.no-way-out", certainty: Likely, pairs: f.pairs, values: f.values,
			evidence: []Evidence{{Call: at.Call, Of: at.Of, Field: "VpcConfig", Value: "set"}}})
	}
	f.evidence = []Evidence{{Call: i.Call, Of: i.Of, Field: e.Type, Value: e.Message}}
	ofZip := slices.Contains([]string{"code.handler", "code.import", "code.bootstrap"}, f.cause)
	if code := p.code(); code != nil && ofZip {
		f.evidence = append(f.evidence, Evidence{Call: p.function.Code.Call, Of: p.function.Code.Of, Field: "zip",
			Value:    listFiles(code),
			Expected: code.Wanted})
	}
	if e.Trace != "" {
		f.evidence = append(f.evidence, Evidence{Call: i.Call, Of: i.Of, Field: "stackTrace", Value: e.Trace})
	}
	for _, line := range e.Log {
		f.evidence = append(f.evidence, Evidence{Call: i.Call, Of: i.Of, Field: "LogResult", Value: line})
	}
	r.addFinding(f)
}

// refine chooses between causes that share an error type.
func (r *result) refine(f *draft, e Invocation, p *pair, direct bool) {
	during := slices.ContainsFunc(e.Log, func(line string) bool { return strings.Contains(line, "INIT_REPORT") })
	name := missingVariable.FindStringSubmatch(e.Message)
	format := p.expectedFormat(e)
	switch {
	case format != "":
		f.cause, f.certainty, f.pairs, f.values["format"] = "integration.payload-format", Likely, []*pair{p}, format
		f.fix = []Fix{r.awsFix(false, "fix.format", f.values, &apigatewayv2.UpdateIntegrationInput{ApiId: &r.Asked.API,
			IntegrationId: &p.integration.ID, PayloadFormatVersion: &format})}
	case f.cause == "code.import":
		r.refineImport(f, e, p)
	case f.cause == "response.body" && strings.Contains(e.Message, "coroutine"):
		f.variant = "response.body.async"
	case f.cause == "response.body":
		f.variant = "response.body.value"
	case strings.HasPrefix(e.Type, "Runtime.InvalidEntrypoint") && p.failsInWrapper(e):
		f.cause, f.certainty = "code.wrapper", Likely
	case e.Type == "KeyError" && name != nil && !p.setsVariable(name[1]) &&
		(e.Trace == "" || readsEnvironment.MatchString(e.Trace)):
		f.cause, f.values["variable"] = "code.settings", name[1]
		if e.Trace == "" {
			f.certainty = Likely // it may be the key of any dictionary
		}
	case f.cause == "code.timeout" && p.localVariables() != "–": // SDKs retry until the timeout
		f.cause, f.certainty, f.values["variables"], f.fix = "table.local-endpoint", Likely, p.localVariables(), nil
	case f.cause == "code.dynamic-link" && p.code() != nil && p.code().Program != nil &&
		strings.HasSuffix(p.code().Program.Interpreter, "\r"):
		f.cause, f.variant = "code.bootstrap", "code.bootstrap.lines"
	case during && f.cause == "code.timeout":
		f.cause = "code.init-timeout"
	case during && (f.cause == "code.error" || f.cause == "code.crash"):
		f.cause = "code.init"
	case f.cause == "code.error" && direct && r.isSynthetic(p):
		f.level, f.certainty, f.explains = Note, Likely, false
	case f.cause == "code.error" && r.misreadsBase64(e.Type+" "+e.Message) && !p.mentions("isBase64Encoded"):
		f.cause, f.certainty, f.values["type"] = "request.base64-body", Likely, r.Asked.Encoded
	}
}

// readsEnvironment matches code that reads an environment variable.
var readsEnvironment = regexp.MustCompile(`os\.environ|environ\[|getenv|frozen os`)

// failsInWrapper reports whether the wrapper does not start, rather than the function's own program.
func (p *pair) failsInWrapper(e Invocation) bool {
	c := p.configuration()
	return c != nil && p.setsVariable("AWS_LAMBDA_EXEC_WRAPPER") &&
		(!strings.HasPrefix(c.Runtime, "provided") || !strings.Contains(e.Message, "/var/task/bootstrap"))
}

// missingModule matches the errors of runtimes for a missing module.
var missingModule = regexp.MustCompile(
	`(?:No module named|Cannot find module|Cannot find package|cannot load such file --) ` +
		`'?([^'\s]+)'?`,
)

// refineImport distinguishes why code cannot be loaded: the handler's own file is missing or has a syntax error, or
// another module is missing.
func (r *result) refineImport(f *draft, e Invocation, p *pair) {
	c := p.configuration()
	if strings.HasPrefix(e.Type, "Runtime.UserCodeSyntaxError") ||
		strings.Contains(e.Message, "Syntax error in module") {
		f.variant = "code.import.syntax"
		return
	}
	m := missingModule.FindStringSubmatch(e.Message)
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

// invalidJSON matches what JSON parsers report for a text in base64.
var invalidJSON = regexp.MustCompile(`JSONDecodeError|Expecting value: line 1 column 1|Unexpected token|` +
	`is not valid JSON|invalid character .* looking for|(?i:(invalid|malformed|parse|decode|bad).{0,12}json|` +
	`json.{0,12}(invalid|malformed|pars|decod))`)

// misreadsBase64 reports whether a text says that the body cannot be parsed, although the function receives it as
// base64.
func (r *result) misreadsBase64(text string) bool {
	return r.Asked.Encoded != "" && invalidJSON.MatchString(text)
}

// isJudgedElsewhere reports whether an error is about a missing permission or a table, which other checks judge.
func (r *result) isJudgedElsewhere(e Invocation) bool {
	if localRefusal.MatchString(e.Message) && r.selected.localVariables() != "–" {
		return true
	}
	return refusalSentence.MatchString(e.Message) || unnamedRefusal.MatchString(e.Message) ||
		tableCause(e.Message) != ""
}

// formatFields lists the event fields that one payload format has and the other lacks, as errors name them. If other
// objects have such a field too, the handler must also mention word.
var formatFields = []struct{ lacks, has, field, word string }{
	{"1.0", "2.0", "rawPath", ""}, {"1.0", "2.0", "routeKey", ""}, {"1.0", "2.0", "rawQueryString", ""},
	{"1.0", "2.0", "http", "http"}, {"1.0", "2.0", "method", "http"}, {"1.0", "2.0", "path", "http"},
	{"1.0", "2.0", "sourceIp", "http"}, {"2.0", "1.0", "sourceIp", "identity"}, {"2.0", "1.0", "httpMethod", ""},
	{"2.0", "1.0", "resourcePath", ""}, {"2.0", "1.0", "multiValueHeaders", ""},
}

// eventAccess matches a line of code that reads from an event, by the usual variable names.
var eventAccess = regexp.MustCompile(`event|\b(e|ev|evt)\[`)

// blueprintError matches the error of Lambda's examples when the method of payload format 1.0 is missing.
var blueprintError = regexp.MustCompile(`(?i)Unsupported (method|route):? "?undefined`)

// expectedFormat returns the payload format whose field an error names, if the integration uses another, else "".
func (p *pair) expectedFormat(e Invocation) (has string) {
	if p == nil || p.integration == nil {
		return ""
	}
	if blueprintError.MatchString(e.Message) && p.integration.PayloadFormat == "2.0" {
		return "1.0"
	}
	for _, f := range formatFields {
		read := strings.HasSuffix(e.Message, "(reading '"+f.field+"')") // of undefined, in Node.js
		key := e.Message == "'"+f.field+"'"                             // a missing key, in Python
		if f.lacks != p.integration.PayloadFormat || !read && !key ||
			read && f.word != "" && !p.mentions(f.word) {
			continue
		}
		if read || f.word == "" || strings.Contains(e.Trace, "requestContext") {
			return f.has
		}
	}
	// Other objects have a path and a resource too.
	if p.integration.PayloadFormat == "2.0" && (e.Message == "'path'" || e.Message == "'resource'") &&
		eventAccess.MatchString(e.Trace) && !strings.Contains(e.Trace, "requestContext") {
		return "1.0"
	}
	return ""
}

// codeFix returns a command that fixes an error of the code, if a setting does.
func (r *result) codeFix(cause string, c *Configuration) []Fix {
	in := &lambda.UpdateFunctionConfigurationInput{FunctionName: &c.Name}
	switch cause {
	case "code.memory":
		in.MemorySize = aws.Int32(int32(min(2*c.Memory, 10240))) // #nosec G115 -- at most 10,240
	case "code.timeout":
		in.Timeout = aws.Int32(29) // less than API Gateway waits
		if c.Timeout >= 29 {
			return nil
		}
	default:
		return nil
	}
	return []Fix{r.awsFix(false, "fix.configure", nil, in)}
}
