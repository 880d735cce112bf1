package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/gateway"
)

// checks are all checks, in the order of the chain.
var checks = []check{
	{"caller", "client", checkCaller},
	{"endpoint", "endpoint", checkEndpoint},
	{"domain", "endpoint", checkDomain},
	{"stage", "stage", checkStage},
	{"deployment", "stage", checkDeployment},
	{"route", "route", checkRoute},
	{"target", "route", checkTargets},
	{"throttle", "stage", checkThrottle},
	{"cors", "cors", checkCORS},
	{"authorizer", "authorizer", checkAuthorizers},
	{"integration", "integration", checkIntegrations},
	{"permission", "permission", checkPermissions},
	{"function", "function", checkFunctions},
	{"invocation", "function", checkInvocation},
	{"lines", "code", checkLines},
	{"code", "code", checkCode},
	{"response", "response", checkResponse},
	{"role", "role", checkRole},
	{"table", "table", checkTable},
	{"logs-right", "role", checkRoleLogs},
	{"throttles", "function", checkThrottles},
	{"app", "app", checkApp},
	{"access", "logs", checkAccess},
	{"logs", "logs", checkLogs},
	{"changes", "logs", checkChanges},
	{"rights", "client", checkRights},
}

func checkCaller(v *view, r *result) {
	f := v.Caller
	switch {
	case f.Seen():
		r.pass("pass.caller", values{"arn": f.Value.ARN, "region": v.Asked.Region})
	case f.Error != nil && f.Error.Kind != Unreachable:
		one := found{
			cause:    "caller.credentials",
			evidence: []Evidence{{f.Call, "", f.Error.Code, f.Error.Message, ""}},
		}
		if f.Error.Code == NoCredentials {
			one.variant = "caller.credentials.none"
		}
		r.find(one)
	case f.Error != nil:
		hideFact(r, f, "would.caller")
	}
}

// checkRights tells which rights to read are missing.
func checkRights(_ *view, r *result) {
	var rights []string
	for _, u := range r.unseen {
		if u.Right != "" && !slices.Contains(rights, u.Right) {
			rights = append(rights, u.Right)
		}
	}
	if len(rights) == 0 {
		return
	}
	r.find(found{cause: "caller.rights", values: values{"rights": names(rights, func(s string) string { return s })},
		evidence: []Evidence{}, fix: []Fix{r.ours(true, "fix.rights", "doctor", "--print-policy")}})
}

func errorText(f *Failure) string {
	if f == nil {
		return ""
	}
	return strings.TrimSpace(f.Code + " " + f.Message)
}

func (r *result) deployStage(stage string) Fix {
	return r.aws(false, "fix.deploy", values{"stage": stage},
		&apigatewayv2.CreateDeploymentInput{ApiId: &r.Asked.API, StageName: &stage})
}

// names are the names of things, as a list in a sentence.
func names[T any](all []T, name func(T) string) string {
	var some []string
	for _, one := range all {
		some = append(some, name(one))
	}
	if len(some) == 0 {
		return "–"
	}
	slices.Sort(some)
	if len(some) > 8 {
		some = append(some[:8], fmt.Sprintf("… (%d)", len(all)))
	}
	return strings.Join(some, ", ")
}

func checkStage(v *view, r *result) {
	if hideFact(r, v.Stages, "would.stages") || !v.Stages.Seen() {
		return
	}
	stages := *v.Stages.Value
	all := names(stages, func(s Stage) string { return s.Name })
	evidence := []Evidence{{v.Stages.Call, v.Asked.API, "StageName", all, ""}}
	if v.Asked.Stage != "" && v.Asked.Domain == "" && !slices.ContainsFunc(stages, func(s Stage) bool {
		return s.Name == v.Asked.Stage
	}) {
		r.find(found{cause: "stage.missing", explains: true, values: values{"stage": v.Asked.Stage, "stages": all},
			evidence: evidence, fix: r.createStage(v.Asked.Stage)})
		return
	}
	if v.stage != nil || v.Asked.Method == "" || v.Asked.Domain != "" {
		if v.stage != nil && v.selected == nil {
			checkShadow(v, r, stages)
		}
		return
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(v.path, "/"), "/")
	if len(stages) == 0 || first == "" {
		r.withoutStage(stages, evidence)
		return
	}
	for _, s := range stages { // would the path be right under a stage?
		if i, _ := gateway.Select(v.keys(s.Name), v.Asked.Method, v.path); i >= 0 {
			r.find(found{cause: "stage.left-out", explains: v.failed(404, 403), values: values{"stage": s.Name,
				"path": "/" + s.Name + v.path}, evidence: evidence})
			return
		}
	}
	f := found{cause: "stage.missing", explains: v.failed(404, 403), values: values{"stage": first, "stages": all},
		evidence: evidence, fix: r.createStage(first)}
	if i := slices.IndexFunc(stages, func(s Stage) bool { return strings.EqualFold(s.Name, first) }); i >= 0 {
		f.variant, f.fix, f.values["near"] = "stage.missing.case", nil, stages[i].Name
	}
	r.find(f)
}

// withoutStage tells of a path that cannot name a stage, or of an API that has none.
func (r *result) withoutStage(stages []Stage, evidence []Evidence) {
	f := found{cause: "stage.missing", explains: r.failed(404, 403), evidence: evidence,
		values: values{"stage": "$default", "stages": "–"}, fix: r.createStage("$default")}
	if len(stages) > 0 {
		f.cause, f.fix = "stage.left-out", nil
		f.values["path"] = "/" + stages[0].Name + "/"
	}
	r.find(f)
}

func (r *result) createStage(name string) []Fix {
	if strings.Contains(name, "{") {
		return nil // a name that was not kept
	}
	if name == "" {
		name = "$default"
	}
	return []Fix{r.aws(false, "fix.create-stage", values{"stage": name}, &apigatewayv2.CreateStageInput{
		ApiId: &r.Asked.API, StageName: &name, AutoDeploy: aws.Bool(true)})}
}

// keys are the keys of the routes of a stage.
func (v *view) keys(stage string) (all []string) {
	for _, p := range v.pairs {
		if p.stage.Name == stage {
			all = append(all, p.route.Key)
		}
	}
	return all
}

// checkShadow tells of a stage whose name is also the first part of a path of the stage $default.
func checkShadow(v *view, r *result, stages []Stage) {
	if v.stage.Name == "$default" ||
		!slices.ContainsFunc(stages, func(s Stage) bool { return s.Name == "$default" }) {
		return
	}
	keys := v.keys("$default")
	if i, _ := gateway.Select(keys, v.Asked.Method, v.Asked.Path); i >= 0 && keys[i] != "$default" {
		r.find(found{cause: "stage.shadows-path", explains: v.failed(404), values: values{"stage": v.stage.Name,
			"route": keys[i]}, evidence: []Evidence{{v.Stages.Call, v.Asked.API, "StageName", v.stage.Name, ""}}})
	}
}

func checkDeployment(v *view, r *result) {
	for i := range v.Stages.Or() {
		s := &(*v.Stages.Value)[i]
		if v.Asked.Stage != "" && s.Name != v.Asked.Stage || v.stage != nil && s.Name != v.stage.Name {
			continue
		}
		r.deployment(s)
	}
}

// deployment judges whether a stage serves the latest definition of the API.
func (r *result) deployment(s *Stage) {
	v := r.view
	mine := v.stage == s
	deployed := named(v.Deployed, s.Name)
	of := values{"stage": s.Name, "api": v.Asked.API, "name": v.API.Or().Name}
	failed := strings.Contains(strings.ToLower(s.Failed), "fail") || strings.Contains(s.Failed, "Unable to deploy")
	switch {
	case failed:
		level := Warning
		if mine && v.selected == nil && v.failed(404) {
			level = Fault
		}
		of["why"] = s.Failed
		r.find(found{cause: "stage.deploy-failed", level: level, explains: level == Fault, values: of,
			evidence: []Evidence{{v.Stages.Call, v.Asked.API, "LastDeploymentStatusMessage", s.Failed, ""}}})
	case s.Deployment == "" && len(v.Routes.Or()) > 0:
		r.find(found{cause: "stage.not-deployed", explains: mine && v.failed(404), values: of, pairs: v.pairsOf(s),
			evidence: []Evidence{{v.Stages.Call, v.Asked.API, "DeploymentId", "", ""}},
			fix:      []Fix{r.deployStage(s.Name), r.autoDeploy(s.Name)}})
	case hideFact(r, deployed, "would.deployed"):
	case deployed.Seen() && v.Latest.Seen():
		differs := differences(*deployed.Value, *v.Latest.Value)
		if len(differs) == 0 {
			break
		}
		f := found{cause: "stage.stale", level: Note, fix: []Fix{r.deployStage(s.Name)}, evidence: []Evidence{{
			deployed.Call, s.Name, "routes", strings.Join(differs, ", "), ""}}}
		of["routes"] = strings.Join(differs, ", ")
		f.values = of
		if a := v.answer(); mine && a != nil && a.Status >= 400 && r.staleMatters(deployed.Value) {
			f.level, f.explains = Fault, true
		}
		r.find(f)
		return
	}
	if mine || v.Asked.Method == "" && !failed && s.Deployment != "" {
		if s.Deployment != "" {
			r.pass("pass.stage", of)
		}
	}
}

func (r *result) autoDeploy(stage string) Fix {
	return r.aws(false, "fix.auto-deploy", values{"stage": stage},
		&apigatewayv2.UpdateStageInput{ApiId: &r.Asked.API, StageName: &stage, AutoDeploy: aws.Bool(true)})
}

func (v *view) pairsOf(s *Stage) (some []*pair) {
	for _, p := range v.pairs {
		if p.stage == s {
			some = append(some, p)
		}
	}
	return some
}

// differences are the routes by which two definitions differ, with a sign: + of what is not deployed, - of what is
// still deployed, ~ of what is deployed otherwise.
func differences(deployed, latest Definition) (all []string) {
	for _, key := range sortedKeys(latest.Routes) {
		if was, there := deployed.Routes[key]; !there {
			all = append(all, "+ "+key)
		} else if was != latest.Routes[key] {
			all = append(all, "~ "+key)
		}
	}
	for _, key := range sortedKeys(deployed.Routes) {
		if _, there := latest.Routes[key]; !there {
			all = append(all, "- "+key)
		}
	}
	if deployed.CORS != latest.CORS {
		all = append(all, "~ CORS")
	}
	return all
}

// staleMatters reports whether the request would be answered otherwise if the latest definition were deployed.
func (r *result) staleMatters(deployed *Definition) bool {
	was, now := sortedKeys(deployed.Routes), sortedKeys(r.Latest.Value.Routes)
	i, _ := gateway.Select(was, r.Asked.Method, r.path)
	j, _ := gateway.Select(now, r.Asked.Method, r.path)
	switch {
	case i < 0 || j < 0:
		return j >= 0
	}
	return was[i] != now[j] || deployed.Routes[was[i]] != r.Latest.Value.Routes[now[j]]
}

func checkTargets(v *view, r *result) {
	if hideFact(r, v.Integrations, "would.integrations") || !v.Integrations.Seen() {
		return
	}
	r.each(v.requestFirst(), func(p *pair) *found {
		if p.integration != nil {
			return nil
		}
		cause, fix := "route.no-target", "fix.target"
		if p.route.Target != "" {
			cause = "route.integration-gone"
		}
		f := &found{cause: cause, values: values{"route": p.route.Key, "target": p.route.Target},
			explains: v.explains(
				p,
				404,
				500,
			), evidence: []Evidence{{v.Routes.Call, v.Asked.API, p.route.Key + " Target",
				p.route.Target, "integrations/…"}}}
		if all := v.Integrations.Or(); len(all) == 1 {
			f.fix = []Fix{r.aws(false, fix, nil, &apigatewayv2.UpdateRouteInput{ApiId: &v.Asked.API,
				RouteId: &p.route.ID, Target: aws.String("integrations/" + all[0].ID)})}
		}
		return f
	})
}

func checkThrottle(v *view, r *result) {
	defer func() {
		if v.failed(429) && v.selected != nil && !r.explained("stage") {
			r.find(
				found{cause: "stage.throttled", variant: "stage.throttled.account", certainty: Likely, explains: true,
					pairs: []*pair{v.selected}, values: values{"region": v.Asked.Region},
					evidence: []Evidence{{v.Stages.Call, v.Asked.API, "DefaultRouteSettings", "", ""}}},
			)
		}
	}()
	r.each(v.requestFirst(), func(p *pair) *found {
		limit, of := p.stage.Default, "DefaultRouteSettings"
		where := p.stage.Name
		if own, there := p.stage.Routes[p.route.Key]; there {
			limit, of, where = &own, "RouteSettings "+p.route.Key, p.stage.Name+" "+p.route.Key
		}
		if limit == nil || limit.Rate == nil && limit.Burst == nil {
			return nil
		}
		rate, burst := 0.0, 0
		if limit.Rate != nil {
			rate = *limit.Rate
		}
		if limit.Burst != nil {
			burst = *limit.Burst
		}
		f := &found{
			cause:    "stage.throttled",
			explains: v.explains(p, 429),
			values: values{"stage": where, "rate": rate,
				"burst": burst},
			evidence: []Evidence{{v.Stages.Call, v.Asked.API, of,
				fmt.Sprintf("rate %g/s, burst %d", rate, burst), ""}},
		}
		if rate > 0 && burst > 0 { // one set alone leaves the other at 0
			if !f.explains {
				return nil
			}
			f.certainty = Likely
		}
		settings := &types.RouteSettings{
			ThrottlingRateLimit:  aws.Float64(10000),
			ThrottlingBurstLimit: aws.Int32(5000),
		}
		in := &apigatewayv2.UpdateStageInput{
			ApiId:                &v.Asked.API,
			StageName:            &p.stage.Name,
			DefaultRouteSettings: settings,
		}
		if of != "DefaultRouteSettings" {
			in.DefaultRouteSettings, in.RouteSettings = nil, map[string]types.RouteSettings{p.route.Key: *settings}
		}
		f.fix = []Fix{r.aws(false, "fix.throttle", nil, in)}
		return f
	})
}
