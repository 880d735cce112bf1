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

func endpointHere(s *Sandbox, _ *call, next func() answer) answer {
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

func noteAPI(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var api struct{ APIID string }
	_ = json.Unmarshal(a.body, &api) // of a new one
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.ok() && c.Operation == "CreateApi" {
		s.apiStates[api.APIID] = &apiState{region: c.Region, stages: map[string]*stage{}}
	} else if a.ok() {
		delete(s.apiStates, c.PathValue("api"))
	}
	return a
}

// quickCreate makes what CreateApi with a target makes, but for the grant, which AWS does not make either.
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

// paged cuts a list into pages. The token is where the next one begins.
func paged(s *Sandbox, c *call, next func() answer) answer {
	query := c.URL.Query()
	most, _ := strconv.Atoi(query.Get("maxResults")) // 0 for no number
	s.mu.Lock()
	if limit := s.options.PageSize; limit > 0 && (most == 0 || most > limit) {
		most = limit
	}
	s.mu.Unlock()
	begin, err := strconv.Atoi(query.Get("nextToken"))
	if query.Get("nextToken") != "" && (err != nil || begin < 0) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid nextToken")
	}
	return next().edit(func(body map[string]any) {
		all, _ := body["items"].([]any)
		all = append([]any{}, all...)[min(begin, len(all)):]
		if most > 0 && len(all) > most {
			all = all[:most]
			body["nextToken"] = strconv.Itoa(begin + most)
		}
		body["items"] = all
	})
}

var routeKey = regexp.MustCompile(`^(\$default|(ANY|GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE) /\S*)$`)

func routeKeyOnce(s *Sandbox, c *call, next func() answer) answer {
	var in struct{ RouteKey string }
	c.decode(&in)
	api := c.PathValue("api")
	if (in.RouteKey != "" || c.Operation == "CreateRoute") && !routeKey.MatchString(in.RouteKey) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "The provided route key is not formatted "+
			"properly for HTTP protocol. Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"")
	}
	s.routing.Lock()
	defer s.routing.Unlock()
	all, err := s.apis(c.Region).GetRoutes(c.Context(), &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err == nil { // else moto says what is wrong
		for _, route := range all.Items {
			if in.RouteKey != "" && *route.RouteKey == in.RouteKey && *route.RouteId != c.PathValue("id") {
				return c.refuse(http.StatusConflict, "ConflictException", "Route with key %s already exists for this "+
					"API", in.RouteKey)
			}
		}
	}
	return next()
}

func scopesNeedJWT(s *Sandbox, c *call, next func() answer) answer {
	var in struct {
		AuthorizationType   types.AuthorizationType
		AuthorizationScopes []string
	}
	c.decode(&in)
	api, id := c.PathValue("api"), c.PathValue("id")
	if id != "" { // what an update does not name stays
		is, err := s.apis(c.Region).GetRoute(c.Context(), &apigatewayv2.GetRouteInput{ApiId: &api, RouteId: &id})
		if err != nil {
			return next() // moto says what is wrong
		}
		in.AuthorizationType = cmp.Or(in.AuthorizationType, is.AuthorizationType)
		if in.AuthorizationScopes == nil {
			in.AuthorizationScopes = is.AuthorizationScopes
		}
	}
	if len(in.AuthorizationScopes) > 0 && in.AuthorizationType != types.AuthorizationTypeJwt {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid Route authorization type specified. "+
			"Authorization Scopes are only valid for COGNITO_USER_POOLS and JWT authorization types")
	}
	return next()
}

func deleteWhatIsFree(s *Sandbox, c *call, next func() answer) answer {
	s.routing.Lock()
	defer s.routing.Unlock()
	there, err := s.moto.do(c.Context(), http.MethodGet, c.URL.RequestURI(), c.Header, nil)
	if err != nil || !there.ok() {
		return there
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

// deployAfter makes an API's stages that deploy by themselves do so, once a call changed something of it.
func deployAfter(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	if a.ok() {
		if _, err := s.deploy(c, c.PathValue("api"), ""); err != nil {
			return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
		}
	}
	return a
}

func noteAuthorizer(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var made struct{ AuthorizerID string }
	_ = json.Unmarshal(a.body, &made) // of a new one
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
