package function

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

//go:embed clients
var clients embed.FS

// language is a programming language whose functions run in an interpreter of this machine, under our runtime client.
type language struct {
	name        string         // for the log
	runtime     *regexp.Regexp // matches Lambda's names of its runtimes
	program     string
	versionArgs []string // make the program print its path and its version, one per line
	client      string   // file in clients
	flags       []string
}

// managedLanguages are the languages of Lambda's managed runtimes that most machines have. The developer guide lists
// the runtimes that Lambda still accepts ("Lambda runtimes").
var managedLanguages = []*language{
	{name: "Python", runtime: regexp.MustCompile(`^python3\.(9|1[0-4])$`), program: "python3",
		versionArgs: []string{"-c", "import sys, platform; print(sys.executable); print(platform.python_version())"},
		client:      "bootstrap.py", flags: []string{"-u"}},
	{name: "Node.js", runtime: regexp.MustCompile(`^nodejs(18|20|22|24)\.x$`), program: "node",
		versionArgs: []string{"-p", "process.execPath + '\\n' + process.version"}, client: "bootstrap.js", flags: nil},
}

// languageOf returns the language of a runtime, or nil if the function brings its own bootstrap or the runtime is
// unknown.
func languageOf(runtime string) *language {
	for _, l := range managedLanguages {
		if l.runtime.MatchString(runtime) {
			return l
		}
	}
	return nil
}

// supportsModuleFlags matches the versions of Node.js that accept the flags of disablingFlags.
var supportsModuleFlags = regexp.MustCompile(`^v(20\.(1[7-9]|[2-9][0-9])|2[2-9])\.`)

// disablingFlags returns the flags that disable the features of Node.js that Lambda disables. A function enables them
// again through its own NODE_OPTIONS ("Building Lambda functions with Node.js").
func disablingFlags(c *Configuration, version string) (flags []string) {
	options := ""
	if c.Environment != nil {
		options = c.Environment.Variables["NODE_OPTIONS"]
	}
	for _, feature := range map[string][]string{"nodejs20.x": {"require-module"},
		"nodejs22.x": {"require-module", "detect-module"}}[string(c.Runtime)] {
		if supportsModuleFlags.MatchString(version) && !strings.Contains(options, "--experimental-"+feature) {
			flags = append(flags, "--no-experimental-"+feature)
		}
	}
	return flags
}

// interpreter is the program on this machine that runs the functions of a language.
type interpreter struct {
	path, version string
	client        string // path of our runtime client
	err           error  // why the program cannot be used
}

// interpreters caches the interpreters by the name of their language.
type interpreters struct {
	mu    sync.Mutex
	found map[string]*interpreter
}

// interpreter finds the interpreter of a language once, and returns the cached result from then on.
func (r *Runner) interpreter(l *language) *interpreter {
	r.interpreters.mu.Lock()
	defer r.interpreters.mu.Unlock()
	if i := r.interpreters.found[l.name]; i != nil {
		return i
	}
	i := &interpreter{client: filepath.Join(r.host.Folder, l.client)}
	if r.interpreters.found == nil {
		r.interpreters.found = map[string]*interpreter{}
	}
	r.interpreters.found[l.name] = i
	output, err := exec.Command(l.program, l.versionArgs...).Output() // #nosec G204 -- one of languages
	lines := strings.Split(strings.ReplaceAll(strings.TrimSpace(string(output)), "\r", ""), "\n")
	if err == nil && len(lines) != 2 {
		err = fmt.Errorf("unexpected output %q", output)
	}
	if err != nil {
		i.err = fmt.Errorf("functions in %s need %s, which this machine does not have: %w", l.name, l.program, err)
		return i
	}
	i.path, i.version = lines[0], lines[1]
	client, err := clients.ReadFile("clients/" + l.client)
	if err == nil {
		err = os.WriteFile(i.client, client, 0o600)
	}
	if i.err = err; err == nil {
		r.host.Log.Printf("functions in %s run with %s %s (%s)", l.name, l.name, i.version, i.path)
	}
	return i
}
