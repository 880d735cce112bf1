package converge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

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

	// Settle is the time after its begin at which Up looks once more whether what it found exists: where it made a part
	// of the stack, the rest may have been removed a moment before, and still have been read.
	Settle time.Duration
}

// errVanished is a part of a stack that seemed to exist, and does not.
var errVanished = errors.New("it was removed a moment ago: run this again")

// Up makes a stack what it must be. Where a part vanishes meanwhile, it begins again.
func (c *Converger) Up(ctx context.Context, s stack.Stack, o Options) (err error) {
	for again := range 3 {
		if again > 0 {
			c.Report.Restart()
		}
		u := &up{Converger: c, stack: s, options: o, began: time.Now()}
		if err = u.phases(ctx); !errors.Is(err, errVanished) {
			break
		}
		c.Forget()
	}
	if cloud.IsNotFound(err) || cloud.IsExists(err) || cloud.IsTransient(err) ||
		cloud.Code(err) == "BadRequestException" {
		return fmt.Errorf("%w; if something of the stack was removed a moment ago, run this again", err)
	}
	return err
}

func (u *up) phases(ctx context.Context) error {
	for _, phase := range []func(context.Context) error{
		u.foundation, u.confirm, u.function, u.api, u.grants, u.entrance, u.leftovers, u.deployed, u.confirm, u.live,
	} {
		if err := phase(ctx); err != nil {
			return err
		}
	}
	return nil
}

// up is a stack on its way to what it must be.
type up struct {
	*Converger
	stack   stack.Stack
	options Options

	began     time.Time
	unchanged []stack.Step
	created   int
	permitter *Permitter
	needed    []gateway.Grant
	served    string // the deployment that the stage served before
	deploys   int    // how many writes had made API Gateway deploy then
}

// steps brings some things to what they must be.
func (u *up) steps(ctx context.Context, steps ...stack.Step) error {
	for _, step := range steps {
		var state report.State
		var detail string
		err := u.found(ctx, step, func() (err error) { state, detail, err = u.Step(ctx, step); return err })
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		u.Report.Done(step.What, state, detail)
		switch state {
		case report.Created:
			u.created++
		case report.Unchanged, report.Updated:
			u.unchanged = append(u.unchanged, step)
		}
	}
	return nil
}

// confirm returns [errVanished] where something seemed to exist, and does not.
func (u *up) confirm(ctx context.Context) error {
	if u.created == 0 || len(u.unchanged) == 0 {
		return nil
	}
	select {
	case <-time.After(time.Until(u.began.Add(u.options.Settle))):
	case <-ctx.Done():
		return ctx.Err()
	}
	u.Forget()
	if err := u.exist(ctx); err != nil {
		return err
	}
	u.unchanged = nil
	return nil
}

// exist returns [errVanished] where something that was found does not exist any more.
func (u *up) exist(ctx context.Context) error {
	for _, step := range u.unchanged {
		is, err := u.find(ctx, step)
		if err == nil && !is.exists {
			err = errVanished
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
	}
	return nil
}

// found does something again that fails because a thing does not exist: what was just removed may still be read, and
// what was just made may not.
func (u *up) found(ctx context.Context, step stack.Step, do func() error) error {
	return cloud.Retry(ctx, cloud.DefaultWait, func() error {
		err := do()
		if cloud.IsNotFound(err) {
			u.Forget()
			u.Report.ShowWaiting(step.What + ", of which AWS says that something does not exist")
			if vanished := u.exist(ctx); vanished != nil {
				return vanished
			}
			return cloud.RetryLater(err)
		}
		return err
	})
}

func (u *up) foundation(ctx context.Context) error { return u.steps(ctx, u.stack.Foundation()...) }

func (u *up) function(ctx context.Context) error {
	step := u.stack.Function()
	if err := u.found(ctx, step, func() error { return u.rebind(ctx, u.stack) }); err != nil {
		return fmt.Errorf("%s: %w", step.What, err)
	}
	return u.steps(ctx, step)
}

// api makes the API, and remembers which deployment its stage serves before anything of it changes.
func (u *up) api(ctx context.Context) (err error) {
	if err := u.steps(ctx, u.stack.API()); err != nil {
		return err
	}
	u.deploys = u.Deploys()
	u.served, _, err = u.deployment(ctx, u.stack)
	return err
}

// grants lets the API invoke the function before there is a route that needs it.
func (u *up) grants(ctx context.Context) error {
	s, id := u.stack, u.refs["api"]
	u.needed = s.Grants(id)
	u.permitter = &Permitter{
		Cloud: u.Cloud, API: gateway.API{Partition: s.Partition, Region: s.Region, Account: s.Account, ID: id},
		Stages: []string{s.Stage}, Report: u.Report, Strict: u.options.Strict,
	}
	granted, err := u.permitter.Add(ctx, u.needed)
	if err == nil && granted < len(u.needed) { // a route without its grant would answer 500
		return fmt.Errorf("function %s: %w", s.Name, errVanished)
	}
	return err
}

func (u *up) entrance(ctx context.Context) error { return u.steps(ctx, u.stack.Entrance()...) }

// leftovers removes routes, twins and grants that the stack does not have.
func (u *up) leftovers(ctx context.Context) error {
	if err := u.tidy(ctx, u.stack); err != nil {
		return err
	}
	return u.permitter.Prune(ctx, u.stack.Name, "", u.needed)
}

// live tries the API through its URL, and says how to use it.
func (u *up) live(ctx context.Context) error {
	s := u.stack
	answer, err := u.Do(ctx, &apigatewayv2.GetApiInput{ApiId: aws.String(u.refs["api"])})
	if err != nil {
		return err
	}
	u.Report.URL, _ = cloud.Search("ApiEndpoint", answer).(string)
	if s.Stage != "$default" {
		u.Report.URL += "/" + s.Stage
	}
	if closed, _ := cloud.Search("DisableExecuteApiEndpoint", answer).(bool); closed {
		u.Report.URL = ""
		u.Report.Note("The API's default endpoint is closed, so nothing was tried there. --endpoint on opens it.")
		return nil
	}
	write := u.Writes() > 0 || u.options.Check
	if err := probe(ctx, u.Report, u.Report.URL, s.Auth.Kind, u.options.Token, write); err != nil {
		return err
	}
	bearer, who := " -H \"Authorization: Bearer $NOTES_TOKEN\"", map[string]string{ // #nosec G101 -- a place for one
		"token": "Whoever has a token can read or write its owner's notes.",
		"jwt": "Whoever has a token of " + s.Auth.Issuer + " for " + s.Auth.Audience +
			" with the scope notes:read or notes:write can read or write notes of its own.",
		"none": "Anyone who knows this URL can read and write the notes.",
	}[s.Auth.Kind]
	if s.Auth.Kind == "none" {
		bearer = ""
	}
	u.Report.Note("\n%s/notes\ncurl -s %s/notes%s\n%s", u.Report.URL, u.Report.URL, bearer, who)
	return nil
}

// rebind heals a function whose role was deleted and made again: Lambda still holds on to the former role, and lets go
// of it only for another one (Lambda developer guide, execution role). Which role it was given, a tag of the function
// tells.
func (c *Converger) rebind(ctx context.Context, s stack.Stack) error {
	step := s.Function()
	function, err := c.find(ctx, step)
	if err != nil || !function.exists {
		return err
	}
	if err := c.ours(ctx, step, function.answer); err != nil {
		return err
	}
	if tagsOf(cloud.Search(step.TagsAt, function.answer))[stack.RoleTag] == c.refs["role_id"] {
		return nil
	}
	other, otherARN := s.OtherRole()
	if _, _, err := c.Step(ctx, other); err != nil {
		return err
	}
	err = c.swap(ctx, s, otherARN)
	if err == nil || cloud.IsNotFound(err) { // the function may have been removed a moment ago
		if _, gone := c.Do(ctx, other.Remove[0]); gone != nil && !cloud.IsNotFound(gone) {
			return gone
		}
	}
	if err != nil {
		return err
	}
	tag := map[string]string{stack.RoleTag: c.refs["role_id"]}
	if _, err := c.Do(ctx, &lambda.TagResourceInput{Resource: aws.String(s.FunctionARN()), Tags: tag}); err != nil {
		return err
	}
	c.Report.Done(step.What, report.Updated, "its role was deleted and made again")
	return nil
}

// swap gives the function another role, and then its own again.
func (c *Converger) swap(ctx context.Context, s stack.Stack, otherARN string) error {
	for _, arn := range []string{otherARN, s.RoleARN()} {
		if err := c.settled(ctx, s.Function()); err != nil {
			return err
		}
		in := &lambda.UpdateFunctionConfigurationInput{FunctionName: &s.Name, Role: &arn}
		if _, err := c.Do(ctx, in); err != nil {
			return err
		}
	}
	return c.settled(ctx, s.Function())
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
			_, err := c.Do(ctx, &apigatewayv2.DeleteRouteInput{ApiId: api, RouteId: route.RouteId})
			if err != nil && !cloud.IsNotFound(err) {
				return err
			}
			c.Report.Done("route "+*route.RouteKey, report.Removed, "it is not the service's")
		}
	}
	for _, twin := range slices.Sorted(maps.Keys(c.twins)) {
		removal := c.twins[twin]
		if _, err := c.Do(ctx, removal); err != nil && !cloud.IsNotFound(err) {
			return err
		}
		delete(c.twins, twin)
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
func (u *up) deployed(ctx context.Context) error {
	if u.Deploys() == u.deploys {
		return nil
	}
	return cloud.Retry(ctx, cloud.DefaultWait, func() error {
		u.Forget()
		id, message, err := u.deployment(ctx, u.stack)
		if err != nil || id != "" && id != u.served {
			return err
		}
		u.Report.ShowWaiting("the stage's deployment")
		return cloud.RetryLater(fmt.Errorf("the stage %s still serves its former deployment %q after %v; "+
			"API Gateway says %q. Run this again", u.stack.Stage, u.served, cloud.DefaultWait, message))
	})
}
