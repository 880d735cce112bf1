package doctor

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// checkCORS judges a request of a page, or a preflight ("Configuring CORS for an HTTP API").
func checkCORS(v *view, r *result) {
	a := v.answer()
	if v.Asked.Origin == "" || a == nil || a.Status == 0 || !v.API.Seen() {
		return
	}
	headers := v.Answer.Value.Headers
	allowed := headers["access-control-allow-origin"]
	config := v.API.Value.CORS
	preflight := v.Asked.Preflight != ""
	f := found{
		values:   values{"origin": v.Asked.Origin, "method": v.Asked.Preflight, "headers": "", "allowed": allowed},
		explains: true,
		evidence: []Evidence{{v.API.Call, v.Asked.API, "CorsConfiguration", describe(config), ""}},
	}
	if v.selected != nil {
		f.pairs = []*pair{v.selected}
		f.values["route"] = v.selected.route.Key
	}
	switch {
	case preflight && v.selected != nil && v.failed(401, 403) && v.selected.route.Authorization != "NONE":
		f.cause = "cors.preflight-authorized"
		f.evidence = []Evidence{{v.Routes.Call, v.Asked.API, v.selected.route.Key + " AuthorizationType",
			v.selected.route.Authorization, "NONE"}}
		if target := v.selected.route.Target; target != "" {
			f.fix = []Fix{r.aws(false, "fix.options", nil, &apigatewayv2.CreateRouteInput{ApiId: &v.Asked.API,
				RouteKey: aws.String(v.optionsRoute()), Target: &target})}
		}
	case strings.Contains(allowed, ","):
		f.cause = "cors.twice"
		f.evidence = []Evidence{{"request", "answer", "access-control-allow-origin", allowed, v.Asked.Origin}}
	case allowed == "*" && slices.Contains(v.Asked.Headers, "cookie"):
		f.cause = "cors.credentials"
	case allowed == "*" || allowed == v.Asked.Origin:
		if !preflight {
			return
		}
		if lacks := r.preflight(headers); lacks != "" {
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
		if v.failed(401, 403, 404, 429, 500, 503) && !preflight {
			return // what API Gateway itself refuses has no headers of the app, and another cause
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
	r.find(f)
}

// optionsRoute is the key of a route that takes the preflights of the request's route before that does: a greedy one is
// selected after others.
func (v *view) optionsRoute() string {
	_, template, found := strings.Cut(v.selected.route.Key, " ")
	if !found || v.routes() {
		return "OPTIONS /{proxy+}"
	}
	return "OPTIONS " + template
}

// preflight tells which of what a preflight asks for its answer does not allow; "" where it allows all.
func (r *result) preflight(headers map[string]string) string {
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

func describe(c *CORS) string {
	if c == nil {
		return ""
	}
	return strings.Join(c.Origins, ", ") + "; " + strings.Join(c.Methods, ", ") + "; " + strings.Join(c.Headers, ", ")
}

// corsFix allows the origin, the method and the headers of the request besides those that are allowed.
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
	return r.aws(false, "fix.cors", nil, &apigatewayv2.UpdateApiInput{ApiId: &r.Asked.API, CorsConfiguration: cors})
}
