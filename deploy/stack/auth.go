package stack

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	gatewaytypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"example.com/portable-notes/app/jwt"
	"example.com/portable-notes/app/token"
)

// Auth is how the service authenticates callers: the function's NOTES_AUTH and related variables.
type Auth struct {
	Kind             string // token, jwt or none; "" if not chosen
	Tokens           string // hashes, in the format of package token
	Made             bool   // Tokens are new; a script keeps the tokens that a function already has
	Issuer, Audience string // of JSON Web Tokens
}

// maxTokens is the maximum size of Tokens in bytes. A function's whole environment has 4 KB (Lambda quotas).
const maxTokens = 3500

// Check returns an error if a value is invalid or does not go with Kind. [Auth.CheckComplete] finds missing values.
func (a Auth) Check() error {
	switch {
	case a.Kind != "" && a.Kind != "token" && a.Kind != "jwt" && a.Kind != "none":
		return fmt.Errorf("--auth must be token, jwt or none, not %q", a.Kind)
	case a.Tokens != "" && a.Kind != "token":
		return errors.New("--tokens goes with --auth token")
	case a.Issuer+a.Audience != "" && a.Kind != "jwt":
		return errors.New("--issuer and --audience go with --auth jwt")
	case len(a.Tokens) > maxTokens:
		return fmt.Errorf("the tokens have %d bytes, but a function's environment has room for %d: use the tokens of "+
			"an issuer (--auth jwt)", len(a.Tokens), maxTokens)
	}
	if err := jwt.Check(a.Issuer); a.Issuer != "" && err != nil {
		return fmt.Errorf("--issuer %w, not %q", err, a.Issuer)
	}
	if a.Tokens != "" {
		if _, err := token.Parse(a.Tokens, time.Now); err != nil {
			return fmt.Errorf("--tokens: %w", err)
		}
	}
	return nil
}

// CheckComplete returns an error if a value is missing that a new stack needs.
func (a Auth) CheckComplete() error {
	switch {
	case a.Kind == "":
		return errors.New("say who may use the service: --auth token (whoever has the token that is made now), " +
			"--auth jwt --issuer URL --audience NAME (whoever has a token of that issuer), or --auth none (anyone " +
			"who " +
			"knows the URL can read and write the notes)")
	case a.Kind == "jwt" && (a.Issuer == "" || a.Audience == ""):
		return errors.New("--auth jwt needs --issuer, the https URL of an OpenID Connect issuer, and --audience, " +
			"the audience of its tokens")
	}
	return nil
}

// Environment variables of the function.
const (
	authVariable     = "NOTES_AUTH"
	tokensVariable   = "NOTES_TOKENS"
	issuerVariable   = "NOTES_JWT_ISSUER"
	audienceVariable = "NOTES_JWT_AUDIENCE"

	BasePathVariable = "NOTES_BASE_PATH"
	PageVariable     = "NOTES_PAGE"
	logKeyVariable   = "NOTES_LOG_KEY"
)

// AuthOf returns the Auth in a function's environment.
func AuthOf(environment map[string]string) Auth {
	return Auth{
		Kind: environment[authVariable], Tokens: environment[tokensVariable],
		Issuer: environment[issuerVariable], Audience: environment[audienceVariable],
	}
}

// kept are the function's variables that an update keeps by default. Except for the base path, only people set them.
var kept = []string{
	BasePathVariable, "NOTES_LOG_LEVEL", logKeyVariable, "NOTES_CORS_ORIGINS", "NOTES_REQUEST_TIMEOUT",
	"AWS_ENDPOINT_URL_DYNAMODB",
}

// KeptOf returns the variables of an environment that an update keeps.
func KeptOf(environment map[string]string) map[string]string {
	variables := map[string]string{}
	for _, name := range kept {
		if value, ok := environment[name]; ok {
			variables[name] = value
		}
	}
	return variables
}

// WithoutSecrets returns the input of a call with the secrets in a function's environment replaced by asterisks.
func WithoutSecrets(input any) any {
	switch in := input.(type) {
	case *lambda.CreateFunctionInput:
		bare := *in
		bare.Environment = withoutSecrets(in.Environment)
		return &bare
	case *lambda.UpdateFunctionConfigurationInput:
		bare := *in
		bare.Environment = withoutSecrets(in.Environment)
		return &bare
	}
	return input
}

func withoutSecrets(environment *lambdatypes.Environment) *lambdatypes.Environment {
	if environment == nil || environment.Variables[logKeyVariable] == "" {
		return environment
	}
	variables := maps.Clone(environment.Variables)
	variables[logKeyVariable] = "***"
	return &lambdatypes.Environment{Variables: variables}
}

// addTo adds the variables of a to a function's environment.
func (a Auth) addTo(environment map[string]string) {
	environment[authVariable] = a.Kind
	for name, value := range map[string]string{tokensVariable: a.Tokens, issuerVariable: a.Issuer,
		audienceVariable: a.Audience} {
		if value != "" {
			environment[name] = value
		}
	}
}

// scopes are the scopes of the routes. API Gateway requires a token to have one of them; the app decides which one a
// request needs.
var scopes = []string{"notes:read", "notes:write"}

// authorizerName is the name of the API's one authorizer.
const authorizerName = "notes"

// authorizer returns the step of the authorizer by which API Gateway checks tokens. The function checks them again.
func (s Stack) authorizer() Step {
	api, id, name := aws.String("${api}"), aws.String("${authorizer}"), aws.String(authorizerName)
	ours := "Items[?Name=='" + authorizerName + "'].AuthorizerId | sort(@)"
	source := []string{"$request.header.Authorization"}
	configuration := &gatewaytypes.JWTConfiguration{Issuer: &s.Auth.Issuer, Audience: []string{s.Auth.Audience}}
	return Step{
		What: "authorizer for tokens of " + s.Auth.Issuer,
		Find: &apigatewayv2.GetAuthorizersInput{ApiId: api},
		Pick: ours + " | [0]",
		Ref:  "authorizer",
		Create: &apigatewayv2.CreateAuthorizerInput{ApiId: api, Name: name,
			AuthorizerType: gatewaytypes.AuthorizerTypeJwt, IdentitySource: source, JwtConfiguration: configuration},
		Duplicates:      ours + " | [1:]",
		RemoveDuplicate: &apigatewayv2.DeleteAuthorizerInput{ApiId: api, AuthorizerId: aws.String("${duplicate}")},
		Settings: []Setting{{Read: &apigatewayv2.GetAuthorizerInput{ApiId: api, AuthorizerId: id},
			Put: &apigatewayv2.UpdateAuthorizerInput{ApiId: api, AuthorizerId: id,
				AuthorizerType: gatewaytypes.AuthorizerTypeJwt, IdentitySource: source,
				JwtConfiguration: configuration}}},
	}
}

// otherAuthorizers are authorizers of the API that no route uses any more: former ones, and ones added by hand.
func (s Stack) otherAuthorizers() Extra {
	at := "Items[].AuthorizerId"
	if s.Auth.Kind == "jwt" {
		at = "Items[?Name!='" + authorizerName + "'].AuthorizerId"
	}
	api := aws.String("${api}")
	return Extra{List: &apigatewayv2.GetAuthorizersInput{ApiId: api}, At: at,
		Remove: &apigatewayv2.DeleteAuthorizerInput{ApiId: api, AuthorizerId: aws.String("${extra}")}}
}
