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

// language is one whose functions are run by a program of this machine, under a runtime client of ours.
type language struct {
	name    string         // as the log says it
	runtime *regexp.Regexp // the runtimes of Lambda
	program string
	tells   []string // arguments that have the program print its path and its version, a line each
	client  string   // of clients
	flags   []string
}

// languages are those of Lambda's that people have on their machines. The runtimes that Lambda still takes are in
// "Lambda runtimes" of the developer guide.
var languages = []*language{
	{"Python", regexp.MustCompile(`^python3\.(9|1[0-4])$`), "python3",
		[]string{"-c", "import sys, platform; print(sys.executable); print(platform.python_version())"},
		"bootstrap.py", []string{"-u"}},
	{"Node.js", regexp.MustCompile(`^nodejs(18|20|22|24)\.x$`), "node",
		[]string{"-p", "process.execPath + '\\n' + process.version"}, "bootstrap.js", nil},
}

// languageOf is the language of a runtime, nil for a runtime that has a bootstrap of its own or is not known.
func languageOf(runtime string) *language {
	for _, l := range languages {
		if l.runtime.MatchString(runtime) {
			return l
		}
	}
	return nil
}

// knowsModules are the versions of Node.js that know the flags of disabled.
var knowsModules = regexp.MustCompile(`^v(20\.(1[7-9]|[2-9][0-9])|2[2-9])\.`)

// disabled are the flags by which Lambda disables features that releases of Node.js enable. The function's own
// NODE_OPTIONS enable them again ("Building Lambda functions with Node.js").
func disabled(c *Configuration, version string) (flags []string) {
	options := ""
	if c.Environment != nil {
		options = c.Environment.Variables["NODE_OPTIONS"]
	}
	for _, feature := range map[string][]string{"nodejs20.x": {"require-module"},
		"nodejs22.x": {"require-module", "detect-module"}}[string(c.Runtime)] {
		if knowsModules.MatchString(version) && !strings.Contains(options, "--experimental-"+feature) {
			flags = append(flags, "--no-experimental-"+feature)
		}
	}
	return flags
}

// interpreter is a program of this machine that runs functions.
type interpreter struct {
	path, version string
	client        string // path of the runtime client
	err           error  // why there is none
}

// interpreters are those that were looked for, by the name of their language.
type interpreters struct {
	mu    sync.Mutex
	found map[string]*interpreter
}

// interpreter finds the program that runs a language, once.
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
	said, err := exec.Command(l.program, l.tells...).Output() // #nosec G204 -- one of languages
	lines := strings.Split(strings.ReplaceAll(strings.TrimSpace(string(said)), "\r", ""), "\n")
	if err == nil && len(lines) != 2 {
		err = fmt.Errorf("it says %q", said)
	}
	if err != nil {
		i.err = fmt.Errorf("functions in %s are run by %s, which is not on this machine: %w", l.name, l.program, err)
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
