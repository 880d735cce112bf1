package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// localEndpoint replaces the API endpoint in answers by an address of the sandbox.
func localEndpoint(s *Sandbox, _ *call, next func() answer) answer {
	return next().edit(func(body map[string]any) {
		all, ok := body["items"].([]any)
		if !ok {
			all = []any{body}
		}
		for _, one := range all {
			if api, ok := one.(map[string]any); ok {
				api["apiEndpoint"] = s.URL + apiPath + fmt.Sprint(api["apiId"])
			}
		}
	})
}

// trackAPI adds and removes the sandbox's own state of an API.
func trackAPI(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var api struct{ APIID string }
	_ = json.Unmarshal(a.body, &api) // empty unless something was created
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.ok() && c.Operation == "CreateApi" {
		s.apiStates[api.APIID] = &apiState{region: c.Region, stages: map[string]*stage{}}
	} else if a.ok() {
		delete(s.apiStates, c.PathValue("api"))
	}
	return a
}

// quickCreate creates the integration, the route and the stage of a CreateApi with a target. Like AWS it does not add a
// permission to the function.
func quickCreate(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var in struct{ Target, RouteKey, CredentialsArn *string }
	var api struct{ APIID *string }
	c.decode(&in)
	if !a.ok() || in.Target == nil || json.Unmarshal(a.body, &api) != nil {
		return a
	}
	t := &tester{ctx: c.Context()}
	i := must(t, s.apis(c.Region).CreateIntegration, &apigatewayv2.CreateIntegrationInput{ApiId: api.APIID,
		IntegrationType: types.IntegrationTypeAwsProxy, IntegrationUri: in.Target, CredentialsArn: in.CredentialsArn,
		PayloadFormatVersion: aws.String("2.0")})
	must(t, s.apis(c.Region).CreateRoute, &apigatewayv2.CreateRouteInput{ApiId: api.APIID, RouteKey: cmp.Or(in.RouteKey,
		aws.String("$default")), Target: aws.String("integrations/" + *orEmpty(i.IntegrationId))})
	if t.err == nil {
		now := time.Now().UTC()
		s.mu.Lock()
		s.apiStates[*api.APIID].stages["$default"] = &stage{StageName: aws.String("$default"), AutoDeploy: true,
			CreatedDate: now, LastUpdatedDate: now, limits: &sync.Map{}}
		s.mu.Unlock()
		_, t.err = s.deploy(c, *api.APIID, "")
	}
	if t.err != nil {
		return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", t.err)
	}
	return a
}

// paginate cuts a list into pages. The token is the index of the next item.
func paginate(s *Sandbox, c *call, next func() answer) answer {
	query := c.URL.Query()
	size, _ := strconv.Atoi(query.Get("maxResults")) // 0 for no limit
	s.mu.Lock()
	if limit := s.options.PageSize; limit > 0 && (size == 0 || size > limit) {
		size = limit
	}
	s.mu.Unlock()
	begin, err := strconv.Atoi(query.Get("nextToken"))
	if query.Get("nextToken") != "" && (err != nil || begin < 0) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid nextToken")
	}
	return next().edit(func(body map[string]any) {
		all, _ := body["items"].([]any)
		all = append([]any{}, all...)[min(begin, len(all)):]
		if size > 0 && len(all) > size {
			all = all[:size]
			body["nextToken"] = strconv.Itoa(begin + size)
		}
		body["items"] = all
	})
}

var routeKeyPattern = regexp.MustCompile(`^(\$default|(ANY|GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE) /\S*)$`)

// checkRouteKey refuses malformed and duplicate route keys.
func checkRouteKey(s *Sandbox, c *call, next func() answer) answer {
	var in struct{ RouteKey string }
	c.decode(&in)
	api := c.PathValue("api")
	if (in.RouteKey != "" || c.Operation == "CreateRoute") && !routeKeyPattern.MatchString(in.RouteKey) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "The provided route key is not formatted "+
			"properly for HTTP protocol. Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"")
	}
	s.routing.Lock()
	defer s.routing.Unlock()
	all, err := s.apis(c.Region).GetRoutes(c.Context(), &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err == nil { // otherwise moto's answer reports the error
		for _, route := range all.Items {
			if in.RouteKey != "" && *route.RouteKey == in.RouteKey && *route.RouteId != c.PathValue("id") {
				return c.refuse(http.StatusConflict, "ConflictException", "Route with key %s already exists for this "+
					"API", in.RouteKey)
			}
		}
	}
	return next()
}

// checkScopes refuses authorization scopes on a route without a JWT authorizer.
func checkScopes(s *Sandbox, c *call, next func() answer) answer {
	var in struct {
		AuthorizationType   types.AuthorizationType
		AuthorizationScopes []string
	}
	c.decode(&in)
	api, id := c.PathValue("api"), c.PathValue("id")
	if id != "" { // an update keeps the fields that it does not give
		current, err := s.apis(c.Region).GetRoute(c.Context(), &apigatewayv2.GetRouteInput{ApiId: &api, RouteId: &id})
		if err != nil {
			return next() // moto's answer reports the error
		}
		in.AuthorizationType = cmp.Or(in.AuthorizationType, current.AuthorizationType)
		if in.AuthorizationScopes == nil {
			in.AuthorizationScopes = current.AuthorizationScopes
		}
	}
	if len(in.AuthorizationScopes) > 0 && in.AuthorizationType != types.AuthorizationTypeJwt {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid Route authorization type specified. "+
			"Authorization Scopes are only valid for COGNITO_USER_POOLS and JWT authorization types")
	}
	return next()
}

// checkDelete refuses to delete what does not exist, and what a route refers to.
func checkDelete(s *Sandbox, c *call, next func() answer) answer {
	s.routing.Lock()
	defer s.routing.Unlock()
	current, err := s.moto.do(c.Context(), http.MethodGet, c.URL.RequestURI(), c.Header, nil)
	if err == nil && !current.ok() {
		return current
	}
	api, id := c.PathValue("api"), c.PathValue("id")
	routes, err := s.apis(c.Region).GetRoutes(c.Context(), &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err == nil && id != "" {
		var users []string
		for _, r := range routes.Items {
			if *orEmpty(r.Target) == "integrations/"+id || *orEmpty(r.AuthorizerId) == id {
				users = append(users, *r.RouteId)
			}
		}
		if users != nil {
			return c.refuse(http.StatusConflict, "ConflictException", "Cannot delete %s '%s' because it is "+
				"referenced by the following Routes with Ids: %v", strings.TrimPrefix(c.Operation, "Delete"), id, users)
		}
	}
	return next()
}

// autoDeploy deploys an API to its stages with AutoDeploy after a call has changed it.
func autoDeploy(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	if a.ok() {
		if _, err := s.deploy(c, c.PathValue("api"), ""); err != nil {
			return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
		}
	}
	return a
}

// trackAuthorizer adds and removes the ID of an authorizer.
func trackAuthorizer(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var made struct{ AuthorizerID string }
	_ = json.Unmarshal(a.body, &made) // empty unless something was created
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.apiStates[c.PathValue("api")]; state != nil && a.ok() {
		state.authorizers = slices.DeleteFunc(state.authorizers,
			func(id string) bool { return id == c.PathValue("id") })
		if made.AuthorizerID != "" {
			state.authorizers = append(state.authorizers, made.AuthorizerID)
		}
	}
	return a
}

func getAuthorizers(s *Sandbox, c *call, a *apiState) answer {
	s.mu.Lock()
	ids := slices.Clone(a.authorizers)
	s.mu.Unlock()
	all := []json.RawMessage{}
	for _, id := range ids {
		one, err := s.moto.do(c.Context(), http.MethodGet, "/v2/apis/"+c.PathValue("api")+"/authorizers/"+id, c.Header,
			nil)
		if err == nil && one.ok() {
			all = append(all, one.body)
		}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"items": all})
}
