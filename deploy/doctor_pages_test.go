package main

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/app/jwt/jwttest"
)

// pageFaults returns answers that a browser withholds from a page.
func pageFaults() []stagedCase {
	allow := func(c apitypes.Cors) func(p *patient) {
		return func(p *patient) {
			p.mustDo(p.gateway().UpdateApi(p.t.Context(), &apigatewayv2.UpdateApiInput{ApiId: &p.id,
				CorsConfiguration: &c}))
		}
	}
	page := []string{"https://app.example"}
	with := `{"statusCode": 200, "headers": {"access-control-allow-headers": "*", "access-control-allow-origin": "`
	fromPage := func(path string, words ...string) func(p *patient) []string {
		return func(p *patient) []string {
			return append([]string{"-H", "Origin: https://app.example", p.url(path)}, words...)
		}
	}
	preflight := func(path, method string) func(p *patient) []string {
		return fromPage(path, "-X", "OPTIONS", "-H", "Access-Control-Request-Method: "+method, "-H",
			"Access-Control-Request-Headers: x-app")
	}
	return []stagedCase{
		{stagedFault: stagedFault{cause: "cors.credentials", inject: allow(apitypes.Cors{AllowOrigins: []string{"*"}}),
			repair: allow(apitypes.Cors{AllowOrigins: page, AllowCredentials: aws.Bool(true)})},
			request: fromPage("/dev/items", "-b", "a=b")},
		{stagedFault: stagedFault{cause: "cors.method",
			inject: allow(apitypes.Cors{AllowOrigins: page, AllowHeaders: []string{"*"},
				AllowMethods: []string{"GET"}})}, request: preflight("/dev/items", "DELETE")},
		{stagedFault: stagedFault{cause: "cors.header", inject: allow(apitypes.Cors{AllowOrigins: page,
			AllowMethods: []string{"GET"}})}, request: preflight("/dev/items", "GET")},
		{stagedFault: stagedFault{cause: "cors.twice", inject: answerWith(with + page[0] + `, *"}}`),
			repair: answerWith(with + page[0] + `"}}`)}, request: fromPage("/dev/items")},
		{stagedFault: stagedFault{cause: "cors.preflight-authorized", inject: func(p *patient) {
			answerWith(with + page[0] + `"}}`)(p)
			p.addJWTAuthorizer(jwttest.New(p.t).URL, jwttest.Audience)
			p.mustDo(p.gateway().CreateRoute(p.t.Context(), &apigatewayv2.CreateRouteInput{ApiId: &p.id,
				RouteKey: aws.String("ANY /{proxy+}"), Target: aws.String("integrations/" + p.integration),
				AuthorizationType: apitypes.AuthorizationTypeJwt, AuthorizerId: &p.authorizer}))
		}}, request: preflight("/dev/else", "GET")},
	}
}

// domainFaults returns faults of custom domains.
func domainFaults() []stagedCase {
	name := func(p *patient) *string { return aws.String(p.name + ".example.com") }
	at := func(path string) func(p *patient) []string {
		return func(p *patient) []string { return []string{p.URL + "/_aws/domains/" + *name(p) + path} }
	}
	create := func(p *patient) {
		p.mustDo(p.gateway().CreateDomainName(p.t.Context(), &apigatewayv2.CreateDomainNameInput{DomainName: name(p),
			DomainNameConfigurations: []apitypes.DomainNameConfiguration{{}}}))
	}
	mapStage := func(p *patient) {
		p.mustDo(p.gateway().CreateApiMapping(p.t.Context(), &apigatewayv2.CreateApiMappingInput{ApiId: &p.id,
			DomainName: name(p), Stage: aws.String("dev"), ApiMappingKey: aws.String("v1")}))
	}
	own := func(p *patient) []string {
		host, port := p.id+".execute-api.us-east-1.amazonaws.com", p.URL[strings.LastIndex(p.URL, ":")+1:]
		return []string{"--resolve", host + ":" + port + ":127.0.0.1", "http://" + host + ":" + port + "/dev/items"}
	}
	return []stagedCase{
		{stagedFault: stagedFault{cause: "endpoint.domain-unmapped", inject: create, repair: mapStage},
			request: at("/v1/items")},
		{stagedFault: stagedFault{cause: "endpoint.domain-key", inject: func(p *patient) { create(p); mapStage(p) },
			repair: noFix}, request: at("/v2/items"), healed: at("/v1/items")},
		{stagedFault: stagedFault{cause: "endpoint.domain-stage", inject: func(p *patient) {
			create(p)
			mapStage(p)
			p.mustDo(p.gateway().DeleteStage(p.t.Context(), &apigatewayv2.DeleteStageInput{ApiId: &p.id,
				StageName: aws.String("dev")}))
		}, repair: func(p *patient) { p.addStage("dev", apigatewayv2.CreateStageInput{}) }},
			request: at("/v1/items")},
		{stagedFault: stagedFault{cause: "endpoint.host-header", inject: create, repair: noFix},
			request: func(p *patient) []string { return append(own(p), "-H", "Host: "+*name(p)) }, healed: own},
	}
}
