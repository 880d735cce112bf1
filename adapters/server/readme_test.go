package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// documents are the README and what is in docs.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	paths, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no docs: %v", err)
	}
	return append([]string{"../../README.md"}, paths...)
}

// readme is the text of the project's documents.
func readme(t *testing.T) string {
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

// step is a command in the README and what it prints.
type step struct{ command, output string }

// steps are the commands of the console blocks in a chapter.
func steps(t *testing.T, chapter string) []step {
	t.Helper()
	_, text, found := strings.Cut(readme(t), "\n## "+chapter+"\n")
	if !found {
		t.Fatalf("the README has no chapter %q", chapter)
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

// changing are the parts of an answer that no two runs share: ids, cursors, times and request ids.
var changing = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|\bAQ[A-Za-z0-9_-]{34}\b|\d{4}-\d\d-\d\dT[0-9:.]+Z|` +
	`[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} [0-9:]+ GMT`)

// reading is a run of the README: what stands there for what came.
type reading map[string]string

// same compares an output with the README's, and learns which changing part stands for which.
func (r reading) same(got, want string) error {
	got, want = strings.TrimSpace(strings.ReplaceAll(got, "\r", "")), strings.TrimSpace(want)
	if g, w := changing.ReplaceAllString(got, "…"), changing.ReplaceAllString(want, "…"); g != w {
		return fmt.Errorf("it prints\n%s\nthe README says\n%s", g, w)
	}
	came := changing.FindAllString(got, -1)
	for i, written := range changing.FindAllString(want, -1) {
		if known, ok := r[written]; ok && known != came[i] {
			return fmt.Errorf("where the README has %s there was %s, now it is %s", written, known, came[i])
		}
		r[written] = came[i]
	}
	return nil
}

// follow runs a command of the README, with what this run has in place of what is written there.
func (r reading) follow(t *testing.T, s step, folder string) {
	t.Helper()
	command := s.command
	for written, came := range r {
		command = strings.ReplaceAll(command, written, came)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Env = environment()
	cmd.Dir = folder
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	if err := r.same(string(out), s.output); err != nil {
		t.Errorf("%s: %v", command, err)
	}
}

// at is the reading of the README at a server.
func at(url string) reading {
	return reading{"127.0.0.1:8080": strings.TrimPrefix(url, "http://")}
}

// TestReadme runs the README's commands against a server, and holds the answers to what the README prints.
func TestReadme(t *testing.T) {
	folder := t.TempDir()
	p := startServer(t, filepath.Join(folder, "notes.db"))
	seen := at(p.url)
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatalf("the README's commands need curl: %v", err)
	}
	for _, s := range steps(t, "Use it") {
		seen.follow(t, s, folder)
	}
	p.stop(t, os.Interrupt)
	for _, s := range steps(t, "The file") {
		s.command = strings.Replace(s.command, "go run ./adapters/server", built(t), 1)
		seen.follow(t, s, folder)
	}
}

// exposing is a command that has a secret in its arguments, which every user of the machine sees.
var exposing = regexp.MustCompile(`-hmac|-macopt|(-H|--header)[ =]?["']?Authorization|(-e|--env)[ =]?["']?NOTES_\w+=`)

// TestNoSecretInArguments: no command in the documents has a secret in its arguments.
func TestNoSecretInArguments(t *testing.T) {
	for _, path := range append(documents(t), "../../SECURITY.md") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range exposing.FindAllString(string(text), -1) {
				t.Errorf("a command has %s", found)
			}
		})
	}
	for _, bad := range []string{
		`curl -fo copy.db -H "Authorization: Bearer $BACKUP" 127.0.0.1:9090/backup`,
		`printf %s OWNER | openssl dgst -sha256 -hmac "$NOTES_LOG_KEY"`,
		`docker run -e NOTES_LOG_KEY=0123456789abcdef server`,
	} {
		t.Run("control: "+bad, func(t *testing.T) {
			if !exposing.MatchString(bad) {
				t.Error("it is not found out")
			}
		})
	}
}

// TestReadmeSettings: the README's table is the program's.
func TestReadmeSettings(t *testing.T) {
	var table strings.Builder
	for _, s := range all {
		initial := ""
		if s.Initial != "" {
			initial = "`" + s.Initial + "` "
		}
		fmt.Fprintf(&table, "| `%s` | %s| %s |\n", s.Name, initial, s.Meaning)
	}
	if !strings.Contains(readme(t), "| --- | --- | --- |\n"+table.String()+"\n") {
		t.Errorf("the README's table of settings should read\n%s", &table)
	}
}
