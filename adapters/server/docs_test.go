package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/notes/storetest"
)

// documents returns the paths of README.md and of the files in docs.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("docs has no documents: %v", err)
	}
	return append([]string{"../../README.md"}, paths...)
}

// docsText returns the text of all documents.
func docsText(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range documents(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
		all.WriteString("\n## \n") // ends the last chapter
	}
	return all.String()
}

// step is a documented command and its documented output.
type step struct{ command, output string }

// docsSteps returns the commands of the console blocks in a chapter of the documents.
func docsSteps(t *testing.T, chapter string) []step {
	t.Helper()
	_, text, found := strings.Cut(docsText(t), "\n## "+chapter+"\n")
	if !found {
		t.Fatalf("no document has a chapter %q", chapter)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var all []step
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for _, part := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, output, _ := strings.Cut(part, "\n")
			all = append(all, step{command, output})
		}
	}
	if len(all) == 0 {
		t.Fatalf("the chapter %q has no commands", chapter)
	}
	return all
}

// varying matches the parts of an output that differ in each run: ids, cursors, times and request ids.
var varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\bAQ[A-Za-z0-9_-]{34}\b|\d{4}-\d\d-\d\dT[0-9:.]+Z|` +
	`[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [0-9:]+ GMT`)

// reading maps the varying values in the documents to those of this run.
type reading map[string]string

// compare compares an output with the documented one, and records the varying values.
func (r reading) compare(got, want string) error {
	got, want = strings.TrimSpace(strings.ReplaceAll(got, "\r", "")), strings.TrimSpace(want)
	if g, w := varying.ReplaceAllString(got, "…"), varying.ReplaceAllString(want, "…"); g != w {
		return fmt.Errorf("it prints\n%s\nthe document says\n%s", g, w)
	}
	actual := varying.FindAllString(got, -1)
	for i, documented := range varying.FindAllString(want, -1) {
		if earlier, ok := r[documented]; ok && earlier != actual[i] {
			return fmt.Errorf("the documented %s was %s in an earlier output and is %s here", documented, earlier,
				actual[i])
		}
		r[documented] = actual[i]
	}
	return nil
}

// run runs a documented command in a folder, with the values of this run, and compares its output.
func (r reading) run(t *testing.T, s step, folder string) {
	t.Helper()
	command := s.command
	for documented, actual := range r {
		command = strings.ReplaceAll(command, documented, actual)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Env = environment()
	cmd.Dir = folder
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	if err := r.compare(string(out), s.output); err != nil {
		t.Errorf("%s: %v", command, err)
	}
}

// newReading returns a reading for the server at url.
func newReading(url string) reading {
	return reading{"127.0.0.1:8080": strings.TrimPrefix(url, "http://")}
}

// TestDocs runs the documented commands against a server and compares their output with the documents.
func TestDocs(t *testing.T) {
	folder := t.TempDir()
	p := startServer(t, filepath.Join(folder, "notes.db"))
	seen := newReading(p.url)
	if _, err := exec.LookPath("curl"); err != nil {
		storetest.Lacks(t, "curl", err)
	}
	for _, s := range slices.Concat(docsSteps(t, "Other clients"), docsSteps(t, "Use it")) {
		seen.run(t, s, folder)
	}
	p.stop(t, os.Interrupt)
	for _, s := range docsSteps(t, "The file") {
		s.command = strings.Replace(s.command, "go run ./adapters/server", buildServer(t), 1)
		seen.run(t, s, folder)
	}
}

// secretArgument matches a command with a secret in its arguments, which every user of the machine can see.
var secretArgument = regexp.MustCompile(`-hmac|-macopt|(-H|--header)[ =]?["']?Authorization|(-e|--env)[ ` +
	`=]?["']?NOTES_\w+=`)

// TestNoSecretInArguments: no documented command has a secret in its arguments.
func TestNoSecretInArguments(t *testing.T) {
	for _, path := range append(documents(t), "../../SECURITY.md") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range secretArgument.FindAllString(string(text), -1) {
				t.Errorf("a command has a secret in its arguments: %s", found)
			}
		})
	}
	for _, bad := range []string{
		`curl -fo copy.db -H "Authorization: Bearer $BACKUP" 127.0.0.1:9090/backup`,
		`printf %s OWNER | openssl dgst -sha256 -hmac "$NOTES_LOG_KEY"`,
		`docker run -e NOTES_LOG_KEY=0123456789abcdef server`,
	} {
		t.Run("control: "+bad, func(t *testing.T) {
			if !secretArgument.MatchString(bad) {
				t.Error("the secret is not found")
			}
		})
	}
}

// TestDocsSettings: the table of settings in docs/operate.md is that of the program.
func TestDocsSettings(t *testing.T) {
	var table strings.Builder
	for _, s := range allSettings {
		initial := ""
		if s.Initial != "" {
			initial = "`" + s.Initial + "` "
		}
		fmt.Fprintf(&table, "| `%s` | %s| %s |\n", s.Name, initial, s.Meaning)
	}
	if !strings.Contains(docsText(t), "| --- | --- | --- |\n"+table.String()+"\n") {
		t.Errorf("the table of settings in docs/operate.md should be\n%s", &table)
	}
}
