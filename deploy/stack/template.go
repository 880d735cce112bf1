package stack

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"text/template"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"example.com/portable-notes/deploy/call"
)

// Formats are the formats that [Template] can print.
var Formats = []string{"cloudformation", "sam", "terraform"}

// Template returns a template that creates the stack, in one of [Formats]; it panics for another format. The template
// works in any account, region and partition. The stack's settings are the defaults of its parameters. The stage, the
// base path and the kind of authentication are fixed: a stack that differs in them needs its own template.
func Template(s Stack, format string) string {
	switch format {
	case "terraform":
		return string(hclwrite.Format(execute("terraform.tf.tmpl", describe(s, terraform))))
	case "cloudformation", "sam":
		d := describe(s, cloudFormation)
		d.SAM = format == "sam"
		d.forCloudFormation()
		return string(execute("cloudformation.yaml.tmpl", d))
	}
	panic("there is no format " + format)
}

//go:embed *.tmpl
var sources embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"properties": properties, "yaml": yamlString, "hcl": hcl, "literal": hclLiteral,
}).ParseFS(sources, "*.tmpl"))

func execute(name string, d description) []byte {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, d); err != nil {
		panic(err) // the template names a value that d lacks
	}
	return out.Bytes()
}

// expressions are the references of a tool's language that stand for what a template leaves open.
type expressions struct {
	stack                 Stack             // its fields are the expressions for the values that are not fixed
	references            map[string]string // for the references of steps
	table, role, function string            // ARNs, which make a resource depend on the one it names; "" for none
}

var (
	cloudFormation = expressions{
		stack: Stack{
			Name: "${Name}", Partition: "${AWS::Partition}", Region: "${AWS::Region}", Account: "${AWS::AccountId}",
			Architecture: "${Architecture}", Boundary: "${Boundary}",
			Auth: Auth{Tokens: "${Tokens}", Issuer: "${Issuer}", Audience: "${Audience}"},
		},
		references: map[string]string{"api": "${Api}", "integration": "${Integration}", "authorizer": "${Authorizer}",
			"role_id": "${Role.RoleId}"},
		role: "${Role.Arn}", function: "${Function.Arn}",
	}
	terraform = expressions{
		stack: Stack{
			Name: "${var.name}", Partition: "${local.partition}", Region: "${local.region}",
			Account: "${local.account}", Architecture: "${var.architecture}", Boundary: "${var.boundary}",
			Auth: Auth{Tokens: "${var.tokens}", Issuer: "${var.issuer}", Audience: "${var.audience}"}, // #nosec G101
		},
		references: map[string]string{"api": "${aws_apigatewayv2_api.notes.id}",
			"integration": "${aws_apigatewayv2_integration.notes.id}",
			"authorizer":  "${aws_apigatewayv2_authorizer.notes.id}", "role_id": "${aws_iam_role.notes.unique_id}"},
		table: "${aws_dynamodb_table.notes.arn}", role: "${aws_iam_role.notes.arn}",
		function: "${aws_lambda_function.notes.arn}",
	}
)

// fields are properties of a resource, by their names in CloudFormation, which are mostly those of the AWS API.
type fields = map[string]any

// description is what the templates are printed from.
type description struct {
	Stack
	SAM bool

	Memory, Retention, Concurrency int32
	Table, Role                    fields
	FunctionLogs, AccessLogs       fields
	Function                       fields
	API, Integration, Authorizer   fields
	Routes                         []describedRoute
	Stage                          fields
	StagePath, ZipCommand          string
	FormationName                  string // of the stack in CloudFormation
	OpenRoutes                     string // why some routes, or all, have no authorizer
	NamePattern                    string
	RetentionChoices               []int32
}

// describedRoute is a route with its grant.
type describedRoute struct {
	Name         string // unique, of letters
	Route, Grant fields
}

// describe returns the description of a stack in the expressions of a tool.
func describe(s Stack, e expressions) description {
	open := e.stack
	open.Stage, open.BasePath, open.Endpoint, open.Auth.Kind = s.Stage, s.BasePath, s.Endpoint, s.Auth.Kind
	open.Page = s.Page
	if s.Auth.Kind != "token" {
		open.Auth.Tokens = ""
	}
	if s.Auth.Kind != "jwt" {
		open.Auth.Issuer, open.Auth.Audience = "", ""
	}
	known := strings.NewReplacer(open.TableARN(), cmp.Or(e.table, open.TableARN()), open.RoleARN(), e.role,
		open.FunctionARN(), e.function)
	of := func(input any) fields {
		return replaceStrings(call.Fields(call.Resolve(input, e.references)), known).(fields)
	}
	openRoutes := "browsers send OPTIONS requests without a token"
	if s.Page {
		openRoutes += ", and the notes page asks for one"
	}
	d := description{
		Stack:            s,
		Memory:           *cmp.Or(s.Memory, new(int32(defaultMemory))),
		Retention:        *cmp.Or(s.Retention, new(int32(defaultRetention))),
		Concurrency:      *cmp.Or(s.Concurrency, new(int32(Burst))),
		NamePattern:      stackName.String(),
		RetentionChoices: retention,
		ZipCommand:       s.zipCommand(),
		StagePath:        s.stagePath(),
		FormationName:    strings.ReplaceAll(s.Name, "_", "-"), // the only characters besides letters and digits
		OpenRoutes: map[string]string{
			"token": "the function checks the tokens",
			"jwt":   openRoutes,
			"none":  "everyone who knows the URL may use the service",
		}[s.Auth.Kind],

		Table:        of(open.table().Create),
		Role:         of(open.role().Create),
		FunctionLogs: of(open.logGroup(open.LogGroup()).Create),
		AccessLogs:   of(open.AccessLogs().Create),
		Function:     of(open.Function().Create),
		API:          of(open.API().Create),
		Integration:  of(open.integration().Create),
		Stage:        of(open.stage().Create),
	}
	if s.Auth.Kind == "jwt" {
		d.Authorizer = of(open.authorizer().Create)
	}
	maps.Copy(d.Table, pick(of(put[*dynamodb.UpdateTimeToLiveInput](open.table())), "TimeToLiveSpecification"))
	maps.Copy(d.Table, pick(of(put[*dynamodb.UpdateContinuousBackupsInput](open.table())),
		"PointInTimeRecoverySpecification"))
	d.Role["AssumeRolePolicyDocument"] = parse(d.Role["AssumeRolePolicyDocument"])
	inline := pick(of(put[*iam.PutRolePolicyInput](open.role())), "PolicyName", "PolicyDocument")
	inline["PolicyDocument"] = parse(inline["PolicyDocument"])
	d.Role["Policies"] = []any{inline}
	maps.Copy(d.API, pick(of(put[*apigatewayv2.UpdateApiInput](open.API())), "DisableExecuteApiEndpoint"))
	maps.Copy(d.Function["Tags"].(fields), of(put[*lambda.TagResourceInput](open.Function()))["Tags"].(fields))
	for i, g := range open.Grants(e.references["api"]) {
		key := s.Routes()[i]
		grant := of(g.Input())
		delete(grant, "StatementId") // AWS::Lambda::Permission has none: CloudFormation makes the id up
		d.Routes = append(d.Routes, describedRoute{
			Name: routeName(key), Route: of(open.route(key, "route").Create), Grant: grant})
	}
	return d
}

// routeName returns the name of a route: AnyNotesId for ANY /notes/{id}.
func routeName(key string) (name string) {
	for word := range strings.FieldsFuncSeq(key, func(r rune) bool { return !unicode.IsLetter(r) }) {
		name += strings.ToUpper(word[:1]) + strings.ToLower(word[1:])
	}
	return name
}

// put returns the first setting of a step with a Put of type T.
func put[T any](s Step) T {
	i := slices.IndexFunc(s.Settings, func(s Setting) bool { _, ok := s.Put.(T); return ok })
	return s.Settings[i].Put.(T)
}

// pick returns some of the fields.
func pick(from fields, names ...string) fields {
	picked := fields{}
	for _, name := range names {
		if value, ok := from[name]; ok {
			picked[name] = value
		}
	}
	return picked
}

// parse returns a policy document, which the API takes as text.
func parse(text any) (document any) {
	if err := json.Unmarshal([]byte(text.(string)), &document); err != nil {
		panic(err) // package policy made it
	}
	return document
}

// replaceStrings returns value with all strings in it replaced.
func replaceStrings(value any, r *strings.Replacer) any {
	switch v := value.(type) {
	case string:
		return r.Replace(v)
	case fields:
		replaced := fields{}
		for name, member := range v {
			replaced[name] = replaceStrings(member, r)
		}
		return replaced
	case []any:
		replaced := make([]any, len(v))
		for i, member := range v {
			replaced[i] = replaceStrings(member, r)
		}
		return replaced
	}
	return value
}
