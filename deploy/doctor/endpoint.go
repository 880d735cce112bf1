package doctor

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
)

func checkEndpoint(v *view, r *result) {
	a := v.Answer.Or()
	if a.Failure != "" && !(a.Phase == "name" && v.API.Missing() || v.Domain.Seen() &&
		(a.Phase == "name" || a.Phase == "tls")) {
		cause := "endpoint.unreachable"
		if strings.HasPrefix(v.Asked.URL, "http://") && !v.Asked.Local {
			cause = "endpoint.url"
		}
		variant := ""
		if a.Phase == "timeout" {
			variant = "endpoint.timeout"
		}
		r.find(found{cause: cause, variant: variant, explains: true,
			values: values{
				"host": v.Asked.Host,
				"why":  a.Failure,
			}, evidence: []Evidence{{v.Answer.Call, v.Asked.Host, a.Phase, a.Failure, ""}}})
	}
	r.otherHost(a)
	if v.Asked.API == "" {
		if v.Asked.Method != "" && !v.Domain.Seen() {
			r.find(found{cause: "endpoint.not-ours", values: values{"host": v.Asked.Host, "program": v.Program}})
		}
		return
	}
	if hideFact(r, v.API, "would.api") {
		return
	}
	evidence := []Evidence{{v.API.Call, v.Asked.API, "", errorText(v.API.Error), ""}}
	switch seen := v.answer(); {
	case !v.API.Seen() && v.API.Error == nil:
	case v.API.Missing() && v.REST.Seen():
		r.find(found{cause: "endpoint.rest-api", values: values{"api": v.Asked.API, "name": v.REST.Value.Name},
			evidence: []Evidence{{v.REST.Call, v.Asked.API, "name", v.REST.Value.Name, ""}}})
	case v.API.Missing() && seen != nil && seen.RequestID != "" && !v.failed(403, 404):
		r.find(found{cause: "caller.other-account", explains: seen.Status >= 400, evidence: evidence,
			values: values{"api": v.Asked.API, "account": v.api.Account, "region": v.Asked.Region}})
	case v.API.Missing() && v.Domain.Seen(): // which leads there
	case v.API.Missing():
		r.find(found{cause: "endpoint.unknown-api", explains: seen != nil, evidence: evidence,
			values: values{"api": v.Asked.API, "account": v.api.Account, "region": v.Asked.Region},
			fix:    []Fix{r.aws(true, "fix.list-apis", nil, &apigatewayv2.GetApisInput{})}})
	case v.API.Value.Protocol == "WEBSOCKET":
		r.find(found{cause: "endpoint.websocket-api", values: values{"api": v.Asked.API},
			evidence: []Evidence{{v.API.Call, v.Asked.API, "ProtocolType", "WEBSOCKET", "HTTP"}}})
	case v.API.Value.Disabled:
		checkDisabled(v, r)
	}
}

// otherHost tells of a refusal that never reached the API: of a request that names another host than the API's, as a
// CDN passes it on, or that an endpoint in a VPC took. API Gateway gives it no request id, and logs nothing.
func (r *result) otherHost(a Answer) {
	own := a.Status == 403 && OwnBody(a.Body) && a.RequestID == "" && !r.Domain.Seen()
	f := found{explains: true, certainty: Likely, values: values{"host": r.Asked.Host, "other": r.Asked.OtherHost},
		evidence: []Evidence{{r.Answer.Call, r.Asked.Host, "403", a.Body, ""}}}
	switch {
	case own && r.Asked.OtherHost != "":
		f.cause, f.certainty = "endpoint.host-header", Proved
		f.evidence = []Evidence{{"request", r.Asked.Host, "Host", r.Asked.OtherHost, r.Asked.Host}}
	case own && (a.Headers["x-amz-cf-id"] != "" || a.Headers["cf-ray"] != ""):
		f.cause, f.variant = "endpoint.host-header", "endpoint.host-header.cdn"
	case own && a.Private:
		f.cause, f.variant = "endpoint.unreachable", "endpoint.private"
	default:
		return
	}
	r.find(f)
}

// checkDisabled tells of a default endpoint that is switched off. That acts, and is undone, with a deployment.
func checkDisabled(v *view, r *result) {
	f := found{cause: "endpoint.disabled", level: Note, values: values{"api": v.Asked.API},
		evidence: []Evidence{{v.API.Call, v.Asked.API, "DisableExecuteApiEndpoint", "true", "false"}},
		fix: []Fix{r.aws(false, "fix.enable-endpoint", nil, &apigatewayv2.UpdateApiInput{ApiId: &v.Asked.API,
			DisableExecuteApiEndpoint: aws.Bool(false)})}}
	if v.Asked.Domain == "" && v.failed(404) {
		f.level, f.explains = Fault, true
	} else {
		f.fix, f.evidence[0].Expected = nil, "" // it may be meant
	}
	for _, s := range v.Stages.Or() {
		if !s.AutoDeploy && f.fix != nil {
			f.fix = append(f.fix, r.deployStage(s.Name))
		}
	}
	r.find(f)
}
