package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/stack"
	"example.com/portable-notes/notes/storetest"
)

// tool is another program that a test runs in a folder.
type tool struct {
	t       *testing.T
	folder  string
	environ []string
}

// in returns o for a subtest in a folder inside its own.
func (o tool) in(t *testing.T, folder string) tool {
	return tool{t: t, folder: filepath.Join(o.folder, folder), environ: o.environ}
}

// run runs a command, and returns its output. It ends the test if the command fails.
func (o tool) run(name string, args ...string) string {
	o.t.Helper()
	out, err := o.try(name, args...)
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// try is like run, but returns an error if the command fails.
func (o tool) try(name string, args ...string) (string, error) {
	o.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		storetest.Lacks(o.t, name, err)
	}
	cmd := exec.CommandContext(o.t.Context(), path, args...)
	cmd.Dir = o.folder
	cmd.Env = append(o.environ, "NO_COLOR=1", "TF_IN_AUTOMATION=1", "SAM_CLI_TELEMETRY=0", "CHECKPOINT_DISABLE=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// writeTemplate writes the template that plan prints to a file, and returns what plan prints on standard error.
func writeTemplate(t *testing.T, file string, args ...string) (notes string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	var out, errors bytes.Buffer
	if err := run(t.Context(), append([]string{"plan"}, args...), &out, &errors); err != nil {
		t.Fatalf("plan %v: %v", args, err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return errors.String()
}

// TestTemplatesLint checks that the linters of each tool, and a security scanner, find nothing in the templates.
func TestTemplatesLint(t *testing.T) {
	t.Parallel()
	storetest.NotWithRace(t)
	issuer := jwttest.New(t)
	o := tool{t: t, folder: t.TempDir(), environ: append(os.Environ(), "AWS_REGION=eu-central-1")}
	var files []string // for CloudFormation
	for _, auth := range [][]string{{"none"}, {"token"},
		{"jwt", "--issuer", issuer.URL, "--audience", jwttest.Audience}} {
		for _, format := range stack.Formats {
			name := filepath.Join(o.folder, format+"-"+auth[0], "notes.yaml")
			if format == "terraform" {
				name = strings.TrimSuffix(name, "yaml") + "tf"
			} else {
				files = append(files, name)
			}
			notes := writeTemplate(t, name, append([]string{"--format", format, "--auth"}, auth...)...)
			if strings.Contains(notes, "NOTES_TOKEN=") != (auth[0] == "token") {
				t.Errorf("plan of a template with %s prints %q", auth[0], notes)
			}
		}
	}
	t.Run("cfn-lint", func(t *testing.T) { o.in(t, ".").run("cfn-lint", files...) })
	t.Run("sam", func(t *testing.T) {
		o.in(t, "sam-jwt").run("sam", "validate", "--lint", "--template-file", "notes.yaml")
	})
	t.Run("terraform", func(t *testing.T) {
		o := o.in(t, "terraform-jwt")
		o.run("terraform", "fmt", "-check", "-recursive", "-diff", "..")
		o.initTerraform()
		o.run("terraform", "validate")
	})
	t.Run("checkov", func(t *testing.T) {
		out := o.in(t, ".").run("checkov", "--directory", ".", "--quiet", "--compact", "--skip-download")
		if strings.Count(out, "Failed checks: 0") != 2 { // one of CloudFormation, and one of Terraform
			t.Errorf("checkov prints\n%s", out)
		}
	})
}

// initTerraform runs terraform init, for which the AWS provider must be at hand.
func (o tool) initTerraform() {
	o.t.Helper()
	if out, err := o.try("terraform", "init", "-input=false"); err != nil {
		o.t.Log(out)
		storetest.Lacks(o.t, "Terraform's AWS provider", err)
	}
}

// TestProofTerraform checks that the template for Terraform makes a stack that up finds complete, that Terraform then
// finds nothing to change either, that it changes a setting, and that it removes all of the stack.
func TestProofTerraform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := tool{t: t, folder: t.TempDir(), environ: w.environ()}
	issuer := jwttest.New(t) // --auth jwt needs the most resources
	arch := map[string]string{"amd64": "x86_64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	auth := []string{"--stack", w.name, "--arch", arch, "--auth", "jwt", "--issuer", issuer.URL, "--audience",
		jwttest.Audience}
	writeTemplate(t, filepath.Join(o.folder, "notes.tf"), append(auth, "--format", "terraform")...)
	zip := "-var=zip=" + w.jwtZip()
	o.initTerraform()
	o.run("terraform", "apply", "-auto-approve", "-input=false", zip)
	if url := o.run("terraform", "output", "-raw", "notes_url"); !strings.HasSuffix(url, "/dev/notes") {
		t.Errorf("the URL is %s", url)
	}
	w.checkComplete(issuer.Token(t, "anna", "notes:write"), "--zip", w.jwtZip())
	o.run("terraform", "plan", "-detailed-exitcode", "-input=false", zip) // fails if something is to be changed
	o.run("terraform", "apply", "-auto-approve", "-input=false", zip, "-var=memory=512",
		"-var=deletion_protection=false")
	if got := w.state(w.name); !strings.Contains(got, "512") {
		t.Errorf("after the change of the memory\n%s", got)
	}
	o.run("terraform", "destroy", "-auto-approve", "-input=false", zip)
	for _, line := range strings.Split(w.state(w.name), "\n") {
		if !strings.HasPrefix(line, "not found:") && strings.Trim(line, "nul[]") != "" {
			t.Errorf("after the removal there is %s", line)
		}
	}
}

// checkComplete checks that the stack answers, and that up changes nothing in it.
func (w *world) checkComplete(token string, more ...string) {
	w.t.Helper()
	w.checkAnswer("the new stack", "GET", token, 200, `{"notes":[]}`)
	made := w.state(w.name)
	_, before := w.calls(0)
	out := w.mustRun(append([]string{"up", "--stack", w.name}, more...)...)
	for _, state := range []string{"created", "updated", "removed"} {
		if strings.Contains(out, state) {
			w.t.Errorf("up prints %s", out)
		}
	}
	if calls := w.writes(before); calls != nil {
		w.t.Errorf("up calls %v", calls)
	}
	if got := w.state(w.name); got != made {
		w.t.Errorf("after up\n%s\nwant\n%s", got, made)
	}
}
