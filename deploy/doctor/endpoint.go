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
		r.addFinding(draft{cause: cause, variant: variant, explains: true,
			values: values{
				"host": v.Asked.Host,
				"why":  a.Failure,
			}, evidence: []Evidence{{Call: v.Answer.Call, Of: v.Asked.Host, Field: a.Phase, Value: a.Failure}}})
	}
	r.judgeHost(a)
	if v.Asked.API == "" {
		if v.Asked.Method != "" && !v.Domain.Seen() {
			r.addFinding(draft{cause: "endpoint.not-ours", values: values{"host": v.Asked.Host, "program": v.Program}})
		}
		return
	}
	if reportUnseen(r, v.API, "would.api") {
		return
	}
	evidence := []Evidence{{Call: v.API.Call, Of: v.Asked.API, Value: errorText(v.API.Error)}}
	switch seen := v.clientAnswer(); {
	case !v.API.Seen() && v.API.Error == nil:
	case v.API.Missing() && v.REST.Seen():
		r.addFinding(draft{cause: "endpoint.rest-api", values: values{"api": v.Asked.API, "name": v.REST.Value.Name},
			evidence: []Evidence{{Call: v.REST.Call, Of: v.Asked.API, Field: "name", Value: v.REST.Value.Name}}})
	case v.API.Missing() && seen != nil && seen.RequestID != "" && !v.gatewayFailed(403, 404):
		r.addFinding(draft{cause: "caller.other-account", explains: seen.Status >= 400, evidence: evidence,
			values: values{"api": v.Asked.API, "account": v.api.Account, "region": v.Asked.Region}})
	case v.API.Missing() && v.Domain.Seen(): // checkDomain judges this
	case v.API.Missing():
		r.addFinding(draft{cause: "endpoint.unknown-api", explains: seen != nil, evidence: evidence,
			values: values{"api": v.Asked.API, "account": v.api.Account, "region": v.Asked.Region},
			fix:    []Fix{r.awsFix(true, "fix.list-apis", nil, &apigatewayv2.GetApisInput{})}})
	case v.API.Value.Protocol == "WEBSOCKET":
		r.addFinding(draft{cause: "endpoint.websocket-api", values: values{"api": v.Asked.API},
			evidence: []Evidence{{Call: v.API.Call, Of: v.Asked.API, Field: "ProtocolType", Value: "WEBSOCKET",
				Expected: "HTTP"}}})
	case v.API.Value.Disabled:
		checkDisabled(v, r)
	}
}

// judgeHost finds a refusal that never reached the API, because the Host header names another host, perhaps set by a
// CDN, or because a VPC endpoint took the request. Then the response has no request id, and API Gateway logs nothing.
func (r *result) judgeHost(a Answer) {
	own := a.Status == 403 && IsGatewayBody(a.Body) && a.RequestID == "" && !r.Domain.Seen()
	f := draft{explains: true, certainty: Likely, values: values{"host": r.Asked.Host, "other": r.Asked.OtherHost},
		evidence: []Evidence{{Call: r.Answer.Call, Of: r.Asked.Host, Field: "403", Value: a.Body}}}
	switch {
	case own && r.Asked.OtherHost != "":
		f.cause, f.certainty = "endpoint.host-header", Proved
		f.evidence = []Evidence{{Call: "request", Of: r.Asked.Host, Field: "Host", Value: r.Asked.OtherHost,
			Expected: r.Asked.Host}}
	case own && (a.Headers["x-amz-cf-id"] != "" || a.Headers["cf-ray"] != ""):
		f.cause, f.variant = "endpoint.host-header", "endpoint.host-header.cdn"
	case own && a.Private:
		f.cause, f.variant = "endpoint.unreachable", "endpoint.private"
	default:
		return
	}
	r.addFinding(f)
}

// checkDisabled judges a disabled default endpoint. Disabling and enabling take effect with a deployment.
func checkDisabled(v *view, r *result) {
	f := draft{cause: "endpoint.disabled", level: Note, values: values{"api": v.Asked.API},
		evidence: []Evidence{{Call: v.API.Call, Of: v.Asked.API, Field: "DisableExecuteApiEndpoint", Value: "true",
			Expected: "false"}},
		fix: []Fix{r.awsFix(false, "fix.enable-endpoint", nil, &apigatewayv2.UpdateApiInput{ApiId: &v.Asked.API,
			DisableExecuteApiEndpoint: aws.Bool(false)})}}
	if v.Asked.Domain == "" && v.gatewayFailed(404) {
		f.level, f.explains = Fault, true
	} else {
		f.fix, f.evidence[0].Expected = nil, "" // it may be intended
	}
	for _, s := range v.Stages.Or() {
		if !s.AutoDeploy && f.fix != nil {
			f.fix = append(f.fix, r.deployFix(s.Name))
		}
	}
	r.addFinding(f)
}
