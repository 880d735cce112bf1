package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/unknown"
)

// checks lists all checks, in the order of the chain.
var checks = []check{
	{id: "caller", link: LinkClient, judge: checkCaller},
	{id: "endpoint", link: LinkEndpoint, judge: checkEndpoint},
	{id: "domain", link: LinkEndpoint, judge: checkDomain},
	{id: "stage", link: LinkStage, judge: checkStage},
	{id: "deployment", link: LinkStage, judge: checkDeployment},
	{id: "route", link: LinkRoute, judge: checkRoute},
	{id: "target", link: LinkRoute, judge: checkTargets},
	{id: "throttle", link: LinkStage, judge: checkThrottle},
	{id: "cors", link: LinkCORS, judge: checkCORS},
	{id: "authorizer", link: LinkAuthorizer, judge: checkAuthorizers},
	{id: "integration", link: LinkIntegration, judge: checkIntegrations},
	{id: "format", link: LinkIntegration, judge: checkFormats},
	{id: "permission", link: LinkPermission, judge: checkPermissions},
	{id: "function", link: LinkFunction, judge: checkFunctions},
	{id: "invocation", link: LinkFunction, judge: checkInvocation},
	{id: "lines", link: LinkCode, judge: checkLines},
	{id: "code", link: LinkCode, judge: checkCode},
	{id: "response", link: LinkResponse, judge: checkResponse},
	{id: "role", link: LinkRole, judge: checkRole},
	{id: "needs", link: LinkRole, judge: checkNeeds},
	{id: "table", link: LinkTable, judge: checkTable},
	{id: "logs-right", link: LinkRole, judge: checkRoleLogs},
	{id: "throttles", link: LinkFunction, judge: checkThrottles},
	{id: "app", link: LinkApp, judge: checkApp},
	{id: "access", link: LinkLogs, judge: checkAccess},
	{id: "logs", link: LinkLogs, judge: checkLogs},
	{id: "changes", link: LinkLogs, judge: checkChanges},
	{id: "rights", link: LinkClient, judge: checkRights},
}

// checkCaller judges the credentials.
func checkCaller(v *view, r *result) {
	f := v.Caller
	switch {
	case f.Seen():
		r.pass("pass.caller", values{"arn": f.Value.ARN, "region": v.Asked.Region})
	case f.Error != nil && f.Error.Kind != Unreachable:
		one := draft{
			cause:    "caller.credentials",
			evidence: []Evidence{{Call: f.Call, Field: f.Error.Code, Value: f.Error.Message}},
		}
		if f.Error.Code == NoCredentials {
			one.variant = "caller.credentials.none"
		}
		r.addFinding(one)
	case f.Error != nil:
		reportUnseen(r, f, "would.caller")
	}
}

// checkRights lists the permissions that the caller lacks.
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
	r.addFinding(draft{cause: "caller.rights", values: values{
		"rights": joinNames(rights, func(s string) string { return s })},
		evidence: []Evidence{}, fix: []Fix{r.programFix(true, "fix.rights", "doctor", "--print-policy")}})
}

func errorText(f *Failure) string {
	if f == nil {
		return ""
	}
	return strings.TrimSpace(f.Code + " " + f.Message)
}

func (r *result) deployFix(stage string) Fix {
	return r.awsFix(false, "fix.deploy", values{"stage": stage},
		&apigatewayv2.CreateDeploymentInput{ApiId: &r.Asked.API, StageName: &stage})
}

// joinNames lists the names of things in a sentence, at most eight, sorted. It returns "–" for none.
func joinNames[T any](all []T, name func(T) string) string {
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
	if reportUnseen(r, v.Stages, "would.stages") || !v.Stages.Seen() {
		return
	}
	if v.Planned != nil && v.Planned.NoStage {
		r.addFinding(draft{cause: "stage.missing", variant: "stage.none", level: Warning, certainty: Likely,
			evidence: []Evidence{{Call: v.Stages.Call, Of: v.Asked.API, Field: "StageName"}}})
		return
	}
	stages := *v.Stages.Value
	all := joinNames(stages, func(s Stage) string { return s.Name })
	evidence := []Evidence{{Call: v.Stages.Call, Of: v.Asked.API, Field: "StageName", Value: all}}
	if v.Asked.Stage != "" && v.Asked.Domain == "" && !slices.ContainsFunc(stages, func(s Stage) bool {
		return s.Name == v.Asked.Stage
	}) {
		r.addFinding(draft{cause: "stage.missing", explains: true, values: values{
			"stage": v.Asked.Stage, "stages": all},
			evidence: evidence, fix: r.createStageFix(v.Asked.Stage)})
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
		r.addNoStage(stages, evidence)
		return
	}
	for _, s := range stages { // does a stage have a route for the path?
		if i, _ := gateway.Select(v.routeKeys(s.Name), v.Asked.Method, v.path); i >= 0 {
			r.addFinding(draft{cause: "stage.left-out", explains: v.gatewayFailed(404, 403), values: values{
				"stage": s.Name,
				"path":  "/" + s.Name + v.path}, evidence: evidence})
			return
		}
	}
	f := draft{cause: "stage.missing", explains: v.gatewayFailed(404, 403), values: values{
		"stage": first, "stages": all},
		evidence: evidence, fix: r.createStageFix(first)}
	if i := slices.IndexFunc(stages, func(s Stage) bool { return strings.EqualFold(s.Name, first) }); i >= 0 {
		f.variant, f.fix, f.values["near"] = "stage.missing.case", nil, stages[i].Name
	}
	r.addFinding(f)
}

// addNoStage adds the finding for a path that cannot name a stage, or an API without stages.
func (r *result) addNoStage(stages []Stage, evidence []Evidence) {
	f := draft{cause: "stage.missing", explains: r.gatewayFailed(404, 403), evidence: evidence,
		values: values{"stage": "$default", "stages": "–"}, fix: r.createStageFix("$default")}
	if len(stages) > 0 {
		f.cause, f.fix = "stage.left-out", nil
		f.values["path"] = "/" + stages[0].Name + "/"
	}
	r.addFinding(f)
}

func (r *result) createStageFix(name string) []Fix {
	if strings.Contains(name, "{") {
		return nil // the name was removed from the facts
	}
	if name == "" {
		name = "$default"
	}
	return []Fix{r.awsFix(false, "fix.create-stage", values{"stage": name}, &apigatewayv2.CreateStageInput{
		ApiId: &r.Asked.API, StageName: &name, AutoDeploy: aws.Bool(true)})}
}

// routeKeys returns the keys of the routes of a stage.
func (v *view) routeKeys(stage string) (all []string) {
	for _, p := range v.pairs {
		if p.stage.Name == stage {
			all = append(all, p.route.Key)
		}
	}
	return all
}

// checkShadow finds a stage that hides a path of the stage $default, because it has the name of its first segment.
func checkShadow(v *view, r *result, stages []Stage) {
	if v.stage.Name == "$default" ||
		!slices.ContainsFunc(stages, func(s Stage) bool { return s.Name == "$default" }) {
		return
	}
	keys := v.routeKeys("$default")
	if i, _ := gateway.Select(keys, v.Asked.Method, v.Asked.Path); i >= 0 && keys[i] != "$default" {
		r.addFinding(draft{cause: "stage.shadows-path", explains: v.gatewayFailed(404), values: values{
			"stage": v.stage.Name,
			"route": keys[i]}, evidence: []Evidence{
			{Call: v.Stages.Call, Of: v.Asked.API, Field: "StageName", Value: v.stage.Name}}})
	}
}

func checkDeployment(v *view, r *result) {
	for i := range v.Stages.Or() {
		s := &(*v.Stages.Value)[i]
		if v.Asked.Stage != "" && s.Name != v.Asked.Stage || v.stage != nil && s.Name != v.stage.Name {
			continue
		}
		r.judgeDeployment(s)
	}
}

// judgeDeployment judges whether a stage serves the latest definition of the API.
func (r *result) judgeDeployment(s *Stage) {
	v := r.view
	mine := v.stage == s
	deployed := factNamed(v.Deployed, s.Name)
	of := values{"stage": s.Name, "api": v.Asked.API, "name": v.API.Or().Name}
	failed := strings.Contains(strings.ToLower(s.Failed), "fail") || strings.Contains(s.Failed, "Unable to deploy")
	switch {
	case failed:
		level := Warning
		if mine && v.selected == nil && v.gatewayFailed(404) {
			level = Fault
		}
		of["why"] = s.Failed
		r.addFinding(draft{cause: "stage.deploy-failed", level: level, explains: level == Fault, values: of,
			evidence: []Evidence{{Call: v.Stages.Call, Of: v.Asked.API, Field: "LastDeploymentStatusMessage",
				Value: s.Failed}}})
	case s.Deployment == "" && len(v.Routes.Or()) > 0:
		r.addFinding(draft{cause: "stage.not-deployed", explains: mine && v.gatewayFailed(404), values: of,
			pairs:    v.stagePairs(s),
			evidence: []Evidence{{Call: v.Stages.Call, Of: v.Asked.API, Field: "DeploymentId"}},
			fix:      []Fix{r.deployFix(s.Name), r.autoDeployFix(s.Name)}})
	case reportUnseen(r, deployed, "would.deployed"):
	case deployed.Seen() && v.Latest.Seen():
		differs := differences(*deployed.Value, *v.Latest.Value)
		if len(differs) == 0 {
			break
		}
		f := draft{cause: "stage.stale", level: Note, fix: []Fix{r.deployFix(s.Name)}, evidence: []Evidence{{
			Call: deployed.Call, Of: s.Name, Field: "routes", Value: strings.Join(differs, ", ")}}}
		of["routes"] = strings.Join(differs, ", ")
		f.values = of
		if a := v.clientAnswer(); mine && a != nil && a.Status >= 400 && r.staleMatters(deployed.Value) {
			f.level, f.explains = Fault, true
		}
		r.addFinding(f)
		return
	}
	if mine || v.Asked.Method == "" && !failed && s.Deployment != "" {
		switch {
		case v.Planned != nil:
			if _, isThere := v.Planned.Places[PlaceOf("stage", s.Name)]; isThere {
				r.pass("pass.stage.planned", of)
			}
		case s.Deployment != "":
			r.pass("pass.stage", of)
		}
	}
}

func (r *result) autoDeployFix(stage string) Fix {
	return r.awsFix(false, "fix.auto-deploy", values{"stage": stage},
		&apigatewayv2.UpdateStageInput{ApiId: &r.Asked.API, StageName: &stage, AutoDeploy: aws.Bool(true)})
}

func (v *view) stagePairs(s *Stage) (some []*pair) {
	for _, p := range v.pairs {
		if p.stage == s {
			some = append(some, p)
		}
	}
	return some
}

// differences lists the routes in which two definitions differ: + for those not yet deployed, - for those deployed but
// deleted, ~ for those deployed differently.
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

// staleMatters reports whether the request would be routed differently if the latest definition were deployed.
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
	if reportUnseen(r, v.Integrations, "would.integrations") || !v.Integrations.Seen() {
		return
	}
	r.eachPair(v.requestFirst(), func(p *pair) *draft {
		if p.integration != nil {
			return nil
		}
		cause, fix := "route.no-target", "fix.target"
		if p.route.Target != "" {
			cause = "route.integration-gone"
		}
		if r.reportOpen(v.Routes.Call, p.route.Key, unknown.Names(p.route.Target), "would.target") {
			return nil
		}
		f := &draft{cause: cause, values: values{"route": p.route.Key, "target": p.route.Target},
			explains: v.explainsAnswer(p, 404, 500),
			evidence: []Evidence{{Call: v.Routes.Call, Of: v.Asked.API, Field: p.route.Key + " Target",
				Value: p.route.Target, Expected: "integrations/…"}}}
		if all := v.Integrations.Or(); len(all) == 1 {
			f.fix = []Fix{r.awsFix(false, fix, nil, &apigatewayv2.UpdateRouteInput{ApiId: &v.Asked.API,
				RouteId: &p.route.ID, Target: aws.String("integrations/" + all[0].ID)})}
		}
		return f
	})
}

func checkThrottle(v *view, r *result) {
	defer func() {
		if v.gatewayFailed(429) && v.selected != nil && !r.isExplained(LinkStage) {
			r.addFinding(
				draft{cause: "stage.throttled", variant: "stage.throttled.account", certainty: Likely, explains: true,
					pairs: []*pair{v.selected}, values: values{"region": v.Asked.Region},
					evidence: []Evidence{{Call: v.Stages.Call, Of: v.Asked.API, Field: "DefaultRouteSettings"}}},
			)
		}
	}()
	r.eachPair(v.requestFirst(), func(p *pair) *draft {
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
		f := &draft{
			cause:    "stage.throttled",
			explains: v.explainsAnswer(p, 429),
			values: values{"stage": where, "rate": rate,
				"burst": burst},
			evidence: []Evidence{{Call: v.Stages.Call, Of: v.Asked.API, Field: of,
				Value: fmt.Sprintf("rate %g/s, burst %d", rate, burst)}},
		}
		if rate > 0 && burst > 0 { // if only one is set, the other is 0
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
		f.fix = []Fix{r.awsFix(false, "fix.throttle", nil, in)}
		return f
	})
}
