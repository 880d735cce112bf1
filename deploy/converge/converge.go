// Package converge makes AWS match what package stack describes. No other package makes calls that change AWS.
package converge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

// ErrAuthMismatch means that the function and the API of a stack expect different callers.
var ErrAuthMismatch = errors.New("it is not clear who may use the service")

// New returns a Converger for the stack with a name. The name is empty for a resource that belongs to no stack.
func New(c *cloud.Cloud, name string, r *report.Report) *Converger {
	return &Converger{Cloud: c, Report: r, refs: map[string]string{"stack": name}, duplicates: map[string]any{}}
}

// Converger applies the steps of a stack.
type Converger struct {
	*cloud.Cloud
	refs       map[string]string // values of references in inputs
	duplicates map[string]any    // calls that remove duplicates, by the duplicate's id
	Report     *report.Report
}

// resource is the resource of a step as it is on AWS.
type resource struct {
	exists bool
	id     string // result of the step's Pick
	answer any    // of the step's Find
}

// find reads the resource of a step.
func (c *Converger) find(ctx context.Context, s stack.Step) (r resource, err error) {
	r.answer, err = c.Do(ctx, call.Resolve(s.Find, c.refs))
	switch {
	case cloud.IsNotFound(err):
		return resource{}, nil
	case err != nil:
		return resource{}, err
	case s.Pick == "":
		r.exists = true
		return r, nil
	}
	r.id, r.exists = cloud.Search(s.Pick, r.answer).(string)
	return r, nil
}

// Apply creates the resource of a step or changes what differs.
func (c *Converger) Apply(ctx context.Context, s stack.Step) (state report.State, detail string, err error) {
	r, err := c.find(ctx, s)
	if err != nil {
		return "", "", err
	}
	exists := r.exists
	if exists && s.Deleting != "" {
		if exists, err = c.awaitDeletion(ctx, s); err != nil {
			return "", "", err
		}
	}
	state = report.Unchanged
	if !exists {
		state = report.Created
		if r, err = c.create(ctx, s); err != nil {
			return "", "", err
		}
	} else if err := c.checkOwner(ctx, s, r.answer); err != nil {
		return "", "", err
	}
	if s.Ref != "" {
		c.refs[s.Ref] = r.id
	}
	for _, id := range duplicates(s, r.answer) { // removed later, when nothing refers to them any more
		c.duplicates[id] = call.Resolve(s.RemoveDuplicate, withRef(c.refs, "duplicate", id))
	}
	if s.Immutable != "" && exists {
		immutable, _ := cloud.Search(s.Immutable, r.answer).(map[string]any)
		differences := slices.DeleteFunc(call.Differences(s.Create, s.Find, immutable), func(d string) bool {
			name, _, _ := strings.Cut(d, " ")
			_, ok := immutable[name]
			return !ok
		})
		if len(differences) > 0 {
			return "", "", fmt.Errorf("it differs from what the service needs, and nothing was changed: change the "+
				"following, or choose another name: %s", strings.Join(differences, "; "))
		}
	}
	if err := c.awaitSettled(ctx, s); err != nil {
		return "", "", err
	}
	var changes []string
	for _, setting := range s.Settings {
		change, err := c.applySetting(ctx, setting, !exists)
		if err == nil && change != nil {
			err = c.awaitSettled(ctx, s)
		}
		if err != nil {
			return "", "", err
		}
		changes = append(changes, change...)
	}
	if err := c.checkReady(ctx, s); err != nil {
		return "", "", err
	}
	for _, extra := range s.Extras {
		list, err := c.Do(ctx, call.Resolve(extra.List, c.refs))
		if err != nil {
			return "", "", err
		}
		for _, name := range cloud.Texts(extra.At, list) {
			_, err := c.Do(ctx, call.Resolve(extra.Remove, withRef(c.refs, "extra", name)))
			if err != nil && !cloud.IsNotFound(err) {
				return "", "", err
			}
			changes = append(changes, name+" removed")
		}
	}
	if state == report.Unchanged && changes != nil {
		return report.Updated, strings.Join(changes, "; "), nil
	}
	return state, "", nil
}

// create creates the resource of a step and reads it, because another program may have created it too, or the answer
// may have been lost.
func (c *Converger) create(ctx context.Context, s stack.Step) (r resource, err error) {
	_, failure := c.Do(ctx, call.Resolve(s.Create, c.refs))
	if failure != nil && !cloud.IsExists(failure) && !cloud.IsAmbiguous(failure) {
		return resource{}, failure
	}
	err = cloud.Retry(ctx, tagWait, func() error {
		c.Forget()
		if r, err = c.find(ctx, s); err == nil && !r.exists {
			err = cmp.Or(failure, errors.New("it does not exist after it was created: run this again"))
			if !cloud.IsAmbiguous(failure) {
				err = cloud.RetryLater(err)
			}
		}
		return err
	})
	if err == nil && failure != nil { // somebody else may have created it
		err = c.checkOwner(ctx, s, r.answer)
	}
	return r, err
}

// withRef returns a copy of refs with one more reference.
func withRef(refs map[string]string, name, value string) map[string]string {
	all := map[string]string{name: value}
	for n, v := range refs {
		all[n] = v
	}
	return all
}

// applySetting applies a setting if it differs, and returns the changes. With fresh it retries errors that say that the
// resource does not exist, because a new resource may not be visible everywhere yet.
func (c *Converger) applySetting(ctx context.Context, s stack.Setting, fresh bool) ([]string, error) {
	got, err := c.Do(ctx, call.Resolve(s.Read, c.refs))
	if code := cloud.Code(err); s.Optional && (code == "UnknownOperationException" || code == "UnknownOperation") {
		return nil, nil
	}
	if err != nil && !cloud.IsNotFound(err) {
		return nil, err
	}
	put := call.Resolve(s.Put, c.refs)
	var changes []string
	if s.Holds != "" {
		if holds, _ := cloud.Search(s.Holds, got).(bool); !holds {
			changes = []string{s.Name}
		}
	} else {
		changes = call.Differences(put, s.Read, cloud.Search(s.At, got))
	}
	if changes == nil {
		return nil, nil
	}
	err = cloud.Retry(ctx, tagWait, func() error {
		_, err := c.Do(ctx, put)
		if fresh && cloud.IsNotFound(err) {
			return cloud.RetryLater(err)
		}
		return err
	})
	if s.Refused != "" && err != nil && strings.Contains(err.Error(), s.Refused) {
		c.Report.Note("%s", s.RefusedNote)
		return nil, nil
	}
	return changes, err
}

// awaitSettled waits until AWS is no longer changing the resource of a step.
func (c *Converger) awaitSettled(ctx context.Context, s stack.Step) error {
	holds := cmp.Or(s.Settled, s.Ready)
	if holds == "" {
		return nil
	}
	return c.await(ctx, s, func(r resource) bool {
		settled, _ := cloud.Search(holds, r.answer).(bool)
		return settled || !r.exists
	})
}

// checkReady returns an error if later steps cannot use the resource of a step.
func (c *Converger) checkReady(ctx context.Context, s stack.Step) error {
	if s.Ready == "" {
		return nil
	}
	r, err := c.find(ctx, s)
	if err != nil {
		return err
	}
	if ready, _ := cloud.Search(s.Ready, r.answer).(bool); !r.exists || !ready {
		return fmt.Errorf("it is not usable: %v; run this again, and if that does not help remove it",
			cloud.Search(s.Reason, r.answer))
	}
	return nil
}

// awaitDeletion waits while the resource of a step is being deleted, and reports whether it exists then.
func (c *Converger) awaitDeletion(ctx context.Context, s stack.Step) (exists bool, err error) {
	err = c.await(ctx, s, func(r resource) bool {
		deleting, _ := cloud.Search(s.Deleting, r.answer).(bool)
		exists = r.exists
		return !r.exists || !deleting
	})
	return exists, err
}

// await reads the resource of a step until it is as done requires.
func (c *Converger) await(ctx context.Context, s stack.Step, done func(resource) bool) error {
	return cloud.Retry(ctx, cloud.FunctionWait, func() error {
		r, err := c.find(ctx, s)
		if err != nil || done(r) {
			return err
		}
		c.Forget()
		c.Report.ShowWaiting(s.What + ", which AWS is changing")
		return cloud.RetryLater(fmt.Errorf("AWS is still changing it: %v; run this again",
			cloud.Search(s.Reason, r.answer)))
	})
}

// tagWait is how long a resource without tags is read again. The tags of a new table appear late.
const tagWait = 30 * time.Second

// checkOwner returns an error if a resource does not have the tags of this stack. It waits for tags that appear late.
func (c *Converger) checkOwner(ctx context.Context, s stack.Step, answer any) error {
	if s.TagsAt == "" {
		return nil // Pick selects by tags
	}
	return cloud.Retry(ctx, tagWait, func() error {
		tags, err := c.tags(ctx, s, answer)
		if err != nil || c.isOwner(tags) {
			return err
		}
		if reason := cloud.Search("TagsError.Message", answer); reason != nil {
			return fmt.Errorf("its stack is unknown, because these credentials may not read its tags "+
				"(lambda:ListTags): %v", reason)
		}
		err = fmt.Errorf("it exists, but does not belong to this stack: it lacks the tags %s=%s and %s=%s, so nothing "+
			"was changed: choose another name with --stack",
			stack.StackTag, c.refs["stack"], stack.RegionTag, c.Region())
		if len(tags) == 0 && s.Tags != nil {
			c.Forget()
			return cloud.RetryLater(err)
		}
		return err
	})
}

// Exists reports whether the resource of a step exists. It is an error if it does not belong to this stack.
func (c *Converger) Exists(ctx context.Context, s stack.Step) (exists bool, err error) {
	r, err := c.find(ctx, s)
	if err == nil && r.exists {
		err = c.checkOwner(ctx, s, r.answer)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", s.What, err)
	}
	return r.exists, err
}

// tags returns the tags of the resource of a step.
func (c *Converger) tags(ctx context.Context, s stack.Step, answer any) (map[string]string, error) {
	if s.Tags != nil {
		var err error
		if answer, err = c.Do(ctx, call.Resolve(s.Tags, c.refs)); err != nil {
			return nil, err
		}
	}
	return tagsOf(cloud.Search(s.TagsAt, answer)), nil
}

// isOwner reports whether tags are those of this stack.
func (c *Converger) isOwner(tags map[string]string) bool {
	return tags[stack.StackTag] == c.refs["stack"] && tags[stack.RegionTag] == c.Region()
}

// tagsOf converts tags, which are a map or a list of pairs depending on the service.
func tagsOf(value any) map[string]string {
	tags := map[string]string{}
	switch v := value.(type) {
	case map[string]any:
		for name, tag := range v {
			tags[name] = fmt.Sprint(tag)
		}
	case []any:
		for _, tag := range v {
			if pair, ok := tag.(map[string]any); ok {
				tags[fmt.Sprint(pair["Key"])] = fmt.Sprint(pair["Value"])
			}
		}
	}
	return tags
}

func duplicates(s stack.Step, answer any) []string {
	if s.Duplicates == "" {
		return nil
	}
	return cloud.Texts(s.Duplicates, answer)
}

// CheckAuth returns [ErrAuthMismatch] if the API's routes and the function do not have the same authentication:
// somebody changed one of them, or a change was interrupted. The user must then choose.
func (c *Converger) CheckAuth(ctx context.Context, s stack.Stack) error {
	api, err := c.find(ctx, s.API())
	if err != nil || !api.exists {
		return err
	}
	answer, err := c.Do(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api.id})
	if err != nil {
		return err
	}
	mismatched, has := "Items[?AuthorizationType!=`null` && AuthorizationType!='NONE'].RouteKey", "an authorizer"
	if s.Auth.Kind == "jwt" {
		mismatched = "Items[?AuthorizationType!='JWT' && starts_with(RouteKey, 'ANY ')].RouteKey"
		has = "no JWT authorizer"
	}
	if keys := cloud.Texts(mismatched, answer); len(keys) > 0 {
		return fmt.Errorf("%w: the function's NOTES_AUTH is %s, but the route %s has %s: say with --auth who may use "+
			"the service", ErrAuthMismatch, s.Auth.Kind, keys[0], has)
	}
	return nil
}
