package doctor

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// checkCORS judges a cross-origin request or a preflight ("Configuring CORS for an HTTP API").
func checkCORS(v *view, r *result) {
	a := v.clientAnswer()
	if v.Asked.Origin == "" || a == nil || a.Status == 0 || !v.API.Seen() {
		return
	}
	headers := v.Answer.Value.Headers
	allowed := headers["access-control-allow-origin"]
	config := v.API.Value.CORS
	preflight := v.Asked.Preflight != ""
	f := draft{
		values:   values{"origin": v.Asked.Origin, "method": v.Asked.Preflight, "headers": "", "allowed": allowed},
		explains: true,
		evidence: []Evidence{{Call: v.API.Call, Of: v.Asked.API, Field: "CorsConfiguration",
			Value: describeCORS(config)}},
	}
	if v.selected != nil {
		f.pairs = []*pair{v.selected}
		f.values["route"] = v.selected.route.Key
	}
	switch {
	case preflight && v.selected != nil && v.gatewayFailed(401, 403) && v.selected.route.Authorization != "NONE":
		f.cause = "cors.preflight-authorized"
		f.evidence = []Evidence{{Call: v.Routes.Call, Of: v.Asked.API, Field: v.selected.route.Key +
			" AuthorizationType",
			Value: v.selected.route.Authorization, Expected: "NONE"}}
		if target := v.selected.route.Target; target != "" {
			f.fix = []Fix{r.awsFix(false, "fix.options", nil, &apigatewayv2.CreateRouteInput{ApiId: &v.Asked.API,
				RouteKey: aws.String(v.optionsRoute()), Target: &target})}
		}
	case strings.Contains(allowed, ","):
		f.cause = "cors.twice"
		f.evidence = []Evidence{{Call: "request", Of: "answer", Field: "access-control-allow-origin", Value: allowed,
			Expected: v.Asked.Origin}}
	case allowed == "*" && slices.Contains(v.Asked.Headers, "cookie"):
		f.cause = "cors.credentials"
	case allowed == "*" || allowed == v.Asked.Origin:
		if !preflight {
			return
		}
		if lacks := r.preflightCause(headers); lacks != "" {
			f.cause = lacks
			f.values["headers"] = strings.Join(r.Asked.Wanted, ", ")
			if config != nil {
				f.fix = []Fix{r.corsFix(config)}
			}
			break
		}
		r.pass("pass.cors", f.values)
		return
	case config == nil:
		if v.gatewayFailed(401, 403, 404, 429, 500, 503) && !preflight {
			return // an error of API Gateway lacks the app's headers; it has another cause
		}
		f.cause = "cors.off"
		f.fix = []Fix{r.corsFix(&CORS{})}
	default:
		f.cause = "cors.origin"
		if preflight &&
			slices.ContainsFunc(config.Origins, func(o string) bool { return o == "*" || o == v.Asked.Origin }) {
			f.cause = "cors.method"
		}
		f.fix = []Fix{r.corsFix(config)}
	}
	r.addFinding(f)
}

// optionsRoute returns the key of a route that takes the preflights of the request's route. It has the same path,
// because a greedy route is selected only after more specific ones.
func (v *view) optionsRoute() string {
	_, template, found := strings.Cut(v.selected.route.Key, " ")
	if !found || v.takesAllPaths() {
		return "OPTIONS /{proxy+}"
	}
	return "OPTIONS " + template
}

// preflightCause returns the cause if a preflight response does not allow what the preflight requests, else "".
func (r *result) preflightCause(headers map[string]string) string {
	has := func(list, one string) bool {
		return slices.ContainsFunc(strings.Split(list, ","), func(item string) bool {
			item = strings.TrimSpace(item)
			return item == "*" || strings.EqualFold(item, one)
		})
	}
	simple := []string{"GET", "HEAD", "POST"}
	if m := r.Asked.Preflight; !slices.Contains(simple, m) && !has(headers["access-control-allow-methods"], m) {
		return "cors.method"
	}
	for _, header := range r.Asked.Wanted {
		if !has(headers["access-control-allow-headers"], header) {
			return "cors.header"
		}
	}
	return ""
}

// describeCORS lists the origins, methods and headers that a configuration allows.
func describeCORS(c *CORS) string {
	if c == nil {
		return ""
	}
	return strings.Join(c.Origins, ", ") + "; " + strings.Join(c.Methods, ", ") + "; " + strings.Join(c.Headers, ", ")
}

// corsFix adds the origin, method and headers of the request to those that are allowed.
func (r *result) corsFix(c *CORS) Fix {
	with := func(all []string, more ...string) []string {
		all = slices.Clone(all)
		for _, one := range more {
			if one != "" && !slices.Contains(all, one) && !slices.Contains(all, "*") {
				all = append(all, one)
			}
		}
		return all
	}
	method := r.Asked.Preflight
	if method == "" {
		method = r.Asked.Method
	}
	cors := &types.Cors{AllowOrigins: with(c.Origins, r.Asked.Origin), AllowMethods: with(c.Methods, method),
		AllowHeaders: with(c.Headers, r.Asked.Wanted...)}
	cors.ExposeHeaders, cors.MaxAge = c.Expose, c.MaxAge
	if c.Credentials {
		cors.AllowCredentials = &c.Credentials
	}
	return r.awsFix(false, "fix.cors", nil, &apigatewayv2.UpdateApiInput{ApiId: &r.Asked.API, CorsConfiguration: cors})
}
