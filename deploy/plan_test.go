package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/stack"
	"example.com/portable-notes/notes/storetest"
)

// TestProofPlanScript checks that the script of plan makes a complete stack, that running it again changes nothing, and
// that the script of plan --permit-only restores the grants.
func TestProofPlanScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := exec.LookPath("aws"); err != nil {
		storetest.Lacks(t, "the aws CLI", err)
	}
	folder := t.TempDir()
	if err := os.Symlink(w.jwtZip(), filepath.Join(folder, "notes.zip")); err != nil {
		t.Fatal(err)
	}
	issuer := jwttest.New(t) // --auth jwt needs the most resources
	auth := []string{"--auth", "jwt", "--issuer", issuer.URL, "--audience", jwttest.Audience}
	plan := func(more ...string) string {
		t.Helper()
		script := w.mustRun(append([]string{"plan", "--stack", w.name}, more...)...)
		cmd := exec.Command("sh")
		cmd.Stdin, cmd.Dir, cmd.Env = strings.NewReader(script), folder, w.environ()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	_, before := w.calls(0)
	w.mustRun(append([]string{"plan", "--stack", w.name}, auth...)...)
	if made := w.writes(before); made != nil {
		t.Errorf("plan calls %v", made)
	}
	if out := plan(auth...); !strings.HasSuffix(out, "/dev/notes\n") {
		t.Errorf("the script prints %s", out)
	}
	token := issuer.Token(t, "anna", "notes:write")
	w.checkAnswer("after the script", "GET", token, 200, `{"notes":[]}`)
	w.checkAnswer("no token after the script", "GET", "", 401, "Unauthorized")
	made := w.state(w.name)
	if out := w.mustRun("up", "--stack", w.name, "--zip", w.jwtZip()); strings.Contains(out, "created") ||
		strings.Contains(out, "updated") || strings.Contains(out, "removed") {
		t.Errorf("up after the script prints %s", out)
	}
	if got := w.state(w.name); got != made {
		t.Errorf("after up\n%s\nwant\n%s", got, made)
	}
	change := &lambda.UpdateFunctionConfigurationInput{FunctionName: &w.name, MemorySize: aws.Int32(512),
		Environment: &lambdatypes.Environment{Variables: map[string]string{
			"NOTES_LOG_KEY": `a "secret" of ${HOME} and '`}}}
	function, err := w.functions().GetFunctionConfiguration(t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(change.Environment.Variables, function.Environment.Variables)
	if _, err := w.functions().UpdateFunctionConfiguration(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	made = w.state(w.name)
	plan(auth...)
	if got := w.state(w.name); got != made {
		t.Errorf("after the second run\n%s\nwant\n%s", got, made)
	}
	for _, g := range (stack.Stack{Name: w.name, Partition: "aws", Region: "us-east-1", Account: sandbox.Account,
		Stage: "dev", Auth: stack.Auth{Kind: "jwt"}}).Grants(w.api()) {
		if _, err := w.functions().RemovePermission(t.Context(), &lambda.RemovePermissionInput{FunctionName: &w.name,
			StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	w.checkAnswer("without its grants", "GET", token, 500, blank)
	plan("--permit-only", "--auth", "jwt")
	w.checkAnswer("after plan --permit-only", "GET", token, 200, `{"notes":[]}`)
	if got := w.state(w.name); got != made {
		t.Errorf("after plan --permit-only\n%s\nwant\n%s", got, made)
	}
}
