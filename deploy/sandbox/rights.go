package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// principal is a signer whose policies apply: a role session or a user.
type principal struct {
	arn     string           // ARN of the session or the user
	owner   string           // ARN of the role or the user whose policies apply; "" makes the key invalid
	session *policy.Document // session policy; nil for none
}

// demand is a right that a call needs: an action on a resource, with the condition keys of the call.
type demand struct {
	action, resource string
	context          map[string]string
}

// form returns the parameters of a call in the Query protocol.
func (c *call) form() url.Values {
	form, _ := url.ParseQuery(string(c.body)) // meaningless for other protocols
	return form
}

// demands returns the rights that a call needs, by the service authorization reference
// (https://docs.aws.amazon.com/service-authorization/latest/reference/). The first is the right to the operation
// itself. Tags given on creation, passed roles and access logs need others.
func (s *Sandbox) demands(ctx context.Context, c *call) (all []demand) {
	if items := c.transaction(); items != nil {
		return items
	}
	action, on := c.Action(), c.resources()
	switch c.Service {
	case "iam":
		on = []string{s.identityOf(ctx, c)}
	case "s3":
		action, on[0] = c.s3Action()
		if keys := objectKey.FindAllSubmatch(c.body, -1); c.URL.Query().Has("delete") && keys != nil {
			bucket := strings.TrimSuffix(on[0], "*")
			on = nil
			for _, key := range keys {
				on = append(on, bucket+string(key[1]))
			}
		}
	case "sqs", "sns", "ssm", "secretsmanager", "kms":
		action = strings.TrimSuffix(action, "Batch")
		if named := s.serviceResources(c); named != nil {
			on = named
		}
	default:
		if !knownServices[c.Service] {
			s.log.Printf("%s is checked on resource *: the sandbox does not know the resources of %s", action,
				c.Service)
		}
	}
	for _, one := range on {
		all = append(all, demand{action: action, resource: one})
	}
	form := c.form()
	var in struct {
		Role              string
		Tags              any
		AccessLogSettings struct{ DestinationArn string }
	}
	c.decode(&in)
	if in.Tags != nil || form.Get("Tags.member.1.Key") != "" {
		tagging := map[string]string{
			"dynamodb:CreateTable": "dynamodb:TagResource", "logs:CreateLogGroup": "logs:TagResource",
			"lambda:CreateFunction": "lambda:TagResource", "apigateway:CreateApi": "apigateway:TagResource",
			"apigateway:CreateStage": "apigateway:TagResource", "iam:CreateRole": "iam:TagRole",
		}[c.Service+":"+c.Operation]
		if tagging != "" {
			all = append(all, demand{action: tagging, resource: on[0]})
		}
	}
	if c.Service == "apigateway" {
		for i := range all {
			all[i].context = s.tagContext(ctx, c, in.Tags)
		}
	}
	switch {
	case c.Service == "iam":
		all[0].context = s.identityContext(ctx, c)
	case c.Service == "lambda" && in.Role != "" && !c.reads():
		all = append(all, demand{action: "iam:PassRole", resource: in.Role,
			context: map[string]string{"iam:PassedToService": policy.Lambda}})
	case c.Service == "cloudformation" && form.Get("RoleARN") != "":
		all = append(all, demand{action: "iam:PassRole", resource: form.Get("RoleARN"),
			context: map[string]string{"iam:PassedToService": cloudFormation}})
	case c.Service == "apigateway" && in.AccessLogSettings.DestinationArn != "" && !c.reads():
		all = append(all, demand{action: "logs:CreateLogDelivery", resource: "*"},
			demand{action: "logs:UpdateLogDelivery", resource: "*"}, demand{action: "logs:PutResourcePolicy",
				resource: "*"})
	}
	return all
}

// objectKey matches a key in the body of S3's DeleteObjects.
var objectKey = regexp.MustCompile(`<Key>([^<]*)</Key>`)

// boundaryOperations have the condition key iam:PermissionsBoundary of the role or user that they affect.
var boundaryOperations = []string{
	"CreateRole", "PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary", "PutRolePolicy", "DeleteRolePolicy",
	"AttachRolePolicy", "DetachRolePolicy", "CreateUser", "PutUserPermissionsBoundary", "DeleteUserPermissionsBoundary",
	"PutUserPolicy", "DeleteUserPolicy", "AttachUserPolicy", "DetachUserPolicy",
}

// identityContext returns the condition keys of an IAM call.
func (s *Sandbox) identityContext(ctx context.Context, c *call) map[string]string {
	form := c.form()
	keys := map[string]string{"iam:PolicyARN": form.Get("PolicyArn")}
	if slices.Contains(boundaryOperations, c.Operation) {
		bound := form.Get("PermissionsBoundary")
		if r, err := s.rightsOf(ctx, s.identityOf(ctx, c)); bound == "" && err == nil {
			bound = r.boundary
		}
		keys["iam:PermissionsBoundary"] = bound
	}
	maps.DeleteFunc(keys, func(_, value string) bool { return value == "" })
	return keys
}

// tagContext returns the tag condition keys of an API Gateway call: the tags in the request, and those of the API or
// stage that it is about. Routes, integrations and authorizers have no tags (API Gateway developer guide, "API Gateway
// resources that can be tagged").
func (s *Sandbox) tagContext(ctx context.Context, c *call, requested any) map[string]string {
	keys := map[string]string{}
	if tags, ok := requested.(map[string]any); ok {
		for key, value := range tags {
			keys["aws:RequestTag/"+key] = fmt.Sprint(value)
		}
	}
	api, path := c.PathValue("api"), strings.Split(strings.Trim(c.URL.Path, "/"), "/")
	switch {
	case len(path) == 3 && api != "": // v2/apis/ID
		if got, err := s.apis(c.Region).GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: &api}); err == nil {
			for key, value := range got.Tags {
				keys["aws:ResourceTag/"+key] = value
			}
		}
	case len(path) == 5 && path[3] == "stages":
		if g := s.stage(api, c.PathValue("id")); g != nil {
			for key, value := range g.Tags {
				keys["aws:ResourceTag/"+key] = value
			}
		}
	}
	return keys
}

// transaction returns the rights that a DynamoDB transaction needs, one for each item; nil for other calls.
func (c *call) transaction() (all []demand) {
	if !strings.HasPrefix(c.Operation, "Transact") {
		return nil
	}
	var in struct {
		TransactItems []map[string]struct{ TableName string }
	}
	c.decode(&in)
	for _, item := range in.TransactItems {
		for does, one := range item {
			all = append(all, demand{
				action: "dynamodb:" + does + "Item", resource: c.arn("table/" + baseName(one.TableName))})
		}
	}
	return all
}

// isUndecided reports whether the sandbox cannot know the value of a condition key. Of tags it knows only API
// Gateway's.
func isUndecided(action, key string) bool {
	key = strings.ToLower(key)
	if strings.HasPrefix(action, "apigateway:") && (strings.HasPrefix(key, "aws:resourcetag/") ||
		strings.HasPrefix(key, "aws:requesttag/")) {
		return false
	}
	if !strings.HasPrefix(key, "aws:") {
		return !slices.Contains([]string{"iam:permissionsboundary", "iam:passedtoservice", "iam:policyarn",
			"sts:externalid", "sts:rolesessionname"}, key)
	}
	return slices.ContainsFunc([]string{"aws:resourcetag/", "aws:requesttag/", "aws:tagkeys", "aws:principalorg",
		"aws:resourceorg", "aws:source"}, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
}

// request returns a principal's demand in the form that policies are evaluated with.
func (p principal) request(region string, d demand) policy.Request {
	r := policy.Request{
		Principal: policy.Caller{ARN: p.arn, Account: Account}, Action: d.action, Resource: d.resource,
		Undecided: func(key string) bool { return isUndecided(d.action, key) },
		Context: map[string]string{
			"aws:PrincipalArn": p.owner, "aws:PrincipalAccount": Account, "aws:PrincipalType": "AssumedRole",
			"aws:RequestedRegion": region, "aws:ResourceAccount": Account, "aws:SecureTransport": "true",
			"aws:ViaAWSService": "false",
		},
	}
	if strings.Contains(p.owner, ":user/") {
		r.Context["aws:PrincipalType"], r.Context["aws:username"] = "User", baseName(p.owner)
	}
	maps.Copy(r.Context, d.context)
	return r
}

// unrestricted are the actions that no policy can forbid, or that are checked elsewhere.
var unrestricted = []string{"sts:GetCallerIdentity", "sts:GetSessionToken", "sts:AssumeRole"}

// judge returns "" if a principal has all demanded rights, and otherwise AWS's message ("Troubleshoot access denied
// error messages", IAM user guide).
func (s *Sandbox) judge(ctx context.Context, who principal, region string, demands ...demand) string {
	r, err := s.rightsOf(ctx, who.owner)
	if err != nil {
		return "The security token included in the request is invalid."
	}
	for _, d := range demands {
		if slices.Contains(unrestricted, d.action) {
			continue
		}
		request := who.request(region, d)
		kind := "an identity-based policy"
		decision, beyond := r.Judge(request)
		if beyond {
			kind = "a permissions boundary"
		}
		if decision.Allowed && who.session != nil {
			decision, kind = who.session.Judge(request), "a session policy"
		}
		denied := decision.Denied || decision.Unclear
		if granted := s.judgeFunctionPolicy(region, request); granted.Denied || granted.Unclear {
			denied, kind = true, "a resource-based policy"
		} else if !denied && (decision.Allowed || granted.Allowed) {
			continue
		}
		why := fmt.Sprintf("because no %s allows the %s action", strings.SplitN(kind, " ", 2)[1], d.action)
		if denied {
			why = "with an explicit deny in " + kind
		}
		return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", who.arn, d.action,
			d.resource, why)
	}
	return ""
}

// judgeFunctionPolicy evaluates a function's own policy. It allows a request only if it names the caller itself: if it
// names the account, the caller's policies decide.
func (s *Sandbox) judgeFunctionPolicy(region string, r policy.Request) policy.Decision {
	s.mu.Lock()
	p := s.policies[resource{region, r.Resource}]
	s.mu.Unlock()
	if p == nil {
		return policy.Decision{}
	}
	decision := p.document.Judge(r)
	r.Principal.Account = ""
	decision.Allowed = decision.Allowed && p.document.Judge(r).Allowed
	return decision
}

// withoutTags removes the tags from an answer of GetFunction if the caller may not list them (Lambda API reference,
// GetFunction).
func (s *Sandbox) withoutTags(ctx context.Context, who principal, c *call, a answer) answer {
	refusal := s.judge(ctx, who, c.Region, demand{action: "lambda:ListTags", resource: c.Resources[0]})
	if refusal == "" {
		return a
	}
	return a.edit(func(body map[string]any) {
		delete(body, "Tags")
		body["TagsError"] = map[string]string{"ErrorCode": "AccessDeniedException", "Message": refusal}
	})
}

// denied is the answer to a call that the caller has no right to make.
func (c *call) denied(refusal string) answer {
	switch c.Service {
	case "iam", "sts":
		return c.refuse(http.StatusForbidden, "AccessDenied", "%s", refusal)
	case "dynamodb", "logs":
		return c.refuse(http.StatusBadRequest, "AccessDeniedException", "%s", refusal)
	case "s3":
		return c.refuse(http.StatusForbidden, "AccessDenied", "%s", refusal)
	case "apigateway":
		if strings.Contains(refusal, " perform: logs:") {
			return c.refuse(http.StatusBadRequest, "BadRequestException", "Insufficient permissions to enable logging")
		}
	}
	return c.refuse(http.StatusForbidden, "AccessDeniedException", "%s", refusal)
}

// arn returns an ARN of the call's service, in the call's region and the sandbox's account.
func (c *call) arn(rest string) string {
	return "arn:" + gateway.Partition(c.Region) + ":" + c.Service + ":" + c.Region + ":" + Account + ":" + rest
}

// resources returns the ARNs that a call affects. It returns * if the sandbox does not know them, or if AWS checks *.
func (c *call) resources() []string {
	switch c.Service {
	case "dynamodb":
		if tables := c.tables(); tables != nil {
			for i, table := range tables {
				tables[i] = c.arn("table/" + table)
			}
			return tables
		}
	case "logs":
		var in struct{ LogGroupName, LogStreamName, ResourceARN string }
		c.decode(&in)
		if in.ResourceARN != "" {
			return []string{in.ResourceARN}
		}
		return []string{c.arn("log-group:" + in.LogGroupName + ":log-stream:" + in.LogStreamName)}
	case "lambda":
		name, qualifier := c.function()
		if name == "" && c.Operation == "CreateFunction" {
			name = c.functionInput().FunctionName
		}
		if name == "" && c.PathValue("arn") != "" {
			return []string{c.PathValue("arn")}
		}
		if name != "" {
			return []string{functionARN(c.Region, name, qualifier)}
		}
	case "apigateway":
		path := strings.TrimPrefix(strings.TrimPrefix(c.URL.Path, "/v2"), "/restapis")
		return []string{"arn:" + gateway.Partition(c.Region) + ":apigateway:" + c.Region + "::" + path}
	case "cloudformation":
		switch name := c.form().Get("StackName"); {
		case strings.HasPrefix(name, "arn:"):
			return []string{name}
		case name != "":
			return []string{c.arn("stack/" + name + "/*")}
		}
	case "sts":
		if arn := c.form().Get("RoleArn"); arn != "" {
			return []string{arn}
		}
	}
	return []string{"*"}
}

// tables returns the tables of a DynamoDB call, or their indexes as TABLE/index/INDEX.
func (c *call) tables() (all []string) {
	var in struct {
		TableName, IndexName, ResourceArn string
		RequestItems                      map[string]any
	}
	c.decode(&in)
	all = sortedKeys(in.RequestItems)
	if name := cmp.Or(in.TableName, in.ResourceArn); name != "" {
		all = append(all, name)
	}
	for i, table := range all {
		if all[i] = baseName(table); in.IndexName != "" {
			all[i] += "/index/" + in.IndexName
		}
	}
	return all
}

// identityOf returns the ARN of the role, user, group or policy that an IAM call is about. A call without a name may be
// about the caller.
func (s *Sandbox) identityOf(ctx context.Context, c *call) string {
	form := c.form()
	if form.Get("UserName") == "" && strings.Contains(c.Caller, ":user/") &&
		(c.Operation == "GetUser" || strings.Contains(c.Operation, "AccessKey")) {
		return c.Caller
	}
	for _, p := range []struct{ parameter, kind string }{
		{"GroupName", "group"}, {"RoleName", "role"}, {"UserName", "user"},
		{"InstanceProfileName", "instance-profile"}, {"PolicyName", "policy"},
	} {
		name := form.Get(p.parameter)
		if name == "" {
			continue
		}
		arn := "arn:" + gateway.Partition(c.Region) + ":iam::" + Account + ":" + p.kind +
			cmp.Or(form.Get("Path"), "/") + name
		if r, err := s.rightsOf(ctx, arn); err == nil && (p.kind == "role" || p.kind == "user") {
			return r.arn // with its path
		}
		return arn
	}
	return cmp.Or(form.Get("PolicyArn"), form.Get("PolicySourceArn"), "*")
}
