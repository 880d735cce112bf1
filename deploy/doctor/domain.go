package doctor

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// Domain is a custom domain with its mappings to APIs.
type Domain struct {
	Name        string
	Mappings    []Mapping
	Target      string // that its DNS record must lead to
	Leads       string // where the record leads: [ToTarget], [Elsewhere] or [Nowhere]; "" where this is not known
	Routing     string // mode: API_MAPPING_ONLY, ROUTING_RULE_ONLY or ROUTING_RULE_THEN_API_MAPPING
	Status      string // such as AVAILABLE
	Certificate string // ARN
	TrustStore  string // of clients' certificates; "" where clients need none
}

// Where the DNS record of a domain leads.
const (
	ToTarget  = "target"
	Elsewhere = "elsewhere"
	Nowhere   = "nowhere"
)

// Mapping maps the beginning of a path of a domain to a stage of an API.
type Mapping struct {
	API   string `json:"ApiId"`
	Stage string
	Key   string `json:"ApiMappingKey"` // the beginning of the path; "" for all paths
}

// Map selects the mapping of a path: that with the longest key which the path begins with ("Map API stages to a custom
// domain name for HTTP APIs"). It returns the path without the key.
func (d Domain) Map(path string) (m Mapping, rest string, ok bool) {
	for _, one := range d.Mappings {
		after, begins := strings.CutPrefix(path, "/"+one.Key)
		if one.Key == "" {
			after, begins = path, true
		}
		if begins && (one.Key == "" || after == "" || after[0] == '/') && (!ok || len(one.Key) > len(m.Key)) {
			m, rest, ok = one, after, true
		}
	}
	if ok && rest == "" {
		rest = "/"
	}
	return m, rest, ok
}

// checkDomain judges the mapping of a custom domain.
func checkDomain(v *view, r *result) {
	d := v.Domain
	if hideFact(r, d, "would.domain") || !d.Seen() {
		return
	}
	keys := names(d.Value.Mappings, func(m Mapping) string { return "/" + m.Key + " → " + m.API + "/" + m.Stage })
	f := found{values: values{"domain": d.Value.Name, "keys": keys, "stage": v.Asked.Stage, "api": v.Asked.API},
		explains: v.failed(403, 404), evidence: []Evidence{{d.Call, d.Of, "ApiMappings", keys, ""}}}
	switch {
	case len(d.Value.Mappings) == 0:
		f.cause = "endpoint.domain-unmapped"
	case v.Asked.API == "":
		f.cause = "endpoint.domain-key"
	case v.API.Missing(), v.Stages.Seen() && !slices.ContainsFunc(*v.Stages.Value, func(s Stage) bool {
		return s.Name == v.Asked.Stage
	}):
		f.cause = "endpoint.domain-stage"
	case d.Value.Routing == "ROUTING_RULE_ONLY" && v.failed(403, 404):
		f.cause, f.certainty = "endpoint.domain-routing", Likely
		f.evidence = []Evidence{{d.Call, d.Of, "RoutingMode", d.Value.Routing, "ROUTING_RULE_THEN_API_MAPPING"}}
		f.fix = []Fix{r.aws(false, "fix.routing", nil, &apigatewayv2.UpdateDomainNameInput{DomainName: &d.Value.Name,
			RoutingMode: types.RoutingModeRoutingRuleThenApiMapping})}
	case r.leadsElsewhere(&f), r.certificates(&f):
	default:
		r.pass("pass.domain", f.values)
		return
	}
	r.find(f)
}

// leadsElsewhere reports whether the answer, or its lack, is due to the domain's DNS record, and tells of it.
func (r *result) leadsElsewhere(f *found) bool {
	d, a := r.Domain.Value, r.answer()
	f.values["target"] = d.Target
	switch {
	case d.Leads == Nowhere && a != nil && a.Status == 0:
		f.variant = "endpoint.domain-dns.missing"
	case d.Leads == Elsewhere && a != nil && (a.Status == 0 || a.From == FromNobody || a.From == FromCDN):
		f.certainty = Likely // what is there may pass requests on
	default:
		return false
	}
	f.cause, f.explains = "endpoint.domain-dns", a.Status == 0 || a.Status >= 400
	f.evidence = []Evidence{{"DNS", d.Name, "", d.Leads, d.Target}}
	return true
}

// certificates reports whether a certificate is the reason for the answer, or its lack, and tells of it: the domain's,
// or the client's own that the domain asks for.
func (r *result) certificates(f *found) bool {
	d, a := r.Domain.Value, r.Answer.Or()
	refused := a.Phase == "tls" || r.failed(403) && a.RequestID == ""
	switch {
	case d.TrustStore != "" && refused:
		f.cause, f.explains = "endpoint.domain-mtls", true
		f.evidence = []Evidence{{r.Domain.Call, d.Name, "MutualTlsAuthentication.TruststoreUri", d.TrustStore, ""}}
		if !r.Asked.HasCertificate { // whoever has one may be served
			f.level, f.certainty = Note, Proved
			r.hide("request", d.Name, &Failure{Kind: Other, Message: r.say("why.no-certificate", nil)}, "would.mtls")
		}
	case a.Phase == "tls":
		f.cause, f.explains = "endpoint.domain-certificate", true
		f.values["why"] = a.Failure
		f.evidence = []Evidence{{r.Answer.Call, d.Name, a.Phase, a.Failure, ""},
			{r.Domain.Call, d.Name, "CertificateArn", d.Certificate + " " + d.Status, ""}}
	default:
		return false
	}
	return true
}
