package stack

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"example.com/portable-notes/notes/storetest"
)

// shells are the shells that the script must run in.
var shells = [][]string{{"dash"}, {"bash"}, {"zsh", "--emulate", "sh"}, {"busybox", "sh"}}

// only returns a directory that contains the given commands and no others.
func only(t *testing.T, commands ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, command := range commands {
		path, err := exec.LookPath(command)
		if err != nil {
			storetest.Lacks(t, command, err)
		}
		if err := os.Symlink(path, filepath.Join(folder, command)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// inShell runs the helpers and a script with folder as the only directory in PATH.
func inShell(t *testing.T, shell []string, folder, script string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(shell[0])
	if err != nil {
		storetest.Lacks(t, shell[0], err)
	}
	cmd := exec.Command(path, append(shell[1:], "-c", "set -eu\n"+helpers+"\n"+script)...)
	cmd.Env = []string{"PATH=" + folder}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestScriptHash checks that each hash program gives the same id, and that the script fails if there is none.
func TestScriptHash(t *testing.T) {
	for _, shell := range shells {
		for _, with := range []string{"sha256sum", "shasum", "openssl", ""} {
			t.Run(shell[0]+" with only "+with, func(t *testing.T) {
				if shell[0] == "busybox" && with == "" {
					return // some builds have sha256sum built in
				}
				commands := []string{"cut"}
				if with != "" {
					commands = append(commands, with)
				}
				out, err := inShell(t, shell, only(t, commands...), `sid=notes-$(printf %s abc | sum256); echo "$sid"`)
				if with == "" {
					if err == nil || strings.Contains(out, "notes-") || !strings.Contains(out,
						"sha256sum, shasum and openssl are missing") {
						t.Errorf("%v, %s", err, out)
					}
				} else if err != nil || out != "notes-ba7816bf8f01cfea\n" { // FIPS 180-4, the example "abc"
					t.Errorf("%v, %s", err, out)
				}
			})
		}
	}
}

// TestScriptHelpers checks which failures end the script, at once or after retries, and which are tolerated.
func TestScriptHelpers(t *testing.T) {
	const fakes = `aws() { [ "$1" != --version ] || { echo aws-cli/1.16.0; return; }; echo "$error" >&2; return ` +
		`255; }; ` +
		`sleep() { echo slept; }; `
	for _, c := range []struct {
		name, error, script, prints string
		fails                       bool
	}{
		{name: "an old CLI", error: "Unknown options: --tags", script: "again aws lambda x; echo on",
			prints: "aws-cli/1.16.0 is too old: " +
				cliVersion + "\nUnknown options: --tags\n", fails: true},
		{name: "no rights", error: "An error occurred (AccessDenied)", script: "again aws iam x; echo on",
			prints: "An error occurred (AccessDenied)\n", fails: true},
		{name: "a transient error", error: "TooManyRequests", script: "again aws iam x; echo on",
			prints: strings.Repeat("slept\n", 7) +
				"TooManyRequests\n", fails: true},
		{name: "a tolerated error", error: "it was modified within a fixed interval",
			script: "tolerate 'a fixed interval' 'it is off' " +
				"aws x; echo on", prints: "it is off\non\n"},
		{name: "an error tolerated only in an earlier call", error: "within a fixed interval, AccessDenied",
			script: "tolerate 'other words' 'no' true; again aws x",
			prints: "within a fixed interval, AccessDenied\n", fails: true},
	} {
		for _, shell := range shells {
			t.Run(c.name+" in "+shell[0], func(t *testing.T) {
				out, err := inShell(t, shell, only(t, "true"), "error='"+c.error+"'; "+fakes+c.script)
				if (err != nil) != c.fails || out != c.prints {
					t.Errorf("%v, printed %q, want %q", err, out, c.prints)
				}
			})
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

// TestScripts compares the script and the operator's policy for each partition with golden files.
func TestScripts(t *testing.T) {
	for _, c := range []struct {
		golden, region, partition string
		auth                      Auth
		settings                  bool // choose values for all settings
	}{
		{golden: "aws", region: "eu-central-1", partition: "aws", auth: Auth{Kind: "none"}},
		{golden: "aws-cn", region: "cn-north-1", partition: "aws-cn",
			auth: Auth{Kind: "token", Tokens: "anna read sha256:" + strings.Repeat("0", 64)}, settings: true},
		{golden: "aws-us-gov", region: "us-gov-west-1", partition: "aws-us-gov",
			auth: Auth{Kind: "jwt", Issuer: "https://example.com/", Audience: "notes"}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			s := example
			s.Partition, s.Region, s.Auth = c.partition, c.region, c.auth
			if c.settings {
				s.Memory, s.Retention, s.Concurrency = aws.Int32(512), aws.Int32(30), aws.Int32(7)
				s.BasePath, s.Auth.Made = aws.String("/api"), true
			}
			operatorPolicy, err := json.MarshalIndent(s.OperatorPolicy(), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got := Script(s, false) + "\n# The operator's policy\n" + string(operatorPolicy) + "\n"
			golden := filepath.Join("testdata", c.golden+".golden")
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
				t.Errorf("the script differs from %s; if that is intended, run go test ./deploy/stack -update", golden)
			}
		})
	}
}

// TestPermitOnly checks that the script with permitOnly only makes grants.
func TestPermitOnly(t *testing.T) {
	script := Script(example, true)
	for _, line := range strings.Split(script, "\n") {
		if strings.Contains(line, "aws ") && !strings.HasPrefix(line, "#") &&
			!strings.Contains(line, "get-") && !strings.Contains(line, "add-permission") && !strings.Contains(line,
			"--version") {
			t.Errorf("unexpected command: %s", line)
		}
	}
	if strings.Count(script, "add-permission") != 2 || strings.Contains(script, "notes.zip") {
		t.Errorf("the script is %s", script)
	}
}
