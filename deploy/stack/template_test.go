package stack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.yaml.in/yaml/v3"
)

// TestTemplates compares the template of each format and kind of authentication with golden files. The same template
// serves all partitions, so there is one file for all.
func TestTemplates(t *testing.T) {
	settings := example
	settings.Memory, settings.Retention, settings.Concurrency = aws.Int32(512), aws.Int32(30), aws.Int32(0)
	settings.BasePath, settings.Endpoint, settings.Stage = aws.String("/api"), "on", "$default"
	settings.Boundary = "arn:aws:iam::123456789012:policy/bound"
	for _, c := range []struct {
		name  string
		stack Stack
		auth  Auth
	}{
		{name: "none", stack: example, auth: Auth{Kind: "none"}},
		{name: "token", stack: example,
			auth: Auth{Kind: "token", Tokens: "anna read sha256:" + strings.Repeat("0", 64)}},
		{name: "jwt", stack: example, auth: Auth{Kind: "jwt", Issuer: "https://example.com/", Audience: "notes"}},
		{name: "settings", stack: settings, auth: Auth{Kind: "jwt", Issuer: "https://example.com/",
			Audience: `a "b": ${c} %{d} #`}},
	} {
		for _, format := range Formats {
			t.Run(format+" "+c.name, func(t *testing.T) {
				s := c.stack
				s.Auth = c.auth
				got := Template(s, format)
				golden := filepath.Join("testdata", format+"-"+c.name+".golden")
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("the template differs from %s; if that is intended, run go test ./deploy/stack -update",
						golden)
				}
			})
		}
	}
}

// TestTemplatesArePortable checks that the templates of stacks that differ only in partition, region and account are
// the same, and contain none of them.
func TestTemplatesArePortable(t *testing.T) {
	for _, partition := range []struct{ name, region string }{
		{name: "aws", region: "eu-central-1"}, {name: "aws-cn", region: "cn-north-1"},
		{name: "aws-us-gov", region: "us-gov-west-1"},
	} {
		for _, format := range Formats {
			t.Run(format+" "+partition.name, func(t *testing.T) {
				s := example
				want := Template(s, format)
				s.Partition, s.Region, s.Account = partition.name, partition.region, "210987654321"
				got := Template(s, format)
				if got != want {
					t.Error("the template depends on the account, the region or the partition")
				}
				for _, fixed := range []string{"arn:aws", s.Account, s.Region} {
					if strings.Contains(got, fixed) {
						t.Errorf("the template contains %s", fixed)
					}
				}
			})
		}
	}
}

// TestTemplateYAML checks that the template is YAML, and that each value which the operator gives is a parameter's
// default, whatever characters it has.
func TestTemplateYAML(t *testing.T) {
	s := example
	s.Name = "null" // a valid name, and a word of YAML
	s.Auth = Auth{Kind: "jwt", Issuer: "https://example.com/", Audience: "- 'a': \"${b}\" !Ref #\n"}
	var got struct {
		Parameters map[string]struct {
			Default any `yaml:"Default"`
		} `yaml:"Parameters"`
		Resources map[string]struct {
			Type string `yaml:"Type"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(Template(s, "cloudformation")), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"Name": s.Name, "Issuer": s.Auth.Issuer, "Audience": s.Auth.Audience,
		"Memory": 256, "Retention": 14, "Concurrency": 100, "Boundary": "", "Architecture": "arm64"} {
		if value := got.Parameters[name].Default; value != want {
			t.Errorf("the default of %s is %#v, want %#v", name, value, want)
		}
	}
	for name, want := range map[string]string{"GrantAnyNotes": "AWS::Lambda::Permission",
		"GrantOptionsNotesId": "AWS::Lambda::Permission", "RouteAnyNotesId": "AWS::ApiGatewayV2::Route"} {
		if got.Resources[name].Type != want {
			t.Errorf("the resource %s has the type %q, want %s", name, got.Resources[name].Type, want)
		}
	}
}
