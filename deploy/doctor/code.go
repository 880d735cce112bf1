package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// Code is what a function's zip and its layers have, without what they say.
type Code struct {
	Files   []string // at the top of the zip, at most 12; folders end in a slash
	Program *Program // the file that the runtime starts or loads; nil where neither the zip nor a layer has it
	Wanted  string   // path that this file mostly has, as the handler or the runtime names it; "" where it is not known
	Alike   []string // files elsewhere in the zip that have its name, at most 3
}

// Program is the file that a runtime starts (bootstrap) or loads (that of the handler).
type Program struct {
	Name         string
	Layer        string `json:",omitempty"` // ARN of the layer that has it; "" for the zip
	Executable   bool   `json:",omitempty"`
	Architecture string `json:",omitempty"` // of an ELF file: x86_64, arm64 or another; "" for other files
	Loader       string `json:",omitempty"` // of an ELF file: the loader that it asks for; "" for a static program
	GLIBC        int    `json:",omitempty"` // the newest 2.x that it asks for: x
	Interpreter  string `json:",omitempty"` // of a script: what its first line names
	Function     string `json:",omitempty"` // that the handler names in the file
	Lacks        bool   `json:",omitempty"` // the file surely has no such function
	Mixed        string `json:",omitempty"` // "import" in a CommonJS file, or "require" in an ES module; "" for neither
	Callback     bool   `json:",omitempty"` // the function takes a callback
	// Mentions are those of [Words] that a source file has.
	Mentions []string `json:",omitempty"`
}

// Words are what handlers say of the event that they read: fields of payload format 2.0, of 1.0, and that a body may be
// base64.
var Words = []string{"http", "rawPath", "identity", "isBase64Encoded"}

// mentions reports whether the handler of a route is known, and says a word.
func (p *pair) mentions(word string) bool {
	code := p.code()
	return code != nil && code.Program != nil && slices.Contains(code.Program.Mentions, word)
}

// newestGLIBC is the newest 2.x of the GNU C library that a runtime has ("Lambda runtimes": Amazon Linux 2 and 2023).
func newestGLIBC(runtime string) int {
	old := []string{"provided.al2", "python3.8", "python3.9", "python3.10", "python3.11", "nodejs14.x", "nodejs16.x",
		"nodejs18.x", "java8.al2", "java11", "java17", "ruby3.2", "dotnet6"}
	if slices.Contains(old, runtime) {
		return 26
	}
	return 34
}

// processors are those that a function may run on: x86_64 unless it says otherwise ("CreateFunction").
func (c *Configuration) processors() []string {
	if len(c.Architectures) == 0 {
		return []string{"x86_64"}
	}
	return c.Architectures
}

// checkCode judges what the zips of functions have, where the function's own error does not tell.
func checkCode(v *view, r *result) {
	for i := range v.Functions {
		f := &v.Functions[i]
		c := f.Configuration.Value
		if f.Code.Call == "" || c == nil || v.Invocation.Seen() || r.tellsOfCode(f) {
			continue
		}
		pairs := v.pairsWith(f)
		mine := v.selected != nil && slices.Contains(pairs, v.selected)
		if hideFact(r, f.Code, "would.code") || !f.Code.Seen() {
			continue
		}
		one := &found{pairs: pairs, explains: mine && v.failed(500, 503), values: values{"function": f.name(),
			"handler": c.Handler, "runtime": c.Runtime, "architecture": strings.Join(c.processors(), ", "),
			"file": f.Code.Value.Wanted}}
		if judgeCode(one, f, c) {
			r.find(*one)
		} else if p := f.Code.Value.Program; mine && p != nil {
			one.values["file"] = p.Name
			r.pass("pass.code", one.values)
		}
	}
}

// tellsOfCode reports whether a finding tells of the code of a function already.
func (r *result) tellsOfCode(f *Function) bool {
	return slices.ContainsFunc(r.findings, func(one Finding) bool {
		return one.Link == "code" && slices.ContainsFunc(one.Evidence, func(e Evidence) bool {
			return e.Of == f.Configuration.Of || e.Of == f.Configuration.Value.LogGroup
		})
	})
}

// judgeCode reports whether something is wrong with the file that a function's runtime starts or loads, and says what.
func judgeCode(one *found, f *Function, c *Configuration) bool {
	code := f.Code.Value
	at := func(cause, variant, field, value, expected string) bool {
		one.cause, one.variant = cause, variant
		one.evidence = []Evidence{{f.Code.Call, f.Code.Of, field, value, expected}}
		return true
	}
	custom := strings.HasPrefix(c.Runtime, "provided")
	p := code.Program
	switch {
	case code.Wanted == "":
		return false
	case p == nil && custom:
		return at("code.bootstrap", "code.bootstrap.missing", "zip", listed(code), "bootstrap")
	case p == nil && len(code.Alike) > 0:
		one.values["alike"] = strings.Join(code.Alike, ", ")
		return at("code.handler", "code.handler.folder", "zip", listed(code), code.Wanted)
	case p == nil:
		return at("code.handler", "code.handler.file", "zip", listed(code), code.Wanted)
	case custom && !p.Executable:
		return at("code.not-executable", "", "zip "+p.Name+" mode", "not executable", "0755")
	case custom && p.Architecture != "" && !slices.Contains(c.processors(), p.Architecture):
		return at("code.architecture", "", "zip "+p.Name, p.Architecture, strings.Join(c.processors(), ", "))
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
	case p.Mixed == "require", p.Mixed == "import" && strict(c):
		one.values["word"] = p.Mixed
		return at("code.import", "code.import.mixed", "zip "+p.Name, p.Mixed, "")
	case p.Callback && c.Runtime == "nodejs24.x":
		return at("code.callback", "", "zip "+p.Name, p.Function, "async")
	}
	return false
}

// strict reports whether a runtime of Node.js takes a .js file for CommonJS, whatever is in it. Later ones look into
// it, and nodejs20.x does in its newer versions ("Building Lambda functions with Node.js").
func strict(c *Configuration) bool {
	return slices.Contains([]string{"nodejs16.x", "nodejs18.x", "nodejs22.x"}, c.Runtime) &&
		!slices.ContainsFunc(c.Variables, func(v Variable) bool { return v.Name == "NODE_OPTIONS" })
}

// listed is the top of a zip, as a list in a sentence.
func listed(c *Code) string { return names(c.Files, func(name string) string { return name }) }
