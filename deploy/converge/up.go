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

// Options are options of [Converger.Up].
type Options struct {
	Check  bool   // the live check writes a note even if nothing was changed
	Strict bool   // statements in the function's policy that this program did not make are errors
	Token  string // bearer token of the live check, or ""

	// Settle is the time after the start at which Up checks again that the resources it found exist. If it created some
	// of the stack's resources, the others may have been removed just before, while AWS still returned them.
	Settle time.Duration
}

// errVanished means that a resource of the stack was found and then did not exist.
var errVanished = errors.New("it was removed a moment ago: run this again")

// Up applies all steps of a stack, makes its grants, removes what does not belong to it, and checks the result. It
// begins again if a resource vanishes meanwhile.
func (c *Converger) Up(ctx context.Context, s stack.Stack, o Options) (err error) {
	for attempt := range 3 {
		if attempt > 0 {
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
		return fmt.Errorf("%w; if a part of the stack was removed a moment ago, run this again", err)
	}
	return err
}

func (u *up) phases(ctx context.Context) error {
	for _, phase := range []func(context.Context) error{
		u.makeFoundation, u.confirm, u.makeFunction, u.makeAPI, u.addGrants, u.makeEntrance, u.removeLeftovers,
		u.awaitDeployment, u.confirm, u.checkLive,
	} {
		if err := phase(ctx); err != nil {
			return err
		}
	}
	return nil
}

// up is the state of one attempt of [Converger.Up].
type up struct {
	*Converger
	stack   stack.Stack
	options Options

	began     time.Time
	existing  []stack.Step // whose resources existed before
	created   int
	permitter *Permitter
	needed    []gateway.Grant
	served    string // id of the deployment that the stage served before the changes
	deploys   int    // value of Deploys before the changes
}

// apply applies steps and reports them.
func (u *up) apply(ctx context.Context, steps ...stack.Step) error {
	for _, step := range steps {
		var state report.State
		var detail string
		err := u.retryNotFound(ctx, step, func() (err error) { state, detail, err = u.Apply(ctx, step); return err })
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		u.Report.Done(step.What, state, detail)
		switch state {
		case report.Created:
			u.created++
		case report.Unchanged, report.Updated:
			u.existing = append(u.existing, step)
		}
	}
	return nil
}

// confirm checks, if something was created, that what was found still exists. It waits for Options.Settle first.
func (u *up) confirm(ctx context.Context) error {
	if u.created == 0 || len(u.existing) == 0 {
		return nil
	}
	select {
	case <-time.After(time.Until(u.began.Add(u.options.Settle))):
	case <-ctx.Done():
		return ctx.Err()
	}
	u.Forget()
	if err := u.checkExisting(ctx); err != nil {
		return err
	}
	u.existing = nil
	return nil
}

// checkExisting returns [errVanished] if a resource that was found no longer exists.
func (u *up) checkExisting(ctx context.Context) error {
	for _, step := range u.existing {
		r, err := u.find(ctx, step)
		if err == nil && !r.exists {
			err = errVanished
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
	}
	return nil
}

// retryNotFound retries do while it fails because something does not exist, since a new resource may not be visible
// yet. It returns [errVanished] if a resource that was found no longer exists.
func (u *up) retryNotFound(ctx context.Context, step stack.Step, do func() error) error {
	return cloud.Retry(ctx, cloud.DefaultWait, func() error {
		err := do()
		if cloud.IsNotFound(err) {
			u.Forget()
			u.Report.ShowWaiting(step.What + ": AWS says that something does not exist")
			if vanished := u.checkExisting(ctx); vanished != nil {
				return vanished
			}
			return cloud.RetryLater(err)
		}
		return err
	})
}

func (u *up) makeFoundation(ctx context.Context) error { return u.apply(ctx, u.stack.Foundation()...) }

func (u *up) makeFunction(ctx context.Context) error {
	step := u.stack.Function()
	if err := u.retryNotFound(ctx, step, func() error { return u.rebind(ctx, u.stack) }); err != nil {
		return fmt.Errorf("%s: %w", step.What, err)
	}
	return u.apply(ctx, step)
}

// makeAPI makes the API, and records which deployment its stage serves before its routes change.
func (u *up) makeAPI(ctx context.Context) (err error) {
	if err := u.apply(ctx, u.stack.API()); err != nil {
		return err
	}
	u.deploys = u.Deploys()
	u.served, _, err = u.currentDeployment(ctx, u.stack)
	return err
}

// addGrants lets the API invoke the function. It runs before the routes are made, which need the grants.
func (u *up) addGrants(ctx context.Context) error {
	s, id := u.stack, u.refs["api"]
	u.needed = s.Grants(id)
	u.permitter = &Permitter{
		Cloud: u.Cloud, API: gateway.API{Partition: s.Partition, Region: s.Region, Account: s.Account, ID: id},
		Stages: []string{s.Stage}, Report: u.Report, Strict: u.options.Strict,
	}
	granted, err := u.permitter.Add(ctx, u.needed)
	if err == nil && granted < len(u.needed) { // a route without a grant would answer 500
		return fmt.Errorf("function %s: %w", s.Name, errVanished)
	}
	return err
}

func (u *up) makeEntrance(ctx context.Context) error { return u.apply(ctx, u.stack.Entrance()...) }

// removeLeftovers removes routes, duplicates and grants that do not belong to the stack.
func (u *up) removeLeftovers(ctx context.Context) error {
	if err := u.removeExtraRoutes(ctx, u.stack); err != nil {
		return err
	}
	if err := u.removeDuplicates(ctx); err != nil {
		return err
	}
	return u.permitter.Prune(ctx, u.stack.Name, "", u.needed)
}

// checkLive checks the API at its URL, and adds a note on how to use it.
func (u *up) checkLive(ctx context.Context) error {
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
		u.Report.Note("The API's default endpoint is closed, so it was not checked. --endpoint on opens it.")
		return nil
	}
	write := u.Writes() > 0 || u.options.Check
	if err := probe(ctx, u.Report, u.Report.URL, s.Auth.Kind, u.options.Token, write); err != nil {
		return err
	}
	bearer, who := " -H \"Authorization: Bearer $NOTES_TOKEN\"", map[string]string{ // #nosec G101 -- a placeholder
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

// rebind repairs a function whose role was deleted and created again. Lambda keeps referring to the deleted role until
// the function is given another one (Lambda developer guide, execution role). A tag of the function records the role's
// id.
func (c *Converger) rebind(ctx context.Context, s stack.Stack) error {
	step := s.Function()
	function, err := c.find(ctx, step)
	if err != nil || !function.exists {
		return err
	}
	if err := c.checkOwner(ctx, step, function.answer); err != nil {
		return err
	}
	if tagsOf(cloud.Search(step.TagsAt, function.answer))[stack.RoleTag] == c.refs["role_id"] {
		return nil
	}
	other, otherARN := s.OtherRole()
	if _, _, err := c.Apply(ctx, other); err != nil {
		return err
	}
	err = c.swapRole(ctx, s, otherARN)
	if err == nil || cloud.IsNotFound(err) { // the function may have been removed a moment ago
		if _, err := c.Do(ctx, other.Remove[0]); err != nil && !cloud.IsNotFound(err) {
			return err
		}
	}
	if err != nil {
		return err
	}
	tag := map[string]string{stack.RoleTag: c.refs["role_id"]}
	if _, err := c.Do(ctx, &lambda.TagResourceInput{Resource: aws.String(s.FunctionARN()), Tags: tag}); err != nil {
		return err
	}
	c.Report.Done(step.What, report.Updated, "its role was deleted and created again")
	return nil
}

// swapRole gives the function another role and then its own again.
func (c *Converger) swapRole(ctx context.Context, s stack.Stack, otherARN string) error {
	for _, arn := range []string{otherARN, s.RoleARN()} {
		if err := c.awaitSettled(ctx, s.Function()); err != nil {
			return err
		}
		in := &lambda.UpdateFunctionConfigurationInput{FunctionName: &s.Name, Role: &arn}
		if _, err := c.Do(ctx, in); err != nil {
			return err
		}
	}
	return c.awaitSettled(ctx, s.Function())
}

// removeExtraRoutes removes routes that are not the service's.
func (c *Converger) removeExtraRoutes(ctx context.Context, s stack.Stack) error {
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
	return nil
}

// removeDuplicates removes the duplicates that calls with lost answers left behind.
func (c *Converger) removeDuplicates(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(c.duplicates)) {
		removal := c.duplicates[id]
		if _, err := c.Do(ctx, removal); err != nil && !cloud.IsNotFound(err) {
			return err
		}
		delete(c.duplicates, id)
		_, operation := call.Operation(removal)
		c.Report.Done(operation, report.OK, "a call whose answer was lost had created a duplicate")
	}
	return nil
}

// currentDeployment returns the id of the deployment that the stage serves, or "", and API Gateway's message about the
// last deployment.
func (c *Converger) currentDeployment(ctx context.Context, s stack.Stack) (id, message string, err error) {
	answer, err := c.Do(ctx, &apigatewayv2.GetStageInput{ApiId: aws.String(c.refs["api"]), StageName: &s.Stage})
	if err != nil && !cloud.IsNotFound(err) {
		return "", "", err
	}
	message, _ = cloud.Search("LastDeploymentStatusMessage", answer).(string)
	id, _ = cloud.Search("DeploymentId", answer).(string)
	return id, message, nil
}

// awaitDeployment waits until the stage serves a new deployment, if the API's routes were changed.
func (u *up) awaitDeployment(ctx context.Context) error {
	if u.Deploys() == u.deploys {
		return nil
	}
	return cloud.Retry(ctx, cloud.DefaultWait, func() error {
		u.Forget()
		id, message, err := u.currentDeployment(ctx, u.stack)
		if err != nil || id != "" && id != u.served {
			return err
		}
		u.Report.ShowWaiting("the stage's deployment")
		return cloud.RetryLater(fmt.Errorf("the stage %s still serves its former deployment %q: API Gateway says %q; "+
			"run this again", u.stack.Stage, u.served, message))
	})
}
