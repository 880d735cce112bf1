package stack

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	gatewaytypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/gateway"
)

// API returns the step of the HTTP API.
func (s Stack) API() Step {
	ours := fmt.Sprintf("Items[?Tags.\"%s\"=='%s' && Tags.\"%s\"=='%s'] | sort_by(@, &join('', [CreatedDate, "+
		"ApiId]))[].ApiId", StackTag, s.Name, RegionTag, s.Region)
	id := aws.String("${api}")
	find := &apigatewayv2.GetApisInput{}
	put := &apigatewayv2.UpdateApiInput{ApiId: id, Name: &s.Name}
	if s.Endpoint == "on" {
		put.DisableExecuteApiEndpoint = aws.Bool(false)
	}
	return Step{
		What: "HTTP API " + s.Name,
		Find: find,
		Pick: ours + " | [0]", // the oldest, so that concurrent programs agree
		Ref:  "api",
		Create: &apigatewayv2.CreateApiInput{Name: &s.Name, ProtocolType: gatewaytypes.ProtocolTypeHttp,
			Tags: s.Tags()},
		Duplicates:      ours + " | [1:]",
		RemoveDuplicate: &apigatewayv2.DeleteApiInput{ApiId: aws.String("${duplicate}")},
		Settings:        []Setting{{Read: &apigatewayv2.GetApiInput{ApiId: id}, Put: put}},
		Remove:          []any{&apigatewayv2.DeleteApiInput{ApiId: id}},
	}
}

func (s Stack) integration() Step {
	api, id := aws.String("${api}"), aws.String("${integration}")
	ours := "Items[?IntegrationUri=='" + s.FunctionARN() + "'].IntegrationId | sort(@)"
	return Step{
		What: "integration with " + s.Name,
		Find: &apigatewayv2.GetIntegrationsInput{ApiId: api},
		Pick: ours + " | [0]",
		Ref:  "integration",
		Create: &apigatewayv2.CreateIntegrationInput{ApiId: api, IntegrationType: gatewaytypes.IntegrationTypeAwsProxy,
			IntegrationUri: aws.String(s.FunctionARN()), PayloadFormatVersion: aws.String("2.0")},
		Duplicates:      ours + " | [1:]",
		RemoveDuplicate: &apigatewayv2.DeleteIntegrationInput{ApiId: api, IntegrationId: aws.String("${duplicate}")},
		Settings: []Setting{{Read: &apigatewayv2.GetIntegrationInput{ApiId: api, IntegrationId: id},
			Put: &apigatewayv2.UpdateIntegrationInput{ApiId: api, IntegrationId: id,
				IntegrationUri: aws.String(s.FunctionARN()), PayloadFormatVersion: aws.String("2.0")}}},
	}
}

func (s Stack) route(key, ref string) Step {
	api, id, target := aws.String("${api}"), aws.String("${"+ref+"}"), aws.String("integrations/${integration}")
	create := &apigatewayv2.CreateRouteInput{ApiId: api, RouteKey: &key, Target: target}
	put := &apigatewayv2.UpdateRouteInput{ApiId: api, RouteId: id, Target: target,
		AuthorizationType: gatewaytypes.AuthorizationTypeNone, AuthorizerId: aws.String(""),
		AuthorizationScopes: []string{}}
	if s.Auth.Kind == "jwt" && strings.HasPrefix(key, "ANY ") {
		create.AuthorizationType, create.AuthorizerId, create.AuthorizationScopes = gatewaytypes.AuthorizationTypeJwt,
			aws.String("${authorizer}"), scopes
		put.AuthorizationType, put.AuthorizerId, put.AuthorizationScopes = create.AuthorizationType,
			create.AuthorizerId, create.AuthorizationScopes
	}
	return Step{
		What:     "route " + key,
		Find:     &apigatewayv2.GetRoutesInput{ApiId: api},
		Pick:     "Items[?RouteKey=='" + key + "'].RouteId | [0]",
		Ref:      ref,
		Create:   create,
		Settings: []Setting{{Read: &apigatewayv2.GetRouteInput{ApiId: api, RouteId: id}, Put: put}},
	}
}

// Rate and Burst are the stage's throttling limits: requests per second, and concurrent requests. Both are always set,
// because setting one alone makes the other 0 and every answer 429 (hashicorp/terraform-provider-aws#43307).
const (
	Rate  = 50
	Burst = 100
)

func (s Stack) stage() Step {
	api, name := aws.String("${api}"), &s.Stage
	log := &gatewaytypes.AccessLogSettings{DestinationArn: aws.String(s.groupARN(s.AccessLogGroup())),
		Format: aws.String(AccessLog)}
	limits := &gatewaytypes.RouteSettings{ThrottlingBurstLimit: aws.Int32(Burst),
		ThrottlingRateLimit: aws.Float64(Rate)}
	find := &apigatewayv2.GetStageInput{ApiId: api, StageName: name}
	return Step{
		What: "stage " + s.Stage,
		Find: find,
		Create: &apigatewayv2.CreateStageInput{ApiId: api, StageName: name, AutoDeploy: aws.Bool(true),
			AccessLogSettings: log, DefaultRouteSettings: limits, Tags: s.Tags()},
		Settings: []Setting{{Read: find, Put: &apigatewayv2.UpdateStageInput{ApiId: api, StageName: name,
			AutoDeploy: aws.Bool(true), AccessLogSettings: log, DefaultRouteSettings: limits}}},
		Extras: []Extra{{List: find, At: "keys(RouteSettings || `{}`)",
			Remove: &apigatewayv2.DeleteRouteSettingsInput{ApiId: api, StageName: name,
				RouteKey: aws.String("${extra}")}}, s.otherAuthorizers()},
	}
}

// Grants returns the grants that the stack's API needs. The argument api is its id, or ${api} if not known yet.
func (s Stack) Grants(api string) (grants []gateway.Grant) {
	a := gateway.API{Partition: s.Partition, Region: s.Region, Account: s.Account, ID: api}
	for _, key := range s.Routes() {
		grants = append(grants, gateway.NewGrant(a, s.Name, "", s.Stage+" "+key, a.Pattern(s.Stage, key)))
	}
	return grants
}
