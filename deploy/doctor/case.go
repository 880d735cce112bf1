// Package doctor finds out why an HTTP API of API Gateway in front of Lambda does not respond as it should, and what
// fixes it. It judges facts that were gathered elsewhere, in the order of the chain from the client to the table, and
// gives the evidence of each finding. It makes no calls and reads no clock: the same facts always give the same
// findings.
package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// CaseVersion is the version of the JSON of a [Case]. It increases when a field changes its meaning.
const CaseVersion = 1

// Case is everything that was read about an HTTP API and one request to it. It can be saved as JSON and judged
// elsewhere. It contains nothing that must not be shared: no values of variables, tokens, cookies or bodies.
type Case struct {
	Version int
	At      time.Time // when the facts were gathered
	Program string    `json:"-"` // the command that runs this program, such as "go run ./deploy"
	Asked   Asked
	Sent    string         `json:",omitempty"` // such as "1 GET"; "" if no request was sent
	Answer  Fact[Answer]   // the response that the client received
	Caller  Fact[Identity] // sts:GetCallerIdentity

	Domain       Fact[Domain] // custom domain of the request; read if the URL names no API
	API          Fact[API]
	REST         Fact[RESTAPI] // read only if no HTTP API has the id
	Stages       Fact[[]Stage]
	Routes       Fact[[]Route]
	Integrations Fact[[]Integration]
	Authorizers  Fact[[]Authorizer]
	Latest       Fact[Definition]    // the current definition; read if a stage may serve another one
	Deployed     []Named[Definition] `json:",omitempty"` // by stage

	Functions            []Function       `json:",omitempty"`
	Callers              []Named[Role]    `json:",omitempty"` // roles with which integrations invoke functions, by ARN
	OtherAPIs            []Named[API]     `json:",omitempty"` // other APIs that policies name, by "REGION ID"
	Invocation           Fact[Invocation] // of the function of the request's route, after an error
	AuthorizerInvocation Fact[Invocation] // of the Lambda authorizer of the request's route
	Token                *Token           `json:",omitempty"` // of the request; nil if its route has no JWT authorizer
	Keys                 Fact[[]Key]      // of the issuer of the route's authorizer
	Role                 Fact[Role]       // of the function of the request's route; read if a permission may be missing
	Simulation           Fact[Simulation] // of the action that an error of the function names
	Table                Fact[Table]      // named in an error of the function
	Lines                Fact[[]string]   // error lines of the function's log since the request; masked
	Joined               bool             `json:",omitempty"` // an id shows that the lines belong to this request
	Access               Fact[AccessLine] // line of the stage's access log about this request

	Planned *Planned `json:",omitempty"` // set if the facts are from a file, and nothing is deployed yet

	Changes Fact[[]Change] // of the API and its functions in the last day; read only with --changes
	History Fact[History]  // of the stage, after an error

	Calls   int      // calls to AWS
	Seconds float64  // time that gathering took
	Traced  []string `json:"-"` // each call as a command, in order
}

// ParseCase decodes a saved case. It fails if the text is not a case, or has a later version.
func ParseCase(text []byte) (c Case, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // an editor may add a byte order mark
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("this is not a file of facts, or it was cut short: %w", err)
	}
	switch {
	case c.Version == 0:
		return c, errors.New("this is not a file of facts: it has no version")
	case c.Version > CaseVersion:
		return c, fmt.Errorf("the facts have version %d, but this program knows only %d: use a newer program",
			c.Version, CaseVersion)
	}
	return c, nil
}

// Asked is the question: a request or an API to explain.
type Asked struct {
	Method  string   `json:",omitempty"` // "" if there is no request
	URL     string   `json:",omitempty"` // without user, query and values of path variables
	Host    string   `json:",omitempty"`
	Path    string   `json:",omitempty"` // with the stage; path variables by their names
	Removed string   `json:",omitempty"` // characters removed from the pasted URL
	Added   string   `json:",omitempty"` // text added in front of the pasted URL
	Instead string   `json:",omitempty"` // the API of the question, if the domain is mapped to another one
	Headers []string `json:",omitempty"` // names of the request's headers, in lower case
	Signed  string   `json:",omitempty"` // REGION/SERVICE of the request's signature; "" for none
	// Content-Type of a body that functions receive as base64, "-" if it has none; "" for other bodies
	Encoded   string   `json:",omitempty"`
	Length    int      `json:",omitempty"` // bytes of the body
	OtherHost string   `json:",omitempty"` // the Host header, if it differs from the URL
	Origin    string   `json:",omitempty"` // the Origin header
	Preflight string   `json:",omitempty"` // the method that a preflight requests
	Wanted    []string `json:",omitempty"` // headers that a preflight requests, in lower case

	API        string // id
	Region     string
	Configured string `json:",omitempty"` // default region, which commands use unless they name another
	Local      bool   `json:",omitempty"` // AWS is a sandbox on this machine
	Domain     string `json:",omitempty"` // custom domain
	Stage      string `json:",omitempty"` // the stage to judge; "" for that of the URL, or all
	Route      string `json:",omitempty"` // key of the route to judge; "" for that of the request, or all

	HasCertificate   bool `json:",omitempty"` // the client presents a certificate
	NoSend, NoInvoke bool `json:",omitempty"`
	Interrupted      bool `json:",omitempty"` // gathering was interrupted
}

// Failure kinds.
const (
	Missing     = "missing"     // AWS answers that it does not exist
	Denied      = "denied"      // the caller may not read it
	Unreachable = "unreachable" // no answer
	Other       = "other"       // any other refusal
)

// NoCredentials is the code of the failure to identify the caller without credentials.
const NoCredentials = "NoCredentials"

// Failure is why something could not be read.
type Failure struct {
	Kind    string
	Code    string // AWS error code; "" if no service answered
	Message string
}

// Fact is one thing that was read: its value, or why it could not be read, and the call that returned it.
type Fact[T any] struct {
	Call  string   `json:",omitempty"` // such as lambda:GetPolicy; "" if no call was made
	Of    string   `json:",omitempty"` // the resource that the call was about
	Value *T       `json:",omitempty"`
	Error *Failure `json:",omitempty"`
}

// Seen reports whether the value is known.
func (f Fact[T]) Seen() bool { return f.Value != nil }

// Missing reports whether AWS answered that the resource does not exist.
func (f Fact[T]) Missing() bool { return f.Error != nil && f.Error.Kind == Missing }

// Unseen reports whether the call failed, so that nothing is known.
func (f Fact[T]) Unseen() bool { return f.Error != nil && f.Error.Kind != Missing }

// Or returns the value, or the zero value if it is not known.
func (f Fact[T]) Or() (value T) {
	if f.Value != nil {
		value = *f.Value
	}
	return value
}

// Named is a fact about one of several named resources.
type Named[T any] struct {
	Name string
	Fact Fact[T]
}

// factNamed returns the fact with a name, or the zero fact if there is none.
func factNamed[T any](all []Named[T], name string) Fact[T] {
	for _, one := range all {
		if one.Name == name {
			return one.Fact
		}
	}
	return Fact[T]{}
}

// Identity is the caller of AWS.
type Identity struct{ ARN, Account, Partition string }

// Answer is the response to the request, or why there is none.
type Answer struct {
	Status    int
	Headers   map[string]string // those of facts.headerNames and of CORS, by their names in lower case
	Body      string            // of an error, at most 300 bytes; "" for a success
	Length    int               // bytes of the body
	Millis    int               // from the start of the request to the end of the response
	RequestID string            // of API Gateway
	Refusal   string            `json:",omitempty"` // AWS's access-denied sentence in the body
	Private   bool              `json:",omitempty"` // it came from a private network address
	Failure   string            // why there is no response; "" if there is one
	Phase     string            // where the request failed: name, connect, tls, timeout or request
}

// API is an HTTP API as GetApi returns it.
type API struct {
	ID       string `json:"ApiId"`
	Name     string
	Protocol string `json:"ProtocolType"`
	Endpoint string `json:"ApiEndpoint"`
	Disabled bool   `json:"DisableExecuteApiEndpoint"`
	CORS     *CORS  `json:"CorsConfiguration"`
}

// CORS is the CORS configuration of an API.
type CORS struct {
	Origins     []string `json:"AllowOrigins"`
	Methods     []string `json:"AllowMethods"`
	Headers     []string `json:"AllowHeaders"`
	Credentials bool     `json:"AllowCredentials"`
	Expose      []string `json:"ExposeHeaders"`
	MaxAge      *int32   // seconds
}

// RESTAPI is a REST API as GetRestApi returns it.
type RESTAPI struct{ ID, Name string }

// Stage is a stage as GetStages returns it. Only variables that an integration or an authorizer uses keep their value,
// which names a function, a version or a role.
type Stage struct {
	Name       string `json:"StageName"`
	AutoDeploy bool
	Deployment string              `json:"DeploymentId"`
	Failed     string              `json:"LastDeploymentStatusMessage"`
	Variables  map[string]string   `json:"StageVariables"`
	Default    *Throttle           `json:"DefaultRouteSettings"`
	Routes     map[string]Throttle `json:"RouteSettings"`
	AccessLog  *AccessLog          `json:"AccessLogSettings"`
}

// Throttle is the maximum rate of requests per second, and the maximum burst.
type Throttle struct {
	Rate  *float64 `json:"ThrottlingRateLimit"`
	Burst *int     `json:"ThrottlingBurstLimit"`
}

// AccessLog is the destination and format of a stage's access log.
type AccessLog struct {
	Destination string `json:"DestinationArn"`
	Format      string
}

// Route is a route as GetRoutes returns it.
type Route struct {
	ID            string   `json:"RouteId"`
	Key           string   `json:"RouteKey"`
	Target        string   // integrations/ID
	Authorization string   `json:"AuthorizationType"` // NONE, AWS_IAM, JWT or CUSTOM
	Authorizer    string   `json:"AuthorizerId"`
	Scopes        []string `json:"AuthorizationScopes"`
}

// Integration is an integration as GetIntegrations returns it.
type Integration struct {
	ID            string            `json:"IntegrationId"`
	Type          string            `json:"IntegrationType"`
	Subtype       string            `json:"IntegrationSubtype"`
	URI           string            `json:"IntegrationUri"`
	Method        string            `json:"IntegrationMethod"`
	Credentials   string            `json:"CredentialsArn"`
	PayloadFormat string            `json:"PayloadFormatVersion"`
	TimeoutMillis int               `json:"TimeoutInMillis"`
	Connection    string            `json:"ConnectionType"`
	Parameters    map[string]string `json:"RequestParameters"`
}

// AccessLine is the line of an access log about a request. Fields that the log's format lacks are "".
type AccessLine struct {
	Integration string // $context.integrationErrorMessage
	Authorizer  string // $context.authorizer.error
	Error       string // $context.error.message
	RequestID   string // $context.integration.requestId, Lambda's
	Status      string // $context.integration.integrationStatus, Lambda's
}

// Authorizer is an authorizer as GetAuthorizers returns it.
type Authorizer struct {
	ID              string `json:"AuthorizerId"`
	Name            string
	Type            string   `json:"AuthorizerType"` // JWT or REQUEST
	URI             string   `json:"AuthorizerUri"`
	Credentials     string   `json:"AuthorizerCredentialsArn"`
	IdentitySources []string `json:"IdentitySource"`
	PayloadFormat   string   `json:"AuthorizerPayloadFormatVersion"`
	Simple          bool     `json:"EnableSimpleResponses"`
	TTL             int      `json:"AuthorizerResultTtlInSeconds"`
	JWT             *struct {
		Issuer   string
		Audience []string
	} `json:"JwtConfiguration"`
}

// Definition is an exported API in a form that can be compared: the integration of each route, and who may use it.
type Definition struct {
	Routes map[string]string // digests of leads, by route key
	Leads  map[string]Lead   `json:",omitempty"` // by route key
	CORS   string            // a digest; "" for none
}

// Lead is the integration of a route, and who may use it.
type Lead struct {
	Integration *Integration // nil for none; its ID is unknown
	Access      string       // digest of the authorization; "" if everyone may use the route
}

// Function is a function that an integration or authorizer names.
type Function struct {
	Target        gateway.Target
	Configuration Fact[Configuration]
	Bare          Fact[Configuration]      // of the unqualified function; read if the qualifier does not exist
	Policy        Fact[policy.Document]    // of exactly this function, version or alias
	Elsewhere     []Named[policy.Document] `json:",omitempty"` // of other versions and aliases, by NAME:QUALIFIER
	Aliases       Fact[[]Alias]
	Trust         Fact[policy.Document] // of its role; read when Code is
	Code          Fact[Code]            // read after an error, and if no request was sent
	Needs         []Need                `json:",omitempty"` // known only from a file
	Rights        Fact[Role]            // its role; known only from a file
}

// Need is what a function must be allowed to do with a table whose name it receives.
type Need struct {
	Resource string   // ARN of the table
	Variable string   // that has the table's name
	Actions  []string // all of them; nil for any action on items, because the code is not known
}

// Configuration is a function as GetFunction returns it, with only those parts of its environment that may be shared.
type Configuration struct {
	Name, Version, Runtime, Handler, Role string
	State, StateReasonCode, StateReason   string
	Update                                string `json:"LastUpdateStatus"`
	UpdateReasonCode                      string `json:"LastUpdateStatusReasonCode"`
	UpdateReason                          string `json:"LastUpdateStatusReason"`
	Modified                              string `json:"LastModified"`
	Architectures                         []string
	Package                               string `json:"PackageType"`
	Timeout                               int    // seconds
	Memory                                int    `json:"MemorySize"` // MB
	Layers                                []string
	Variables                             []Variable
	VPC                                   bool
	Concurrency                           *int // reserved; nil for none
	KMSKey                                string
	LogGroup                              string
}

// Variable is a variable of a function's environment, without its value.
type Variable struct {
	Name     string
	Empty    bool `json:",omitempty"`
	Loopback bool `json:",omitempty"` // the value is a URL that works only on a developer's machine
}

// Alias is an alias of a function.
type Alias struct{ Name, Version string }

// Change is a change of an API or a function, as CloudTrail records it.
type Change struct {
	At    time.Time
	Event string // such as UpdateFunctionConfiguration
	Of    string // the API's id or the function's name
	By    string // the user or session
}

// History counts the requests to a stage in the last hour.
type History struct {
	Requests  int
	Failures  int        // of the same class as the response: 4xx or 5xx
	Since     *time.Time // since when all have failed; nil if the last did not
	Throttles int        // of the request's function
}

// Token is a JSON Web Token (RFC 7519), without its signature and without claims about a person.
type Token struct {
	Present   bool   // at the authorizer's identity source
	Elsewhere string // where a token is instead; "" for nowhere
	Malformed string // why it cannot be read; "" if it can
	Algorithm string // alg
	KeyID     string // kid
	Issuer    string
	Audience  []string
	ClientID  string
	Expires   int64 // seconds since 1970; 0 for none
	NotBefore int64
	Issued    int64
	Scopes    []string // from scope and scp
}

// Key is a key that an issuer publishes.
type Key struct{ ID, Type string }

// Simulation is what IAM's policy simulator answers about an action of the function's role.
type Simulation struct {
	Decision      string // allowed, explicitDeny or implicitDeny
	Boundary      *bool  // the permissions boundary allows it; nil if there is none
	Organizations *bool  // the organization's policies allow it; nil if there are none
}

// Table is a DynamoDB table as DescribeTable returns it.
type Table struct {
	Name   string `json:"TableName"`
	Status string `json:"TableStatus"`
}

// Role is a role with every policy that determines what it may do.
type Role struct {
	Name    string
	Created string // time, in RFC 3339
	policy.Role
}

// Invocation is the result of invoking a function directly, with the event that the route would send.
type Invocation struct {
	Function  string // with its qualifier
	RequestID string
	Version   string // version that ran
	Failed    bool   // the function returned an error
	Type      string // of the error
	Message   string
	Trace     string   // the innermost frame in the function's own code
	Shape     Shape    // of the response
	Log       []string // error lines, masked
	Report    string   // Lambda's REPORT line
	Millis    int
}

// Decision is what a Lambda authorizer decides about a request.
type Decision struct {
	Says   string   // [Allows], [Denies] or [Others]; "" if the response is invalid
	Wrong  string   // why the response is invalid
	Allows []string // what its policy allows instead, for [Others]
}

// The decisions of a Lambda authorizer.
const (
	Allows = "allows"
	Denies = "denies"
	Others = "others" // it allows other routes, but does not mention this one
)

// Shape is the form of a function's response, without its content.
type Shape struct {
	JSON       bool
	Kind       string // object, text, number, list, null or boolean
	StatusCode string // its JSON; "" if there is none
	Status     int    // 0 if it is not a valid status
	Wrong      string // a field that API Gateway rejects, and why; "" for none
	Length     int    // bytes
	Body       string // of an error response, at most 300 bytes
	Decision   Decision
}
