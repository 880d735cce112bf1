package converge

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

// Options change how a stack is brought up.
type Options struct {
	Check  bool   // the live check also writes where nothing was changed
	Strict bool   // a statement of the function's policy that is not ours is an error
	Token  string // that the live check sends; "" for none
}

// Up makes a stack what it must be.
func (c *Converger) Up(ctx context.Context, s stack.Stack, o Options) error {
	p := &Permitter{Cloud: c.Cloud, Stages: []string{s.Stage}, Report: c.Report, Strict: o.Strict}
	var grants []gateway.Grant
	var before string // the deployment that the stage serves
	for _, step := range s.Steps() {
		if step.What == s.Function().What {
			if err := c.rebind(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", step.What, err)
			}
		}
		state, detail, err := c.Step(ctx, step)
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		c.Report.Done(step.What, state, detail)
		if step.Ref == "api" { // the grants, before there is a route that needs them
			if before, _, err = c.deployment(ctx, s); err != nil {
				return err
			}
			p.API = gateway.API{Partition: s.Partition, Region: s.Region, Account: s.Account, ID: c.refs["api"]}
			grants = s.Grants(c.refs["api"])
			if _, err := p.Add(ctx, grants); err != nil {
				return err
			}
		}
	}
	if err := c.tidy(ctx, s); err != nil {
		return err
	}
	if err := p.Prune(ctx, s.Name, "", grants); err != nil {
		return err
	}
	if err := c.deployed(ctx, s, before); err != nil {
		return err
	}
	answer, err := c.Do(ctx, &apigatewayv2.GetApiInput{ApiId: aws.String(c.refs["api"])})
	if err != nil {
		return err
	}
	endpoint, _ := cloud.Search("ApiEndpoint", answer).(string)
	c.Report.URL = endpoint
	if s.Stage != "$default" {
		c.Report.URL += "/" + s.Stage
	}
	if closed, _ := cloud.Search("DisableExecuteApiEndpoint", answer).(bool); closed {
		c.Report.Note("The API's default endpoint is closed, so nothing was tried there. --endpoint on opens it.")
	} else if err := probe(ctx, c.Report, c.Report.URL, s.Auth.Kind, o.Token, c.Writes() > 0 || o.Check); err != nil {
		return err
	}
	bearer, who := " -H \"Authorization: Bearer $NOTES_TOKEN\"", map[string]string{ // #nosec G101 -- a place for one
		"token": "Whoever has a token can read or write its owner's notes.",
		"jwt":   "Whoever has a token of " + s.Auth.Issuer + " for " + s.Auth.Audience + " with the scope notes:read or notes:write can read or write notes of its own.",
		"none":  "Anyone who knows this URL can read and write the notes.",
	}[s.Auth.Kind]
	if s.Auth.Kind == "none" {
		bearer = ""
	}
	c.Report.Note("\n%s/notes\ncurl -s %s/notes%s\n%s", c.Report.URL, c.Report.URL, bearer, who)
	return nil
}

// rebind heals a function whose role was deleted and made again: Lambda still holds on to the former role, and lets go of it
// only for another one (Lambda developer guide, execution role). Which role it was given, a tag of the function tells.
func (c *Converger) rebind(ctx context.Context, s stack.Stack) error {
	step := s.Function()
	there, _, function, err := c.find(ctx, step)
	if err != nil || !there {
		return err
	}
	if err := c.ours(ctx, step, function); err != nil {
		return err
	}
	if tagsOf(cloud.Search(step.TagsAt, function))[stack.RoleTag] == c.refs["role_id"] {
		return nil
	}
	other, otherARN := s.OtherRole()
	if _, _, err := c.Step(ctx, other); err != nil {
		return err
	}
	for _, arn := range []string{otherARN, s.RoleARN()} {
		if err := c.settled(ctx, step); err != nil {
			return err
		}
		if _, err := c.Do(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &s.Name, Role: &arn}); err != nil {
			return err
		}
	}
	if err := c.settled(ctx, step); err != nil {
		return err
	}
	if _, err := c.Do(ctx, other.Remove[0]); err != nil && !cloud.IsNotFound(err) {
		return err
	}
	if _, err := c.Do(ctx, &lambda.TagResourceInput{Resource: aws.String(s.FunctionARN()), Tags: map[string]string{stack.RoleTag: c.refs["role_id"]}}); err != nil {
		return err
	}
	c.Report.Done(step.What, report.Updated, "its role was deleted and made again")
	return nil
}

// tidy removes routes that are not the service's, and twins.
func (c *Converger) tidy(ctx context.Context, s stack.Stack) error {
	api := aws.String(c.refs["api"])
	answer, err := c.Do(ctx, &apigatewayv2.GetRoutesInput{ApiId: api})
	if err != nil {
		return err
	}
	var routes []types.Route
	if err := cloud.Decode(cloud.Search("Items", answer), &routes); err != nil {
		return err
	}
	for _, route := range routes {
		if !slices.Contains(s.Routes(), *route.RouteKey) {
			if _, err := c.Do(ctx, &apigatewayv2.DeleteRouteInput{ApiId: api, RouteId: route.RouteId}); err != nil && !cloud.IsNotFound(err) {
				return err
			}
			c.Report.Done("route "+*route.RouteKey, report.Removed, "it is not the service's")
		}
	}
	for _, removal := range c.twins {
		if _, err := c.Do(ctx, removal); err != nil && !cloud.IsNotFound(err) {
			return err
		}
		_, operation := call.Operation(removal)
		c.Report.Done(operation, report.OK, "a lost answer had left one too many")
	}
	return nil
}

// deployment is the id of the deployment that the stage serves, "" for none, and what API Gateway says of the last one.
func (c *Converger) deployment(ctx context.Context, s stack.Stack) (id, message string, err error) {
	answer, err := c.Do(ctx, &apigatewayv2.GetStageInput{ApiId: aws.String(c.refs["api"]), StageName: &s.Stage})
	if err != nil && !cloud.IsNotFound(err) {
		return "", "", err
	}
	message, _ = cloud.Search("LastDeploymentStatusMessage", answer).(string)
	id, _ = cloud.Search("DeploymentId", answer).(string)
	return id, message, nil
}

// deployed waits until the stage serves what was made: another deployment than before, if something of the API was.
func (c *Converger) deployed(ctx context.Context, s stack.Stack, before string) error {
	if c.Deploys() == 0 {
		return nil
	}
	return cloud.Retry(ctx, cloud.Patience, func() error {
		c.Forget()
		id, message, err := c.deployment(ctx, s)
		if err != nil || id != "" && id != before {
			return err
		}
		c.Report.Waits("the stage's deployment")
		return cloud.Later(fmt.Errorf("the stage %s still serves its former deployment %q after %v; API Gateway says %q. Run this again", s.Stage, before, cloud.Patience, message))
	})
}
