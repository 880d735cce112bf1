package sandbox

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// domainPath is the path under which custom domains answer. They also answer on their own names as hosts.
const domainPath = "/_aws/domains/"

// domain is a custom domain with its API mappings, longest key first.
type domain struct {
	name     string
	mappings []types.ApiMapping
}

// domains returns the custom domains of the sandbox's own region.
func (s *Sandbox) domains(ctx context.Context) ([]domain, error) {
	return cached(s, "domains", func() (all []domain, err error) {
		names, err := s.apis(s.region).GetDomainNames(ctx, &apigatewayv2.GetDomainNamesInput{})
		if err != nil {
			return nil, err
		}
		for _, n := range names.Items {
			got, err := s.apis(s.region).GetApiMappings(ctx,
				&apigatewayv2.GetApiMappingsInput{DomainName: n.DomainName})
			if err != nil {
				return nil, err
			}
			slices.SortFunc(got.Items, func(a, b types.ApiMapping) int {
				return len(*orEmpty(b.ApiMappingKey)) - len(*orEmpty(a.ApiMappingKey))
			})
			all = append(all, domain{*n.DomainName, got.Items})
		}
		return all, nil
	})
}

// serveDomain answers a request to a custom domain, and reports whether the request is one. The key of an API mapping
// is a prefix of the path, which only events of format 1.0 contain. If no mapping matches, the answer is 403 ("Map API
// stages to a custom domain name for HTTP APIs").
func (s *Sandbox) serveDomain(w http.ResponseWriter, r *http.Request) bool {
	host, path := strings.Split(r.Host, ":")[0], r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, domainPath); ok {
		host, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	} else if net.ParseIP(host) != nil {
		return false // a call of an AWS operation
	}
	all, err := s.domains(r.Context())
	if err != nil {
		return false // a call that needs moto reports the error
	}
	i := slices.IndexFunc(all, func(d domain) bool { return strings.EqualFold(d.name, host) })
	if i < 0 {
		return false
	}
	for _, m := range all[i].mappings {
		key := *orEmpty(m.ApiMappingKey)
		rest, ok := strings.CutPrefix(path, "/"+key)
		if key != "" && (!ok || rest != "" && !strings.HasPrefix(rest, "/")) {
			continue
		}
		if key == "" {
			rest = path
		}
		x := &exchange{s: s, r: r, region: s.region, id: requestID(), began: time.Now(), log: map[string]string{},
			customDomain: all[i].name, mappingKey: key}
		x.answer(w, *m.ApiId, "/"+*m.Stage+"/"+strings.TrimPrefix(rest, "/"), true)
		return true
	}
	a := jsonAnswer(http.StatusForbidden, map[string]string{"message": "Forbidden"})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
	return true
}
