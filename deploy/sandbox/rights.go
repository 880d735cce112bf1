package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"example.com/portable-notes/deploy/policy"
)

// principal is who signs a call and may not do all: a session of a role, or a user.
type principal struct {
	arn     string           // of the session or the user
	owner   string           // ARN of the role or the user whose policies say what it may do
	session *policy.Document // which narrows a session further; nil for none
}

// demand is one right that a call takes: an action on a resource, with what conditions may ask about.
type demand struct {
	action, resource string
	context          map[string]string
}

// form is the call's parameters, of the services that speak Query.
func (c *call) form() url.Values {
	form, _ := url.ParseQuery(string(c.body)) // of another call it is nothing
	return form
}

// demands are the rights that a call takes, as the service authorization reference has them:
// https://docs.aws.amazon.com/service-authorization/latest/reference/. The first is the call's own; tags that come with
// a creation and a role that is passed take others.
func (s *Sandbox) demands(ctx context.Context, c *call) (all []demand) {
	for _, on := range c.resources() {
		all = append(all, demand{action: c.Action(), resource: on})
	}
	first := all[0].resource
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
			all = append(all, demand{action: tagging, resource: first})
		}
	}
	switch {
	case c.Service == "iam":
		asked := map[string]string{"iam:PolicyARN": form.Get("PolicyArn")}
		bound := form.Get("PermissionsBoundary")
		if name := form.Get("RoleName"); bound == "" && name != "" {
			if r, err := s.readRole(ctx, name); err == nil {
				bound = r.boundary
			}
		}
		asked["iam:PermissionsBoundary"] = bound
		for key, value := range asked {
			if value == "" {
				delete(asked, key)
			}
		}
		all[0].context = asked
	case c.Service == "lambda" && in.Role != "" && !c.reads():
		all = append(all, demand{"iam:PassRole", in.Role,
			map[string]string{"iam:PassedToService": "lambda.amazonaws.com"}})
	case c.Service == "apigateway" && in.AccessLogSettings.DestinationArn != "" && !c.reads():
		all = append(all, demand{action: "logs:CreateLogDelivery", resource: "*"},
			demand{action: "logs:UpdateLogDelivery", resource: "*"}, demand{action: "logs:PutResourcePolicy",
				resource: "*"})
	}
	return all
}

// judge judges whether somebody may do what is demanded, and returns AWS's sentence where they may not ("Troubleshoot
// access denied error messages", IAM user guide).
func (s *Sandbox) judge(ctx context.Context, who principal, region string, demands ...demand) string {
	r, err := s.rightsOf(ctx, who.owner)
	if err != nil {
		return "The security token included in the request is invalid."
	}
	for _, d := range demands {
		// which nothing forbids; the role decides
		if d.action == "sts:GetCallerIdentity" || d.action == "sts:AssumeRole" {
			continue
		}
		request := policy.Request{Principal: policy.Caller{ARN: who.arn, Account: Account}, Action: d.action,
			Resource: d.resource, Context: map[string]string{"aws:PrincipalArn": who.owner,
				"aws:PrincipalAccount": Account,
				"aws:RequestedRegion":  region, "aws:SecureTransport": "true"}}
		maps.Copy(request.Context, d.context)
		kind := "an identity-based policy"
		decision, beyond := r.Judge(request)
		if beyond {
			kind = "a permissions boundary"
		}
		if decision.Allowed && who.session != nil {
			decision, kind = who.session.Judge(request), "a session policy"
		}
		if decision.Allowed {
			continue
		}
		why := fmt.Sprintf("because no %s allows the %s action", strings.SplitN(kind, " ", 2)[1], d.action)
		if decision.Denied || decision.Unclear {
			why = "with an explicit deny in " + kind
		}
		return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", who.arn, d.action,
			d.resource, why)
	}
	return ""
}

// withoutTags leaves the tags out of the answer of GetFunction where the caller may not list them (Lambda API
// reference, GetFunction).
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

// denied is the answer to a call that its caller may not make.
func (c *call) denied(refusal string) answer {
	switch c.Service {
	case "iam", "sts":
		return c.refuse(http.StatusForbidden, "AccessDenied", "%s", refusal)
	case "dynamodb", "logs":
		return c.refuse(http.StatusBadRequest, "AccessDeniedException", "%s", refusal)
	case "apigateway":
		if strings.Contains(refusal, " perform: logs:") {
			return c.refuse(http.StatusBadRequest, "BadRequestException", "Insufficient permissions to enable logging")
		}
	}
	return c.refuse(http.StatusForbidden, "AccessDeniedException", "%s", refusal)
}

// resources are the ARNs of what a call is done to; * where the sandbox does not know better, or AWS asks for all.
func (c *call) resources() []string {
	base := func(rest string) string {
		return "arn:" + partition(c.Region) + ":" + c.Service + ":" + c.Region + ":" + Account + ":" + rest
	}
	switch c.Service {
	case "dynamodb":
		if tables := c.tables(); tables != nil {
			for i, table := range tables {
				tables[i] = base("table/" + table)
			}
			return tables
		}
	case "logs":
		var in struct{ LogGroupName, LogStreamName, ResourceARN string }
		c.decode(&in)
		if in.ResourceARN != "" {
			return []string{in.ResourceARN}
		}
		return []string{base("log-group:" + in.LogGroupName + ":log-stream:" + in.LogStreamName)}
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
		return []string{"arn:" + partition(c.Region) + ":apigateway:" + c.Region + "::" + path}
	case "iam":
		return []string{c.identity()}
	case "sts":
		if arn := c.form().Get("RoleArn"); arn != "" {
			return []string{arn}
		}
	}
	return []string{"*"}
}

// tables are the names of the tables, or of their indexes, that a call of DynamoDB is about.
func (c *call) tables() (all []string) {
	var in struct {
		TableName, IndexName, ResourceArn string
		RequestItems                      map[string]any
		TransactItems                     []map[string]struct{ TableName string }
	}
	c.decode(&in)
	all = sortedKeys(in.RequestItems)
	for _, item := range in.TransactItems {
		for _, one := range item {
			all = append(all, one.TableName)
		}
	}
	if name := cmp.Or(in.TableName, in.ResourceArn); name != "" {
		all = append(all, name)
	}
	for i, table := range all {
		all[i] = table[strings.LastIndex(table, "/")+1:]
		if in.IndexName != "" {
			all[i] += "/index/" + in.IndexName
		}
	}
	return all
}

// identity is the ARN of what a call of IAM is about.
func (c *call) identity() string {
	form := c.form()
	path := cmp.Or(form.Get("Path"), "/")
	for _, of := range []struct{ parameter, kind string }{
		{"RoleName", "role"}, {"UserName", "user"}, {"GroupName", "group"},
		{"InstanceProfileName", "instance-profile"}, {"PolicyName", "policy"},
	} {
		if name := form.Get(of.parameter); name != "" {
			return "arn:" + partition(c.Region) + ":iam::" + Account + ":" + of.kind + path + name
		}
	}
	return cmp.Or(form.Get("PolicyArn"), form.Get("PolicySourceArn"), "*")
}
