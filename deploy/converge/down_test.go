package converge

import (
	"bytes"
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

// TestOthers: of the log groups with names like the stack's, those of its former stages go; a group that may not be
// read is left alone and named.
func TestOthers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		group := func(stage string) string {
			return `{"logGroupName":"/aws/vendedlogs/apigateway/notes-` + stage +
				`"}`
		}
		asks := string(body)
		switch {
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeLogGroups"):
			_, _ = io.WriteString(w, `{"logGroups":[`+group("dev")+`,`+group("dev-dev")+`,`+group("former")+`,`+group(
				"theirs")+`]}`)
		case strings.Contains(asks, "notes-former"):
			_, _ = io.WriteString(w, `{"tags":{"notes-stack":"notes","notes-region":"us-east-1"}}`)
		case strings.Contains(asks, "notes-theirs"):
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
	steps, err := New(c, "notes", r).others(t.Context(), s)
	if err != nil || len(steps) != 1 || !strings.HasSuffix(steps[0].What, "notes-former") {
		t.Errorf("%v, %v", steps, err)
	}
	if err := r.End(nil); err != nil || strings.Count(out.String(), "left alone") != 1 ||
		!strings.Contains(out.String(), "notes-dev-dev was left alone") {
		t.Errorf("%v, it says %s", err, &out)
	}
}
