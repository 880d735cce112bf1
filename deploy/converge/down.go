package converge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

// Down removes a stack, and reports what it does not remove as kept or left. It keeps the table unless data is true.
// Missing resources are not errors. Down stops at the first resource that does not belong to the stack.
func (c *Converger) Down(ctx context.Context, s stack.Stack, data bool) error {
	steps := s.Steps()
	other, _ := s.OtherRole()
	steps = append([]stack.Step{other}, steps...)
	groups, err := c.formerAccessLogs(ctx, s)
	if err != nil {
		return fmt.Errorf("access logs of former stages: %w", err)
	}
	for _, group := range groups {
		steps = append([]stack.Step{group}, steps...)
	}
	for i, step := range slices.Backward(steps) {
		if step.Remove == nil {
			continue // it is deleted with the API
		}
		r, err := c.find(ctx, step)
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		if step.Data && !data {
			if !r.exists {
				continue
			}
			why, err := c.foreignReason(ctx, step, r.answer)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", step.What, err)
			case why != "":
				c.Report.Done(step.What, report.Left, why)
			default:
				c.Report.Done(step.What, report.Kept, "its notes stay; --delete-data "+s.Name+" removes it")
			}
			continue
		}
		if !r.exists {
			if i >= len(steps)-len(s.Steps()) { // not one of the optional steps added above
				c.Report.Done(step.What, report.Missing, "")
			}
			continue
		}
		if err := c.checkOwner(ctx, step, r.answer); err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		if step.Ref != "" {
			c.refs[step.Ref] = r.id
		}
		removals := step.Remove
		for _, id := range duplicates(step, r.answer) {
			removals = append([]any{call.Resolve(step.RemoveDuplicate, withRef(c.refs, "duplicate", id))}, removals...)
		}
		for _, extra := range step.Extras {
			list, err := c.Do(ctx, call.Resolve(extra.List, c.refs))
			if err != nil {
				return fmt.Errorf("%s: %w", step.What, err)
			}
			for _, name := range cloud.Texts(extra.At, list) {
				removals = append([]any{call.Resolve(extra.Remove, withRef(c.refs, "extra", name))}, removals...)
			}
		}
		for _, removal := range removals {
			if _, err := c.Do(ctx, call.Resolve(removal, c.refs)); err != nil && !cloud.IsNotFound(err) {
				return fmt.Errorf("%s: %w", step.What, err)
			}
		}
		c.Report.Done(step.What, report.Removed, "")
	}
	return nil
}

// formerAccessLogs returns the steps of the access log groups of the stack's former stages. It reports as left the
// groups with such names that do not belong to the stack.
func (c *Converger) formerAccessLogs(ctx context.Context, s stack.Stack) (steps []stack.Step, err error) {
	prefix := stack.AccessLogPrefix + s.Name + "-"
	list, err := c.Do(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &prefix})
	if err != nil {
		return nil, err
	}
	for _, name := range cloud.Texts("logGroups[].logGroupName", list) {
		former := s
		if former.Stage = strings.TrimPrefix(name, prefix); former.Stage == strings.TrimPrefix(s.Stage, "$") {
			continue
		}
		step := former.AccessLogs()
		r, err := c.find(ctx, step)
		if err != nil {
			return nil, err
		}
		why, err := c.foreignReason(ctx, step, r.answer)
		switch {
		case err != nil:
			return nil, err
		case why != "":
			c.Report.Done(step.What, report.Left, why)
		default:
			steps = append(steps, step)
		}
	}
	return steps, nil
}

// foreignReason returns why a resource is not known to belong to this stack, or "" if it does. Unlike checkOwner it
// does not wait for late tags, because the resource is not changed.
func (c *Converger) foreignReason(ctx context.Context, s stack.Step, answer any) (why string, err error) {
	tags, err := c.tags(ctx, s, answer)
	switch {
	case cloud.Code(err) == "AccessDeniedException": // up --print-policy allows it only for this stage's group
		return "these credentials may not read its tags", nil
	case err != nil:
		return "", err
	case !c.isOwner(tags):
		return "it does not belong to this stack", nil
	}
	return "", nil
}
