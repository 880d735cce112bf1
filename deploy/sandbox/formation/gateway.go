package formation

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/gateway"
)

// The kinds call kindOf, which reads kinds, so they cannot be its initial value.
func init() {
	for name, k := range map[string]*kind{
		"Api":         api,
		"Stage":       stage,
		"Route":       route,
		"Integration": integration,
		"Authorizer":  authorizer,
		"Deployment":  deployment,
		"DomainName":  domainName,
		"ApiMapping":  apiMapping,
	} {
		kinds["AWS::ApiGatewayV2::"+name] = k
	}
}

// part returns the kind of a part of an API, which AWS gives an ID.
func part(id string, immutable []string, defaults map[string]any, create, update, remove func() any) *kind {
	ids := func(x *work) map[string]any { return map[string]any{"ApiId": x.properties["ApiId"], id: x.id} }
	k := &kind{
		immutable: immutable,
		create: func(x *work) error {
			answer, err := x.doWith(create(), x.properties)
			x.id = asText(answer[id])
			x.attributes[id] = x.id
			return err
		},
		remove: func(x *work) error {
			_, err := x.doWith(remove(), ids(x))
			return err
		},
	}
	if update != nil {
		k.update = func(x *work, before map[string]any) error {
			all := reset(before, x.properties, defaults)
			_, err := x.doWith(update(), with(all, ids(x)))
			return err
		}
	}
	return k
}

var (
	route = part("RouteId", []string{"ApiId"}, map[string]any{"AuthorizationType": "NONE"},
		func() any { return &apigatewayv2.CreateRouteInput{} }, func() any { return &apigatewayv2.UpdateRouteInput{} },
		func() any { return &apigatewayv2.DeleteRouteInput{} })
	integration = part("IntegrationId", []string{"ApiId"}, map[string]any{"TimeoutInMillis": 30_000},
		func() any { return &apigatewayv2.CreateIntegrationInput{} },
		func() any { return &apigatewayv2.UpdateIntegrationInput{} },
		func() any { return &apigatewayv2.DeleteIntegrationInput{} })
	authorizer = part("AuthorizerId", []string{"ApiId"}, map[string]any{"AuthorizerResultTtlInSeconds": 300},
		func() any { return &apigatewayv2.CreateAuthorizerInput{} },
		func() any { return &apigatewayv2.UpdateAuthorizerInput{} },
		func() any { return &apigatewayv2.DeleteAuthorizerInput{} })
	deployment = part("DeploymentId", nil, nil, func() any { return &apigatewayv2.CreateDeploymentInput{} }, nil,
		func() any { return &apigatewayv2.DeleteDeploymentInput{} })
)

// api is an API, which may be imported from an OpenAPI definition.
var api = &kind{
	immutable: []string{"ProtocolType"}, tags: "map",
	create: func(x *work) (err error) {
		var answer map[string]any
		if body, ok := x.properties["Body"]; ok {
			answer, err = x.do(&apigatewayv2.ImportApiInput{Body: aws.String(asJSON(body)),
				Basepath: optional(x.text("BasePath")), FailOnWarnings: aws.Bool(x.text("FailOnWarnings") == "true")})
			if x.id = asText(answer["ApiId"]); err == nil {
				err = x.configureAPI(nil)
			}
			if err == nil {
				err = x.tagAPI("/apis/"+x.id, nil)
			}
		} else {
			answer, err = x.doWith(&apigatewayv2.CreateApiInput{}, without(x.properties, importing...))
			x.id = asText(answer["ApiId"])
		}
		x.attributes["ApiId"], x.attributes["ApiEndpoint"] = x.id, answer["ApiEndpoint"]
		return err
	},
	update: func(x *work, before map[string]any) error {
		if body := x.properties["Body"]; body != nil && asJSON(body) != asJSON(before["Body"]) {
			if _, err := x.do(&apigatewayv2.ReimportApiInput{ApiId: &x.id, Body: aws.String(asJSON(body)),
				Basepath: optional(x.text("BasePath"))}); err != nil {
				return err
			}
		}
		if x.properties["CorsConfiguration"] == nil && before["CorsConfiguration"] != nil {
			if _, err := x.do(&apigatewayv2.DeleteCorsConfigurationInput{ApiId: &x.id}); err != nil {
				return err
			}
		}
		if err := x.configureAPI(before); err != nil {
			return err
		}
		return x.tagAPI("/apis/"+x.id, before)
	},
	remove: func(x *work) error {
		_, err := x.do(&apigatewayv2.DeleteApiInput{ApiId: &x.id})
		return err
	},
}

// importing are the properties of an API about its import.
var importing = []string{"Body", "BasePath", "FailOnWarnings"}

// configureAPI sets what an update can set.
func (x *work) configureAPI(before map[string]any) error {
	names := append([]string{"Tags", "ProtocolType", "CorsConfiguration"}, importing...)
	settings := reset(without(before, names...), without(x.properties, names...),
		map[string]any{"RouteSelectionExpression": "$request.method $request.path"})
	if cors := x.properties["CorsConfiguration"]; cors != nil {
		settings["CorsConfiguration"] = cors
	}
	if len(settings) == 0 {
		return nil
	}
	_, err := x.doWith(&apigatewayv2.UpdateApiInput{}, with(settings, map[string]any{"ApiId": x.id}))
	return err
}

// tagAPI changes the tags of an API or a stage.
func (x *work) tagAPI(path string, before map[string]any) error {
	arn := "arn:" + gateway.Partition(x.region) + ":apigateway:" + x.region + "::" + path
	return x.retag(before,
		func(tags map[string]string) any { return &apigatewayv2.TagResourceInput{ResourceArn: &arn, Tags: tags} },
		func(keys []string) any { return &apigatewayv2.UntagResourceInput{ResourceArn: &arn, TagKeys: keys} })
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

var stage = &kind{
	immutable: []string{"ApiId", "StageName"}, tags: "map",
	create: func(x *work) error {
		_, err := x.doWith(&apigatewayv2.CreateStageInput{}, x.properties)
		if err == nil {
			x.id = x.text("StageName")
		}
		return err
	},
	update: func(x *work, before map[string]any) error {
		api, name := aws.String(x.text("ApiId")), aws.String(x.text("StageName"))
		if x.properties["AccessLogSettings"] == nil && before["AccessLogSettings"] != nil {
			if _, err := x.do(&apigatewayv2.DeleteAccessLogSettingsInput{ApiId: api, StageName: name}); err != nil {
				return err
			}
		}
		now, _ := x.properties["RouteSettings"].(map[string]any)
		old, _ := before["RouteSettings"].(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(old)) {
			if now[key] == nil {
				if _, err := x.do(&apigatewayv2.DeleteRouteSettingsInput{ApiId: api, StageName: name,
					RouteKey: &key}); err != nil {
					return err
				}
			}
		}
		settings := reset(without(before, "Tags", "AccessLogSettings", "RouteSettings"),
			without(x.properties, "Tags"), nil)
		if _, err := x.doWith(&apigatewayv2.UpdateStageInput{}, settings); err != nil {
			return err
		}
		return x.tagAPI("/apis/"+*api+"/stages/"+*name, before)
	},
	remove: func(x *work) error {
		_, err := x.do(&apigatewayv2.DeleteStageInput{ApiId: aws.String(x.text("ApiId")), StageName: &x.id})
		return err
	},
}

var domainName = &kind{
	named: "DomainName", immutable: []string{"DomainName"}, tags: "map",
	create: func(x *work) error {
		answer, err := x.doWith(&apigatewayv2.CreateDomainNameInput{}, x.properties)
		if err != nil {
			return err
		}
		x.id = x.text("DomainName")
		if all, ok := answer["DomainNameConfigurations"].([]any); ok && len(all) > 0 {
			first, _ := all[0].(map[string]any)
			x.attributes["RegionalDomainName"] = first["ApiGatewayDomainName"]
			x.attributes["RegionalHostedZoneId"] = first["HostedZoneId"]
		}
		return nil
	},
	update: func(x *work, _ map[string]any) error {
		_, err := x.doWith(&apigatewayv2.UpdateDomainNameInput{}, without(x.properties, "Tags"))
		return err
	},
	remove: func(x *work) error {
		_, err := x.do(&apigatewayv2.DeleteDomainNameInput{DomainName: &x.id})
		return err
	},
}

var apiMapping = &kind{
	immutable: []string{"DomainName"},
	create: func(x *work) error {
		answer, err := x.doWith(&apigatewayv2.CreateApiMappingInput{}, x.properties)
		x.id = asText(answer["ApiMappingId"])
		x.attributes["ApiMappingId"] = x.id
		return err
	},
	update: func(x *work, before map[string]any) error {
		_, err := x.doWith(&apigatewayv2.UpdateApiMappingInput{}, with(reset(before, x.properties, nil),
			map[string]any{"ApiMappingId": x.id}))
		return err
	},
	remove: func(x *work) error {
		_, err := x.do(&apigatewayv2.DeleteApiMappingInput{ApiMappingId: &x.id,
			DomainName: aws.String(x.text("DomainName"))})
		return err
	},
}
