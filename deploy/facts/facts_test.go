package facts

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"example.com/portable-notes/app/jwt"
	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
)

// refuses is the answer to a call that is denied.
const refuses = "denied"

// served returns a cloud that answers a call whose path, target or action ends in a key of answers. Other calls answer
// that the resource does not exist.
func served(t *testing.T, answers map[string]string) *cloud.Cloud {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for end, answer := range answers {
			if strings.HasSuffix(r.URL.Path+r.Header.Get("X-Amz-Target")+r.PostFormValue("Action"), end) {
				if answer == refuses {
					w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
					w.WriteHeader(403)
					answer = "{}"
				}
				if strings.Contains(answer, "errorType") {
					w.Header().Set("X-Amz-Function-Error", "Unhandled")
				}
				_, _ = io.WriteString(w, answer)
				return
			}
		}
		if r.PostFormValue("Action") != "" {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>`)
			return
		}
		w.Header().Set("X-Amzn-Errortype", map[bool]string{true: "NotFoundException",
			false: "ResourceNotFoundException"}[strings.HasPrefix(r.URL.Path, "/v2/")])
		w.WriteHeader(404)
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(server.Close)
	return cloud.New(aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
}

// TestSettings: each setting is read, and is zero if the resource does not exist.
func TestSettings(t *testing.T) {
	whole := map[string]string{
		"/functions/notes": `{"Configuration":{"MemorySize":512,"Architectures":["arm64"],` +
			`"Environment":{"Variables":{"NOTES_AUTH":"none"}}}}`,
		"/concurrency": `{"ReservedConcurrentExecutions":7}`,
		"DescribeLogGroups": `{"logGroups":[{"logGroupName":"/aws/lambda/notes-dev","retentionInDays":1},` +
			`{"logGroupName":"/aws/lambda/notes","retentionInDays":30}]}`,
		"GetRole": `<R><GetRoleResult><Role><PermissionsBoundary>` +
			`<PermissionsBoundaryArn>arn:x</PermissionsBoundaryArn>` +
			`</PermissionsBoundary></Role></GetRoleResult></R>`,
	}
	bare := map[string]string{
		"/functions/notes": `{"Configuration":{"MemorySize":128,"Architectures":["x86_64"]}}`, "/concurrency": `{}`,
		"DescribeLogGroups": `{"logGroups":[{"logGroupName":"/aws/lambda/notes"}]}`,
		"GetRole":           `<R><GetRoleResult/></R>`,
	}
	stopped := map[string]string{"/concurrency": `{"ReservedConcurrentExecutions":0}`}
	for _, c := range []struct {
		name                   string
		answers                map[string]string
		function               Deployed
		concurrency, retention *int32
		boundary               string
	}{
		{"every setting", whole, Deployed{
			Environment: map[string]string{"NOTES_AUTH": "none"}, Memory: 512, Architecture: "arm64"},
			aws.Int32(7), aws.Int32(30), "arn:x"},
		{"no optional setting", bare, Deployed{Memory: 128, Architecture: "x86_64"}, nil, nil, ""},
		{"no function", nil, Deployed{}, nil, nil, ""},
		{"a stopped function", stopped, Deployed{}, aws.Int32(0), nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, ctx := served(t, c.answers), t.Context()
			if got, err := Function(ctx, client, "notes"); err != nil || !reflect.DeepEqual(got, c.function) {
				t.Errorf("the function: %+v, %v", got, err)
			}
			if got, err := Concurrency(ctx, client, "notes"); err != nil || !reflect.DeepEqual(got, c.concurrency) {
				t.Errorf("the concurrency: %v, %v", got, err)
			}
			if got, err := Retention(ctx, client, "/aws/lambda/notes"); err != nil || !reflect.DeepEqual(got,
				c.retention) {
				t.Errorf("the retention: %v, %v", got, err)
			}
			if got, err := Boundary(ctx, client, "notes-role"); err != nil || got != c.boundary {
				t.Errorf("the boundary: %q, %v", got, err)
			}
		})
	}
}

// TestUnread: a failed read is an error, not an empty result.
func TestUnread(t *testing.T) {
	t.Run("invalid JSON", func(t *testing.T) {
		broken := map[string]string{"/functions/notes": `{`, "/routes": `{`, "/policy": `{`}
		c := served(t, broken)
		if got, err := Function(t.Context(), c, "notes"); err == nil {
			t.Errorf("%+v", got)
		}
		if got, err := API(t.Context(), c, gateway.API{ID: "a1"}); err == nil {
			t.Errorf("%+v", got)
		}
		if got, _, err := Policy(t.Context(), c, "notes", ""); err == nil {
			t.Errorf("%+v", got)
		}
	})
}

func TestAPI(t *testing.T) {
	api := gateway.API{Partition: "aws", Region: "us-east-1", Account: "123456789012", ID: "a1"}
	got, err := API(t.Context(), served(t, map[string]string{
		"/routes":       `{"items":[{"routeId":"r","routeKey":"GET /notes"}]}`,
		"/integrations": `{"items":[{"integrationId":"i"}]}`,
		"/stages":       `{"items":[{"stageName":"dev","stageVariables":{"a":"b"}}]}`,
		"/authorizers":  `{"items":[{"authorizerId":"x"}]}`,
	}), api)
	if err != nil || *got.Routes[0].RouteKey != "GET /notes" || *got.Integrations[0].IntegrationId != "i" ||
		got.Stages[0].StageVariables["a"] != "b" || *got.Authorizers[0].AuthorizerId != "x" || got.API != api {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := API(t.Context(), served(t, nil), api); err == nil || !strings.Contains(err.Error(),
		"there is no HTTP API a1 in us-east-1") {
		t.Errorf("no API: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		name, qualifier, answer string
		statements              int
		revision                string
		fails                   bool
	}{
		{"a policy", "live", `{"Policy":"{\"Statement\":[{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Action\":\"*\",` +
			`\"Principal\":\"*\"}]}","RevisionId":"r"}`, 1, "r", false},
		{"no policy", "", "", 0, "", false},
		{"an invalid policy", "", `{"Policy":"x"}`, 0, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers := map[string]string{}
			if c.answer != "" {
				answers["/policy"] = c.answer
			}
			document, revision, err := Policy(t.Context(), served(t, answers), "notes", c.qualifier)
			if (err != nil) != c.fails || len(document.Statement) != c.statements || revision != c.revision {
				t.Errorf("%+v, %q, %v", document, revision, err)
			}
		})
	}
}

func TestServesAuthorizer(t *testing.T) {
	issuer := jwttest.New(t)
	const p256 = `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",` +
		`"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	if serves, err := ServesAuthorizer(t.Context(), issuer.URL); err != nil || !serves {
		t.Errorf("RSA with a kid: %v, %v", serves, err)
	}
	issuer.Publish(`{"keys":[{` + p256 + `,"kid":"a"}]}`) // RFC 7515, appendix A.3
	if serves, err := ServesAuthorizer(t.Context(), issuer.URL); err != nil || serves {
		t.Errorf("ES256: %v, %v", serves, err)
	}
	issuer.Publish(`{"keys":[]}`)
	if serves, err := ServesAuthorizer(t.Context(), issuer.URL); err == nil || errors.Is(err, jwt.ErrUnreachable) ||
		serves {
		t.Errorf("no key: %v, %v", serves, err)
	}
	issuer.Gone(true)
	if serves, err := ServesAuthorizer(t.Context(), issuer.URL); !errors.Is(err, jwt.ErrUnreachable) || serves {
		t.Errorf("no answer: %v, %v", serves, err)
	}
}
