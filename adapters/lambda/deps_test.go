package main

import (
	"flag"
	"os"
	"os/exec"
	"testing"
)

var updateDeps = flag.Bool("update-deps", false, "rewrite testdata/deps.txt")

// TestDependencies: the packages that the function links change only on purpose, since each makes cold starts slower.
func TestDependencies(t *testing.T) {
	list := exec.Command("go", "list", "-deps", "-tags", "lambda.norpc,nethttpomithttp2", "-f",
		"{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	got, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	if *updateDeps {
		if err := os.WriteFile("testdata/deps.txt", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/deps.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the function does not link the packages in testdata/deps.txt; if that is intended, run: go test "+
			"./adapters/lambda -run Dependencies -update-deps\n%s", got)
	}
}
