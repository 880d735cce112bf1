package pack

import (
	"strings"
	"testing"
)

func TestParseArchitecture(t *testing.T) {
	for text, want := range map[string]string{
		"arm64": "arm64", "aarch64": "arm64", "ARM64": "arm64",
		"x86_64": "x86_64", "amd64": "x86_64", "x86-64": "x86_64",
	} {
		t.Run(text, func(t *testing.T) {
			if got, err := ParseArchitecture(text); err != nil || got != want {
				t.Errorf("%q, %v", got, err)
			}
			if goarch[want] == "" {
				t.Errorf("%s has no GOARCH", want)
			}
		})
	}
	for _, text := range []string{"", "mips", "arm"} {
		if _, err := ParseArchitecture(text); err == nil || !strings.Contains(err.Error(), "arm64 or x86_64") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
