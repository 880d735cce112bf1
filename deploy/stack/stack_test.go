package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/policy"
)

// example is a valid stack.
var example = Stack{
	Name: "notes-dev", Partition: "aws", Region: "eu-central-1", Account: "123456789012", Stage: "dev",
	Architecture: "arm64",
	Zip:          []byte("x"), Auth: Auth{Kind: "none"},
}

// TestCheck checks the message for every invalid value.
func TestCheck(t *testing.T) {
	if err := example.Check(); err != nil {
		t.Errorf("the example: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(*Stack)
		want   string
	}{
		{name: "a short name", change: func(s *Stack) { s.Name = "a" }, want: "3 to 40 letters"},
		{name: "a stage with a slash", change: func(s *Stack) { s.Stage = "a/b" }, want: "the stage must be"},
		{name: "a processor", change: func(s *Stack) { s.Architecture = "mips" }, want: "arm64 or x86_64"},
		{name: "little memory", change: func(s *Stack) { s.Memory = aws.Int32(127) }, want: "128 to 10240 MB"},
		{name: "much memory", change: func(s *Stack) { s.Memory = aws.Int32(10_241) }, want: "128 to 10240 MB"},
		{name: "days", change: func(s *Stack) { s.Retention = aws.Int32(8) }, want: "not 8"},
		{name: "concurrency", change: func(s *Stack) { s.Concurrency = aws.Int32(-1) }, want: "0 or more"},
		{name: "boundary", change: func(s *Stack) { s.Boundary = "policy/x" }, want: "the ARN of a managed policy"},
		{name: "endpoint", change: func(s *Stack) { s.Endpoint = "off" }, want: "--endpoint must be on"},
		{name: "base path of the notes", change: func(s *Stack) { s.BasePath = aws.String("/notes") },
			want: "the first not notes"},
		{name: "base path with a space", change: func(s *Stack) { s.BasePath = aws.String("/a b") },
			want: "the base path must be"},
		{name: "base path with an empty segment", change: func(s *Stack) { s.BasePath = aws.String("/a//b") },
			want: "the base path must be"},
		{name: "base path with a query", change: func(s *Stack) { s.BasePath = aws.String("/a?b") },
			want: "the base path must be"},
		{name: "base path with an umlaut", change: func(s *Stack) { s.BasePath = aws.String("/ü") },
			want: "the base path must be"},
		{name: "base path without a slash", change: func(s *Stack) { s.BasePath = aws.String("api") },
			want: "the base path must be"},
		{name: "base path that ends with a slash", change: func(s *Stack) { s.BasePath = aws.String("/api/") },
			want: "the base path must be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := example
			c.change(&s)
			if err := s.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if err := (Stack{}).Check(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("an empty stack must have three mistakes: %v", err)
	}
}

// TestAuth checks the errors for contradictory and missing values, and that a function's environment round-trips.
func TestAuth(t *testing.T) {
	for _, c := range []struct {
		auth            Auth
		check, complete string
	}{
		{auth: Auth{Kind: "none"}},
		{auth: Auth{}, complete: "say who may use the service"},
		{auth: Auth{Kind: "open"}, check: "must be token, jwt or none"},
		{auth: Auth{Kind: "jwt"}, complete: "needs --issuer"},
		{auth: Auth{Kind: "jwt", Issuer: "https://a.example/", Audience: "x"}},
		{auth: Auth{Kind: "jwt", Issuer: "a.example", Audience: "x"}, check: "--issuer must be"},
		{auth: Auth{Kind: "none", Issuer: "https://a.example/"}, check: "go with --auth jwt"},
		{auth: Auth{Kind: "none", Tokens: "x"}, check: "goes with --auth token"},
		{auth: Auth{Kind: "token", Tokens: "anna"}, check: "--tokens: token 1"},
		{auth: Auth{Kind: "token", Tokens: strings.Repeat("x", 4000)}, check: "has room for 3500"},
	} {
		t.Run(fmt.Sprintf("%+.60v", c.auth), func(t *testing.T) {
			for _, check := range []struct {
				err  error
				want string
			}{{c.auth.Check(), c.check}, {c.auth.CheckComplete(), c.complete}} {
				if (check.err == nil) != (check.want == "") ||
					check.err != nil && !strings.Contains(check.err.Error(), check.want) {
					t.Errorf("%v, want %q", check.err, check.want)
				}
			}
			environment := map[string]string{"NOTES_LOG_LEVEL": "warn", "OTHER": "x"}
			c.auth.addTo(environment)
			if got := AuthOf(environment); got != c.auth {
				t.Errorf("AuthOf returns %+v", got)
			}
			if got := KeptOf(environment); len(got) != 1 || got["NOTES_LOG_LEVEL"] != "warn" {
				t.Errorf("KeptOf returns %v", got)
			}
		})
	}
}

// TestRights checks that the table of rights has every call of every step.
func TestRights(t *testing.T) {
	withJWT := example
	withJWT.Auth = Auth{Kind: "jwt", Issuer: "https://a.example/", Audience: "x"}
	other, _ := example.OtherRole()
	withSettings := example
	withSettings.Concurrency, withSettings.Retention = aws.Int32(0), aws.Int32(30)
	withSettings.Boundary = "arn:aws:iam::123456789012:policy/bound"
	for _, step := range slices.Concat(example.Steps(), withJWT.Steps(), withSettings.Steps(), []Step{other}) {
		calls := []any{step.Find, step.Tags, step.Create, step.RemoveDuplicate}
		calls = append(calls, step.Remove...)
		for _, s := range step.Settings {
			calls = append(calls, s.Read, s.Put)
		}
		for _, e := range step.Extras {
			calls = append(calls, e.List, e.Remove)
		}
		for _, c := range calls {
			if c == nil {
				continue
			}
			service, operation := call.Operation(c)
			if prefix, ok := map[string]string{"cloudwatchlogs": "logs", "apigatewayv2": "apigateway"}[service]; ok {
				service = prefix
			}
			if _, ok := rights[service+":"+operation]; !ok {
				t.Errorf("%s: the table of rights lacks %s:%s", step.What, service, operation)
			}
		}
	}
}

// TestBoundary checks that every created role has the boundary, and that the operator may create and fill only such
// roles.
func TestBoundary(t *testing.T) {
	s := example
	s.Boundary = "arn:aws:iam::123456789012:policy/bound"
	other, _ := s.OtherRole()
	for _, step := range []Step{s.role(), other} {
		if in := step.Create.(*iam.CreateRoleInput); in.PermissionsBoundary == nil ||
			*in.PermissionsBoundary != s.Boundary {
			t.Errorf("%s is created with the boundary %v", step.What, in.PermissionsBoundary)
		}
	}
	allowed := func(s Stack, action string, context map[string]string) bool {
		return s.OperatorPolicy().Judge(policy.Request{Action: action, Resource: s.RoleARN(), Context: context}).Allowed
	}
	under := map[string]string{"iam:PermissionsBoundary": s.Boundary}
	for _, action := range []string{"iam:CreateRole", "iam:PutRolePolicy"} {
		if !allowed(s, action, under) || allowed(s, action, nil) || !allowed(example, action, nil) {
			t.Errorf("%s: under the boundary %v, without it %v, in a stack without a boundary %v", action,
				allowed(s, action, under), allowed(s, action, nil), allowed(example, action, nil))
		}
	}
	if !allowed(s, "iam:PutRolePermissionsBoundary", under) ||
		allowed(example, "iam:PutRolePermissionsBoundary", under) {
		t.Error("PutRolePermissionsBoundary must be allowed in a stack with a boundary, and in no other")
	}
	if !allowed(s, "iam:GetRole", nil) || !allowed(s, "iam:DeleteRole", nil) {
		t.Error("GetRole and DeleteRole must be allowed without conditions")
	}
}

// TestWithoutSecrets checks that printed calls and scripts contain no secret, and that the call itself keeps it.
func TestWithoutSecrets(t *testing.T) {
	s := example
	s.Kept = map[string]string{"NOTES_LOG_KEY": "a secret", "NOTES_LOG_LEVEL": "warn"}
	function := s.Function()
	for _, input := range []any{function.Create, function.Settings[0].Put} {
		shown := call.Command(WithoutSecrets(input))
		if strings.Contains(shown, "a secret") || !strings.Contains(shown,
			`"NOTES_LOG_KEY":"***","NOTES_LOG_LEVEL":"warn"`) {
			t.Errorf("printed: %s", shown)
		}
		if !strings.Contains(call.Command(input), "a secret") {
			t.Errorf("the call lacks the secret: %s", call.Command(input))
		}
	}
	if script := Script(s, false); strings.Contains(script, "a secret") {
		t.Errorf("the script contains the secret: %s", script)
	}
}
