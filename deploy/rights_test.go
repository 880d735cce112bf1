package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/stack"
)

// useNotes creates, reads, changes, lists and deletes a note, and returns the statuses.
func (w *world) useNotes() (statuses string) {
	w.t.Helper()
	base := w.URL + "/_aws/execute-api/" + w.api() + "/dev/notes"
	id := ""
	for _, c := range [][3]string{{"POST", "", `{"title":"x"}`}, {"GET", "ID", ""}, {"PATCH", "ID",
		`{"title":"y"}`}, {"GET", "", ""}, {"DELETE", "ID", ""}} {
		r, err := http.NewRequest(c[0], base+strings.Replace(c[1], "ID", "/"+id, 1), strings.NewReader(c[2]))
		if err != nil {
			w.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			w.t.Fatal(err)
		}
		body, _ := io.ReadAll(a.Body)
		_ = a.Body.Close()
		if m := regexp.MustCompile(`"id":"([^"]+)"`).FindSubmatch(body); m != nil {
			id = string(m[1])
		}
		statuses += fmt.Sprint(a.StatusCode, " ")
	}
	return statuses
}

// TestLeastPrivilege checks that the service calls exactly the actions that its role allows, and fails without any of
// them.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up()
	ctx, role, session := t.Context(), w.name+"-us-east-1", ":assumed-role/"+w.name+"-us-east-1/"
	const good = "201 200 200 200 204 "
	if got := w.useNotes(); got != good {
		t.Fatalf("the service answers %s", got)
	}
	called := func() (actions []string) {
		for _, c := range w.Calls() {
			if strings.Contains(c.Caller, session) && !slices.Contains(actions, c.Action()) {
				actions = append(actions, c.Action())
			}
		}
		slices.Sort(actions)
		return actions
	}
	got, err := w.roles().GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &role, PolicyName: aws.String("notes")})
	if err != nil {
		t.Fatal(err)
	}
	escaped, err := url.PathUnescape(*got.PolicyDocument)
	if err != nil {
		t.Fatal(err)
	}
	document, err := policy.Parse([]byte(escaped))
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	for _, s := range document.Statement {
		allowed = append(allowed, s.Action...)
	}
	slices.Sort(allowed)
	for end := time.Now().Add(10 * time.Second); fmt.Sprint(called()) != fmt.Sprint(allowed); time.Sleep(
		20 * time.Millisecond) { // the log is written a little later
		if time.Now().After(end) {
			t.Fatalf("the service calls %v, its role allows %v", called(), allowed)
		}
	}
	for _, action := range allowed {
		less := strings.Replace(strings.Replace(escaped, `"`+action+`",`, "", 1), `,"`+action+`"`, "", 1)
		if less == escaped {
			t.Fatalf("%s is not in %s", action, escaped)
		}
		if _, err := w.roles().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &role,
			PolicyName: aws.String("notes"), PolicyDocument: &less}); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(action, "logs:") { // a new process makes a new log stream
			if _, err := w.functions().UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
				FunctionName: &w.name, Description: &action}); err != nil {
				t.Fatal(err)
			}
			w.useNotes()
			for end := time.Now().Add(10 * time.Second); !slices.ContainsFunc(w.Calls(), func(c sandbox.Call) bool {
				return strings.Contains(c.Caller, session) && c.Action() == action && c.Refusal != ""
			}); time.Sleep(20 * time.Millisecond) { // the log is written a little later
				if time.Now().After(end) {
					t.Fatalf("without %s no call is refused", action)
				}
			}
		} else if got := w.useNotes(); got == good {
			t.Errorf("the service works without %s", action)
		}
	}
}

// TestOperatorRights checks that the table of rights has every call of up, down and permit, and that the printed policy
// has no wide rights.
func TestOperatorRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, before := w.calls(0)
	w.up()
	w.mustRun("permit", "--api", w.api())
	if _, err := w.roles().AttachRolePolicy(t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String(w.name +
		"-us-east-1"), PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")}); err != nil {
		t.Fatal(err)
	}
	w.mustRun("down", "--stack", w.name, "--delete-data", w.name)
	var document policy.Document
	out := w.mustRun("up", "--stack", w.name, "--print-policy")
	if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &document); err != nil {
		t.Fatal(err, out)
	}
	some, _ := w.calls(before)
	for _, c := range some {
		if name := c.Service + ":" + c.Operation; !slices.Contains(stack.Operations(), name) &&
			c.Operation != "AttachRolePolicy" {
			t.Errorf("the table of rights lacks %s", name)
		}
	}
	for _, s := range document.Statement {
		if fmt.Sprint(s.Resource) == "[*]" && s.Sid != "Any" || slices.Contains(s.Action, "*") {
			t.Errorf("the policy is too wide: %+v", s)
		}
	}
}
