package sandbox

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"example.com/portable-notes/deploy/gateway"
)

// Call is a call of an AWS operation that reached the sandbox.
type Call struct {
	Time      time.Time
	Service   string   // as IAM's actions name it: dynamodb, lambda, apigateway, iam, logs, sts
	Operation string   // such as Query; of one that is not known here, method and path
	Region    string   // that the call was signed for
	Key       string   // id of the access key that signed it
	Caller    string   // ARN of a user or of a role's session; "" for the operator, who may do all
	Resources []string // ARNs that it is done to, or *; nil of the operator's calls
	Refusal   string   // why the caller may not do it; "" where it may
	Status    int

	method string // of HTTP
}

// Action is the action of the call in IAM's policies: the operation, but for Invoke and for API Gateway, whose actions
// are methods of HTTP.
func (c Call) Action() string {
	switch {
	case c.Service == "lambda" && c.Operation == "Invoke":
		return gateway.Invoke
	case c.Service == "apigateway":
		return "apigateway:" + c.method
	case c.Service == "monitoring": // as signatures and endpoints name it
		return "cloudwatch:" + c.Operation
	}
	return c.Service + ":" + c.Operation
}

// call is a Call under way.
type call struct {
	Call
	*http.Request
	body []byte
}

// answer is what AWS answers.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) ok() bool { return a.status < 300 }

// maxCall is the most bytes of a call: a zip of 50 MB in base64 is the largest that Lambda takes.
const maxCall = 72 << 20

// credential is what a signature says of its signer.
var credential = regexp.MustCompile(
	`(?:Credential=|X-Amz-Credential=)([^/]+)(?:/|%2F)[0-9]+(?:/|%2F)([^/%]+)(?:/|%2F)([^/%]+)(?:/|%2F)aws4_request`)

// readCall finds out what is called.
func readCall(w http.ResponseWriter, r *http.Request) (*call, error) {
	c := &call{Request: r, Call: Call{Time: time.Now(), method: r.Method}}
	signed := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil {
		signed = credential.FindStringSubmatch(r.URL.RawQuery)
	}
	if signed == nil {
		return nil, fmt.Errorf("this is the sandbox of portable-notes. It takes signed calls of AWS's services, and "+
			"requests to HTTP APIs under %sAPI-ID/STAGE/", apiPath)
	}
	c.Key, c.Region, c.Service = signed[1], signed[2], signed[3]
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall)); err != nil {
		return nil, fmt.Errorf("the call's body cannot be read: %w", err)
	}
	form, _ := url.ParseQuery(string(c.body)) // of the services that speak Query; of another call it is nothing
	if c.asCBOR() {
		c.Operation = cborOperation(r.URL.Path)
	} else if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, c.Operation, _ = strings.Cut(target, ".")
	} else if action := form.Get("Action"); action != "" {
		c.Operation = action
	} else if names := restOperations[c.Service]; names != nil {
		named := &nameOperation{}
		names.ServeHTTP(named, r) // which also makes the path's values known to the request
		c.Operation = named.name
	}
	if c.Operation == "" {
		c.Operation = r.Method + " " + r.URL.Path
	}
	return c, nil
}

// restOperations name the operations of the services that tell them by method and path.
var restOperations = map[string]*http.ServeMux{"lambda": lambdaOperations(), "apigateway": apiOperations()}

// nameOperation is told the name of an operation.
type nameOperation struct {
	http.ResponseWriter
	name string
}

// Header, Write and WriteHeader ignore what http.ServeMux says of a path that it does not know.
func (*nameOperation) Header() http.Header         { return http.Header{} }
func (*nameOperation) Write(b []byte) (int, error) { return len(b), nil }
func (*nameOperation) WriteHeader(int)             {}

func operations(patterns map[string]string) *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, name := range patterns {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { w.(*nameOperation).name = name })
	}
	return mux
}

// lambdaOperations are of the API reference of Lambda. Each has its own date as version.
func lambdaOperations() *http.ServeMux {
	patterns := map[string]string{
		"GET /{v}/functions": "ListFunctions", "GET /{v}/functions/{$}": "ListFunctions",
		"POST /{v}/functions": "CreateFunction", "POST /{v}/functions/{$}": "CreateFunction",
		"GET /{v}/tags/{arn...}": "ListTags", "POST /{v}/tags/{arn...}": "TagResource",
		"DELETE /{v}/tags/{arn...}": "UntagResource",
		"GET /{v}/account-settings": "GetAccountSettings", "GET /{v}/account-settings/{$}": "GetAccountSettings",
	}
	for pattern, name := range map[string]string{
		"GET /{v}/layers": "ListLayers", "GET /{v}/layers/{layer}/versions": "ListLayerVersions",
		"POST /{v}/layers/{layer}/versions":             "PublishLayerVersion",
		"GET /{v}/layers/{layer}/versions/{version}":    "GetLayerVersion",
		"DELETE /{v}/layers/{layer}/versions/{version}": "DeleteLayerVersion",
	} {
		patterns[pattern] = name
	}
	for pattern, name := range map[string]string{
		"GET ": "GetFunction", "DELETE ": "DeleteFunction", "PUT /code": "UpdateFunctionCode",
		"GET /configuration": "GetFunctionConfiguration", "PUT /configuration": "UpdateFunctionConfiguration",
		"GET /policy": "GetPolicy", "POST /policy": "AddPermission", "DELETE /policy/{sid}": "RemovePermission",
		"POST /invocations": "Invoke", "POST /versions": "PublishVersion", "GET /versions": "ListVersionsByFunction",
		"GET /url": "GetFunctionUrlConfig", "POST /url": "CreateFunctionUrlConfig",
		"PUT /url":         "UpdateFunctionUrlConfig",
		"DELETE /url":      "DeleteFunctionUrlConfig",
		"GET /concurrency": "GetFunctionConcurrency", "PUT /concurrency": "PutFunctionConcurrency",
		"DELETE /concurrency": "DeleteFunctionConcurrency",
		"GET /aliases":        "ListAliases", "POST /aliases": "CreateAlias", "GET /aliases/{alias}": "GetAlias",
		"PUT /aliases/{alias}": "UpdateAlias", "DELETE /aliases/{alias}": "DeleteAlias",
	} {
		method, path, _ := strings.Cut(pattern, " ")
		patterns[method+" /{v}/functions/{function}"+path] = name
	}
	return operations(patterns)
}

// apiOperations are of the API reference of API Gateway, version 2.
func apiOperations() *http.ServeMux {
	patterns := map[string]string{
		"DELETE /v2/apis/{api}/cors":                               "DeleteCorsConfiguration",
		"DELETE /v2/apis/{api}/stages/{id}/accesslogsettings":      "DeleteAccessLogSettings",
		"DELETE /v2/apis/{api}/stages/{id}/routesettings/{key...}": "DeleteRouteSettings",
		"GET /v2/tags/{arn...}":                                    "GetTags", "POST /v2/tags/{arn...}": "TagResource",
		"DELETE /v2/tags/{arn...}": "UntagResource",
	}
	of := func(name, plural, one string) {
		many := one[:strings.LastIndex(one, "/")]
		patterns["GET "+many], patterns["POST "+many] = "Get"+plural, "Create"+name
		patterns["GET "+one], patterns["PATCH "+one], patterns["DELETE "+one] = "Get"+name, "Update"+name, "Delete"+name
	}
	patterns["DELETE /v2/apis/{api}/stages/{id}/cache/authorizers"] = "ResetAuthorizersCache"
	of("Api", "Apis", "/v2/apis/{api}")
	patterns["GET /v2/apis/{api}/exports/{specification}"] = "ExportApi"
	patterns["PUT /v2/apis"], patterns["PUT /v2/apis/{api}"] = "ImportApi", "ReimportApi"
	of("DomainName", "DomainNames", "/v2/domainnames/{domain}")
	of("ApiMapping", "ApiMappings", "/v2/domainnames/{domain}/apimappings/{id}")
	for _, name := range []string{"Route", "Integration", "Stage", "Deployment", "Authorizer", "Model"} {
		of(name, name+"s", "/v2/apis/{api}/"+strings.ToLower(name)+"s/{id}")
	}
	return operations(patterns)
}

// reads reports whether a call changes nothing.
func (c Call) reads() bool {
	for _, verb := range []string{"Get", "List", "Describe", "Simulate", "Invoke", "Filter"} {
		if strings.HasPrefix(c.Operation, verb) {
			return true
		}
	}
	return false
}

// decode reads the call's JSON. What it cannot read stays as it is: the sandbox's part of a call's checks.
func (c *call) decode(into any) { _ = json.Unmarshal(c.body, into) }

func jsonAnswer(status int, body any) answer {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // of values of ours
	}
	return answer{status, http.Header{"Content-Type": {"application/json"}}, encoded}
}

// escaped is a text as XML holds it.
func escaped(text string) string {
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(text)) // a buffer takes everything
	return out.String()
}

// refuse is an error in the protocol of the service: XML where it speaks Query or is S3, else JSON.
func (c *call) refuse(status int, code, format string, values ...any) answer {
	message := fmt.Sprintf(format, values...)
	asXML := func(layout string) answer {
		return answer{status, http.Header{"Content-Type": {"text/xml"}},
			[]byte(fmt.Sprintf(layout, code, escaped(message)))}
	}
	switch {
	case c.Service == "s3":
		return asXML("<Error><Code>%s</Code><Message>%s</Message><RequestId>sandbox</RequestId></Error>")
	case c.Service == "iam" || c.Service == "sts" || c.form().Get("Action") != "":
		return asXML("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message>" +
			"</Error><RequestId>sandbox</RequestId></ErrorResponse>")
	}
	a := jsonAnswer(status, map[string]string{"__type": code, "message": message})
	if c.asCBOR() {
		return answer{status, cborHeader(), cbor.Encode(cbor.Map{"__type": cbor.String(code),
			"message": cbor.String(message)})}
	}
	if c.Service == "lambda" {
		a = jsonAnswer(status, map[string]string{"Type": "User", "Message": message, "message": message})
	}
	a.header.Set("X-Amzn-Errortype", code)
	return a
}
