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

// shells are those that the script is for.
var shells = [][]string{{"dash"}, {"bash"}, {"zsh", "--emulate", "sh"}, {"busybox", "sh"}}

// only returns a folder that has some commands and no others.
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

// inShell runs a script after the helpers with the commands in a folder alone.
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

// TestScriptHash: the id of a statement is the same whatever program hashes, and never an empty hash.
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
						"no sha256sum, shasum or openssl") {
						t.Errorf("%v, %s", err, out)
					}
				} else if err != nil || out != "notes-ba7816bf8f01cfea\n" { // FIPS 180-4, the example "abc"
					t.Errorf("%v, %s", err, out)
				}
			})
		}
	}
}

// TestScriptHelpers: what cannot help itself stops at once, and what is tolerated does not stop the script.
func TestScriptHelpers(t *testing.T) {
	const aws = `aws() { [ "$1" != --version ] || { echo aws-cli/1.16.0; return; }; echo "$says" >&2; return 255; }; ` +
		`sleep() { echo slept; }; `
	for _, c := range []struct {
		name, says, script, prints string
		fails                      bool
	}{
		{"an old CLI", "Unknown options: --tags", "again aws lambda x; echo on", "aws-cli/1.16.0 is too old: " +
			cliVersion + "\nUnknown options: --tags\n", true},
		{"no rights", "An error occurred (AccessDenied)", "again aws iam x; echo on",
			"An error occurred (AccessDenied)\n", true},
		{"what passes", "TooManyRequests", "again aws iam x; echo on", strings.Repeat("slept\n", 7) +
			"TooManyRequests\n", true},
		{"what is tolerated", "it was modified within a fixed interval", "tolerate 'a fixed interval' 'it is off' " +
			"aws x; echo on", "it is off\non\n", false},
		{"what is tolerated only there", "within a fixed interval, AccessDenied",
			"tolerate 'other words' 'no' true; again aws x", "within a fixed interval, AccessDenied\n", true},
	} {
		for _, shell := range shells {
			t.Run(c.name+" in "+shell[0], func(t *testing.T) {
				out, err := inShell(t, shell, only(t, "true"), "says='"+c.says+"'; "+aws+c.script)
				if (err != nil) != c.fails || out != c.prints {
					t.Errorf("%v, prints %q, want %q", err, out, c.prints)
				}
			})
		}
	}
}

var update = flag.Bool("update", false, "write the golden files")

// TestScripts: what is printed for each partition is what was looked at.
func TestScripts(t *testing.T) {
	for _, c := range []struct {
		golden, region, partition string
		auth                      Auth
		told                      bool // with settings
	}{
		{"aws", "eu-central-1", "aws", Auth{Kind: "none"}, false},
		{"aws-cn", "cn-north-1", "aws-cn", Auth{Kind: "token", Tokens: "anna read sha256:" + strings.Repeat("0", 64)},
			true},
		{"aws-us-gov", "us-gov-west-1", "aws-us-gov",
			Auth{Kind: "jwt", Issuer: "https://example.com/", Audience: "notes"}, false},
	} {
		t.Run(c.golden, func(t *testing.T) {
			s := example
			s.Partition, s.Region, s.Auth = c.partition, c.region, c.auth
			if c.told {
				s.Memory, s.Retention, s.Concurrency = aws.Int32(512), aws.Int32(30), aws.Int32(7)
				s.BasePath, s.Auth.Made = aws.String("/api"), true
			}
			document, err := json.MarshalIndent(s.OperatorPolicy(), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got := Script(s, false) + "\n# The operator's policy\n" + string(document) + "\n"
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
				t.Errorf("it is not what is in %s; if it is meant to be, run go test ./deploy/stack -update", golden)
			}
		})
	}
}

// TestGrantsAlone: the script of the grants makes nothing else.
func TestGrantsAlone(t *testing.T) {
	script := Script(example, true)
	for _, line := range strings.Split(script, "\n") {
		if strings.Contains(line, "aws ") && !strings.HasPrefix(line, "#") &&
			!strings.Contains(line, "get-") && !strings.Contains(line, "add-permission") && !strings.Contains(line,
			"--version") {
			t.Errorf("it has %s", line)
		}
	}
	if strings.Count(script, "add-permission") != 2 || strings.Contains(script, "notes.zip") {
		t.Errorf("it is %s", script)
	}
}
