package sandbox

import (
	"os"
	"slices"
	"strings"
)

// loopback are the hosts of the sandbox, which no proxy can reach.
const loopback = "127.0.0.1,localhost,::1"

// keptSettings are the variables of the AWS CLI that only change how it prints.
var keptSettings = []string{"AWS_PAGER", "AWS_DEFAULT_OUTPUT"}

// isForeign reports whether a variable could lead a program out of the sandbox, or keep it from running there: a
// profile, an endpoint of one service, credentials.
func isForeign(name string) bool {
	return name == "BOTO_CONFIG" || strings.HasPrefix(name, "AWS_") && !slices.Contains(keptSettings, name)
}

// ForeignVariables returns the names of the AWS settings in an environment that programs in the sandbox must not see.
func ForeignVariables(environ []string) (names []string) {
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); isForeign(name) {
			names = append(names, name)
		}
	}
	return names
}

// outside returns variables that shut out the files with the user's AWS settings, and let programs reach the sandbox
// although the environment names a proxy.
func outside(environ []string) []string {
	shut := []string{
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true",
	}
	proxied, direct := false, ""
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY":
			proxied = true
		case "NO_PROXY":
			direct = value
		}
	}
	if !proxied {
		return shut
	}
	if direct != "" {
		direct += ","
	}
	return append(shut, "NO_PROXY="+direct+loopback, "no_proxy="+direct+loopback)
}

// clean returns an environment without foreign variables, and with the user's files shut out. Of two variables with one
// name the last counts.
func clean(environ []string) []string {
	kept := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return isForeign(name)
	})
	return append(kept, outside(environ)...)
}

// CommandEnviron returns the environment of a program that runs in the sandbox: the given one without its AWS settings,
// and with those of the sandbox.
func (s *Sandbox) CommandEnviron(environ []string) []string {
	return append(clean(environ), s.settings()...)
}
