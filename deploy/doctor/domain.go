package doctor

import (
	"slices"
	"strings"
)

// Domain is a custom domain with its mappings to APIs.
type Domain struct {
	Name     string
	Mappings []Mapping
}

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
	default:
		r.pass("pass.domain", f.values)
		return
	}
	r.find(f)
}
