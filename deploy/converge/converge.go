// Package converge brings what is on AWS to what package stack says. No other package makes calls that change AWS.
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

// ErrDisagree is a function and an API of one stack that are set up for different callers.
var ErrDisagree = errors.New("it is not clear who may use the service")

// New returns a converger for the stack of a name. An empty name is for one thing that belongs to no stack.
func New(c *cloud.Cloud, stack string, r *report.Report) *Converger {
	return &Converger{Cloud: c, Report: r, refs: map[string]string{"stack": stack}, twins: map[string]any{}}
}

// Converger makes what a stack's steps say.
type Converger struct {
	*cloud.Cloud
	refs   map[string]string
	twins  map[string]any // the calls that remove duplicates, which lost answers left; by the duplicate's id
	Report *report.Report
}

// found is what AWS says of a step's thing.
type found struct {
	exists bool
	id     string // what the step's Pick selects
	answer any    // of the step's Find
}

// find reads whether a step's thing exists, and what it is like.
func (c *Converger) find(ctx context.Context, s stack.Step) (f found, err error) {
	f.answer, err = c.Do(ctx, call.Resolve(s.Find, c.refs))
	switch {
	case cloud.IsNotFound(err):
		return found{}, nil
	case err != nil:
		return found{}, err
	case s.Pick == "":
		f.exists = true
		return f, nil
	}
	f.id, f.exists = cloud.Search(s.Pick, f.answer).(string)
	return f, nil
}

// Step brings one thing to what it must be.
func (c *Converger) Step(ctx context.Context, s stack.Step) (state report.State, detail string, err error) {
	is, err := c.find(ctx, s)
	if err != nil {
		return "", "", err
	}
	there := is.exists
	if there && s.Deleting != "" {
		if there, err = c.gone(ctx, s); err != nil {
			return "", "", err
		}
	}
	state = report.Unchanged
	if !there {
		state = report.Created
		if is, err = c.create(ctx, s); err != nil {
			return "", "", err
		}
	} else if err := c.ours(ctx, s, is.answer); err != nil {
		return "", "", err
	}
	if s.Ref != "" {
		c.refs[s.Ref] = is.id
	}
	for _, twin := range twins(s, is.answer) { // once nothing refers to them any more
		c.twins[twin] = call.Resolve(s.RemoveDuplicate, with(c.refs, "duplicate", twin))
	}
	if s.Immutable != "" && there {
		fixed, _ := cloud.Search(s.Immutable, is.answer).(map[string]any)
		differences := slices.DeleteFunc(call.Differences(s.Create, s.Find, fixed), func(d string) bool {
			name, _, _ := strings.Cut(d, " ")
			_, told := fixed[name]
			return !told // it can be set
		})
		if len(differences) > 0 {
			return "", "", fmt.Errorf("it is not as the service needs it; nothing was changed. "+
				"Change what is named here, or choose another name: %s", strings.Join(differences, "; "))
		}
	}
	if err := c.settled(ctx, s); err != nil {
		return "", "", err
	}
	var changes []string
	for _, setting := range s.Settings {
		change, err := c.set(ctx, setting, !there)
		if err == nil && change != nil {
			err = c.settled(ctx, s)
		}
		if err != nil {
			return "", "", err
		}
		changes = append(changes, change...)
	}
	if err := c.ready(ctx, s); err != nil {
		return "", "", err
	}
	for _, extra := range s.Extras {
		list, err := c.Do(ctx, call.Resolve(extra.List, c.refs))
		if err != nil {
			return "", "", err
		}
		for _, name := range cloud.Texts(extra.At, list) {
			_, err := c.Do(ctx, call.Resolve(extra.Remove, with(c.refs, "extra", name)))
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

// create makes a thing and reads it: another program may have made one too, and of a lost answer only this tells.
func (c *Converger) create(ctx context.Context, s stack.Step) (is found, err error) {
	_, failure := c.Do(ctx, call.Resolve(s.Create, c.refs))
	if failure != nil && !cloud.IsExists(failure) && !cloud.IsAmbiguous(failure) {
		return found{}, failure
	}
	err = cloud.Retry(ctx, tagWait, func() error {
		c.Forget()
		if is, err = c.find(ctx, s); err == nil && !is.exists {
			err = cmp.Or(failure, errors.New("it is not there after it was created; run this again"))
			if !cloud.IsAmbiguous(failure) {
				err = cloud.RetryLater(err)
			}
		}
		return err
	})
	if err == nil && failure != nil { // perhaps somebody else made it
		err = c.ours(ctx, s, is.answer)
	}
	return is, err
}

func with(refs map[string]string, name, value string) map[string]string {
	all := map[string]string{name: value}
	for n, v := range refs {
		all[n] = v
	}
	return all
}

// set sets one setting if it is not so, and says what it changed. Of a new thing AWS may not have heard everywhere yet.
func (c *Converger) set(ctx context.Context, s stack.Setting, fresh bool) ([]string, error) {
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

// settled waits until AWS is not at work on a thing any more.
func (c *Converger) settled(ctx context.Context, s stack.Step) error {
	holds := cmp.Or(s.Settled, s.Ready)
	if holds == "" {
		return nil
	}
	return c.await(ctx, s, func(is found) bool {
		settled, _ := cloud.Search(holds, is.answer).(bool)
		return settled || !is.exists
	})
}

// ready tells that others can build on a thing.
func (c *Converger) ready(ctx context.Context, s stack.Step) error {
	if s.Ready == "" {
		return nil
	}
	is, err := c.find(ctx, s)
	if err != nil {
		return err
	}
	if ready, _ := cloud.Search(s.Ready, is.answer).(bool); !is.exists || !ready {
		return fmt.Errorf("it is not usable: %v; run this again, and if it stays so remove it",
			cloud.Search(s.Reason, is.answer))
	}
	return nil
}

// gone waits for the end of what is just being deleted, and reports whether the thing exists then.
func (c *Converger) gone(ctx context.Context, s stack.Step) (exists bool, err error) {
	err = c.await(ctx, s, func(is found) bool {
		going, _ := cloud.Search(s.Deleting, is.answer).(bool)
		exists = is.exists
		return !is.exists || !going
	})
	return exists, err
}

// await reads a thing again until it is as it must be.
func (c *Converger) await(ctx context.Context, s stack.Step, done func(found) bool) error {
	return cloud.Retry(ctx, cloud.FunctionWait, func() error {
		is, err := c.find(ctx, s)
		if err != nil || done(is) {
			return err
		}
		c.Forget()
		c.Report.ShowWaiting(s.What + ", at which AWS is at work")
		return cloud.RetryLater(fmt.Errorf("AWS is still at work on it after %v: %v; run this again",
			cloud.FunctionWait, cloud.Search(s.Reason, is.answer)))
	})
}

// tagWait is how long a thing without tags is read again: tags of a new table come late.
const tagWait = 30 * time.Second

// ours returns an error if a thing is not of this stack, by its tags. Where it has none they are awaited.
func (c *Converger) ours(ctx context.Context, s stack.Step, answer any) error {
	if s.TagsAt == "" {
		return nil // Pick selects by tags
	}
	return cloud.Retry(ctx, tagWait, func() error {
		tags, err := c.tags(ctx, s, answer)
		if err != nil || c.own(tags) {
			return err
		}
		if reason := cloud.Search("TagsError.Message", answer); reason != nil {
			return fmt.Errorf("whose it is cannot be told: these credentials may not read its tags "+
				"(lambda:ListTags): %v",
				reason)
		}
		err = fmt.Errorf("it is there, but not of this stack: it lacks the tags %s=%s and %s=%s. "+
			"Choose another name for the stack with --stack; nothing of it was changed",
			stack.StackTag, c.refs["stack"], stack.RegionTag, c.Region())
		if len(tags) == 0 && s.Tags != nil { // they may come late
			c.Forget()
			return cloud.RetryLater(err)
		}
		return err
	})
}

// Owned reports whether a step's thing exists. It is an error if it is not of this stack.
func (c *Converger) Owned(ctx context.Context, s stack.Step) (exists bool, err error) {
	is, err := c.find(ctx, s)
	if err == nil && is.exists {
		err = c.ours(ctx, s, is.answer)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", s.What, err)
	}
	return is.exists, err
}

// tags are those of a step's thing.
func (c *Converger) tags(ctx context.Context, s stack.Step, answer any) (map[string]string, error) {
	if s.Tags != nil {
		var err error
		if answer, err = c.Do(ctx, call.Resolve(s.Tags, c.refs)); err != nil {
			return nil, err
		}
	}
	return tagsOf(cloud.Search(s.TagsAt, answer)), nil
}

func (c *Converger) own(tags map[string]string) bool {
	return tags[stack.StackTag] == c.refs["stack"] && tags[stack.RegionTag] == c.Region()
}

// tagsOf are tags, which are a map or a list of keys and values.
func tagsOf(value any) map[string]string {
	tags := map[string]string{}
	switch v := value.(type) {
	case map[string]any:
		for name, one := range v {
			tags[name] = fmt.Sprint(one)
		}
	case []any:
		for _, one := range v {
			if pair, ok := one.(map[string]any); ok {
				tags[fmt.Sprint(pair["Key"])] = fmt.Sprint(pair["Value"])
			}
		}
	}
	return tags
}

func twins(s stack.Step, answer any) []string {
	if s.Duplicates == "" {
		return nil
	}
	return cloud.Texts(s.Duplicates, answer)
}

// Agreed returns [ErrDisagree] where the API's routes do not ask for what the function does: somebody has changed one
// of them, or a change was cut short. What is meant has to be said then.
func (c *Converger) Agreed(ctx context.Context, s stack.Stack) error {
	api, err := c.find(ctx, s.API())
	if err != nil || !api.exists {
		return err
	}
	answer, err := c.Do(ctx, &apigatewayv2.GetRoutesInput{ApiId: &api.id})
	if err != nil {
		return err
	}
	others, have := "Items[?AuthorizationType!=`null` && AuthorizationType!='NONE'].RouteKey", "an authorizer"
	if s.Auth.Kind == "jwt" {
		others = "Items[?AuthorizationType!='JWT' && starts_with(RouteKey, 'ANY ')].RouteKey"
		have = "no authorizer for it"
	}
	if keys := cloud.Texts(others, answer); len(keys) > 0 {
		return fmt.Errorf("%w: the function's NOTES_AUTH is %s, but the route %s has %s: say with --auth who may use "+
			"the service",
			ErrDisagree, s.Auth.Kind, keys[0], have)
	}
	return nil
}
