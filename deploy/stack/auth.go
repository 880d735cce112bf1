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

// Auth is how the service knows its callers: what the function is told by NOTES_AUTH and the settings beside it.
type Auth struct {
	Kind             string // token, jwt or none; "" where nothing is said
	Tokens           string // as package token reads them: hashes
	Made             bool   // the tokens are new; a script leaves those that the function has already
	Issuer, Audience string // of JSON Web Tokens
}

// maxTokens bounds them: all of a function's environment has 4 KB (Lambda quotas).
const maxTokens = 3500

// Check tells what is wrong or does not go together. What is missing [Auth.Complete] tells.
func (a Auth) Check() error {
	switch {
	case a.Kind != "" && a.Kind != "token" && a.Kind != "jwt" && a.Kind != "none":
		return fmt.Errorf("--auth must be token, jwt or none, is %q", a.Kind)
	case a.Tokens != "" && a.Kind != "token":
		return errors.New("--tokens goes with --auth token")
	case a.Issuer+a.Audience != "" && a.Kind != "jwt":
		return errors.New("--issuer and --audience go with --auth jwt")
	case len(a.Tokens) > maxTokens:
		return fmt.Errorf("the tokens have %d bytes, a function's environment has room for %d: have an issuer make "+
			"them (--auth jwt)", len(a.Tokens), maxTokens)
	}
	if err := jwt.Check(a.Issuer); a.Issuer != "" && err != nil {
		return fmt.Errorf("--issuer %w, is %q", err, a.Issuer)
	}
	if a.Tokens != "" {
		if _, err := token.Parse(a.Tokens, time.Now); err != nil {
			return fmt.Errorf("--tokens: %w", err)
		}
	}
	return nil
}

// Complete tells what is missing of it for a stack that is to be made.
func (a Auth) Complete() error {
	switch {
	case a.Kind == "":
		return errors.New("say who may use the service: --auth token (who has a token that is made now), --auth jwt " +
			"--issuer URL --audience NAME (who has a token of that issuer), or --auth none (anyone who knows the URL " +
			"reads and writes the notes)")
	case a.Kind == "jwt" && (a.Issuer == "" || a.Audience == ""):
		return errors.New("--auth jwt needs --issuer, the https URL of an OpenID Connect issuer, and --audience, " +
			"whom its tokens are for")
	}
	return nil
}

// The function's variables.
const (
	authVariable     = "NOTES_AUTH"
	tokensVariable   = "NOTES_TOKENS"
	issuerVariable   = "NOTES_JWT_ISSUER"
	audienceVariable = "NOTES_JWT_AUDIENCE"

	BasePathVariable = "NOTES_BASE_PATH"
	logKeyVariable   = "NOTES_LOG_KEY"
)

// AuthOf reads it from a function's environment.
func AuthOf(environment map[string]string) Auth {
	return Auth{
		Kind: environment[authVariable], Tokens: environment[tokensVariable],
		Issuer: environment[issuerVariable], Audience: environment[audienceVariable],
	}
}

// kept are settings of the function that stay as they are where nobody says otherwise. But for the base path a person
// alone sets them.
var kept = []string{
	BasePathVariable, "NOTES_LOG_LEVEL", logKeyVariable, "NOTES_CORS_ORIGINS", "NOTES_REQUEST_TIMEOUT",
	"AWS_ENDPOINT_URL_DYNAMODB",
}

// KeptOf are the variables of an environment that stay as they are.
func KeptOf(environment map[string]string) map[string]string {
	stay := map[string]string{}
	for _, name := range kept {
		if value, ok := environment[name]; ok {
			stay[name] = value
		}
	}
	return stay
}

// WithoutSecrets returns the input of a call with stars in place of the secrets in a function's environment.
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

func (a Auth) environment(into map[string]string) {
	into[authVariable] = a.Kind
	for name, value := range map[string]string{tokensVariable: a.Tokens, issuerVariable: a.Issuer,
		audienceVariable: a.Audience} {
		if value != "" {
			into[name] = value
		}
	}
}

// scopes are what API Gateway asks for: a token must have one of them. The app decides which one a request needs.
var scopes = []string{"notes:read", "notes:write"}

// authorizerName is the name of the API's one authorizer.
const authorizerName = "notes"

// authorizer has API Gateway judge tokens before the function is asked, which judges them again.
func (s Stack) authorizer() Step {
	api, id, name := aws.String("${api}"), aws.String("${authorizer}"), aws.String(authorizerName)
	ours := "Items[?Name=='" + authorizerName + "'].AuthorizerId | sort(@)"
	source := []string{"$request.header.Authorization"}
	judges := &gatewaytypes.JWTConfiguration{Issuer: &s.Auth.Issuer, Audience: []string{s.Auth.Audience}}
	return Step{
		What: "authorizer for tokens of " + s.Auth.Issuer,
		Find: &apigatewayv2.GetAuthorizersInput{ApiId: api},
		Pick: ours + " | [0]",
		Ref:  "authorizer",
		Create: &apigatewayv2.CreateAuthorizerInput{ApiId: api, Name: name,
			AuthorizerType: gatewaytypes.AuthorizerTypeJwt, IdentitySource: source, JwtConfiguration: judges},
		Twins: ours + " | [1:]",
		Twin:  &apigatewayv2.DeleteAuthorizerInput{ApiId: api, AuthorizerId: aws.String("${twin}")},
		Settings: []Setting{{Read: &apigatewayv2.GetAuthorizerInput{ApiId: api, AuthorizerId: id},
			Put: &apigatewayv2.UpdateAuthorizerInput{ApiId: api, AuthorizerId: id,
				AuthorizerType: gatewaytypes.AuthorizerTypeJwt, IdentitySource: source, JwtConfiguration: judges}}},
	}
}

// otherAuthorizers are those that the API had before, or a person added. No route has them any more.
func (s Stack) otherAuthorizers() Extra {
	at := "Items[].AuthorizerId"
	if s.Auth.Kind == "jwt" {
		at = "Items[?Name!='" + authorizerName + "'].AuthorizerId"
	}
	api := aws.String("${api}")
	return Extra{List: &apigatewayv2.GetAuthorizersInput{ApiId: api}, At: at,
		Remove: &apigatewayv2.DeleteAuthorizerInput{ApiId: api, AuthorizerId: aws.String("${extra}")}}
}
