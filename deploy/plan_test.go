package main

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/stack"
	"example.com/portable-notes/notes/storetest"
)

var update = flag.Bool("update", false, "write the golden files")

// TestScripts: what is printed for each partition is what was looked at.
func TestScripts(t *testing.T) {
	for _, c := range []struct {
		golden, region, partition string
		auth                      stack.Auth
	}{
		{"aws", "eu-central-1", "aws", stack.Auth{Kind: "none"}},
		{"aws-cn", "cn-north-1", "aws-cn", stack.Auth{Kind: "token", Tokens: "anna read sha256:" + strings.Repeat("0", 64)}},
		{"aws-us-gov", "us-gov-west-1", "aws-us-gov", stack.Auth{Kind: "jwt", Issuer: "https://example.com/", Audience: "notes"}},
	} {
		s := stack.Stack{Name: "notes-dev", Partition: c.partition, Region: c.region, Account: "123456789012", Stage: "dev", Architecture: "arm64", Memory: 256, Retention: 14, Concurrency: 100, Zip: []byte("x"), Auth: c.auth}
		document, err := json.MarshalIndent(s.OperatorPolicy(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got := stack.Script(s, false) + "\n# The operator's policy\n" + string(document) + "\n"
		golden := filepath.Join("testdata", c.golden+".golden")
		if *update {
			if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(got), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not what is in %s; if it is meant to be, run go test ./deploy -run TestScripts -update", c.golden, golden)
		}
	}
}

// TestProofPlanScript: the script that plan prints makes a stack that up finds complete, also when it is run again; and it finds
// one that up made complete.
func TestProofPlanScript(t *testing.T) {
	w := enter(t)
	if _, err := exec.LookPath("aws"); err != nil {
		storetest.Lacks(t, "the aws CLI", err)
	}
	folder := t.TempDir()
	if err := os.Symlink(w.jwtZip(), filepath.Join(folder, "notes.zip")); err != nil {
		t.Fatal(err)
	}
	issuer := jwttest.New(t) // the choice that takes most
	choice := []string{"--auth", "jwt", "--issuer", issuer.URL, "--audience", jwttest.Audience}
	plan := func(more ...string) string {
		t.Helper()
		script := w.runs(append([]string{"plan", "--stack", w.name}, more...)...)
		cmd := exec.Command("sh")
		cmd.Stdin, cmd.Dir = strings.NewReader(script), folder
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	_, before := w.calls(0)
	w.runs(append([]string{"plan", "--stack", w.name}, choice...)...)
	if made := w.changed(before); made != nil {
		t.Errorf("plan calls %v", made)
	}
	if out := plan(choice...); !strings.HasSuffix(out, "/dev/notes\n") {
		t.Errorf("the script prints %s", out)
	}
	token := issuer.Token(t, "anna", "notes:write")
	w.is("after the script", "GET", token, 200, `{"notes":[]}`)
	w.is("after the script a stranger", "GET", "", 401, "Unauthorized")
	made := w.state(w.name)
	if out := w.runs("up", "--stack", w.name, "--zip", w.jwtZip()); strings.Contains(out, "created") || strings.Contains(out, "updated") || strings.Contains(out, "removed") {
		t.Errorf("up after the script says %s", out)
	}
	plan()
	if got := w.state(w.name); got != made {
		t.Errorf("the script, run again, makes\n%s\nit made\n%s", got, made)
	}
	for _, g := range (stack.Stack{Name: w.name, Partition: "aws", Region: "us-east-1", Account: sandbox.Account, Stage: "dev", Auth: stack.Auth{Kind: "jwt"}}).Grants(w.api()) {
		if _, err := w.functions().RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: &w.name, StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	w.is("without its grants", "GET", token, 500, blank)
	plan("--permit-only")
	w.is("after plan --permit-only", "GET", token, 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("plan --permit-only makes\n%s\nit was\n%s", got, made)
	}
}
