package cloud

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// served returns a cloud whose calls a handler answers.
func served(t *testing.T, handler http.HandlerFunc) *Cloud {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return New(aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
}

// TestPages: every list is read whole, whatever its service's way to give pages is.
func TestPages(t *testing.T) {
	id, name := aws.String("a1"), aws.String("x")
	members := func(list, element string) func(page int) string { // of an answer of IAM
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
		at     string // JMESPath of what the pages hold
	}{
		{&apigatewayv2.GetApisInput{}, object("items", `{"apiId":"%d"}`, "nextToken"), "Items[].ApiId"},
		{&apigatewayv2.GetRoutesInput{ApiId: id}, object("items", `{"routeId":"%d"}`, "nextToken"), "Items[].RouteId"},
		{&apigatewayv2.GetIntegrationsInput{ApiId: id}, object("items", `{"integrationId":"%d"}`, "nextToken"),
			"Items[].IntegrationId"},
		{&apigatewayv2.GetStagesInput{ApiId: id}, object("items", `{"stageName":"%d"}`, "nextToken"),
			"Items[].StageName"},
		{&apigatewayv2.GetAuthorizersInput{ApiId: id}, object("items", `{"authorizerId":"%d"}`, "nextToken"),
			"Items[].AuthorizerId"},
		{&cloudwatchlogs.DescribeLogGroupsInput{}, object("logGroups", `{"logGroupName":"%d"}`, "nextToken"),
			"logGroups[].logGroupName"},
		{&dynamodb.ListTagsOfResourceInput{ResourceArn: name}, object("Tags", `{"Key":"%d","Value":"v"}`, "NextToken"),
			"Tags[].Key"},
		{&dynamodb.ListTablesInput{}, object("TableNames", `"%d"`, "LastEvaluatedTableName"), "TableNames[]"},
		{&lambda.ListAliasesInput{FunctionName: name}, object("Aliases", `{"Name":"%d"}`, "NextMarker"),
			"Aliases[].Name"},
		{&iam.ListRolePoliciesInput{RoleName: name}, members("ListRolePolicies", "PolicyNames"), "PolicyNames[]"},
		{&iam.ListAttachedRolePoliciesInput{RoleName: name}, members("ListAttachedRolePolicies", "AttachedPolicies"),
			"AttachedPolicies[].PolicyArn"},
	} {
		t.Run(fmt.Sprintf("%T", c.input), func(t *testing.T) {
			requests := 0
			cloud := served(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				asked := strings.NewReplacer("+", " ", "%20", " ").Replace(r.URL.RawQuery + string(body))
				page := 1
				for n := 2; n <= 3; n++ {
					if strings.Contains(asked, fmt.Sprint("page ", n)) {
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
				t.Errorf("the pages are %s, after %d requests", got, requests)
			}
		})
	}
}

// TestWrites: what AWS refuses is not written.
func TestWrites(t *testing.T) {
	for _, c := range []struct {
		name, code     string
		status, writes int
	}{
		{"done", "", 200, 1},
		{"refused", "InvalidParameterValueException", 400, 0},
		{"unknown", "ServiceException", 500, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := served(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amzn-Errortype", c.code)
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, "{}")
			})
			_, err := cloud.Call(t.Context(), &lambda.TagResourceInput{Resource: aws.String("arn"),
				Tags: map[string]string{"a": "b"}})
			if (err == nil) != (c.code == "") || cloud.Writes() != c.writes {
				t.Errorf("%v, and %d writes", err, cloud.Writes())
			}
		})
	}
}

func TestIsLocal(t *testing.T) {
	for _, c := range []struct {
		endpoint string
		want     bool
	}{
		{"http://127.0.0.1:4600", true}, {"http://127.1.2.3", true}, {"http://[::1]:4600", true}, {"http://LOCALHOST:1",
			true},
		{"http://[::ffff:127.0.0.1]:1", true}, {"http://127.example.com", false}, {"https://iam.amazonaws.com", false},
		{"http://localhost.example.com", false}, {"http://10.0.0.1", false}, {"", false}, {"http://%zz", false},
	} {
		t.Run(c.endpoint, func(t *testing.T) {
			if got := IsLocal(&c.endpoint); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
	if IsLocal(nil) {
		t.Error("AWS's own endpoint is on this machine")
	}
}

// TestRaw: what has no client of the SDK is signed and read as the SDK would.
func TestRaw(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		header string
		body   string
		code   string
	}{
		{"an answer", 200, "", `{"name":"old"}`, ""},
		{"nothing of the name", 404, "", `{"message":"no"}`, "NotFoundException"},
		{"a code in the header", 403, "AccessDeniedException:http://x", `{"message":"no"}`, "AccessDeniedException"},
		{"a code in the body", 400, "", `{"__type":"com.amazonaws#ThrottlingException"}`, "ThrottlingException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := served(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/monitoring/aws4_request") {
					t.Errorf("it is signed %q", r.Header.Get("Authorization"))
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
