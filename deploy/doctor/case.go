// Package doctor judges why an HTTP API of API Gateway in front of Lambda does not answer as it should, and what fixes
// it. It judges facts that others have gathered: purely, in the order of the chain from the client to the table, with
// the evidence of each finding. It calls nothing and knows no clock, so the same facts always give the same findings.
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

// CaseVersion is the version of the JSON of a [Case]. It grows where a field changes its meaning.
const CaseVersion = 1

// Case is all that was seen of an HTTP API and of one request to it. It is JSON, so that what one person has seen
// another can judge. It holds nothing that must not be shared: no values of variables, tokens, cookies or bodies.
type Case struct {
	Version int
	At      time.Time // when the facts were gathered
	Program string    `json:"-"` // the command by which this program was run, as in "go run ./deploy"
	Asked   Asked
	Sent    string         `json:",omitempty"` // "1 GET"; "" where no request was sent
	Answer  Fact[Answer]   // what the client saw
	Caller  Fact[Identity] // sts:GetCallerIdentity

	Domain       Fact[Domain] // custom domain that the request went to; asked for where the URL tells no API
	API          Fact[API]
	REST         Fact[RESTAPI] // asked for only where there is no HTTP API of the id
	Stages       Fact[[]Stage]
	Routes       Fact[[]Route]
	Integrations Fact[[]Integration]
	Authorizers  Fact[[]Authorizer]
	Latest       Fact[Definition]    // the API as it would be deployed now; read where a stage may serve another one
	Deployed     []Named[Definition] `json:",omitempty"` // by stage

	Functions            []Function       `json:",omitempty"`
	Callers              []Named[Role]    `json:",omitempty"` // roles by which integrations invoke functions, by ARN
	OtherAPIs            []Named[API]     `json:",omitempty"` // that policies name, by "REGION ID"
	Invocation           Fact[Invocation] // of the function of the request's route, after an answer that failed
	AuthorizerInvocation Fact[Invocation] // of the Lambda authorizer of the request's route
	Token                *Token           `json:",omitempty"` // that the request has; nil where its route takes none
	Keys                 Fact[[]Key]      // of the issuer that the route's authorizer names
	Role                 Fact[Role]       // of the function of the request's route, where a right may lack
	Simulation           Fact[Simulation] // of the right that an error of the function names
	Table                Fact[Table]      // that an error of the function names
	Lines                Fact[[]string]   // of the function's log since the request, that tell of errors; masked
	Joined               bool             `json:",omitempty"` // the lines are of this very request, as an id tells
	Access               Fact[AccessLine] // of the stage's access log, about this very request

	Changes Fact[[]Change] // of the API and its functions in the last day; read on request
	History Fact[History]  // of the stage, after an answer that failed

	Calls   int      // of AWS
	Seconds float64  // that gathering took
	Traced  []string `json:"-"` // each call as it was made, for people who want to see them
}

// ParseCase reads a case that was saved. It is an error if it is none, or is of a later version.
func ParseCase(text []byte) (c Case, err error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // of an editor
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("this is no file of facts, or it was cut short: %w", err)
	}
	switch {
	case c.Version == 0:
		return c, errors.New("this is no file of facts: it has no version")
	case c.Version > CaseVersion:
		return c, fmt.Errorf("the facts are of version %d, and this program knows %d: use a newer one", c.Version,
			CaseVersion)
	}
	return c, nil
}

// Asked is what the doctor was asked to explain.
type Asked struct {
	Method    string   `json:",omitempty"` // "" where there is no request
	URL       string   `json:",omitempty"` // without user, query and the values of path variables
	Host      string   `json:",omitempty"`
	Path      string   `json:",omitempty"` // with the stage; of its variables the names alone
	Removed   string   `json:",omitempty"` // characters that were taken away from the URL as it was pasted
	Added     string   `json:",omitempty"` // what was put before it
	Instead   string   `json:",omitempty"` // the API that was asked for, where the domain leads to another one
	Headers   []string `json:",omitempty"` // the names of the request's headers, in small letters
	Signed    string   `json:",omitempty"` // REGION/SERVICE that the request's signature is for; "" for none
	Encoded   string   `json:",omitempty"` // Content-Type of a body that functions receive as base64; - for none
	Length    int      `json:",omitempty"` // bytes of the body
	OtherHost string   `json:",omitempty"` // that the header Host names instead of the URL's
	Origin    string   `json:",omitempty"` // of a request from a page: its scheme, host and port
	Preflight string   `json:",omitempty"` // the method that a preflight asks for
	Wanted    []string `json:",omitempty"` // headers that a preflight asks for, in small letters

	API        string // id
	Region     string
	Configured string `json:",omitempty"` // region of the settings, which commands use unless told another
	Local      bool   `json:",omitempty"` // the endpoint is on this machine: a sandbox
	Domain     string `json:",omitempty"` // custom domain
	Stage      string `json:",omitempty"` // that was asked for; "" for the URL's, or all
	Route      string `json:",omitempty"` // key of the one route that was asked for; "" for the request's, or all

	HasCertificate   bool `json:",omitempty"` // the client shows one of its own
	NoSend, NoInvoke bool `json:",omitempty"`
	Interrupted      bool `json:",omitempty"` // the facts are those that were known by then
}

// Failure kinds.
const (
	Missing     = "missing"     // AWS says that there is no such thing
	Denied      = "denied"      // the caller may not read it
	Unreachable = "unreachable" // no answer
	Other       = "other"       // any other refusal
)

// NoCredentials is the code of the failure to tell who asks, where nobody does.
const NoCredentials = "NoCredentials"

// Failure is why something was not seen.
type Failure struct {
	Kind    string
	Code    string // of AWS; "" where no service answered
	Message string
}

// Fact is one thing that was read: its value, or why it was not seen, and the call that told it.
type Fact[T any] struct {
	Call  string   `json:",omitempty"` // such as lambda:GetPolicy; "" where nobody asked
	Of    string   `json:",omitempty"` // what it was asked about
	Value *T       `json:",omitempty"`
	Error *Failure `json:",omitempty"`
}

// Seen reports whether the value is known.
func (f Fact[T]) Seen() bool { return f.Value != nil }

// Missing reports whether AWS said that there is no such thing.
func (f Fact[T]) Missing() bool { return f.Error != nil && f.Error.Kind == Missing }

// Unseen reports whether somebody asked and was not told.
func (f Fact[T]) Unseen() bool { return f.Error != nil && f.Error.Kind != Missing }

// Or returns the value, or the zero value where it is not known.
func (f Fact[T]) Or() (value T) {
	if f.Value != nil {
		value = *f.Value
	}
	return value
}

// Named is a fact about one of several things.
type Named[T any] struct {
	Name string
	Fact Fact[T]
}

func named[T any](all []Named[T], name string) Fact[T] {
	for _, one := range all {
		if one.Name == name {
			return one.Fact
		}
	}
	return Fact[T]{}
}

// Identity is who asks.
type Identity struct{ ARN, Account, Partition string }

// Answer is what the client saw of one request.
type Answer struct {
	Status    int
	Headers   map[string]string // those of headerNames, by their names in small letters
	Body      string            // the gateway's own, or the error of an app: at most 300 bytes; else ""
	Length    int               // bytes of the body
	Millis    int               // from the first byte of the request to the last of the answer
	RequestID string            // API Gateway's
	Refusal   string            `json:",omitempty"` // AWS's sentence in the body that somebody may not do something
	Private   bool              `json:",omitempty"` // it came from an address of a private network
	Failure   string            // why there is no answer; "" where there is one
	Phase     string            // of a failure: name, connect, tls, timeout
}

// API is an HTTP API as GetApi tells it.
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

// RESTAPI is a REST API as GetRestApi tells it.
type RESTAPI struct{ ID, Name string }

// Stage is a stage as GetStages tells it. Of its variables, only those that an integration or an authorizer uses have
// their value, which names a function, a version or a role.
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

// Throttle is the most requests a second, and at once.
type Throttle struct {
	Rate  *float64 `json:"ThrottlingRateLimit"`
	Burst *int     `json:"ThrottlingBurstLimit"`
}

// AccessLog is where a stage logs, and what.
type AccessLog struct {
	Destination string `json:"DestinationArn"`
	Format      string
}

// Route is a route as GetRoutes tells it.
type Route struct {
	ID            string   `json:"RouteId"`
	Key           string   `json:"RouteKey"`
	Target        string   // integrations/ID
	Authorization string   `json:"AuthorizationType"` // NONE, AWS_IAM, JWT or CUSTOM
	Authorizer    string   `json:"AuthorizerId"`
	Scopes        []string `json:"AuthorizationScopes"`
}

// Integration is an integration as GetIntegrations tells it.
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

// AccessLine is what the line of an access log says of a request, as far as the log's format has it; "" for nothing.
type AccessLine struct {
	Integration string // $context.integrationErrorMessage
	Authorizer  string // $context.authorizer.error
	Error       string // $context.error.message
	RequestID   string // $context.integration.requestId, Lambda's
	Status      string // $context.integration.integrationStatus, Lambda's
}

// Authorizer is an authorizer as GetAuthorizers tells it.
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

// Definition is what an export of an API holds, in a form that can be compared: for each route, what it is integrated
// with and who may use it.
type Definition struct {
	Routes map[string]string // digests of leads, by route key
	Leads  map[string]Lead   `json:",omitempty"` // by route key
	CORS   string            // a digest; "" for none
}

// Lead is what a route leads to, and who may use it.
type Lead struct {
	Integration *Integration // nil for none; its ID is not known
	Access      string       // a digest of the authorization; "" where everybody may use it
}

// Function is a function as an integration or authorizer names it.
type Function struct {
	Target        gateway.Target
	Configuration Fact[Configuration]
	Bare          Fact[Configuration]      // where the qualifier is missing: of the function without it
	Policy        Fact[policy.Document]    // of just this function, version or alias
	Elsewhere     []Named[policy.Document] `json:",omitempty"` // of its other versions and aliases, by qualifier
	Aliases       Fact[[]Alias]
	Trust         Fact[policy.Document] // of its role; read as Code is
	Code          Fact[Code]            // read where an answer failed, and where no request was sent
}

// Configuration is a function as GetFunction tells it. Of its environment it has what can be shared.
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
	Loopback bool `json:",omitempty"` // it names this machine, as an endpoint of a developer's does
}

// Alias is an alias of a function.
type Alias struct{ Name, Version string }

// Change is one change of an API or a function, as CloudTrail tells it.
type Change struct {
	At    time.Time
	Event string // such as UpdateFunctionConfiguration
	Of    string // the API's id or the function's name
	By    string // user or session
}

// History is what became of the requests to a stage in the last hour.
type History struct {
	Requests  int
	Failures  int        // of the kind of the answer: 4xx or 5xx
	Since     *time.Time // from when on all failed; nil where the last did not
	Throttles int        // of the request's function
}

// Token is a JSON Web Token, without its signature and what it says of a person (RFC 7519).
type Token struct {
	Present   bool   // at the identity source of the authorizer
	Elsewhere string // where there is one instead; "" for nowhere
	Malformed string // what is wrong with it; "" for nothing
	Algorithm string // alg
	KeyID     string // kid
	Issuer    string
	Audience  []string
	ClientID  string
	Expires   int64 // seconds since 1970; 0 for none
	NotBefore int64
	Issued    int64
	Scopes    []string // of scope and scp
}

// Key is a key that an issuer publishes.
type Key struct{ ID, Type string }

// Simulation is what IAM's simulator says of a right of the function's role.
type Simulation struct {
	Decision      string // allowed, explicitDeny or implicitDeny
	Boundary      *bool  // whether the permissions boundary allows it; nil for no boundary
	Organizations *bool  // whether policies of the organization allow it; nil where there are none
}

// Table is a table of DynamoDB as DescribeTable tells it.
type Table struct {
	Name   string `json:"TableName"`
	Status string `json:"TableStatus"`
}

// Role is a role with all that says what it may do.
type Role struct {
	Name    string
	Created string // when
	policy.Role
}

// Invocation is what came of invoking the function directly, with an event as the route would send.
type Invocation struct {
	Function  string // with its qualifier
	RequestID string
	Version   string // that ran
	Failed    bool   // the function's own error
	Type      string // of the error
	Message   string
	Trace     string   // the last of its own frames
	Shape     Shape    // of what it returned
	Log       []string // the lines that tell of the error, masked
	Report    string   // Lambda's REPORT line
	Millis    int
}

// Decision is what a Lambda authorizer says.
type Decision struct {
	Says   string   // [Allows], [Denies] or [Others]; "" where it is no decision
	Wrong  string   // why it is none
	Allows []string // resources that its policy allows, where these are others than the request's
}

// What a Lambda authorizer says of a request.
const (
	Allows = "allows"
	Denies = "denies"
	Others = "others" // it allows other routes, and says nothing of this one
)

// Shape is how a function's answer looks, without what it says.
type Shape struct {
	JSON       bool
	Kind       string // object, text, number, list, null or boolean
	StatusCode string // its JSON, where there is one
	Status     int    // 0 where it is none
	Wrong      string // the first field that API Gateway refuses; "" for none
	Length     int    // bytes
	Body       string // of an error of the app: at most 300 bytes
	Decision   Decision
}
