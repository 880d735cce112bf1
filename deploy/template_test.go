package main

import (
	"bytes"
	"cmp"
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
	name    string // of the stack
	folder  string
	environ []string
}

// in returns o for a subtest in a folder inside its own.
func (o tool) in(t *testing.T, folder string) tool {
	return tool{t: t, name: o.name, folder: filepath.Join(o.folder, folder), environ: o.environ}
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
	t.Run("doctor", func(t *testing.T) {
		for _, file := range files {
			if out, err := deploy(t, "doctor", "--template", file); err != nil || !strings.Contains(out, "0 faults") {
				t.Errorf("%v, %s", err, out)
			}
		}
	})
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

// write writes a file.
func (o tool) write(name, text string) {
	o.t.Helper()
	if err := os.WriteFile(filepath.Join(o.folder, name), []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// initTerraform runs terraform init, for which the AWS provider must be at hand.
func (o tool) initTerraform() {
	o.t.Helper()
	if out, err := o.try("terraform", "init", "-input=false"); err != nil {
		o.t.Log(out)
		storetest.Lacks(o.t, "Terraform's AWS provider", err)
	}
}

// templateArch is this machine's architecture as --arch and templates have it.
func templateArch() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

// TestProofTemplates checks, for each tool, that its template makes a stack that up finds complete, that the tool then
// finds nothing to change either, that it changes a setting, and that it removes the stack.
func TestProofTemplates(t *testing.T) {
	t.Parallel()
	issuer := jwttest.New(t) // --auth jwt needs the most resources
	zip := newWorld(t).jwtZip()
	for _, c := range []struct {
		name, format, file    string
		deploy, again, change func(o tool, name string)
		remove                func(o tool, name string)
		isTableKept, long     bool
	}{
		{
			format: "terraform", file: "notes.tf",
			deploy: func(o tool, _ string) {
				o.initTerraform()
				o.run("terraform", "plan", "-input=false", "-out=plan.bin")
				o.write("plan.json", o.run("terraform", "show", "-json", "plan.bin"))
				if d := o.judgeFile("plan.json"); len(d.Findings) > 0 || len(d.Unseen) > 0 {
					o.t.Errorf("the doctor finds in the plan: %+v, unseen %+v", d.Findings, d.Unseen)
				}
				o.run("terraform", "apply", "-auto-approve", "-input=false", "plan.bin")
			},
			again: func(o tool, _ string) { // fails if something is to be changed
				o.run("terraform", "plan", "-detailed-exitcode", "-input=false")
			},
			change: func(o tool, _ string) {
				o.run("terraform", "apply", "-auto-approve", "-input=false", "-var=memory=512",
					"-var=deletion_protection=false")
			},
			remove: func(o tool, _ string) { o.run("terraform", "destroy", "-auto-approve", "-input=false") },
		},
		{
			format: "cloudformation", file: "notes.yaml", isTableKept: true,
			deploy: func(o tool, name string) {
				o.run("aws", "s3", "mb", "s3://"+name)
				o.run("aws", "s3", "cp", "notes.zip", "s3://"+name+"/notes-1.zip")
				o.deployFormation(name)
			},
			again: func(o tool, name string) {
				if out := o.deployFormation(name); !strings.Contains(out, "No changes to deploy") {
					o.t.Errorf("deploying again prints %s", out)
				}
			},
			change: func(o tool, name string) { o.deployFormation(name, "Memory=512") },
			remove: func(o tool, name string) { o.deleteStack(name) },
		},
		{
			format: "sam", file: "notes.yaml", isTableKept: true,
			deploy: func(o tool, name string) { o.deploySAM(name) },
			again: func(o tool, name string) {
				out := o.deploySAM(name, "--no-fail-on-empty-changeset")
				if !strings.Contains(out, "No changes to deploy") {
					o.t.Errorf("deploying again prints %s", out)
				}
			},
			change: func(o tool, name string) { o.deploySAM(name, "--parameter-overrides", "Memory=512") },
			remove: func(o tool, name string) {
				o.run("sam", "delete", "--stack-name", name, "--no-prompts", "--region", "us-east-1")
			},
		},
		{
			name: "cdk", format: "cloudformation", file: "notes.yaml", isTableKept: true, long: true,
			deploy: func(o tool, _ string) {
				o.write("cdk.js", cdkFrame[0]+docsExample(o.t, "ts")+cdkFrame[1])
				o.withCDK().run("cdk", "bootstrap", "--app", "node cdk.js")
				o.withCDK().run("cdk", "deploy", "--app", "node cdk.js", "--require-approval", "never", "--ci")
			},
			remove: func(o tool, _ string) {
				o.withCDK().run("cdk", "destroy", "--app", "node cdk.js", "--force", "--ci")
			},
		},
		{
			name: "serverless", format: "cloudformation", file: "notes.yaml", isTableKept: true, long: true,
			deploy: func(o tool, name string) {
				o.run("aws", "s3", "mb", "s3://"+name)
				o.run("aws", "s3", "cp", "notes.zip", "s3://"+name+"/notes-1.zip")
				example := strings.NewReplacer("service: notes", "service: "+name, "BUCKET", name)
				o.write("serverless.yml", example.Replace(docsExample(o.t, "yaml")))
				o.run("osls", "deploy")
			},
			remove: func(o tool, _ string) { o.run("osls", "remove") },
		},
	} {
		t.Run(cmp.Or(c.name, c.format), func(t *testing.T) {
			if c.long && os.Getenv("NOTES_TEST_LONG") == "" {
				t.Skip("only with NOTES_TEST_LONG=1; the usual run deploys the same template with the aws CLI")
			}
			t.Parallel()
			w := newWorld(t)
			o := tool{t: t, name: w.name, folder: t.TempDir(), environ: w.environ("NAME=" + w.name)}
			writeTemplate(t, filepath.Join(o.folder, c.file), "--stack", w.name, "--arch", templateArch(), "--format",
				c.format, "--auth", "jwt", "--issuer", issuer.URL, "--audience", jwttest.Audience)
			if err := os.Link(zip, filepath.Join(o.folder, "notes.zip")); err != nil {
				t.Fatal(err)
			}
			c.deploy(o, w.name)
			w.checkComplete(issuer.Token(t, "anna", "notes:write"), "--zip", zip)
			if c.again != nil {
				c.again(o, w.name)
				c.change(o, w.name)
				if got := w.state(w.name); !strings.Contains(got, "512") {
					t.Errorf("after the change of the memory\n%s", got)
				}
			}
			c.remove(o, w.name)
			if c.isTableKept {
				w.mustRun("down", "--stack", w.name, "--delete-data", w.name)
			}
			for _, line := range strings.Split(w.state(w.name), "\n") {
				if !strings.HasPrefix(line, "not found:") && strings.Trim(line, "nul[]") != "" {
					t.Errorf("after the removal there is %s", line)
				}
			}
		})
	}
}

// cdkFrame is what the example for CDK in docs/aws.md stands in.
var cdkFrame = [2]string{`const { App, Stack } = require('aws-cdk-lib');
const { Asset } = require('aws-cdk-lib/aws-s3-assets');
const { CfnInclude } = require('aws-cdk-lib/cloudformation-include');
new (class extends Stack {
  constructor(...args) {
    super(...args);
`, "}\n})(new App(), process.env.NAME);\n"}

// docsExample returns the example in a language of docs/aws.md.
func docsExample(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/aws.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "```"+language+"\n")
	example, _, ok2 := strings.Cut(after, "```")
	if !ok || !ok2 {
		t.Fatalf("docs/aws.md has no example in %s", language)
	}
	return example
}

// deployFormation runs aws cloudformation deploy with the test's template.
func (o tool) deployFormation(name string, parameters ...string) string {
	o.t.Helper()
	words := []string{"cloudformation", "deploy", "--template-file", "notes.yaml", "--stack-name", name,
		"--no-fail-on-empty-changeset", "--capabilities", "CAPABILITY_NAMED_IAM", "--parameter-overrides",
		"CodeBucket=" + name, "CodeKey=notes-1.zip"}
	return o.run("aws", append(words, parameters...)...)
}

// deleteStack deletes a stack with the aws CLI, and waits for the end.
func (o tool) deleteStack(name string) {
	o.t.Helper()
	o.run("aws", "cloudformation", "delete-stack", "--stack-name", name)
	o.run("aws", "cloudformation", "wait", "stack-delete-complete", "--stack-name", name)
}

// deploySAM runs sam deploy with the test's template.
func (o tool) deploySAM(name string, more ...string) string {
	o.t.Helper()
	words := []string{"deploy", "--template-file", "notes.yaml", "--stack-name", name, "--resolve-s3", "--capabilities",
		"CAPABILITY_NAMED_IAM"}
	return o.run("sam", append(words, more...)...)
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
