package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// newTestCloud returns a Cloud whose calls a handler answers.
func newTestCloud(t *testing.T, handler http.HandlerFunc) *Cloud {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return New(aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
}

// TestPages checks that lists are read completely, with each service's kind of pagination.
func TestPages(t *testing.T) {
	id, name := aws.String("a1"), aws.String("x")
	members := func(list, element string) func(page int) string { // an answer of IAM
		return func(page int) string {
			more := ""
			if page < 3 {
				more = fmt.Sprintf("<IsTruncated>true</IsTruncated><Marker>page %d</Marker>", page+1)
			}
			return fmt.Sprintf("<R><%sResult><%s>%s</%s>%s</%sResult></R>", list, element, map[string]string{
				"PolicyNames": fmt.Sprintf("<member>%d</member>", page),
			}[element]+map[string]string{
				"AttachedPolicies": fmt.Sprintf("<member><PolicyArn>%d</PolicyArn></member>", page),
			}[element], element, more, list)
		}
	}
	object := func(list, item, token string) func(page int) string {
		return func(page int) string {
			more := ""
			if page < 3 {
				more = fmt.Sprintf(`,%q:"page %d"`, token, page+1)
			}
			return fmt.Sprintf(`{%q:[%s]%s}`, list, fmt.Sprintf(item, page), more)
		}
	}
	for _, c := range []struct {
		input  any
		answer func(page int) string
		at     string // JMESPath of the items
	}{
		{input: &apigatewayv2.GetApisInput{}, answer: object("items", `{"apiId":"%d"}`, "nextToken"),
			at: "Items[].ApiId"},
		{input: &apigatewayv2.GetRoutesInput{ApiId: id}, answer: object("items", `{"routeId":"%d"}`, "nextToken"),
			at: "Items[].RouteId"},
		{input: &apigatewayv2.GetIntegrationsInput{ApiId: id},
			answer: object("items", `{"integrationId":"%d"}`, "nextToken"), at: "Items[].IntegrationId"},
		{input: &apigatewayv2.GetStagesInput{ApiId: id}, answer: object("items", `{"stageName":"%d"}`, "nextToken"),
			at: "Items[].StageName"},
		{input: &apigatewayv2.GetAuthorizersInput{ApiId: id},
			answer: object("items", `{"authorizerId":"%d"}`, "nextToken"), at: "Items[].AuthorizerId"},
		{input: &cloudwatchlogs.DescribeLogGroupsInput{},
			answer: object("logGroups", `{"logGroupName":"%d"}`, "nextToken"), at: "logGroups[].logGroupName"},
		{input: &dynamodb.ListTagsOfResourceInput{ResourceArn: name},
			answer: object("Tags", `{"Key":"%d","Value":"v"}`, "NextToken"), at: "Tags[].Key"},
		{input: &dynamodb.ListTablesInput{}, answer: object("TableNames", `"%d"`, "LastEvaluatedTableName"),
			at: "TableNames[]"},
		{input: &lambda.ListAliasesInput{FunctionName: name},
			answer: object("Aliases", `{"Name":"%d"}`, "NextMarker"), at: "Aliases[].Name"},
		{input: &iam.ListRolePoliciesInput{RoleName: name}, answer: members("ListRolePolicies", "PolicyNames"),
			at: "PolicyNames[]"},
		{input: &iam.ListAttachedRolePoliciesInput{RoleName: name},
			answer: members("ListAttachedRolePolicies", "AttachedPolicies"), at: "AttachedPolicies[].PolicyArn"},
	} {
		t.Run(fmt.Sprintf("%T", c.input), func(t *testing.T) {
			requests := 0
			cloud := newTestCloud(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				request := strings.NewReplacer("+", " ", "%20", " ").Replace(r.URL.RawQuery + string(body))
				page := 1
				for n := 2; n <= 3; n++ {
					if strings.Contains(request, fmt.Sprint("page ", n)) {
						page = n
					}
				}
				requests++
				text := c.answer(page)
				if json.Valid([]byte(text)) {
					w.Header().Set("Content-Type", "application/json")
				}
				_, _ = io.WriteString(w, text)
			})
			answer, err := cloud.Do(t.Context(), c.input)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(Texts(c.at, answer)); got != "[1 2 3]" || requests != 3 {
				t.Errorf("got the pages %s after %d requests", got, requests)
			}
		})
	}
}

// TestWrites checks that calls that AWS refuses are not counted as writes.
func TestWrites(t *testing.T) {
	for _, c := range []struct {
		name, code     string
		status, writes int
	}{
		{name: "done", status: 200, writes: 1},
		{name: "refused", code: "InvalidParameterValueException", status: 400},
		{name: "unknown", code: "ServiceException", status: 500, writes: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := newTestCloud(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amzn-Errortype", c.code)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, "{}")
			})
			_, err := cloud.Call(t.Context(), &lambda.TagResourceInput{Resource: aws.String("arn"),
				Tags: map[string]string{"a": "b"}})
			if (err == nil) != (c.code == "") || cloud.Writes() != c.writes {
				t.Errorf("error %v, %d writes", err, cloud.Writes())
			}
		})
	}
}

func TestIsLocal(t *testing.T) {
	for _, c := range []struct {
		endpoint string
		want     bool
	}{
		{"http://127.0.0.1:4600", true},
		{"http://127.1.2.3", true},
		{"http://[::1]:4600", true},
		{"http://LOCALHOST:1", true},
		{"http://[::ffff:127.0.0.1]:1", true},
		{"http://127.example.com", false},
		{"https://iam.amazonaws.com", false},
		{"http://localhost.example.com", false},
		{"http://10.0.0.1", false},
		{"", false},
		{"http://%zz", false},
	} {
		t.Run(c.endpoint, func(t *testing.T) {
			if got := IsLocal(&c.endpoint); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
	if IsLocal(nil) { // AWS's own endpoint
		t.Error("a nil endpoint is local")
	}
}

// TestRaw checks the signatures and errors of calls without an SDK client.
func TestRaw(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header string
		body   string
		code   string
	}{
		{name: "an answer", status: 200, body: `{"name":"old"}`},
		{name: "not found", status: 404, body: `{"message":"no"}`, code: "NotFoundException"},
		{name: "a code in the header", status: 403, header: "AccessDeniedException:http://x",
			body: `{"message":"no"}`, code: "AccessDeniedException"},
		{name: "a code in the body", status: 400, body: `{"__type":"com.amazonaws#ThrottlingException"}`,
			code: "ThrottlingException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := newTestCloud(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/monitoring/aws4_request") {
					t.Errorf("the Authorization header is %q", r.Header.Get("Authorization"))
				}
				w.Header().Set("X-Amzn-Errortype", c.header)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			answer, err := cloud.Target(t.Context(), "monitoring", "X.Y", map[string]string{"a": "b"})
			if Code(err) != c.code || c.code == "" && Search("name", answer) != "old" {
				t.Errorf("%v %v", answer, err)
			}
			if _, err := cloud.Get(t.Context(), "monitoring", "/x"); Code(err) != c.code {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestRetryInterrupted checks that an interrupted wait says so, and what it waited for.
func TestRetryInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	err := Retry(ctx, time.Hour, func() error {
		if tries++; tries == 2 {
			cancel()
		}
		return RetryLater(errors.New("it is still pending"))
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "it is still pending") || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	err = Retry(t.Context(), time.Millisecond, func() error { return RetryLater(errors.New("it is still pending")) })
	if err == nil || err.Error() != "it is still pending" {
		t.Errorf("after the limit: %v", err)
	}
}
