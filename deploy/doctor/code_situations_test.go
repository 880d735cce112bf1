package doctor

import "slices"

// allSituations are all cases with what must be found in them.
var allSituations = slices.Concat(situations, moreSituations, codeSituations, logSituations,
	edgeSituations, reportSituations)

// code sets what the zip of the function has, after a blank 500 to a method for which it is not invoked.
func (c *Case) code(runtime string, code Code) {
	blank(c)
	c.asks("POST", "/dev/notes")
	(*c.Routes.Value)[0].Key = "POST /notes"
	c.function().Configuration.Value.Runtime = runtime
	if code.Wanted == "" {
		code.Wanted = "app.py"
	}
	c.function().Code = seen("lambda:GetFunction", "notes", code)
}

// custom sets the program of a function that brings its own runtime.
func (c *Case) custom(runtime string, p Program) {
	p.Name = "bootstrap"
	c.code(runtime, Code{Files: []string{"bootstrap"}, Wanted: "bootstrap", Program: &p})
}

// static is a program that every runtime starts.
var static = Program{Executable: true, Architecture: "x86_64"}

// codeSituations are of what zips have.
var codeSituations = []situation{
	{"a program that starts", func(c *Case) { c.custom("provided.al2023", static) }, ""},
	{"no program", func(c *Case) {
		c.code("provided.al2023", Code{Files: []string{"main"}, Wanted: "bootstrap"})
	}, "+code.bootstrap"},
	{"a program in a layer", func(c *Case) {
		p := static
		p.Layer = "arn:aws:lambda:us-east-1:" + account + ":layer:runtime:1"
		c.custom("provided.al2023", p)
	}, ""},
	{"a layer that may not be read", func(c *Case) {
		c.code("provided.al2023", Code{})
		c.function().Code = lost[Code]("lambda:GetFunction", "notes", Denied, "AccessDeniedException", "")
	}, "(caller.rights)"},
	{"a program without the right to be run", func(c *Case) {
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
	{"a program for a newer library", func(c *Case) {
		c.custom("provided.al2", Program{Executable: true, Architecture: "x86_64",
			Loader: "/lib64/ld-linux-x86-64.so.2", GLIBC: 34})
	}, "+code.dynamic-link"},
	{"a script with the line ends of Windows", func(c *Case) {
		c.custom("provided.al2023", Program{Executable: true, Interpreter: "/bin/sh\r"})
	}, "+code.bootstrap"},
	{"no file of the handler", func(c *Case) { c.code("python3.12", Code{Files: []string{"main.py"}}) },
		"+code.handler"},
	{"the handler's file in a folder", func(c *Case) {
		c.code("python3.12", Code{Files: []string{"build/"}, Alike: []string{"build/app.py"}})
	}, "+code.handler"},
	{"no function of the handler", func(c *Case) {
		c.code("python3.12", Code{Program: &Program{Name: "app.py", Function: "handler", Lacks: true}})
	}, "+code.handler"},
	{"import in a file of CommonJS", func(c *Case) {
		c.code("nodejs22.x", Code{Program: &Program{Name: "index.js", Mixed: "import"}})
	}, "+code.import"},
	{"import in a file that the runtime looks into", func(c *Case) {
		c.code("nodejs24.x", Code{Program: &Program{Name: "index.js", Mixed: "import"}})
	}, ""},
	{"a callback", func(c *Case) {
		c.code("nodejs24.x", Code{Program: &Program{Name: "index.js", Callback: true}})
	}, "+code.callback"},
	{"a callback that the runtime calls", func(c *Case) {
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
	{"a handler of another name", func(c *Case) {
		c.fails("Runtime.ImportModuleError", "Unable to import module 'app': No module named 'app'")
	}, "+code.handler"},
	{"the handler's file, beside its function's error", func(c *Case) {
		c.fails("Runtime.ImportModuleError", "Unable to import module 'app': No module named 'app'")
		c.function().Code = seen("lambda:GetFunction", "notes", Code{Files: []string{"src/"}, Wanted: "app.py",
			Alike: []string{"src/app.py"}})
	}, "+code.handler"},
	{"a handler of another file in Node.js", func(c *Case) {
		c.function().Configuration.Value.Handler = "index.handler"
		c.fails("Runtime.ImportModuleError", "Error: Cannot find module 'index'\nRequire stack:\n- /var/runtime/x")
	}, "+code.handler"},
	{"a module that another needs", func(c *Case) {
		c.fails("Runtime.ImportModuleError", "Unable to import module 'app': No module named 'requests'")
	}, "+code.import"},
	{"a mistake in the syntax", func(c *Case) {
		c.fails("Runtime.UserCodeSyntaxError", "Syntax error in module 'app': invalid syntax (app.py, line 3)")
	}, "+code.import"},
}
