package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/notes/storetest"
)

// decoder is a Python program that checks answers against botocore's models. It prints each field that the operation's
// model lacks, or that has another type there.
const decoder = `
import json, sys
import botocore.loaders, botocore.model

loader = botocore.loaders.Loader()
models = {}


def model(service):
    name = {"apigateway": "apigatewayv2"}.get(service, service)
    if name not in models:
        models[name] = botocore.model.ServiceModel(loader.load_service_model(name, "service-2"), name)
    return models[name]


def check(where, shape, value):
    if value is None:
        return
    kinds = {"structure": dict, "map": dict, "list": list, "string": str, "boolean": bool, "integer": int, "long": int,
             "double": (int, float), "float": (int, float)}
    if shape.type_name in kinds and not isinstance(value, kinds[shape.type_name]):
        print(where, "is", type(value).__name__, "but must be", shape.type_name)
    elif shape.type_name == "structure":
        members = {m.serialization.get("name", n): m for n, m in shape.members.items()}
        for name, one in value.items():
            if name in members:
                check(where + "." + name, members[name], one)
            else:
                print(where + "." + name, "is not in the model")
    elif shape.type_name == "map":
        for name, one in value.items():
            check(where + "." + name, shape.value, one)
    elif shape.type_name == "list":
        for one in value:
            check(where + "[]", shape.member, one)


seen = 0
for line in sys.stdin:
    record = json.loads(line)
    operation = model(record["service"]).operation_model(record["operation"])
    if operation.output_shape is not None and record["body"]:
        check(record["operation"], operation.output_shape, json.loads(record["body"]))
        seen += 1
print("read", seen)
`

// TestDecoder: the sandbox's own answers conform to AWS's models.
func TestDecoder(t *testing.T) {
	w := open(t)
	if err := exec.Command("python3", "-c", "import botocore").Run(); err != nil {
		storetest.Lacks(t, "botocore", err)
	}
	var mu sync.Mutex
	var records bytes.Buffer
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // readCall reports a short body
		r.Body = io.NopCloser(bytes.NewReader(body))
		c, err := readCall(rw, r)
		if err != nil {
			t.Error(err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answered := httptest.NewRecorder()
		w.ServeHTTP(answered, r)
		mu.Lock()
		if c.Service == "lambda" || c.Service == "apigateway" {
			_ = json.NewEncoder(&records).Encode(map[string]string{"service": c.Service, "operation": c.Operation,
				"body": answered.Body.String()})
		}
		mu.Unlock()
		for name, values := range answered.Header() {
			rw.Header()[name] = values
		}
		rw.WriteHeader(answered.Code)
		_, _ = rw.Write(answered.Body.Bytes())
	}))
	defer proxy.Close()
	if err := (&Sandbox{URL: proxy.URL}).selfTest(t.Context()); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", decoder)
	cmd.Stdin = &records
	out, err := cmd.CombinedOutput()
	read := 0
	if _, scan := fmt.Sscanf(string(out), "read %d", &read); err != nil || scan != nil || read < 40 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestConstraints: the constraints of AddPermission are those of AWS's model in botocore.
func TestConstraints(t *testing.T) {
	out, err := exec.Command("python3", "-c", `
import json, botocore.loaders, botocore.model
model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("lambda", "service-2"), "lambda")
members = model.operation_model("AddPermission").input_shape.members.items()
print(json.dumps({n.lower(): m.metadata.get("pattern") or "|".join(m.metadata.get("enum", [])) for n, m in members}))
`).Output()
	if err != nil {
		storetest.Lacks(t, "botocore", err)
	}
	var patterns map[string]string
	if err := json.Unmarshal(out, &patterns); err != nil {
		t.Fatal(err)
	}
	for _, c := range constraints {
		t.Run(c.member, func(t *testing.T) {
			if want := patterns[strings.ToLower(c.member)]; c.pattern != want {
				t.Errorf("%s, want %s", c.pattern, want)
			}
		})
	}
}

// TestLimits: the limits in API Gateway's model are accepted, and the numbers just outside are refused.
func TestLimits(t *testing.T) {
	out, err := exec.Command("python3", "-c", `
import json, botocore.loaders, botocore.model
model = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("apigatewayv2", "service-2"), "a")
def limits(operation, member):
    of = model.operation_model(operation).input_shape.members[member].metadata
    return [of["min"], of["max"]]
print(json.dumps([limits("CreateIntegration", "TimeoutInMillis"),
                  limits("CreateAuthorizer", "AuthorizerResultTtlInSeconds")]))
`).Output()
	if err != nil {
		storetest.Lacks(t, "botocore", err)
	}
	var limits [2][2]int32
	if err := json.Unmarshal(out, &limits); err != nil {
		t.Fatal(err)
	}
	w := open(t)
	function := "arn:aws:lambda:us-east-1:" + Account + ":function:none"
	api := w.api(function, "GET /notes")
	for i, c := range []struct {
		member string
		create func(n int32) error
	}{
		{"TimeoutInMillis", func(n int32) error {
			_, err := w.gateway.CreateIntegration(t.Context(), &apigatewayv2.CreateIntegrationInput{ApiId: &api,
				IntegrationType: "AWS_PROXY", IntegrationUri: &function, PayloadFormatVersion: aws.String("2.0"),
				TimeoutInMillis: &n})
			return err
		}},
		{"AuthorizerResultTtlInSeconds", func(n int32) error {
			_, err := w.gateway.CreateAuthorizer(t.Context(), &apigatewayv2.CreateAuthorizerInput{ApiId: &api,
				Name: aws.String(fmt.Sprint(n)), AuthorizerType: "REQUEST", AuthorizerUri: &function,
				AuthorizerPayloadFormatVersion: aws.String("2.0"), AuthorizerResultTtlInSeconds: &n,
				IdentitySource: []string{"$request.header.Authorization"}})
			return err
		}},
	} {
		t.Run(c.member, func(t *testing.T) {
			low, high := limits[i][0], limits[i][1]
			for n, ok := range map[int32]bool{low - 1: false, low: true, high: true, high + 1: false} {
				if err := c.create(n); (err == nil) != ok {
					t.Errorf("%d: %v, want it accepted: %v", n, err, ok)
				}
			}
		})
	}
}
