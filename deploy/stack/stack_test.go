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

// example is a stack as a person makes one.
var example = Stack{
	Name: "notes-dev", Partition: "aws", Region: "eu-central-1", Account: "123456789012", Stage: "dev",
	Architecture: "arm64",
	Zip:          []byte("x"), Auth: Auth{Kind: "none"},
}

// TestCheck: every mistake is named, with what is right.
func TestCheck(t *testing.T) {
	if err := example.Check(); err != nil {
		t.Errorf("the example: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(*Stack)
		says   string
	}{
		{"a short name", func(s *Stack) { s.Name = "a" }, "3 to 40 letters"},
		{"a stage with a slash", func(s *Stack) { s.Stage = "a/b" }, "the stage must be"},
		{"a processor", func(s *Stack) { s.Architecture = "mips" }, "arm64 or x86_64"},
		{"little memory", func(s *Stack) { s.Memory = aws.Int32(127) }, "128 to 10240 MB"},
		{"much memory", func(s *Stack) { s.Memory = aws.Int32(10_241) }, "128 to 10240 MB"},
		{"days", func(s *Stack) { s.Retention = aws.Int32(8) }, "not 8"},
		{"concurrency", func(s *Stack) { s.Concurrency = aws.Int32(-1) }, "0 or more"},
		{"boundary", func(s *Stack) { s.Boundary = "policy/x" }, "the ARN of a managed policy"},
		{"endpoint", func(s *Stack) { s.Endpoint = "off" }, "the endpoint can be on"},
		{"base path of the notes", func(s *Stack) { s.BasePath = aws.String("/notes") }, "the first not notes"},
		{"base path with a space", func(s *Stack) { s.BasePath = aws.String("/a b") }, "the base path must be"},
		{"base path with an empty segment", func(s *Stack) { s.BasePath = aws.String("/a//b") },
			"the base path must be"},
		{"base path with a query", func(s *Stack) { s.BasePath = aws.String("/a?b") }, "the base path must be"},
		{"base path with an umlaut", func(s *Stack) { s.BasePath = aws.String("/ü") }, "the base path must be"},
		{"base path without a slash", func(s *Stack) { s.BasePath = aws.String("api") }, "the base path must be"},
		{"base path that ends with a slash", func(s *Stack) { s.BasePath = aws.String("/api/") },
			"the base path must be"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := example
			c.change(&s)
			if err := s.Check(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	if err := (Stack{}).Check(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not every mistake of an empty stack is named: %v", err)
	}
}

// TestAuth: what does not go together, or is missing, is refused.
func TestAuth(t *testing.T) {
	for _, c := range []struct {
		auth            Auth
		check, complete string
	}{
		{Auth{Kind: "none"}, "", ""},
		{Auth{}, "", "say who may use the service"},
		{Auth{Kind: "open"}, "must be token, jwt or none", ""},
		{Auth{Kind: "jwt"}, "", "needs --issuer"},
		{Auth{Kind: "jwt", Issuer: "https://a.example/", Audience: "x"}, "", ""},
		{Auth{Kind: "jwt", Issuer: "a.example", Audience: "x"}, "--issuer must be", ""},
		{Auth{Kind: "none", Issuer: "https://a.example/"}, "go with --auth jwt", ""},
		{Auth{Kind: "none", Tokens: "x"}, "goes with --auth token", ""},
		{Auth{Kind: "token", Tokens: "anna"}, "--tokens: token 1", ""},
		{Auth{Kind: "token", Tokens: strings.Repeat("x", 4000)}, "has room for 3500", ""},
	} {
		t.Run(fmt.Sprintf("%+.60v", c.auth), func(t *testing.T) {
			for _, one := range []struct {
				err  error
				says string
			}{{c.auth.Check(), c.check}, {c.auth.Complete(), c.complete}} {
				if (one.err == nil) != (one.says == "") || one.err != nil && !strings.Contains(one.err.Error(),
					one.says) {
					t.Errorf("%v, want %q", one.err, one.says)
				}
			}
			environment := map[string]string{"NOTES_LOG_LEVEL": "warn", "OTHER": "x"}
			c.auth.environment(environment)
			if got := AuthOf(environment); got != c.auth {
				t.Errorf("the environment gives back %+v", got)
			}
			if kept := KeptOf(environment); len(kept) != 1 || kept["NOTES_LOG_LEVEL"] != "warn" {
				t.Errorf("kept are %v", kept)
			}
		})
	}
}

// TestRights: whoever has the printed policy may make every call of every step.
func TestRights(t *testing.T) {
	jwt := example
	jwt.Auth = Auth{Kind: "jwt", Issuer: "https://a.example/", Audience: "x"}
	other, _ := example.OtherRole()
	none := example
	none.Concurrency, none.Retention = aws.Int32(0), aws.Int32(30)
	none.Boundary = "arn:aws:iam::123456789012:policy/bound"
	for _, step := range slices.Concat(example.Steps(), jwt.Steps(), none.Steps(), []Step{other}) {
		calls := []any{step.Find, step.Tags, step.Create, step.Twin}
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
			service = map[string]string{"cloudwatchlogs": "logs", "apigatewayv2": "apigateway"}[service] +
				map[string]string{
					"iam": "iam", "lambda": "lambda", "dynamodb": "dynamodb"}[service]
			if _, known := rights[service+":"+operation]; !known {
				t.Errorf("%s: %s:%s takes no right", step.What, service, operation)
			}
		}
	}
}

// TestBoundary: with a boundary every role that is made has it, and who may make or fill one may do so only under it.
func TestBoundary(t *testing.T) {
	s := example
	s.Boundary = "arn:aws:iam::123456789012:policy/bound"
	other, _ := s.OtherRole()
	for _, step := range []Step{s.role(), other} {
		if in := step.Create.(*iam.CreateRoleInput); in.PermissionsBoundary == nil ||
			*in.PermissionsBoundary != s.Boundary {
			t.Errorf("%s is made with %v", step.What, in.PermissionsBoundary)
		}
	}
	decide := func(s Stack, action string, context map[string]string) bool {
		return s.OperatorPolicy().Judge(policy.Request{Action: action, Resource: s.RoleARN(), Context: context}).Allowed
	}
	under := map[string]string{"iam:PermissionsBoundary": s.Boundary}
	for _, action := range []string{"iam:CreateRole", "iam:PutRolePolicy"} {
		if !decide(s, action, under) || decide(s, action, nil) || !decide(example, action, nil) {
			t.Errorf("%s: under the boundary %v, without %v, of a stack without one %v", action,
				decide(s, action, under), decide(s, action, nil), decide(example, action, nil))
		}
	}
	if !decide(s, "iam:PutRolePermissionsBoundary", under) || decide(example, "iam:PutRolePermissionsBoundary", under) {
		t.Error("a boundary can be put where none is asked for, or cannot where one is")
	}
	if !decide(s, "iam:GetRole", nil) || !decide(s, "iam:DeleteRole", nil) {
		t.Error("the role cannot be read or deleted")
	}
}

// TestWithoutSecrets: what is shown of a call has no secret, and the call keeps it.
func TestWithoutSecrets(t *testing.T) {
	s := example
	s.Kept = map[string]string{"NOTES_LOG_KEY": "a secret", "NOTES_LOG_LEVEL": "warn"}
	function := s.Function()
	for _, input := range []any{function.Create, function.Settings[0].Put} {
		shown := call.Command(WithoutSecrets(input))
		if strings.Contains(shown, "a secret") || !strings.Contains(shown,
			`"NOTES_LOG_KEY":"***","NOTES_LOG_LEVEL":"warn"`) {
			t.Errorf("it shows %s", shown)
		}
		if !strings.Contains(call.Command(input), "a secret") {
			t.Errorf("the call is %s", call.Command(input))
		}
	}
	if script := Script(s, false); strings.Contains(script, "a secret") {
		t.Errorf("the script has it: %s", script)
	}
}
