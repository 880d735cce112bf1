package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/unknown"
)

// Code describes a function's zip and layers, without the content of files.
type Code struct {
	Files   []string // at the top of the zip, at most 12; folders end in a slash
	Program *Program // the file that the runtime starts or loads; nil if neither the zip nor a layer has it
	Wanted  string   // usual path of this file, by the handler or the runtime; "" if unknown
	Alike   []string // files with its name elsewhere in the zip, at most 3
}

// Program is the file that a runtime starts (bootstrap) or loads (that of the handler).
type Program struct {
	Name         string
	Layer        string `json:",omitempty"` // ARN of the layer that contains it; "" for the zip
	Executable   bool   `json:",omitempty"`
	Architecture string `json:",omitempty"` // of an ELF file: x86_64, arm64 or another; "" for other files
	Loader       string `json:",omitempty"` // of an ELF file: its loader; "" for a static program
	GLIBC        int    `json:",omitempty"` // x of the newest GLIBC 2.x that it needs
	Interpreter  string `json:",omitempty"` // of a script: the interpreter in its first line
	Function     string `json:",omitempty"` // the function that the handler names
	Lacks        bool   `json:",omitempty"` // the file certainly lacks this function
	Mixed        string `json:",omitempty"` // "import" in a CommonJS file, or "require" in an ES module; "" for neither
	Callback     bool   `json:",omitempty"` // the function takes a callback
	// Format is the payload format without whose fields a source file fails: 1.0 or 2.0; "" if that is not known.
	Format string `json:",omitempty"`
	// Mentions are the [EventWords] in a source file.
	Mentions []string `json:",omitempty"`
}

// EventWords are words in handlers that show which event they read: fields of payload formats 2.0 and 1.0, and the
// field for a base64 body.
var EventWords = []string{"http", "rawPath", "identity", "isBase64Encoded"}

// mentions reports whether the handler of a pair's function is known and contains a word.
func (p *pair) mentions(word string) bool {
	code := p.code()
	return code != nil && code.Program != nil && slices.Contains(code.Program.Mentions, word)
}

// newestGLIBC returns the minor version 2.x of the GNU C library in a runtime ("Lambda runtimes": Amazon Linux 2 and
// 2023).
func newestGLIBC(runtime string) int {
	old := []string{"provided.al2", "python3.8", "python3.9", "python3.10", "python3.11", "nodejs14.x", "nodejs16.x",
		"nodejs18.x", "java8.al2", "java11", "java17", "ruby3.2", "dotnet6"}
	if slices.Contains(old, runtime) {
		return 26
	}
	return 34
}

// architectures returns the architectures of a function, x86_64 by default ("CreateFunction").
func (c *Configuration) architectures() []string {
	if len(c.Architectures) == 0 {
		return []string{"x86_64"}
	}
	return c.Architectures
}

// checkCode judges the zips of functions, unless the function's own error shows what is wrong.
func checkCode(v *view, r *result) {
	for i := range v.Functions {
		f := &v.Functions[i]
		c := f.Configuration.Value
		if f.Code.Call == "" || c == nil || v.Invocation.Seen() || r.hasCodeFinding(f) {
			continue
		}
		pairs := v.functionPairs(f)
		mine := v.selected != nil && slices.Contains(pairs, v.selected)
		if reportUnseen(r, f.Code, "would.code") || !f.Code.Seen() {
			continue
		}
		one := &draft{pairs: pairs, explains: mine && v.gatewayFailed(500, 503), values: values{
			"function": f.qualifiedName(),
			"handler":  c.Handler, "runtime": c.Runtime, "architecture": strings.Join(c.architectures(), ", "),
			"file": f.Code.Value.Wanted}}
		if judgeCode(one, f, c) {
			r.addFinding(*one)
		} else if p := f.Code.Value.Program; mine && p != nil {
			one.values["file"] = p.Name
			r.pass("pass.code", one.values)
		}
	}
}

// checkFormats judges whether integrations send the payload format that handlers read. An answer would show more.
func checkFormats(v *view, r *result) {
	if v.Asked.Method != "" {
		return
	}
	r.eachPair(v.pairs, func(p *pair) *draft {
		code := p.code()
		if !p.invokesLambda() || code == nil || code.Program == nil || code.Program.Format == "" {
			return nil
		}
		sent := cmp.Or(p.integration.PayloadFormat, "1.0") // the default ("CreateIntegration")
		format := code.Program.Format
		if sent == format || unknown.In(sent) {
			return nil
		}
		return &draft{cause: "integration.payload-format", certainty: Likely, values: values{"format": format},
			evidence: []Evidence{{Call: v.Integrations.Call, Of: p.integration.ID, Field: "PayloadFormatVersion",
				Value: p.integration.PayloadFormat, Expected: format}},
			fix: []Fix{r.awsFix(false, "fix.format", values{"format": format}, &apigatewayv2.UpdateIntegrationInput{
				ApiId: &v.Asked.API, IntegrationId: &p.integration.ID, PayloadFormatVersion: &format})}}
	})
}

// hasCodeFinding reports whether a finding is already about the code of a function.
func (r *result) hasCodeFinding(f *Function) bool {
	return slices.ContainsFunc(r.findings, func(one Finding) bool {
		return one.Link == LinkCode && slices.ContainsFunc(one.Evidence, func(e Evidence) bool {
			return e.Of == f.Configuration.Of || e.Of == f.Configuration.Value.LogGroup
		})
	})
}

// judgeCode reports whether something is wrong with the file that a function's runtime starts or loads, and completes
// the finding.
func judgeCode(one *draft, f *Function, c *Configuration) bool {
	code := f.Code.Value
	at := func(cause, variant, field, value, expected string) bool {
		one.cause, one.variant = cause, variant
		one.evidence = []Evidence{{Call: f.Code.Call, Of: f.Code.Of, Field: field, Value: value, Expected: expected}}
		return true
	}
	custom := strings.HasPrefix(c.Runtime, "provided")
	p := code.Program
	dotted := strings.HasPrefix(c.Runtime, "python") || strings.HasPrefix(c.Runtime, "nodejs") ||
		strings.HasPrefix(c.Runtime, "ruby")
	switch {
	case dotted && c.Handler != "" && !strings.Contains(c.Handler, ".") && !unknown.In(c.Handler):
		one.cause, one.variant = "code.handler", "code.handler.form"
		one.evidence = []Evidence{{Call: f.Configuration.Call, Of: f.Configuration.Of, Field: "Handler",
			Value: c.Handler, Expected: "FILE.FUNCTION"}}
		return true
	case code.Wanted == "":
		return false
	case p == nil && custom:
		return at("code.bootstrap", "code.bootstrap.missing", "zip", listFiles(code), "bootstrap")
	case p == nil && len(code.Alike) > 0:
		one.values["alike"] = strings.Join(code.Alike, ", ")
		return at("code.handler", "code.handler.folder", "zip", listFiles(code), code.Wanted)
	case p == nil:
		return at("code.handler", "code.handler.file", "zip", listFiles(code), code.Wanted)
	case custom && !p.Executable:
		return at("code.not-executable", "", "zip "+p.Name+" mode", "not executable", "0755")
	case custom && p.Architecture != "" && !slices.Contains(c.architectures(), p.Architecture):
		return at("code.architecture", "", "zip "+p.Name, p.Architecture, strings.Join(c.architectures(), ", "))
	case strings.Contains(p.Loader, "musl"):
		one.values["message"] = p.Loader
		return at("code.dynamic-link", "", "zip "+p.Name+" loader", p.Loader, "")
	case p.GLIBC > newestGLIBC(c.Runtime):
		one.values["message"] = fmt.Sprintf("GLIBC_2.%d", p.GLIBC)
		return at("code.dynamic-link", "", "zip "+p.Name+" needs", fmt.Sprintf("GLIBC_2.%d", p.GLIBC),
			fmt.Sprintf("at most GLIBC_2.%d", newestGLIBC(c.Runtime)))
	case strings.HasSuffix(p.Interpreter, "\r"):
		return at("code.bootstrap", "code.bootstrap.lines", "zip "+p.Name, "CR LF", "LF")
	case p.Lacks:
		one.values["name"] = p.Function
		return at("code.handler", "code.handler.function", "zip "+p.Name, "", p.Function)
	case p.Mixed == "require", p.Mixed == "import" && isStrictCommonJS(c):
		one.values["word"] = p.Mixed
		return at("code.import", "code.import.mixed", "zip "+p.Name, p.Mixed, "")
	case p.Callback && c.Runtime == "nodejs24.x":
		return at("code.callback", "", "zip "+p.Name, p.Function, "async")
	}
	return false
}

// isStrictCommonJS reports whether a Node.js runtime treats every .js file as CommonJS. Later runtimes look at the
// content, as do newer versions of nodejs20.x ("Building Lambda functions with Node.js").
func isStrictCommonJS(c *Configuration) bool {
	return slices.Contains([]string{"nodejs16.x", "nodejs18.x", "nodejs22.x"}, c.Runtime) &&
		!slices.ContainsFunc(c.Variables, func(v Variable) bool { return v.Name == "NODE_OPTIONS" })
}

// listFiles lists the files at the top of a zip.
func listFiles(c *Code) string { return joinNames(c.Files, func(name string) string { return name }) }
