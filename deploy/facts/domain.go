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

// domain looks up the custom domain of a URL that tells no API, and what it maps the path to.
func (g *gatherer) domain() {
	c := &g.c
	if g.ask.URL == nil {
		return
	}
	if api, _, _ := locate(g.ask.URL); api != "" {
		return
	}
	name, path := domainOf(g.ask.URL)
	const told = `{Name: DomainName, Target: DomainNameConfigurations[0].ApiGatewayDomainName, Routing: RoutingMode,
		Status: DomainNameConfigurations[0].DomainNameStatus,
		Certificate: DomainNameConfigurations[0].CertificateArn, TrustStore: MutualTlsAuthentication.TruststoreUri}`
	c.Domain = ask[doctor.Domain](g, &apigatewayv2.GetDomainNameInput{DomainName: &name}, name, told)
	if c.Domain.Error != nil && c.Domain.Error.Kind == doctor.Denied {
		all := ask[[]doctor.Domain](g, &apigatewayv2.GetDomainNamesInput{}, name, "Items[]."+told)
		if one, ok := find(all.Or(), func(d doctor.Domain) bool { return strings.EqualFold(d.Name, name) }); ok {
			c.Domain = doctor.Fact[doctor.Domain]{Call: all.Call, Of: name, Value: &one}
		}
	}
	if !c.Domain.Seen() {
		return
	}
	mappings := ask[[]doctor.Mapping](g, &apigatewayv2.GetApiMappingsInput{DomainName: &name}, name, "Items")
	if mappings.Error != nil {
		c.Domain.Value, c.Domain.Error = nil, mappings.Error
		return
	}
	c.Domain.Value.Mappings = mappings.Or()
	if !c.Asked.Local {
		c.Domain.Value.Leads = leads(g.ctx, name, c.Domain.Value.Target)
	}
	c.Asked.Domain, c.Asked.Path = name, path
	if m, rest, ok := c.Domain.Value.Map(path); ok {
		if c.Asked.API != "" && c.Asked.API != m.API {
			c.Asked.Instead = c.Asked.API
		}
		c.Asked.API, c.Asked.Stage, c.Asked.Path = m.API, m.Stage, rest
	}
}

// leads tells where the DNS record of a custom domain leads, from here: to the domain's target, elsewhere or nowhere.
func leads(ctx context.Context, name, target string) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var of [2][]string
	var failed [2]error
	together(
		func() { of[0], failed[0] = net.DefaultResolver.LookupHost(ctx, name) },
		func() { of[1], failed[1] = net.DefaultResolver.LookupHost(ctx, target) },
	)
	var unknown *net.DNSError
	switch {
	case errors.As(failed[0], &unknown) && unknown.IsNotFound:
		return doctor.Nowhere
	case failed[0] != nil || failed[1] != nil || target == "":
		return ""
	case slices.ContainsFunc(of[0], func(a string) bool { return slices.Contains(of[1], a) }):
		return doctor.ToTarget
	}
	return doctor.Elsewhere
}
