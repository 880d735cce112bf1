package converge

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

// TestFormerAccessLogs checks that only the log groups of the stack's former stages are removed, and that others with
// such names, or with unreadable tags, are reported as left.
func TestFormerAccessLogs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		group := func(stage string) string {
			return `{"logGroupName":"/aws/vendedlogs/apigateway/notes-` + stage + `"}`
		}
		input := string(body)
		switch {
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeLogGroups"):
			groups := []string{group("dev"), group("dev-dev"), group("former"), group("theirs")}
			_, _ = io.WriteString(w, `{"logGroups":[`+strings.Join(groups, ",")+`]}`)
		case strings.Contains(input, "notes-former"):
			_, _ = io.WriteString(w, `{"tags":{"notes-stack":"notes","notes-region":"us-east-1"}}`)
		case strings.Contains(input, "notes-theirs"):
			_, _ = io.WriteString(w, `{"tags":{"notes-stack":"other","notes-region":"us-east-1"}}`)
		default:
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"no"}`)
		}
	}))
	t.Cleanup(server.Close)
	c := cloud.New(aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	var out bytes.Buffer
	r := report.New(&out, &out, false)
	s := stack.Stack{Name: "notes", Partition: "aws", Region: "us-east-1", Account: "123456789012", Stage: "dev"}
	steps, err := New(c, "notes", r).formerAccessLogs(t.Context(), s)
	if err != nil || len(steps) != 1 || !strings.HasSuffix(steps[0].What, "notes-former") {
		t.Errorf("%v, %v", steps, err)
	}
	if err := r.End(nil); err != nil || strings.Count(out.String(), " left: ") != 2 ||
		!strings.Contains(out.String(), "notes-dev-dev left: these credentials may not read its tags") ||
		!strings.Contains(out.String(), "notes-theirs left: it does not belong to this stack") {
		t.Errorf("%v, printed %s", err, &out)
	}
}

// TestKept checks that the stack's own table is reported once as kept, and a foreign one as left.
func TestKept(t *testing.T) {
	for _, c := range []struct {
		owner string
		want  report.State
	}{{"notes", report.Kept}, {"other", report.Left}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			operation := r.Header.Get("X-Amz-Target")
			switch {
			case strings.HasSuffix(operation, "DescribeLogGroups"):
				_, _ = io.WriteString(w, `{"logGroups":[]}`)
			case strings.HasSuffix(operation, "DescribeTable"):
				_, _ = io.WriteString(w, `{"Table":{"TableName":"notes"}}`)
			case strings.HasSuffix(operation, "ListTagsOfResource"):
				_, _ = io.WriteString(w, `{"Tags":[{"Key":"notes-stack","Value":"`+c.owner+`"},`+
					`{"Key":"notes-region","Value":"us-east-1"}]}`)
			case strings.HasSuffix(r.URL.Path, "/apis"):
				_, _ = io.WriteString(w, `{"items":[]}`)
			case r.URL.Path == "/": // IAM
				w.WriteHeader(404)
				_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>`)
			default:
				w.Header().Set("X-Amzn-ErrorType", "ResourceNotFoundException")
				w.WriteHeader(404)
			}
		}))
		t.Cleanup(server.Close)
		client := cloud.New(aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL,
			Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
		var out bytes.Buffer
		r := report.New(&out, &out, true)
		s := stack.Stack{Name: "notes", Partition: "aws", Region: "us-east-1", Account: "123456789012", Stage: "dev"}
		if err := r.End(New(client, "notes", r).Down(t.Context(), s, false)); err != nil {
			t.Fatal(err)
		}
		var printed struct {
			Steps []struct {
				What  string
				State report.State
			}
		}
		if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
			t.Fatal(err)
		}
		var states []report.State
		for _, step := range printed.Steps {
			if step.What == "table notes" {
				states = append(states, step.State)
			}
		}
		if len(states) != 1 || states[0] != c.want {
			t.Errorf("the table of %s is %v, printed %s", c.owner, states, &out)
		}
	}
}
