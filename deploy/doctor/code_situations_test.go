package doctor

import "slices"

// allSituations are all situations.
var allSituations = slices.Concat(situations, moreSituations, codeSituations, logSituations,
	edgeSituations, reportSituations)

// code sets the facts about the function's zip, after a blank 500 to a method for which it is not invoked.
func (c *Case) code(runtime string, code Code) {
	blank500(c)
	c.setRequest("POST", "/dev/notes")
	(*c.Routes.Value)[0].Key = "POST /notes"
	c.function().Configuration.Value.Runtime = runtime
	if code.Wanted == "" {
		code.Wanted = "app.py"
	}
	c.function().Code = knownFact("lambda:GetFunction", "notes", code)
}

// custom sets the program of a function with a custom runtime.
func (c *Case) custom(runtime string, p Program) {
	p.Name = "bootstrap"
	c.code(runtime, Code{Files: []string{"bootstrap"}, Wanted: "bootstrap", Program: &p})
}

// static is a program that every custom runtime starts.
var static = Program{Executable: true, Architecture: "x86_64"}

// codeSituations are about the content of zips.
var codeSituations = []situation{
	{"a program that starts", func(c *Case) { c.custom("provided.al2023", static) }, ""},
	{"no program", func(c *Case) {
		c.code("provided.al2023", Code{Files: []string{"main"}, Wanted: "bootstrap"})
	}, "+code.bootstrap"},
	{"a program in a layer", func(c *Case) {
		p := static
		p.Layer = "arn:aws:lambda:us-east-1:" + testAccount + ":layer:runtime:1"
		c.custom("provided.al2023", p)
	}, ""},
	{"a layer that may not be read", func(c *Case) {
		c.code("provided.al2023", Code{})
		c.function().Code = failedFact[Code]("lambda:GetFunction", "notes", Denied, "AccessDeniedException", "")
	}, "(caller.rights)"},
	{"a program that is not executable", func(c *Case) {
		c.custom("provided.al2023", Program{Architecture: "x86_64"})
	}, "+code.not-executable"},
	{"a program for arm64", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Architecture: "arm64"})
	}, "+code.architecture"},
	{"a program for arm64 on arm64", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Architecture: "arm64"})
		c.function().Configuration.Value.Architectures = []string{"arm64"}
	}, ""},
	{"a program for Alpine Linux", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Architecture: "x86_64",
			Loader: "/lib/ld-musl-x86_64.so.1"})
	}, "+code.dynamic-link"},
	{"a program that is linked dynamically", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Architecture: "x86_64",
			Loader: "/lib64/ld-linux-x86-64.so.2", GLIBC: 34})
	}, ""},
	{"a program that needs a newer library", func(c *Case) {
		c.custom("provided.al2", Program{Executable: true, Architecture: "x86_64",
			Loader: "/lib64/ld-linux-x86-64.so.2", GLIBC: 34})
	}, "+code.dynamic-link"},
	{"a script with Windows line endings", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Interpreter: "/bin/sh\r"})
	}, "+code.bootstrap"},
	{"no file for the handler", func(c *Case) { c.code("python3.12", Code{Files: []string{"main.py"}}) },
		"+code.handler"},
	{"the handler's file in a folder", func(c *Case) {
		c.code("python3.12", Code{Files: []string{"build/"}, Alike: []string{"build/app.py"}})
	}, "+code.handler"},
	{"no function for the handler", func(c *Case) {
		c.code("python3.12", Code{Program: &Program{Name: "app.py", Function: "handler", Lacks: true}})
	}, "+code.handler"},
	{"import in a CommonJS file", func(c *Case) {
		c.code("nodejs22.x", Code{Program: &Program{Name: "index.js", Mixed: "import"}})
	}, "+code.import"},
	{"import in a file that the runtime inspects", func(c *Case) {
		c.code("nodejs24.x", Code{Program: &Program{Name: "index.js", Mixed: "import"}})
	}, ""},
	{"a callback", func(c *Case) {
		c.code("nodejs24.x", Code{Program: &Program{Name: "index.js", Callback: true}})
	}, "+code.callback"},
	{"a callback that the runtime supports", func(c *Case) {
		c.code("nodejs22.x", Code{Program: &Program{Name: "index.js", Callback: true}})
	}, ""},
	{"an API whose function has no handler", func(c *Case) {
		c.code("python3.12", Code{Files: []string{"main.py"}})
		c.Asked, c.Answer = Asked{API: "a1", Region: "us-east-1"}, Fact[Answer]{}
	}, "code.handler"},
	{"no handler, and no permission", func(c *Case) {
		c.code("python3.12", Code{Files: []string{"main.py"}})
		c.policy()
	}, "+permission.none +code.handler"},
	{"a handler with another name", func(c *Case) {
		c.functionFails("Runtime.ImportModuleError", "Unable to import module 'app': No module named 'app'")
	}, "+code.handler"},
	{"the handler's file in a folder, and an error", func(c *Case) {
		c.functionFails("Runtime.ImportModuleError", "Unable to import module 'app': No module named 'app'")
		c.function().Code = knownFact("lambda:GetFunction", "notes", Code{Files: []string{"src/"}, Wanted: "app.py",
			Alike: []string{"src/app.py"}})
	}, "+code.handler"},
	{"a handler in another file in Node.js", func(c *Case) {
		c.function().Configuration.Value.Handler = "index.handler"
		c.functionFails("Runtime.ImportModuleError",
			"Error: Cannot find module 'index'\nRequire stack:\n- /var/runtime/x")
	}, "+code.handler"},
	{"a missing dependency", func(c *Case) {
		c.functionFails("Runtime.ImportModuleError", "Unable to import module 'app': No module named 'requests'")
	}, "+code.import"},
	{"a syntax error", func(c *Case) {
		c.functionFails("Runtime.UserCodeSyntaxError", "Syntax error in module 'app': invalid syntax (app.py, line 3)")
	}, "+code.import"},
}
