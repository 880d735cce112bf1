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
	Service   string   // prefix of IAM actions: dynamodb, lambda, apigateway, iam, logs, sts
	Operation string   // such as Query; method and path if the operation is unknown
	Region    string   // that the call is signed for
	Key       string   // access key ID of the signer
	Caller    string   // ARN of a user or a role session; "" for the operator, who may do everything
	Resources []string // ARNs that the call affects, or *; nil for the operator's calls
	Refusal   string   // why the caller may not make the call; "" if it may
	Status    int

	method string // HTTP method
}

// Action returns the IAM action of the call. It is the operation, except for Invoke and for API Gateway, whose actions
// are HTTP methods.
func (c Call) Action() string {
	switch {
	case c.Service == "lambda" && c.Operation == "Invoke":
		return gateway.Invoke
	case c.Service == "apigateway":
		return "apigateway:" + c.method
	case c.Service == "monitoring": // CloudWatch's name in signatures
		return "cloudwatch:" + c.Operation
	}
	return c.Service + ":" + c.Operation
}

// call is a Call in progress.
type call struct {
	Call
	*http.Request
	body []byte
}

// answer is the HTTP response to a call.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) ok() bool { return a.status < 300 }

// maxCall limits the body of a call, in bytes. The largest that Lambda accepts is a zip of 50 MB in base64.
const maxCall = 72 << 20

// credentialPattern matches the credential of a signature: key ID, region and service.
var credentialPattern = regexp.MustCompile(
	`(?:Credential=|X-Amz-Credential=)([^/]+)(?:/|%2F)[0-9]+(?:/|%2F)([^/%]+)(?:/|%2F)([^/%]+)(?:/|%2F)aws4_request`)

// readCall reads a request as a call of an AWS operation.
func readCall(w http.ResponseWriter, r *http.Request) (*call, error) {
	c := &call{Request: r, Call: Call{Time: time.Now(), method: r.Method}}
	signed := credentialPattern.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil {
		signed = credentialPattern.FindStringSubmatch(r.URL.RawQuery)
	}
	if signed == nil {
		return nil, fmt.Errorf("this is the sandbox of portable-notes: it accepts signed calls of AWS's services, and "+
			"requests to HTTP APIs under %sAPI-ID/STAGE/", apiPath)
	}
	c.Key, c.Region, c.Service = signed[1], signed[2], signed[3]
	var err error
	if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall)); err != nil {
		return nil, fmt.Errorf("the call's body cannot be read: %w", err)
	}
	form, _ := url.ParseQuery(string(c.body)) // has an Action only in the Query protocol
	if c.isCBOR() {
		c.Operation = cborOperation(r.URL.Path)
	} else if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, c.Operation, _ = strings.Cut(target, ".")
	} else if action := form.Get("Action"); action != "" {
		c.Operation = action
	} else if names := restOperations[c.Service]; names != nil {
		named := &nameOperation{}
		names.ServeHTTP(named, r) // also sets the path values of r
		c.Operation = named.name
	}
	if c.Operation == "" {
		c.Operation = r.Method + " " + r.URL.Path
	}
	return c, nil
}

// restOperations maps the services with REST protocols to the names of their operations, by method and path.
var restOperations = map[string]*http.ServeMux{"lambda": lambdaOperations(), "apigateway": apiOperations()}

// nameOperation receives the name of an operation from a ServeMux.
type nameOperation struct {
	http.ResponseWriter
	name string
}

// Header, Write and WriteHeader discard the answer of http.ServeMux to an unknown path.
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

// lambdaOperations names the operations of the Lambda API reference. Their paths begin with differing dates.
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

// apiOperations names the operations of the API Gateway V2 API reference.
func apiOperations() *http.ServeMux {
	patterns := map[string]string{
		"DELETE /v2/apis/{api}/cors":                               "DeleteCorsConfiguration",
		"DELETE /v2/apis/{api}/stages/{id}/accesslogsettings":      "DeleteAccessLogSettings",
		"DELETE /v2/apis/{api}/stages/{id}/routesettings/{key...}": "DeleteRouteSettings",
		"GET /v2/tags/{arn...}":                                    "GetTags", "POST /v2/tags/{arn...}": "TagResource",
		"DELETE /v2/tags/{arn...}": "UntagResource",
	}
	add := func(name, plural, one string) {
		many := one[:strings.LastIndex(one, "/")]
		patterns["GET "+many], patterns["POST "+many] = "Get"+plural, "Create"+name
		patterns["GET "+one], patterns["PATCH "+one], patterns["DELETE "+one] = "Get"+name, "Update"+name, "Delete"+name
	}
	patterns["DELETE /v2/apis/{api}/stages/{id}/cache/authorizers"] = "ResetAuthorizersCache"
	add("Api", "Apis", "/v2/apis/{api}")
	patterns["GET /v2/apis/{api}/exports/{specification}"] = "ExportApi"
	patterns["PUT /v2/apis"], patterns["PUT /v2/apis/{api}"] = "ImportApi", "ReimportApi"
	add("DomainName", "DomainNames", "/v2/domainnames/{domain}")
	add("ApiMapping", "ApiMappings", "/v2/domainnames/{domain}/apimappings/{id}")
	for _, name := range []string{"Route", "Integration", "Stage", "Deployment", "Authorizer", "Model"} {
		add(name, name+"s", "/v2/apis/{api}/"+strings.ToLower(name)+"s/{id}")
	}
	return operations(patterns)
}

// reads reports whether a call only reads.
func (c Call) reads() bool {
	for _, prefix := range []string{"Get", "List", "Describe", "Simulate", "Invoke", "Filter"} {
		if strings.HasPrefix(c.Operation, prefix) {
			return true
		}
	}
	return false
}

// decode reads the call's JSON into a value. It ignores errors, because moto reads the call too.
func (c *call) decode(into any) { _ = json.Unmarshal(c.body, into) }

func jsonAnswer(status int, body any) answer {
	encoded, err := json.Marshal(body)
	if err != nil {
		panic(err) // our values always encode
	}
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: encoded}
}

// escapeXML returns a text as XML character data.
func escapeXML(text string) string {
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(text)) // a buffer cannot fail
	return out.String()
}

// refuse is an error answer in the protocol of the service: XML for Query and S3, otherwise CBOR or JSON.
func (c *call) refuse(status int, code, format string, values ...any) answer {
	message := fmt.Sprintf(format, values...)
	asXML := func(layout string) answer {
		return answer{status: status, header: http.Header{"Content-Type": {"text/xml"}},
			body: []byte(fmt.Sprintf(layout, code, escapeXML(message)))}
	}
	switch {
	case c.Service == "s3":
		return asXML("<Error><Code>%s</Code><Message>%s</Message><RequestId>sandbox</RequestId></Error>")
	case c.Service == "iam" || c.Service == "sts" || c.form().Get("Action") != "":
		return asXML("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message>" +
			"</Error><RequestId>sandbox</RequestId></ErrorResponse>")
	}
	a := jsonAnswer(status, map[string]string{"__type": code, "message": message})
	if c.isCBOR() {
		return answer{status: status, header: cborHeader(), body: cbor.Encode(cbor.Map{"__type": cbor.String(code),
			"message": cbor.String(message)})}
	}
	if c.Service == "lambda" {
		a = jsonAnswer(status, map[string]string{"Type": "User", "Message": message, "message": message})
	}
	a.header.Set("X-Amzn-Errortype", code)
	return a
}
