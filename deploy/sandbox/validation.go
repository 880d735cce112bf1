package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/cloud"
)

// apiInput holds the fields of a call about an API that the sandbox checks.
type apiInput struct {
	IntegrationType, IntegrationURI, IntegrationSubtype, PayloadFormatVersion, RouteKey, AuthorizerID string
	AuthorizationType, AuthorizerType, AuthorizerURI, AuthorizerPayloadFormatVersion                  string
	TimeoutInMillis, AuthorizerResultTTLInSeconds                                                     *int
	JwtConfiguration                                                                                  *struct {
		Issuer   string
		Audience []string
	}
	CorsConfiguration *struct {
		AllowOrigins     []string
		AllowCredentials bool
	}
}

// greedyInTheMiddle matches a path that continues after a greedy variable.
var greedyInTheMiddle = regexp.MustCompile(`\{[^}]*\+\}.`)

// problem returns API Gateway's message if it refuses an input, and otherwise "" (API Gateway V2 API reference, and
// observed answers).
func (in apiInput) problem(creates bool) string {
	proxy := strings.EqualFold(in.IntegrationType, "AWS_PROXY")
	switch {
	case in.TimeoutInMillis != nil && (*in.TimeoutInMillis < 50 || *in.TimeoutInMillis > 30_000):
		return "Timeout should be between 50 ms and 30000 ms"
	case in.AuthorizerResultTTLInSeconds != nil &&
		(*in.AuthorizerResultTTLInSeconds < 0 || *in.AuthorizerResultTTLInSeconds > 3600):
		return "Authorizer result TTL should be between 0 and 3600 seconds"
	case greedyInTheMiddle.MatchString(in.RouteKey):
		return "The provided route key is not formatted properly for HTTP protocol: a greedy path variable must be " +
			"at the end of the path"
	case proxy && creates && in.IntegrationURI == "" && in.IntegrationSubtype == "":
		return "Integration URI or integration subtype must be specified for an integration of type AWS_PROXY"
	case in.PayloadFormatVersion != "" && in.PayloadFormatVersion != "1.0" && in.PayloadFormatVersion != "2.0":
		return "PayloadFormatVersion must be 1.0 or 2.0"
	case creates && proxy && in.PayloadFormatVersion == "":
		return "PayloadFormatVersion is a required parameter for integration of type AWS_PROXY"
	case in.AuthorizationType == "JWT" && creates && in.AuthorizerID == "",
		in.AuthorizationType == "CUSTOM" && creates && in.AuthorizerID == "":
		return "Authorizer id must be specified for the authorization type " + in.AuthorizationType
	case in.AuthorizerType == "REQUEST" && creates && in.AuthorizerURI == "":
		return "Authorizer URI must be specified for an authorizer of type REQUEST"
	case in.AuthorizerType == "REQUEST" && creates && in.AuthorizerPayloadFormatVersion == "":
		return "AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer"
	case in.AuthorizerType == "JWT" && creates && (in.JwtConfiguration == nil || in.JwtConfiguration.Issuer == ""):
		return "JWT configuration with an issuer must be specified for an authorizer of type JWT"
	case in.CorsConfiguration != nil && in.CorsConfiguration.AllowCredentials &&
		slices.Contains(in.CorsConfiguration.AllowOrigins, "*"):
		return "Wildcard '*' is not a valid value for allow-origins when allow-credentials is true"
	}
	return ""
}

// checkAPI refuses the inputs that API Gateway refuses.
func checkAPI(s *Sandbox, c *call, next func() answer) answer {
	var in apiInput
	c.decode(&in)
	if message := in.problem(strings.HasPrefix(c.Operation, "Create")); message != "" {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "%s", message)
	}
	api := c.PathValue("api")
	if in.AuthorizerID != "" {
		path := "/v2/apis/" + api + "/authorizers/" + in.AuthorizerID
		if a, err := s.moto.do(c.Context(), http.MethodGet, path, c.Header, nil); err == nil && !a.ok() {
			return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid authorizer ID specified")
		}
	}
	if in.JwtConfiguration != nil && in.JwtConfiguration.Issuer != "" {
		if err := checkIssuer(in.JwtConfiguration.Issuer); err != nil {
			return c.refuse(http.StatusBadRequest, "BadRequestException", "Caught exception when connecting to "+
				"%[1]s/.well-known/openid-configuration for issuer %[1]s. Please try again later. Error: %[2]v",
				strings.TrimSuffix(in.JwtConfiguration.Issuer, "/"), err)
		}
	}
	if upper := strings.ToUpper(in.IntegrationType); upper != in.IntegrationType { // AWS stores it in upper case
		var body map[string]any
		c.decode(&body)
		body["integrationType"] = upper
		c.body = jsonAnswer(0, body).body
	}
	return next()
}

// checkIssuer reads the OpenID configuration of a token issuer, as CreateAuthorizer does. Only an issuer on this
// machine may do without TLS.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !cloud.IsLocal(&issuer)) {
		return fmt.Errorf("invalid issuer: %s. Issuer must have a valid domain ends with "+
			".well-known/openid-configuration",
			issuer)
	}
	a, err := issuerClient.Get(strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration")
	if err != nil {
		return err
	}
	defer func() { _ = a.Body.Close() }()
	var out struct{ Issuer string }
	if a.StatusCode != http.StatusOK || json.NewDecoder(a.Body).Decode(&out) != nil || out.Issuer != issuer {
		return fmt.Errorf("invalid issuer: %s. Issuer must have a valid domain ends with "+
			".well-known/openid-configuration",
			issuer)
	}
	return nil
}

// updateTarget gives a quick-created API another target. Such an API has a single integration and a route $default.
func updateTarget(s *Sandbox, c *call, next func() answer) answer {
	var in struct{ Target string }
	c.decode(&in)
	if in.Target == "" {
		return next()
	}
	api := c.PathValue("api")
	shot, err := s.takeSnapshot(c.Context(), c.Region, api)
	quick := err == nil && len(shot.integrations) == 1 && slices.ContainsFunc(shot.routes, func(r types.Route) bool {
		return aws.ToString(r.RouteKey) == "$default"
	})
	if !quick {
		return c.refuse(http.StatusBadRequest, "BadRequestException",
			"Target can be updated for an API that was created by quick create only")
	}
	for id := range shot.integrations { // before next, which deploys the API
		body := jsonAnswer(0, map[string]string{"integrationUri": in.Target}).body
		path := "/v2/apis/" + api + "/integrations/" + id
		if changed, err := s.moto.do(c.Context(), http.MethodPatch, path, c.Header, body); err != nil || !changed.ok() {
			return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
		}
	}
	return next()
}

// resetAuthorizersCache clears the cached answers of Lambda authorizers.
func resetAuthorizersCache(_ *Sandbox, _ *call, a *apiState, _ *stage) answer {
	if a.decisions != nil {
		a.decisions.Clear()
	}
	return answer{status: http.StatusNoContent}
}
