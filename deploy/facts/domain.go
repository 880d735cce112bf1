package facts

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/doctor"
)

// readDomain reads the custom domain of a URL that names no API, and the stage that the domain maps the path to.
func (g *gatherer) readDomain() {
	c := &g.c
	if g.inquiry.URL == nil {
		return
	}
	if api, _, _ := locate(g.inquiry.URL); api != "" {
		return
	}
	name, path := splitDomain(g.inquiry.URL)
	const fields = `{Name: DomainName, Target: DomainNameConfigurations[0].ApiGatewayDomainName, Routing: RoutingMode,
		Status: DomainNameConfigurations[0].DomainNameStatus,
		Certificate: DomainNameConfigurations[0].CertificateArn, TrustStore: MutualTlsAuthentication.TruststoreUri}`
	c.Domain = readPath[doctor.Domain](g, &apigatewayv2.GetDomainNameInput{DomainName: &name}, name, fields)
	if c.Domain.Error != nil && c.Domain.Error.Kind == doctor.Denied {
		all := readPath[[]doctor.Domain](g, &apigatewayv2.GetDomainNamesInput{}, name, "Items[]."+fields)
		if one, ok := findIn(all.Or(), func(d doctor.Domain) bool { return strings.EqualFold(d.Name, name) }); ok {
			c.Domain = doctor.Fact[doctor.Domain]{Call: all.Call, Of: name, Value: &one}
		}
	}
	if !c.Domain.Seen() {
		return
	}
	mappings := readPath[[]doctor.Mapping](g, &apigatewayv2.GetApiMappingsInput{DomainName: &name}, name, "Items")
	if mappings.Error != nil {
		c.Domain.Value, c.Domain.Error = nil, mappings.Error
		return
	}
	c.Domain.Value.Mappings = mappings.Or()
	if !c.Asked.Local {
		c.Domain.Value.Leads = resolveDomain(g.ctx, name, c.Domain.Value.Target)
	}
	c.Asked.Domain, c.Asked.Path = name, path
	if m, rest, ok := c.Domain.Value.Map(path); ok {
		if c.Asked.API != "" && c.Asked.API != m.API {
			c.Asked.Instead = c.Asked.API
		}
		c.Asked.API, c.Asked.Stage, c.Asked.Path = m.API, m.Stage, rest
	}
}

// resolveDomain reports where the DNS record of a custom domain points, as seen from here: [doctor.ToTarget],
// [doctor.Elsewhere] or [doctor.Nowhere], or "" if that is not known.
func resolveDomain(ctx context.Context, name, target string) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var addresses [2][]string
	var failed [2]error
	runAll(
		func() { addresses[0], failed[0] = net.DefaultResolver.LookupHost(ctx, name) },
		func() { addresses[1], failed[1] = net.DefaultResolver.LookupHost(ctx, target) },
	)
	var unknown *net.DNSError
	switch {
	case errors.As(failed[0], &unknown) && unknown.IsNotFound:
		return doctor.Nowhere
	case failed[0] != nil || failed[1] != nil || target == "":
		return ""
	case slices.ContainsFunc(addresses[0], func(a string) bool { return slices.Contains(addresses[1], a) }):
		return doctor.ToTarget
	}
	return doctor.Elsewhere
}
