package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/google/uuid"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/stack"
)

// TestOnAWS makes a stack in a real account, breaks and fixes it, and removes it. It runs only with NOTES_TEST_AWS=1,
// and needs credentials and a region. It costs a few cents at most.
func TestOnAWS(t *testing.T) {
	if os.Getenv("NOTES_TEST_AWS") != "1" {
		t.Skip("NOTES_TEST_AWS=1 is not set: this test costs a little money in a real AWS account")
	}
	name := "notes-test-" + uuid.NewString()[:8]
	mustDeploy := func(args ...string) string {
		t.Helper()
		out, err := deploy(t, args...)
		t.Logf("deploy %v:\n%s", args, out)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	defer mustDeploy("down", "--stack", name, "--delete-data", name)
	out := mustDeploy("up", "--stack", name, "--auth", "none")
	address := regexp.MustCompile(`https://([a-z0-9]+)\.execute-api\.[^/]+/dev/notes`).FindStringSubmatch(out)
	if address == nil {
		t.Fatal("up prints no URL")
	}
	if again := mustDeploy("up", "--stack", name, "--auth", "none"); strings.Contains(again, "created") ||
		strings.Contains(again, "updated") {
		t.Error("the second up changes something")
	}
	cfg, err := cloud.LoadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	account, partition, err := cloud.New(cfg).Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range (stack.Stack{Name: name, Partition: partition, Region: cfg.Region, Account: account, Stage: "dev",
		Auth: stack.Auth{Kind: "none"}}).Grants(address[1]) {
		if _, err := lambda.NewFromConfig(cfg).RemovePermission(t.Context(),
			&lambda.RemovePermissionInput{FunctionName: &name, StatementId: &g.StatementID}); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(want int) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
			a, err := http.Get(address[0])
			if err == nil {
				_ = a.Body.Close()
				if a.StatusCode == want {
					return
				}
			}
			if time.Now().After(end) {
				t.Fatalf("the API does not answer %d", want)
			}
		}
	}
	wait(500)
	mustDeploy("permit", "--api", address[1])
	wait(200)
}
