package sandbox

import (
	"slices"
	"strings"
	"testing"
)

// TestEnviron checks that nothing in the caller's environment leads out of the sandbox.
func TestEnviron(t *testing.T) {
	s := &Sandbox{URL: "http://127.0.0.1:4600", region: "eu-central-1"}
	for _, c := range []struct {
		name    string
		environ []string
		want    []string // among the variables
		never   []string // beginnings of variables
	}{
		{"a profile and keys", []string{"HOME=/home/anna", "AWS_PROFILE=prod", "AWS_SESSION_TOKEN=x",
			"AWS_REGION=us-east-1"},
			[]string{"HOME=/home/anna", "AWS_REGION=eu-central-1", "AWS_CONFIG_FILE=/dev/null"},
			[]string{"AWS_PROFILE", "AWS_SESSION_TOKEN"}},
		{"endpoints", []string{"AWS_ENDPOINT_URL_S3=https://s3.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true",
			"AWS_USE_FIPS_ENDPOINT=true"},
			[]string{"AWS_ENDPOINT_URL=http://127.0.0.1:4600"},
			[]string{"AWS_ENDPOINT_URL_S3", "AWS_IGNORE", "AWS_USE"}},
		{"files", []string{"AWS_CONFIG_FILE=/home/anna/config", "BOTO_CONFIG=/etc/boto.cfg"},
			[]string{"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}, []string{"BOTO_CONFIG"}},
		{"a proxy", []string{"https_proxy=http://proxy:3128"},
			[]string{"https_proxy=http://proxy:3128", "NO_PROXY=" + loopback, "no_proxy=" + loopback}, nil},
		{"a proxy with exceptions", []string{"HTTP_PROXY=http://proxy:3128", "no_proxy=.example"},
			[]string{"NO_PROXY=.example," + loopback, "no_proxy=.example," + loopback}, nil},
		{"no proxy", []string{"PATH=/bin"}, []string{"PATH=/bin"}, []string{"NO_PROXY", "no_proxy"}},
		{"how the CLI prints", []string{"AWS_PAGER="}, []string{"AWS_PAGER="}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			last := map[string]string{}
			for _, entry := range s.CommandEnviron(c.environ) {
				name, value, _ := strings.Cut(entry, "=")
				last[name] = value
			}
			for _, want := range c.want {
				name, value, _ := strings.Cut(want, "=")
				if got, ok := last[name]; !ok || got != value {
					t.Errorf("%s is %q, want %q", name, got, value)
				}
			}
			for name := range last {
				if slices.ContainsFunc(c.never, func(begin string) bool { return strings.HasPrefix(name, begin) }) {
					t.Errorf("%s=%s is passed on", name, last[name])
				}
			}
		})
	}
	got := ForeignVariables([]string{"AWS_PROFILE=x", "AWS_PAGER=", "HOME=/"})
	if !slices.Equal(got, []string{"AWS_PROFILE"}) {
		t.Errorf("the foreign settings are %q", got)
	}
}

// TestLastLine checks that the advice which docker adds to an error does not hide the error.
func TestLastLine(t *testing.T) {
	for _, c := range []struct{ name, output, want string }{
		{"moto", "starting\nOSError: address in use\n", "OSError: address in use"},
		{"docker", "Unable to find image\ndocker: no such image.\nSee 'docker run --help'.\n",
			"docker: no such image."},
		{"a later docker", "docker: no such image.\n\nRun 'docker run --help' for more information\n",
			"docker: no such image."},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := (&moto{output: []byte(c.output)}).lastLine(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
