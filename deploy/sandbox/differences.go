package sandbox

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

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
	{"lambda:AddPermission", "one policy for a function, its versions and aliases; a doubled statement id, $LATEST and any size are taken", "a policy for each; 409, 400 and 400", "Lambda API reference, AddPermission; Lambda quotas", own((*Sandbox).addPermission)},
	{"lambda:GetPolicy", "one policy for a function, its versions and aliases", "a policy for each; 404 for an empty one", "Lambda API reference, GetPolicy", own((*Sandbox).getPolicy)},
	{"lambda:RemovePermission", "RevisionId is ignored", "412 for a RevisionId that is not the latest", "Lambda API reference, RemovePermission", own((*Sandbox).removePermission)},
	{"lambda:Invoke", "runs functions in Docker, with every right", "runs them under the Runtime API, with their role's rights", "Lambda developer guide, execution environment", own(invokeCall)},
	{"lambda:PutFunctionConcurrency", "any number is reserved", "100 of an account's 1,000 must stay unreserved; here of what one function asks for", "Lambda developer guide, configuring reserved concurrency", refuseConcurrency},
	{"lambda:GetAccountSettings", "404", "limits and usage", "Lambda API reference, GetAccountSettings", own(accountSettings)},
	{"lambda:DeleteFunction lambda:DeleteAlias", "-", "policies go with what they are of", "Lambda API reference, DeleteFunction", dropPoliciesAfter},
	{"lambda:CreateFunction lambda:GetFunction lambda:GetFunctionConfiguration lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode", "always Active; LastModified stays as a configuration is updated", "Pending, then Active; InProgress, then Successful; LastModified moves", "Lambda developer guide, function states", showState},
	{"lambda:CreateFunction lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode", "any role is taken", "a role that Lambda cannot assume, also because it is seconds old, is refused", "Lambda developer guide, troubleshooting deployments", roleMustBeAssumable},
	{"lambda:CreateFunction lambda:UpdateFunctionConfiguration lambda:UpdateFunctionCode lambda:PublishVersion", "changes at any time", "409 while a function is Pending or an update is in progress", "Lambda developer guide, function states", notWhileSettling},
	{"lambda:CreateFunction lambda:UpdateFunctionCode", "-", "-", "the zip is kept, to run it", keepCode},
	{"iam:CreateRole iam:UpdateAssumeRolePolicy", "a role can be assumed at once", "after some seconds, if the sandbox is asked for it", "IAM user guide, eventual consistency", noteRole},
	{"iam:CreateAccessKey iam:UpdateAccessKey iam:DeleteAccessKey", "-", "the keys of a user are judged by its policies", "IAM user guide, policy evaluation logic", noteKey},
	{"sts:AssumeRole", "any role is assumed, also one that is not there", "if its trust policy allows it; the session is judged", "STS API reference, AssumeRole", assumeRole},
	{"iam:SimulatePrincipalPolicy", "500", "judges a role's policies", "IAM API reference, SimulatePrincipalPolicy", own(simulate)},

	{"apigateway:CreateApi apigateway:GetApi apigateway:GetApis apigateway:UpdateApi", "ApiEndpoint is an address of AWS", "the same; here one that answers", "-", endpointHere},
	{"apigateway:CreateApi", "target and routeKey are ignored", "a route to the target and a stage $default: quick create", "API Gateway V2 API reference, CreateApi", quickCreate},
	{"apigateway:CreateApi apigateway:DeleteApi", "-", "stages, deployments and authorizers come and go with their API", "API Gateway developer guide", noteAPI},
	{"apigateway:GetApis apigateway:GetRoutes apigateway:GetIntegrations apigateway:GetStages apigateway:GetDeployments apigateway:GetAuthorizers", "MaxResults and NextToken are ignored", "pages", "API Gateway V2 API reference", paged},
	{"apigateway:DeleteApi apigateway:DeleteRoute apigateway:DeleteIntegration apigateway:DeleteAuthorizer", "what is not there is deleted too, and what a route refers to", "404 and 409", "API Gateway V2 API reference, DeleteIntegration; hashicorp/terraform-provider-aws#37732", deleteWhatIsFree},
	{"apigateway:CreateRoute apigateway:UpdateRoute", "a second route with one key is taken, and one without", "409 and 400", "API Gateway V2 API reference, CreateRoute", routeKeyOnce},
	{"apigateway:CreateRoute apigateway:UpdateRoute", "scopes without a JWT authorizer are taken", "400", "aws/aws-cdk#27576", scopesNeedJWT},
	{"apigateway:CreateRoute apigateway:UpdateRoute apigateway:DeleteRoute apigateway:CreateIntegration apigateway:UpdateIntegration apigateway:DeleteIntegration apigateway:CreateAuthorizer apigateway:UpdateAuthorizer apigateway:DeleteAuthorizer apigateway:UpdateApi apigateway:DeleteCorsConfiguration", "nothing is deployed", "stages with AutoDeploy serve the change, others once it is deployed", "API Gateway developer guide, stages for HTTP APIs", deployAfter},
	{"apigateway:CreateAuthorizer apigateway:DeleteAuthorizer", "-", "GetAuthorizers lists them", "API Gateway V2 API reference", noteAuthorizer},
	{"apigateway:GetAuthorizers", "500", "a list", "API Gateway V2 API reference", own(withAPI(getAuthorizers))},
	{"apigateway:CreateStage", "one over an existing one, or with an access log to nowhere, is taken", "409 and 400", "API Gateway V2 API reference, CreateStage", own(withAPI(createStage))},
	{"apigateway:UpdateStage", "500", "merges what is given", "API Gateway V2 API reference, UpdateStage", own(withAPI(updateStage))},
	{"apigateway:GetStage", "knows no deployments", "DeploymentId and LastDeploymentStatusMessage", "API Gateway V2 API reference, GetStage", own(withStage(getStage))},
	{"apigateway:GetStages", "knows no deployments", "as GetStage", "API Gateway V2 API reference, GetStages", own(withAPI(getStages))},
	{"apigateway:DeleteStage", "-", "-", "stages are kept here", own(withStage(deleteStage))},
	{"apigateway:DeleteAccessLogSettings", "404", "no access log any more", "API Gateway V2 API reference", own(withStage(deleteAccessLogSettings))},
	{"apigateway:DeleteRouteSettings", "404", "the stage's default settings for a route", "API Gateway V2 API reference", own(withStage(deleteRouteSettings))},
	{"apigateway:CreateDeployment", "404", "a stage serves what is there now", "API Gateway V2 API reference, CreateDeployment", own(withAPI(createDeployment))},
	{"apigateway:GetDeployments", "404", "a list, newest first", "API Gateway V2 API reference, GetDeployments", own(withAPI(getDeployments))},
	{"apigateway:GetDeployment", "404", "one of them", "API Gateway V2 API reference, GetDeployment", own(withAPI(getDeployment))},
	{"apigateway:GetTags apigateway:TagResource apigateway:UntagResource", "404 for a stage", "stages have tags", "API Gateway V2 API reference, TagResource", own(stageTags)},

	{"apigateway:DeleteDeployment", "404", "deletes one that no stage serves", "API Gateway V2 API reference, DeleteDeployment", own(withAPI(deleteDeployment))},
	{"lambda:CreateFunction lambda:UpdateFunctionConfiguration", "reserved variables, retired runtimes and any timeout are taken", "400", "Lambda developer guide, environment variables and runtimes; Lambda quotas", refuseConfiguration},

	{"logs:PutRetentionPolicy", "any number of days is taken", "400 but for some", "CloudWatch Logs API reference, PutRetentionPolicy", retentionDays},
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

// concurrency is what an account has, and unreserved what of it must stay free for functions that reserve none.
const concurrency, unreserved = 1000, 100

func refuseConcurrency(_ *Sandbox, c *call, next func() answer) answer {
	var asked struct{ ReservedConcurrentExecutions int }
	if json.Unmarshal(c.body, &asked) == nil && asked.ReservedConcurrentExecutions > concurrency-unreserved {
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", unreserved)
	}
	return next()
}

func accountSettings(s *Sandbox, _ *call) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return jsonAnswer(http.StatusOK, map[string]any{
		"AccountLimit": map[string]any{"ConcurrentExecutions": concurrency, "UnreservedConcurrentExecutions": concurrency, "CodeSizeUnzipped": 262144000, "CodeSizeZipped": 52428800, "TotalCodeSize": 80530636800},
		"AccountUsage": map[string]any{"FunctionCount": len(s.functions), "TotalCodeSize": 0},
	})
}

func dropPoliciesAfter(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	if a.ok() {
		name, qualifier := c.function()
		if alias := c.PathValue("alias"); alias != "" {
			qualifier = alias
		}
		s.dropPolicies(c.Region, name, qualifier)
		if qualifier == "" {
			s.mu.Lock()
			delete(s.functions, resource{c.Region, name})
			s.mu.Unlock()
			s.runner.Drop(c.Region, name)
		}
	}
	return a
}

// functionInput is the part of a call about a function that is read here.
type functionInput struct {
	FunctionName, Role, ZipFile, S3Bucket, S3Key string
	DryRun                                       bool
}

func (c *call) functionInput() (in functionInput) {
	c.decode(&in)
	if name, _ := c.function(); name != "" {
		in.FunctionName = name
	}
	return in
}

func roleMustBeAssumable(s *Sandbox, c *call, next func() answer) answer {
	in := c.functionInput()
	if in.Role == "" {
		return next()
	}
	s.mu.Lock()
	young := time.Since(s.roleChanged[roleName(in.Role)]) < s.options.RoleDelay
	s.mu.Unlock()
	if why := s.assumable(c.Context(), in.Role, "lambda.amazonaws.com"); young || why != "" {
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
	}
	before, _ := s.configuration(c.Context(), c.Region, in.FunctionName, "") // nil for a new one
	a := next()
	if r, err := s.readRole(c.Context(), in.Role); a.ok() && err == nil && (before == nil || *before.Role != in.Role) {
		s.mu.Lock()
		s.state(c.Region, in.FunctionName).roleID = r.id
		s.mu.Unlock()
	}
	return a
}

func notWhileSettling(s *Sandbox, c *call, next func() answer) answer {
	name := c.functionInput().FunctionName
	s.mu.Lock()
	state := s.state(c.Region, name)
	pending, changing := time.Since(state.created) < s.options.Settling, time.Since(state.changed) < s.options.Settling
	s.mu.Unlock()
	switch {
	case c.Operation == "CreateFunction":
	case pending:
		return c.refuse(http.StatusConflict, "ResourceConflictException", "The operation cannot be performed at this time. The function is currently in the following state: Pending")
	case changing:
		return c.refuse(http.StatusConflict, "ResourceConflictException", "The operation cannot be performed at this time. An update is in progress for resource: %s", functionARN(c.Region, name, ""))
	}
	a := next()
	if a.ok() && c.Operation != "PublishVersion" {
		s.mu.Lock()
		defer s.mu.Unlock()
		state := s.state(c.Region, name)
		if state.changed = time.Now(); c.Operation == "CreateFunction" {
			state.created, state.changed = time.Now(), time.Time{}
		}
	}
	return a
}

// showState is outside of notWhileSettling, so that it also shows what that notes.
func showState(s *Sandbox, c *call, next func() answer) answer {
	return next().edit(func(body map[string]any) {
		config, ok := body["Configuration"].(map[string]any)
		if !ok {
			config = body
		}
		if config["Version"] != "$LATEST" {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		state := s.state(c.Region, fmt.Sprint(config["FunctionName"]))
		config["State"], config["LastUpdateStatus"] = "Active", "Successful"
		if time.Since(state.created) < s.options.Settling {
			config["State"], config["StateReasonCode"], config["StateReason"] = "Pending", "Creating", "The function is being created."
			config["LastUpdateStatus"] = "InProgress"
		} else if time.Since(state.changed) < s.options.Settling {
			config["LastUpdateStatus"], config["LastUpdateStatusReasonCode"] = "InProgress", "Creating"
		}
		if !state.changed.IsZero() {
			config["LastModified"] = state.changed.UTC().Format("2006-01-02T15:04:05.000-0700")
		}
	})
}

func keepCode(s *Sandbox, c *call, next func() answer) answer {
	var in struct {
		functionInput
		Code functionInput
	}
	c.decode(&in)
	a := next()
	var config struct{ CodeSha256 string }
	if !a.ok() || json.Unmarshal(a.body, &config) != nil {
		return a
	}
	code := in.Code
	if c.Operation == "UpdateFunctionCode" {
		code = in.functionInput
	}
	packed, err := base64.StdEncoding.DecodeString(code.ZipFile)
	if code.S3Bucket != "" {
		var object answer
		header := http.Header{"Authorization": {strings.Replace(c.Header.Get("Authorization"), "/lambda/", "/s3/", 1)}}
		object, err = s.moto.do(c.Context(), http.MethodGet, "/"+code.S3Bucket+"/"+(&url.URL{Path: code.S3Key}).EscapedPath(), header, nil)
		packed = object.body
	}
	if err == nil {
		s.mu.Lock()
		s.code[config.CodeSha256] = packed
		s.mu.Unlock()
	}
	return a
}

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
		return c.refuse(http.StatusNotFound, "NoSuchEntity", "The role with name %s cannot be found.", roleName(source))
	}
	resources := values("ResourceArns.member.")
	if resources == nil {
		resources = []string{"*"}
	}
	var members strings.Builder
	for _, action := range values("ActionNames.member.") {
		for _, on := range resources {
			d, _ := r.Judge(policy.Request{Principal: policy.Caller{ARN: source, Account: Account}, Action: action, Resource: on})
			says := "implicitDeny"
			if d.Denied || d.Unclear {
				says = "explicitDeny"
			} else if d.Allowed {
				says = "allowed"
			}
			fmt.Fprintf(&members, "<member><EvalActionName>%s</EvalActionName><EvalResourceName>%s</EvalResourceName><EvalDecision>%s</EvalDecision><MatchedStatements/><MissingContextValues/></member>", escaped(action), escaped(on), says)
		}
	}
	return answer{http.StatusOK, http.Header{"Content-Type": {"text/xml"}}, []byte(`<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>` +
		members.String() + `</EvaluationResults></SimulatePrincipalPolicyResult><ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>`)}
}

func endpointHere(s *Sandbox, _ *call, next func() answer) answer {
	return next().edit(func(body map[string]any) {
		all, ok := body["items"].([]any)
		if !ok {
			all = []any{body}
		}
		for _, one := range all {
			if api, ok := one.(map[string]any); ok {
				api["apiEndpoint"] = s.URL + apiPath + fmt.Sprint(api["apiId"])
			}
		}
	})
}

func noteAPI(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var api struct{ APIID string }
	_ = json.Unmarshal(a.body, &api) // of a new one
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.ok() && c.Operation == "CreateApi" {
		s.apiStates[api.APIID] = &apiState{region: c.Region, stages: map[string]*stage{}}
	} else if a.ok() {
		delete(s.apiStates, c.PathValue("api"))
	}
	return a
}

// quickCreate makes what CreateApi with a target makes, but for the grant, which AWS does not make either.
func quickCreate(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var in struct{ Target, RouteKey, CredentialsArn *string }
	var api struct{ APIID *string }
	c.decode(&in)
	if !a.ok() || in.Target == nil || json.Unmarshal(a.body, &api) != nil {
		return a
	}
	t := &tester{ctx: c.Context()}
	i := must(t, s.apis(c.Region).CreateIntegration, &apigatewayv2.CreateIntegrationInput{ApiId: api.APIID, IntegrationType: types.IntegrationTypeAwsProxy, IntegrationUri: in.Target, CredentialsArn: in.CredentialsArn, PayloadFormatVersion: aws.String("2.0")})
	must(t, s.apis(c.Region).CreateRoute, &apigatewayv2.CreateRouteInput{ApiId: api.APIID, RouteKey: cmp.Or(in.RouteKey, aws.String("$default")), Target: aws.String("integrations/" + *orEmpty(i.IntegrationId))})
	if t.err == nil {
		now := time.Now().UTC()
		s.mu.Lock()
		s.apiStates[*api.APIID].stages["$default"] = &stage{StageName: aws.String("$default"), AutoDeploy: true, CreatedDate: now, LastUpdatedDate: now, limits: &sync.Map{}}
		s.mu.Unlock()
		_, t.err = s.deploy(c, *api.APIID, "")
	}
	if t.err != nil {
		return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", t.err)
	}
	return a
}

// paged cuts a list into pages. The token is where the next one begins.
func paged(s *Sandbox, c *call, next func() answer) answer {
	query := c.URL.Query()
	most, _ := strconv.Atoi(query.Get("maxResults")) // 0 for no number
	s.mu.Lock()
	if limit := s.options.PageSize; limit > 0 && (most == 0 || most > limit) {
		most = limit
	}
	s.mu.Unlock()
	begin, err := strconv.Atoi(query.Get("nextToken"))
	if query.Get("nextToken") != "" && (err != nil || begin < 0) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid nextToken")
	}
	return next().edit(func(body map[string]any) {
		all, _ := body["items"].([]any)
		all = append([]any{}, all...)[min(begin, len(all)):]
		if most > 0 && len(all) > most {
			all = all[:most]
			body["nextToken"] = strconv.Itoa(begin + most)
		}
		body["items"] = all
	})
}

var routeKey = regexp.MustCompile(`^(\$default|(ANY|GET|HEAD|OPTIONS|POST|PUT|PATCH|DELETE) /\S*)$`)

func routeKeyOnce(s *Sandbox, c *call, next func() answer) answer {
	var in struct{ RouteKey string }
	c.decode(&in)
	api := c.PathValue("api")
	if (in.RouteKey != "" || c.Operation == "CreateRoute") && !routeKey.MatchString(in.RouteKey) {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "The provided route key is not formatted properly for HTTP protocol. Format should be \"<HTTP METHOD> /<RESOURCE PATH>\" or \"$default\"")
	}
	s.routing.Lock()
	defer s.routing.Unlock()
	all, err := s.apis(c.Region).GetRoutes(c.Context(), &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err == nil { // else moto says what is wrong
		for _, route := range all.Items {
			if in.RouteKey != "" && *route.RouteKey == in.RouteKey && *route.RouteId != c.PathValue("id") {
				return c.refuse(http.StatusConflict, "ConflictException", "Route with key %s already exists for this API", in.RouteKey)
			}
		}
	}
	return next()
}

func scopesNeedJWT(s *Sandbox, c *call, next func() answer) answer {
	var in struct {
		AuthorizationType   types.AuthorizationType
		AuthorizationScopes []string
	}
	c.decode(&in)
	api, id := c.PathValue("api"), c.PathValue("id")
	if id != "" { // what an update does not name stays
		is, err := s.apis(c.Region).GetRoute(c.Context(), &apigatewayv2.GetRouteInput{ApiId: &api, RouteId: &id})
		if err != nil {
			return next() // moto says what is wrong
		}
		in.AuthorizationType = cmp.Or(in.AuthorizationType, is.AuthorizationType)
		if in.AuthorizationScopes == nil {
			in.AuthorizationScopes = is.AuthorizationScopes
		}
	}
	if len(in.AuthorizationScopes) > 0 && in.AuthorizationType != types.AuthorizationTypeJwt {
		return c.refuse(http.StatusBadRequest, "BadRequestException", "Invalid Route authorization type specified. "+
			"Authorization Scopes are only valid for COGNITO_USER_POOLS and JWT authorization types")
	}
	return next()
}

func deleteWhatIsFree(s *Sandbox, c *call, next func() answer) answer {
	s.routing.Lock()
	defer s.routing.Unlock()
	there, err := s.moto.do(c.Context(), http.MethodGet, c.URL.RequestURI(), c.Header, nil)
	if err != nil || !there.ok() {
		return there
	}
	api, id := c.PathValue("api"), c.PathValue("id")
	routes, err := s.apis(c.Region).GetRoutes(c.Context(), &apigatewayv2.GetRoutesInput{ApiId: &api})
	if err == nil && id != "" {
		var users []string
		for _, r := range routes.Items {
			if *orEmpty(r.Target) == "integrations/"+id || *orEmpty(r.AuthorizerId) == id {
				users = append(users, *r.RouteId)
			}
		}
		if users != nil {
			return c.refuse(http.StatusConflict, "ConflictException", "Cannot delete %s '%s' because it is referenced by the following Routes with Ids: %v", strings.TrimPrefix(c.Operation, "Delete"), id, users)
		}
	}
	return next()
}

// reserved are the variables that a function cannot set ("Defined runtime environment variables", Lambda developer
// guide).
var reserved = []string{"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_VERSION",
	"AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT"}

func refuseConfiguration(_ *Sandbox, c *call, next func() answer) answer {
	var in struct {
		Runtime     string
		Timeout     int
		Environment struct{ Variables map[string]string }
	}
	c.decode(&in)
	var used []string
	for _, name := range reserved {
		if _, ok := in.Environment.Variables[name]; ok {
			used = append(used, name)
		}
	}
	switch {
	case used != nil:
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException", "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: %s", strings.Join(used, ", "))
	case in.Runtime == "go1.x" || in.Runtime == "provided":
		return c.refuse(http.StatusBadRequest, "InvalidParameterValueException", "The runtime parameter of %s is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.", in.Runtime)
	case in.Timeout > 900:
		return c.refuse(http.StatusBadRequest, "ValidationException", "1 validation error detected: Value '%d' at 'timeout' failed to satisfy constraint: Member must have value less than or equal to 900", in.Timeout)
	}
	return next()
}

// deployAfter makes an API's stages that deploy by themselves do so, once a call changed something of it.
func deployAfter(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	if a.ok() {
		if _, err := s.deploy(c, c.PathValue("api"), ""); err != nil {
			return c.refuse(http.StatusInternalServerError, "InternalServerErrorException", "%v", err)
		}
	}
	return a
}

func noteAuthorizer(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	var made struct{ AuthorizerID string }
	_ = json.Unmarshal(a.body, &made) // of a new one
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := s.apiStates[c.PathValue("api")]; state != nil && a.ok() {
		state.authorizers = slices.DeleteFunc(state.authorizers, func(id string) bool { return id == c.PathValue("id") })
		if made.AuthorizerID != "" {
			state.authorizers = append(state.authorizers, made.AuthorizerID)
		}
	}
	return a
}

func getAuthorizers(s *Sandbox, c *call, a *apiState) answer {
	s.mu.Lock()
	ids := slices.Clone(a.authorizers)
	s.mu.Unlock()
	all := []json.RawMessage{}
	for _, id := range ids {
		one, err := s.moto.do(c.Context(), http.MethodGet, "/v2/apis/"+c.PathValue("api")+"/authorizers/"+id, c.Header, nil)
		if err == nil && one.ok() {
			all = append(all, one.body)
		}
	}
	return jsonAnswer(http.StatusOK, map[string]any{"items": all})
}

func retentionDays(_ *Sandbox, c *call, next func() answer) answer {
	var in struct{ RetentionInDays int }
	c.decode(&in)
	if !slices.Contains([]int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}, in.RetentionInDays) {
		return c.refuse(http.StatusBadRequest, "InvalidParameterException", "1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set", in.RetentionInDays)
	}
	return next()
}
