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

// correction makes the sandbox answer some operations differently from moto. The corrections of an operation are
// nested: the first is the outermost, and next calls the following one, or finally moto.
type correction struct {
	operations string // service:Operation, separated by spaces
	moto, aws  string // what moto does, and what AWS does
	source     string // documents what AWS does
	answer     func(s *Sandbox, c *call, next func() answer) answer
}

// corrections lists the differences of moto 5.2.1 from AWS that matter to the programs of this project and their users.
var corrections = []correction{
	{
		operations: "lambda:AddPermission",
		moto: "one policy for a function, its versions and aliases; accepts a duplicate statement ID, $LATEST and " +
			"any size",
		aws:    "a policy for each; 409, 400 and 400",
		source: "Lambda API reference, AddPermission; Lambda quotas",
		answer: withoutMoto((*Sandbox).addPermission),
	},
	{
		operations: "lambda:GetPolicy",
		moto:       "one policy for a function, its versions and aliases",
		aws:        "a policy for each; 404 for an empty one",
		source:     "Lambda API reference, GetPolicy",
		answer:     withoutMoto((*Sandbox).getPolicy),
	},
	{
		operations: "lambda:RemovePermission",
		moto:       "ignores RevisionId",
		aws:        "412 for a RevisionId that is not the latest",
		source:     "Lambda API reference, RemovePermission",
		answer:     withoutMoto((*Sandbox).removePermission),
	},
	{
		operations: "lambda:Invoke",
		moto:       "runs functions in Docker, with every right",
		aws:        "runs them under the Runtime API, with the rights of their role",
		source:     "Lambda developer guide, execution environment",
		answer:     withoutMoto(invokeCall),
	},
	{
		operations: "lambda:PutFunctionConcurrency",
		moto:       "reserves any number",
		aws:        "100 of an account's 1,000 must stay unreserved; here each function is checked alone",
		source:     "Lambda developer guide, configuring reserved concurrency",
		answer:     checkConcurrency,
	},
	{
		operations: "lambda:GetAccountSettings",
		moto:       "404",
		aws:        "limits and usage",
		source:     "Lambda API reference, GetAccountSettings",
		answer:     withoutMoto(accountSettings),
	},
	{
		operations: "lambda:DeleteFunction lambda:DeleteAlias",
		moto:       "-",
		aws:        "policies are deleted with their function or alias",
		source:     "Lambda API reference, DeleteFunction",
		answer:     dropWithFunction,
	},
	{
		operations: "lambda:CreateFunction lambda:GetFunction lambda:GetFunctionConfiguration " +
			"lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode",
		moto:   "always Active; a configuration update does not change LastModified",
		aws:    "Pending, then Active; InProgress, then Successful; LastModified changes",
		source: "Lambda developer guide, function states",
		answer: showState,
	},
	{
		operations: "lambda:CreateFunction lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode",
		moto:       "accepts any role",
		aws:        "400 for a role that Lambda cannot assume, even if only because it is seconds old",
		source:     "Lambda developer guide, troubleshooting deployments",
		answer:     checkRole,
	},
	{
		operations: "lambda:CreateFunction lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode " +
			"lambda:PublishVersion",
		moto:   "changes at any time",
		aws:    "409 while a function is Pending or an update is in progress",
		source: "Lambda developer guide, function states",
		answer: checkSettled,
	},
	{
		operations: "lambda:GetFunction lambda:GetFunctionConfiguration lambda:UpdateFunctionConfiguration " +
			"lambda:UpdateFunctionCode lambda:PublishVersion",
		moto:   "UpdateFunctionCode ignores Architectures",
		aws:    "it changes them, and a version keeps those of its publication",
		source: "Lambda API reference, UpdateFunctionCode",
		answer: trackArchitectures,
	},
	{
		operations: "lambda:CreateFunction lambda:UpdateFunctionCode",
		moto:       "accepts a zip that is not in S3, or fails",
		aws:        "400",
		source:     "Lambda API reference, CreateFunction; the zip is stored, to run it",
		answer:     storeCode,
	},
	{
		operations: "iam:CreateRole iam:PutRolePermissionsBoundary",
		moto:       "accepts a boundary that does not exist",
		aws:        "404",
		source:     "IAM API reference, PutRolePermissionsBoundary",
		answer:     checkBoundary,
	},
	{
		operations: "lambda:CreateFunctionUrlConfig lambda:GetFunctionUrlConfig lambda:UpdateFunctionUrlConfig " +
			"lambda:DeleteFunctionUrlConfig",
		moto:   "an address that nobody serves",
		aws:    "an address of AWS; here one of the sandbox",
		source: "Lambda developer guide, function URLs",
		answer: trackURL,
	},
	{
		operations: "lambda:GetFunction",
		moto:       "omits a reserved concurrency of 0",
		aws:        "any reserved concurrency",
		source:     "Lambda API reference, GetFunction",
		answer:     withConcurrency,
	},
	{
		operations: "lambda:TagResource lambda:UntagResource",
		moto:       "-",
		aws:        "-",
		source:     "the tag sandbox-state puts a function into a state, for rehearsal",
		answer:     stageByTag,
	},
	{
		operations: "lambda:PublishLayerVersion",
		moto:       "-",
		aws:        "-",
		source:     "stores the zip, to run functions with it",
		answer:     storeLayer,
	},
	{
		operations: "lambda:GetLayerVersion",
		moto:       "an address of AWS for the zip",
		aws:        "the same; here one of the sandbox",
		source:     "Lambda API reference, GetLayerVersion",
		answer:     localLayer,
	},
	{
		operations: "iam:CreateRole iam:UpdateAssumeRolePolicy",
		moto:       "a role can be assumed at once",
		aws:        "after some seconds; here if Options.RoleDelay is set",
		source:     "IAM user guide, eventual consistency",
		answer:     trackRole,
	},
	{
		operations: "iam:CreateAccessKey iam:UpdateAccessKey iam:DeleteAccessKey",
		moto:       "-",
		aws:        "a user's policies apply to its keys",
		source:     "IAM user guide, policy evaluation logic",
		answer:     trackKey,
	},
	{
		operations: "sts:AssumeRole",
		moto:       "assumes any role, even one that does not exist",
		aws:        "if the trust policy allows it; policies apply to the session",
		source:     "STS API reference, AssumeRole",
		answer:     assumeRole,
	},
	{
		operations: "sts:GetSessionToken",
		moto:       "one key for everybody",
		aws:        "a key for the caller",
		source:     "STS API reference, GetSessionToken",
		answer:     sessionToken,
	},
	{
		operations: "sts:GetFederationToken sts:AssumeRoleWithWebIdentity sts:AssumeRoleWithSAML",
		moto:       "a session that may do everything",
		aws:        "sessions with the rights of a policy or a role; here 501",
		source:     "STS API reference",
		answer:     withoutMoto(refuseFederation),
	},
	{
		operations: "iam:SimulatePrincipalPolicy",
		moto:       "500",
		aws:        "evaluates a role's policies",
		source:     "IAM API reference, SimulatePrincipalPolicy",
		answer:     withoutMoto(simulate),
	},
	{
		operations: "apigateway:CreateApi apigateway:UpdateApi apigateway:CreateIntegration " +
			"apigateway:UpdateIntegration apigateway:CreateAuthorizer apigateway:UpdateAuthorizer " +
			"apigateway:CreateRoute apigateway:UpdateRoute",
		moto:   "accepts anything",
		aws:    "400 for invalid values; connects to a token issuer",
		source: "API Gateway V2 API reference",
		answer: checkAPI,
	},
	{
		operations: "apigateway:ExportApi",
		moto:       "404",
		aws:        "what a stage serves, or what would be deployed",
		source:     "API Gateway V2 API reference, ExportApi",
		answer:     withoutMoto(withAPI(exportAPI)),
	},
	{
		operations: "apigateway:ImportApi apigateway:ReimportApi",
		moto:       "404, and 500",
		aws:        "the API of an OpenAPI definition",
		source:     "API Gateway V2 API reference, ImportApi",
		answer:     withoutMoto(importAPI),
	},
	{
		operations: "apigateway:ResetAuthorizersCache",
		moto:       "404",
		aws:        "calls Lambda authorizers anew",
		source:     "API Gateway V2 API reference, ResetAuthorizersCache",
		answer:     withoutMoto(withStage(resetAuthorizersCache)),
	},
	{
		operations: "apigateway:CreateApi apigateway:GetApi apigateway:GetApis apigateway:UpdateApi",
		moto:       "ApiEndpoint is an address of AWS",
		aws:        "the same; here one of the sandbox",
		source:     "-",
		answer:     localEndpoint,
	},
	{
		operations: "apigateway:CreateApi",
		moto:       "ignores target and routeKey",
		aws:        "quick create: a route to the target and a stage $default",
		source:     "API Gateway V2 API reference, CreateApi",
		answer:     quickCreate,
	},
	{
		operations: "apigateway:CreateApi apigateway:DeleteApi",
		moto:       "-",
		aws:        "stages, deployments and authorizers are deleted with their API",
		source:     "API Gateway developer guide",
		answer:     trackAPI,
	},
	{
		operations: "apigateway:GetApis apigateway:GetRoutes apigateway:GetIntegrations apigateway:GetStages " +
			"apigateway:GetDeployments apigateway:GetAuthorizers",
		moto:   "ignores MaxResults and NextToken",
		aws:    "pages",
		source: "API Gateway V2 API reference",
		answer: paginate,
	},
	{
		operations: "apigateway:DeleteApi apigateway:DeleteRoute apigateway:DeleteIntegration " +
			"apigateway:DeleteAuthorizer",
		moto:   "deletes what does not exist, and what a route refers to",
		aws:    "404 and 409",
		source: "API Gateway V2 API reference, DeleteIntegration; hashicorp/terraform-provider-aws#37732",
		answer: checkDelete,
	},
	{
		operations: "apigateway:CreateRoute apigateway:UpdateRoute",
		moto:       "accepts a duplicate route key, and a malformed one",
		aws:        "409 and 400",
		source:     "API Gateway V2 API reference, CreateRoute",
		answer:     checkRouteKey,
	},
	{
		operations: "apigateway:CreateRoute apigateway:UpdateRoute",
		moto:       "accepts scopes without a JWT authorizer",
		aws:        "400",
		source:     "aws/aws-cdk#27576",
		answer:     checkScopes,
	},
	{
		operations: "apigateway:CreateRoute apigateway:UpdateRoute apigateway:DeleteRoute " +
			"apigateway:CreateIntegration apigateway:UpdateIntegration apigateway:DeleteIntegration " +
			"apigateway:CreateAuthorizer apigateway:UpdateAuthorizer apigateway:DeleteAuthorizer " +
			"apigateway:UpdateApi apigateway:DeleteCorsConfiguration",
		moto:   "deploys nothing",
		aws:    "stages with AutoDeploy serve the change, others after a deployment",
		source: "API Gateway developer guide, stages for HTTP APIs",
		answer: autoDeploy,
	},
	{
		operations: "apigateway:UpdateApi",
		moto:       "ignores target",
		aws:        "a quick-created API gets another target",
		source:     "API Gateway V2 API reference, UpdateApi",
		answer:     updateTarget,
	},
	{
		operations: "apigateway:CreateAuthorizer apigateway:DeleteAuthorizer",
		moto:       "-",
		aws:        "GetAuthorizers lists them",
		source:     "API Gateway V2 API reference",
		answer:     trackAuthorizer,
	},
	{
		operations: "apigateway:GetAuthorizers",
		moto:       "500",
		aws:        "a list",
		source:     "API Gateway V2 API reference",
		answer:     withoutMoto(withAPI(getAuthorizers)),
	},
	{
		operations: "apigateway:CreateStage",
		moto:       "accepts an existing name, and an access log whose destination does not exist",
		aws:        "409 and 400",
		source:     "API Gateway V2 API reference, CreateStage",
		answer:     withoutMoto(withAPI(createStage)),
	},
	{
		operations: "apigateway:UpdateStage",
		moto:       "500",
		aws:        "merges the given fields",
		source:     "API Gateway V2 API reference, UpdateStage",
		answer:     withoutMoto(withAPI(updateStage)),
	},
	{
		operations: "apigateway:GetStage",
		moto:       "knows no deployments",
		aws:        "DeploymentId and LastDeploymentStatusMessage",
		source:     "API Gateway V2 API reference, GetStage",
		answer:     withoutMoto(withStage(getStage)),
	},
	{
		operations: "apigateway:GetStages",
		moto:       "knows no deployments",
		aws:        "as GetStage",
		source:     "API Gateway V2 API reference, GetStages",
		answer:     withoutMoto(withAPI(getStages)),
	},
	{
		operations: "apigateway:DeleteStage",
		moto:       "-",
		aws:        "-",
		source:     "the sandbox stores stages itself",
		answer:     withoutMoto(withStage(deleteStage)),
	},
	{
		operations: "apigateway:DeleteAccessLogSettings",
		moto:       "404",
		aws:        "ends the access log",
		source:     "API Gateway V2 API reference",
		answer:     withoutMoto(withStage(deleteAccessLogSettings)),
	},
	{
		operations: "apigateway:DeleteRouteSettings",
		moto:       "404",
		aws:        "the route gets the stage's default settings",
		source:     "API Gateway V2 API reference",
		answer:     withoutMoto(withStage(deleteRouteSettings)),
	},
	{
		operations: "apigateway:CreateDeployment",
		moto:       "404",
		aws:        "a stage serves the current API",
		source:     "API Gateway V2 API reference, CreateDeployment",
		answer:     withoutMoto(withAPI(createDeployment)),
	},
	{
		operations: "apigateway:GetDeployments",
		moto:       "404",
		aws:        "a list, newest first",
		source:     "API Gateway V2 API reference, GetDeployments",
		answer:     withoutMoto(withAPI(getDeployments)),
	},
	{
		operations: "apigateway:GetDeployment",
		moto:       "404",
		aws:        "one of them",
		source:     "API Gateway V2 API reference, GetDeployment",
		answer:     withoutMoto(withAPI(getDeployment)),
	},
	{
		operations: "apigateway:GetTags apigateway:TagResource apigateway:UntagResource",
		moto:       "404 for a stage",
		aws:        "stages have tags",
		source:     "API Gateway V2 API reference, TagResource",
		answer:     withoutMoto(stageTags),
	},
	{
		operations: "apigateway:DeleteDeployment",
		moto:       "404",
		aws:        "deletes a deployment that no stage serves",
		source:     "API Gateway V2 API reference, DeleteDeployment",
		answer:     withoutMoto(withAPI(deleteDeployment)),
	},
	{
		operations: "lambda:CreateFunction lambda:UpdateFunctionConfiguration",
		moto:       "accepts reserved variables, retired runtimes, any memory and any timeout",
		aws:        "400",
		source:     "Lambda developer guide, environment variables and runtimes; Lambda quotas",
		answer:     checkConfiguration,
	},
	{
		operations: "logs:PutRetentionPolicy",
		moto:       "accepts any number of days",
		aws:        "400 unless the number is one of a list",
		source:     "CloudWatch Logs API reference, PutRetentionPolicy",
		answer:     checkRetention,
	},
}

// correctionsFor maps each operation to its corrections.
var correctionsFor = func() map[string][]*correction {
	all := map[string][]*correction{}
	for i := range corrections {
		for _, operation := range strings.Fields(corrections[i].operations) {
			all[operation] = append(all[operation], &corrections[i])
		}
	}
	return all
}()

// withoutMoto adapts a handler that never calls moto.
func withoutMoto(handle func(*Sandbox, *call) answer) func(*Sandbox, *call, func() answer) answer {
	return func(s *Sandbox, c *call, _ func() answer) answer { return handle(s, c) }
}

// answer runs the corrections of a call's operation, and then moto.
func (s *Sandbox) answer(c *call) answer {
	switch {
	case c.Service == "cloudformation":
		return s.answerFormation(c)
	case c.Service == "s3" && c.URL.Query().Has("policy"):
		return s.keepBucketPolicy(c)
	case c.Service == "s3" && c.Method == http.MethodDelete:
		return s.dropBucketPolicy(c)
	}
	rows := correctionsFor[c.Service+":"+c.Operation]
	var step func(i int) answer
	step = func(i int) answer {
		if i == len(rows) {
			return s.forward(c)
		}
		return rows[i].answer(s, c, func() answer { return step(i + 1) })
	}
	return step(0)
}

// edit changes the JSON of a successful answer.
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

// checkBoundary refuses a permissions boundary that does not exist.
func checkBoundary(s *Sandbox, c *call, next func() answer) answer {
	if arn := c.form().Get("PermissionsBoundary"); arn != "" {
		if _, err := s.managed(c.Context(), arn); err != nil {
			return c.refuse(http.StatusNotFound, "NoSuchEntity", "Scope ARN: %s does not exist or is not attachable.",
				arn)
		}
	}
	return next()
}

func trackRole(s *Sandbox, c *call, next func() answer) answer {
	form, _ := url.ParseQuery(string(c.body)) // moto reports parse errors
	a := next()
	if a.ok() {
		s.mu.Lock()
		s.roleChanged[form.Get("RoleName")] = time.Now()
		s.mu.Unlock()
	}
	return a
}

// simulate answers SimulatePrincipalPolicy by the sandbox's own evaluation of policies.
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
		return c.refuse(http.StatusNotFound, "NoSuchEntity", "The role with name %s cannot be found.", baseName(source))
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
			result := "implicitDeny"
			if d.Denied || d.Unclear {
				result = "explicitDeny"
			} else if d.Allowed {
				result = "allowed"
			}
			fmt.Fprintf(&members,
				"<member><EvalActionName>%s</EvalActionName><EvalResourceName>%s</EvalResourceName>"+
					"<EvalDecision>%s</EvalDecision><MatchedStatements/><MissingContextValues/></member>",
				escapeXML(action), escapeXML(on), result)
		}
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml"}}, body: []byte(
		`<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">` +
			`<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>` +
			members.String() + `</EvaluationResults></SimulatePrincipalPolicyResult><ResponseMetadata>` +
			`<RequestId>sandbox</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>`)}
}

func checkRetention(_ *Sandbox, c *call, next func() answer) answer {
	var in struct{ RetentionInDays int }
	c.decode(&in)
	if !slices.Contains([]int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557,
		2922, 3288, 3653}, in.RetentionInDays) {
		return c.refuse(http.StatusBadRequest, "InvalidParameterException",
			"1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must "+
				"satisfy enum value set", in.RetentionInDays)
	}
	return next()
}
