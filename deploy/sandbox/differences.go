package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/portable-notes/deploy/policy"
)

// difference is a way in which moto is not AWS, and what the sandbox answers there. Of several for one operation the
// first is the outermost; next goes on to the others and then to moto.
type difference struct {
	operations string // service:Operation, several with spaces between
	moto, aws  string // what either does
	source     string // of what AWS does
	answer     func(s *Sandbox, c *call, next func() answer) answer
}

// differences are those of moto 5.2.1 that the programs of this project, or who tries them here, would meet.
var differences = []difference{
	{"lambda:AddPermission", "one policy for a function, its versions and aliases; a doubled statement id, $LATEST " +
		"and any size are taken", "a policy for each; 409, 400 and 400", "Lambda API reference, AddPermission; " +
		"Lambda quotas", own((*Sandbox).addPermission)},
	{
		"lambda:GetPolicy",
		"one policy for a function, its versions and aliases",
		"a policy for each; 404 for an empty " +
			"one",
		"Lambda API reference, GetPolicy",
		own((*Sandbox).getPolicy),
	},
	{"lambda:RemovePermission", "RevisionId is ignored", "412 for a RevisionId that is not the latest",
		"Lambda API reference, RemovePermission", own((*Sandbox).removePermission)},
	{"lambda:Invoke", "runs functions in Docker, with every right", "runs them under the Runtime API, with their " +
		"role's rights", "Lambda developer guide, execution environment", own(invokeCall)},
	{"lambda:PutFunctionConcurrency", "any number is reserved", "100 of an account's 1,000 must stay unreserved; " +
		"here of what one function asks for", "Lambda developer guide, configuring reserved concurrency",
		refuseConcurrency},
	{"lambda:GetAccountSettings", "404", "limits and usage", "Lambda API reference, GetAccountSettings",
		own(accountSettings)},
	{"lambda:DeleteFunction lambda:DeleteAlias", "-", "policies go with what they are of",
		"Lambda API reference, DeleteFunction", dropPoliciesAfter},
	{"lambda:CreateFunction lambda:GetFunction lambda:GetFunctionConfiguration lambda:UpdateFunctionConfiguration " +
		"lambda:UpdateFunctionCode", "always Active; LastModified stays as a configuration is updated",
		"Pending, then Active; InProgress, then Successful; LastModified moves",
		"Lambda developer guide, function states", showState},
	{"lambda:CreateFunction lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode", "any role is taken",
		"a role that Lambda cannot assume, also because it is seconds old, is refused",
		"Lambda developer guide, troubleshooting deployments", roleMustBeAssumable},
	{"lambda:CreateFunction lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode lambda:PublishVersion",
		"changes at any time", "409 while a function is Pending or an update is in progress",
		"Lambda developer guide, function states", notWhileSettling},
	{"lambda:CreateFunction lambda:UpdateFunctionCode", "-", "-", "the zip is kept, to run it", keepCode},
	{"lambda:CreateFunctionUrlConfig lambda:GetFunctionUrlConfig lambda:UpdateFunctionUrlConfig " +
		"lambda:DeleteFunctionUrlConfig", "nobody answers", "the same; here it is an address that answers",
		"Lambda developer guide, function URLs", noteURL},
	{
		"lambda:GetFunction",
		"no reserved concurrency of 0",
		"any",
		"Lambda API reference, GetFunction",
		withConcurrency,
	},
	{"lambda:TagResource lambda:UntagResource", "-", "-", "the tag sandbox-state puts a function into a state, for " +
		"rehearsal",
		stageByTag},
	{"lambda:PublishLayerVersion", "-", "-", "the zip is kept, to run functions with it", keepLayer},
	{"lambda:GetLayerVersion", "the address of the zip is one of AWS", "the same; here one that answers",
		"Lambda API reference, GetLayerVersion", layerHere},
	{"iam:CreateRole iam:UpdateAssumeRolePolicy", "a role can be assumed at once",
		"after some seconds, if the sandbox is asked for it", "IAM user guide, eventual consistency", noteRole},
	{"iam:CreateAccessKey iam:UpdateAccessKey iam:DeleteAccessKey", "-", "the keys of a user are judged by its " +
		"policies", "IAM user guide, policy evaluation logic", noteKey},
	{"sts:AssumeRole", "any role is assumed, also one that is not there",
		"if its trust policy allows it; the session is judged", "STS API reference, AssumeRole", assumeRole},
	{"sts:GetSessionToken", "one key for all", "a key for the caller", "STS API reference, GetSessionToken",
		sessionToken},
	{"sts:GetFederationToken sts:AssumeRoleWithWebIdentity sts:AssumeRoleWithSAML", "a session that may do all",
		"sessions with the rights of a policy or a role; here none", "STS API reference", own(noFederation)},
	{"iam:SimulatePrincipalPolicy", "500", "judges a role's policies", "IAM API reference, SimulatePrincipalPolicy",
		own(simulate)},

	{"cloudformation:CreateStack cloudformation:UpdateStack cloudformation:CreateChangeSet",
		"types that are not known are left out, and the stack is complete",
		"all types; here those of Lambda and API Gateway are refused", "CloudFormation API reference", refuseTypes},
	{"apigateway:CreateApi apigateway:UpdateApi apigateway:CreateIntegration apigateway:UpdateIntegration " +
		"apigateway:CreateAuthorizer apigateway:UpdateAuthorizer apigateway:CreateRoute apigateway:UpdateRoute",
		"anything is taken", "400 for what cannot be; an issuer of tokens is asked", "API Gateway V2 API reference",
		refuseAPI},
	{"apigateway:ExportApi", "404", "what a stage serves, or what would be deployed",
		"API Gateway V2 API reference, ExportApi",
		own(withAPI(exportAPI))},
	{"apigateway:ImportApi apigateway:ReimportApi", "404, and 500", "an API as an OpenAPI definition has it",
		"API Gateway V2 API reference, ImportApi", own(importAPI)},
	{"apigateway:ResetAuthorizersCache", "404", "Lambda authorizers are asked anew",
		"API Gateway V2 API reference, ResetAuthorizersCache", own(withStage(resetAuthorizersCache))},
	{"apigateway:CreateApi apigateway:GetApi apigateway:GetApis apigateway:UpdateApi",
		"ApiEndpoint is an address of AWS", "the same; here one that answers", "-", endpointHere},
	{"apigateway:CreateApi", "target and routeKey are ignored", "a route to the target and a stage $default: quick " +
		"create", "API Gateway V2 API reference, CreateApi", quickCreate},
	{
		"apigateway:CreateApi apigateway:DeleteApi",
		"-",
		"stages, deployments and authorizers come and go with their API",
		"API Gateway developer guide",
		noteAPI,
	},
	{"apigateway:GetApis apigateway:GetRoutes apigateway:GetIntegrations apigateway:GetStages " +
		"apigateway:GetDeployments apigateway:GetAuthorizers", "MaxResults and NextToken are ignored", "pages",
		"API Gateway V2 API reference", paged},
	{"apigateway:DeleteApi apigateway:DeleteRoute apigateway:DeleteIntegration apigateway:DeleteAuthorizer",
		"what is not there is deleted too, and what a route refers to", "404 and 409",
		"API Gateway V2 API reference, DeleteIntegration; hashicorp/terraform-provider-aws#37732", deleteWhatIsFree},
	{"apigateway:CreateRoute apigateway:UpdateRoute", "a second route with one key is taken, and one without",
		"409 and 400", "API Gateway V2 API reference, CreateRoute", routeKeyOnce},
	{"apigateway:CreateRoute apigateway:UpdateRoute", "scopes without a JWT authorizer are taken", "400",
		"aws/aws-cdk#27576", scopesNeedJWT},
	{"apigateway:CreateRoute apigateway:UpdateRoute apigateway:DeleteRoute apigateway:CreateIntegration " +
		"apigateway:UpdateIntegration apigateway:DeleteIntegration apigateway:CreateAuthorizer " +
		"apigateway:UpdateAuthorizer apigateway:DeleteAuthorizer apigateway:UpdateApi " +
		"apigateway:DeleteCorsConfiguration", "nothing is deployed", "stages with AutoDeploy serve the change, " +
		"others once it is deployed", "API Gateway developer guide, stages for HTTP APIs", deployAfter},
	{"apigateway:UpdateApi", "target is ignored", "a quick-created API goes to another target",
		"API Gateway V2 API reference, UpdateApi", updateTarget},
	{"apigateway:CreateAuthorizer apigateway:DeleteAuthorizer", "-", "GetAuthorizers lists them",
		"API Gateway V2 API reference", noteAuthorizer},
	{"apigateway:GetAuthorizers", "500", "a list", "API Gateway V2 API reference", own(withAPI(getAuthorizers))},
	{"apigateway:CreateStage", "one over an existing one, or with an access log to nowhere, is taken", "409 and 400",
		"API Gateway V2 API reference, CreateStage", own(withAPI(createStage))},
	{"apigateway:UpdateStage", "500", "merges what is given", "API Gateway V2 API reference, UpdateStage",
		own(withAPI(updateStage))},
	{"apigateway:GetStage", "knows no deployments", "DeploymentId and LastDeploymentStatusMessage",
		"API Gateway V2 API reference, GetStage", own(withStage(getStage))},
	{"apigateway:GetStages", "knows no deployments", "as GetStage", "API Gateway V2 API reference, GetStages",
		own(withAPI(getStages))},
	{"apigateway:DeleteStage", "-", "-", "stages are kept here", own(withStage(deleteStage))},
	{"apigateway:DeleteAccessLogSettings", "404", "no access log any more", "API Gateway V2 API reference",
		own(withStage(deleteAccessLogSettings))},
	{"apigateway:DeleteRouteSettings", "404", "the stage's default settings for a route",
		"API Gateway V2 API reference", own(withStage(deleteRouteSettings))},
	{"apigateway:CreateDeployment", "404", "a stage serves what is there now",
		"API Gateway V2 API reference, CreateDeployment", own(withAPI(createDeployment))},
	{"apigateway:GetDeployments", "404", "a list, newest first", "API Gateway V2 API reference, GetDeployments",
		own(withAPI(getDeployments))},
	{"apigateway:GetDeployment", "404", "one of them", "API Gateway V2 API reference, GetDeployment",
		own(withAPI(getDeployment))},
	{"apigateway:GetTags apigateway:TagResource apigateway:UntagResource", "404 for a stage", "stages have tags",
		"API Gateway V2 API reference, TagResource", own(stageTags)},

	{"apigateway:DeleteDeployment", "404", "deletes one that no stage serves",
		"API Gateway V2 API reference, DeleteDeployment", own(withAPI(deleteDeployment))},
	{"lambda:CreateFunction lambda:UpdateFunctionConfiguration", "reserved variables, retired runtimes and any " +
		"timeout are taken", "400", "Lambda developer guide, environment variables and runtimes; Lambda quotas",
		refuseConfiguration},

	{"logs:PutRetentionPolicy", "any number of days is taken", "400 but for some",
		"CloudWatch Logs API reference, PutRetentionPolicy", retentionDays},
}

// byOperation are the differences of each operation.
var byOperation = func() map[string][]*difference {
	all := map[string][]*difference{}
	for i := range differences {
		for _, operation := range strings.Fields(differences[i].operations) {
			all[operation] = append(all[operation], &differences[i])
		}
	}
	return all
}()

// own answers without moto.
func own(handle func(*Sandbox, *call) answer) func(*Sandbox, *call, func() answer) answer {
	return func(s *Sandbox, c *call, _ func() answer) answer { return handle(s, c) }
}

// answer goes through the differences of a call's operation, and on to moto.
func (s *Sandbox) answer(c *call) answer {
	rows := byOperation[c.Service+":"+c.Operation]
	var step func(i int) answer
	step = func(i int) answer {
		if i == len(rows) {
			return s.forward(c)
		}
		return rows[i].answer(s, c, func() answer { return step(i + 1) })
	}
	return step(0)
}

// edit changes an answer's JSON.
func (a answer) edit(change func(body map[string]any)) answer {
	var body map[string]any
	if !a.ok() || json.Unmarshal(a.body, &body) != nil || body == nil {
		return a
	}
	change(body)
	after := jsonAnswer(a.status, body)
	after.header = a.header
	return after
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func noteRole(s *Sandbox, c *call, next func() answer) answer {
	form, _ := url.ParseQuery(string(c.body)) // which moto reads too
	a := next()
	if a.ok() {
		s.mu.Lock()
		s.roleChanged[form.Get("RoleName")] = time.Now()
		s.mu.Unlock()
	}
	return a
}

// simulate judges as the role would be judged here.
func simulate(s *Sandbox, c *call) answer {
	form, _ := url.ParseQuery(string(c.body))
	values := func(prefix string) (all []string) {
		for i := 1; form.Get(prefix+strconv.Itoa(i)) != ""; i++ {
			all = append(all, form.Get(prefix+strconv.Itoa(i)))
		}
		return all
	}
	source := form.Get("PolicySourceArn")
	r, err := s.readRole(c.Context(), source)
	if err != nil {
		return c.refuse(
			http.StatusNotFound,
			"NoSuchEntity",
			"The role with name %s cannot be found.",
			baseName(source),
		)
	}
	resources := values("ResourceArns.member.")
	if resources == nil {
		resources = []string{"*"}
	}
	var members strings.Builder
	for _, action := range values("ActionNames.member.") {
		for _, on := range resources {
			d, _ := r.Judge(policy.Request{Principal: policy.Caller{ARN: source, Account: Account}, Action: action,
				Resource: on})
			says := "implicitDeny"
			if d.Denied || d.Unclear {
				says = "explicitDeny"
			} else if d.Allowed {
				says = "allowed"
			}
			fmt.Fprintf(
				&members,
				"<member><EvalActionName>%s</EvalActionName><EvalResourceName>%s</EvalResourceName>"+
					"<EvalDecision>%s</EvalDecision><MatchedStatements/><MissingContextValues/></member>",
				escaped(action),
				escaped(on),
				says,
			)
		}
	}
	return answer{http.StatusOK, http.Header{"Content-Type": {"text/xml"}},
		[]byte(`<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">` +
			`<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>` +
			members.String() + `</EvaluationResults></SimulatePrincipalPolicyResult><ResponseMetadata>` +
			`<RequestId>sandbox</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>`)}
}

func retentionDays(_ *Sandbox, c *call, next func() answer) answer {
	var in struct{ RetentionInDays int }
	c.decode(&in)
	if !slices.Contains([]int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557,
		2922, 3288, 3653}, in.RetentionInDays) {
		return c.refuse(
			http.StatusBadRequest,
			"InvalidParameterException",
			"1 validation error detected: Value '%d' "+
				"at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set",
			in.RetentionInDays,
		)
	}
	return next()
}
