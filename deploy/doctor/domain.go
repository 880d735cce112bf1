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
	Target      string // host that its DNS record must point to
	Leads       string // where the record points: [ToTarget], [Elsewhere] or [Nowhere]; "" if unknown
	Routing     string // mode: API_MAPPING_ONLY, ROUTING_RULE_ONLY or ROUTING_RULE_THEN_API_MAPPING
	Status      string // such as AVAILABLE
	Certificate string // ARN
	TrustStore  string // for client certificates; "" if clients need none
}

// Where the DNS record of a domain points.
const (
	ToTarget  = "target"
	Elsewhere = "elsewhere"
	Nowhere   = "nowhere"
)

// Mapping maps paths of a domain to a stage of an API.
type Mapping struct {
	API   string `json:"ApiId"`
	Stage string
	Key   string `json:"ApiMappingKey"` // the path prefix; "" for all paths
}

// Map returns the mapping with the longest key that prefixes a path ("Map API stages to a custom domain name for HTTP
// APIs"), and the path without the key.
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

// checkDomain judges a custom domain and its mappings.
func checkDomain(v *view, r *result) {
	d := v.Domain
	if reportUnseen(r, d, "would.domain") || !d.Seen() {
		return
	}
	keys := joinNames(d.Value.Mappings, func(m Mapping) string { return "/" + m.Key + " → " + m.API + "/" + m.Stage })
	f := draft{values: values{"domain": d.Value.Name, "keys": keys, "stage": v.Asked.Stage, "api": v.Asked.API},
		explains: v.gatewayFailed(403, 404), evidence: []Evidence{
			{Call: d.Call, Of: d.Of, Field: "ApiMappings", Value: keys}}}
	switch {
	case len(d.Value.Mappings) == 0:
		f.cause = "endpoint.domain-unmapped"
	case v.Asked.API == "":
		f.cause = "endpoint.domain-key"
	case v.API.Missing(), v.Stages.Seen() && !slices.ContainsFunc(*v.Stages.Value, func(s Stage) bool {
		return s.Name == v.Asked.Stage
	}):
		f.cause = "endpoint.domain-stage"
	case d.Value.Routing == "ROUTING_RULE_ONLY" && v.gatewayFailed(403, 404):
		f.cause, f.certainty = "endpoint.domain-routing", Likely
		f.evidence = []Evidence{{Call: d.Call, Of: d.Of, Field: "RoutingMode", Value: d.Value.Routing,
			Expected: "ROUTING_RULE_THEN_API_MAPPING"}}
		f.fix = []Fix{r.awsFix(false, "fix.routing", nil, &apigatewayv2.UpdateDomainNameInput{DomainName: &d.Value.Name,
			RoutingMode: types.RoutingModeRoutingRuleThenApiMapping})}
	case r.judgeDNS(&f), r.judgeCertificates(&f):
	default:
		r.pass("pass.domain", f.values)
		return
	}
	r.addFinding(f)
}

// judgeDNS reports whether the domain's DNS record explains the response, or the lack of one, and completes the
// finding.
func (r *result) judgeDNS(f *draft) bool {
	d, a := r.Domain.Value, r.clientAnswer()
	f.values["target"] = d.Target
	switch {
	case d.Leads == Nowhere && a != nil && a.Status == 0:
		f.variant = "endpoint.domain-dns.missing"
	case d.Leads == Elsewhere && a != nil && (a.Status == 0 || a.From == FromNobody || a.From == FromCDN):
		f.certainty = Likely // the other host may forward requests
	default:
		return false
	}
	f.cause, f.explains = "endpoint.domain-dns", a.Status == 0 || a.Status >= 400
	f.evidence = []Evidence{{Call: "DNS", Of: d.Name, Value: d.Leads, Expected: d.Target}}
	return true
}

// judgeCertificates reports whether a certificate explains the response, or the lack of one, and completes the finding.
// It may be the domain's certificate, or the client certificate that the domain requires.
func (r *result) judgeCertificates(f *draft) bool {
	d, a := r.Domain.Value, r.Answer.Or()
	refused := a.Phase == "tls" || r.gatewayFailed(403) && a.RequestID == ""
	switch {
	case d.TrustStore != "" && refused:
		f.cause, f.explains = "endpoint.domain-mtls", true
		f.evidence = []Evidence{{Call: r.Domain.Call, Of: d.Name, Field: "MutualTlsAuthentication.TruststoreUri",
			Value: d.TrustStore}}
		if !r.Asked.HasCertificate { // a client with a certificate may be accepted
			f.level, f.certainty = Note, Proved
			r.addUnseen("request", d.Name, &Failure{Kind: Other, Message: r.say("why.no-certificate", nil)},
				"would.mtls")
		}
	case a.Phase == "tls":
		f.cause, f.explains = "endpoint.domain-certificate", true
		f.values["why"] = a.Failure
		f.evidence = []Evidence{{Call: r.Answer.Call, Of: d.Name, Field: a.Phase, Value: a.Failure},
			{Call: r.Domain.Call, Of: d.Name, Field: "CertificateArn", Value: d.Certificate + " " + d.Status}}
	default:
		return false
	}
	return true
}
