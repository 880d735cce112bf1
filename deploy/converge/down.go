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

// Down removes a stack. What is gone already is no failure. It stops at the first thing that is not of this stack. The
// table stays unless data is true; what stays is reported as kept or left.
func (c *Converger) Down(ctx context.Context, s stack.Stack, data bool) error {
	steps := s.Steps()
	other, _ := s.OtherRole()
	steps = append([]stack.Step{other}, steps...)
	groups, err := c.formerStages(ctx, s)
	if err != nil {
		return fmt.Errorf("access logs of former stages: %w", err)
	}
	for _, group := range groups {
		steps = append([]stack.Step{group}, steps...)
	}
	for i, step := range slices.Backward(steps) {
		if step.Remove == nil {
			continue // deleting the API deletes it too
		}
		is, err := c.find(ctx, step)
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		if step.Data && !data {
			if !is.exists {
				continue
			}
			why, err := c.foreign(ctx, step, is.answer)
			switch {
			case err != nil:
				return fmt.Errorf("%s: %w", step.What, err)
			case why != "":
				c.Report.Done(step.What, report.Left, why)
			default:
				c.Report.Done(step.What, report.Kept, "it stays, with its notes; --delete-data "+s.Name+" removes it")
			}
			continue
		}
		if !is.exists {
			if i >= len(steps)-len(s.Steps()) { // of what a stack always has
				c.Report.Done(step.What, report.Missing, "")
			}
			continue
		}
		if err := c.ours(ctx, step, is.answer); err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		if step.Ref != "" {
			c.refs[step.Ref] = is.id
		}
		removals := step.Remove
		for _, twin := range twins(step, is.answer) {
			removals = append([]any{call.Resolve(step.RemoveDuplicate, with(c.refs, "duplicate", twin))}, removals...)
		}
		for _, extra := range step.Extras {
			list, err := c.Do(ctx, call.Resolve(extra.List, c.refs))
			if err != nil {
				return fmt.Errorf("%s: %w", step.What, err)
			}
			for _, name := range cloud.Texts(extra.At, list) {
				removals = append([]any{call.Resolve(extra.Remove, with(c.refs, "extra", name))}, removals...)
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

// formerStages returns the steps of the access log groups that other stages of the stack left. Groups with such names
// that are not the stack's are reported as left.
func (c *Converger) formerStages(ctx context.Context, s stack.Stack) (steps []stack.Step, err error) {
	prefix := stack.AccessLogPrefix + s.Name + "-"
	list, err := c.Do(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: &prefix})
	if err != nil {
		return nil, err
	}
	for _, name := range cloud.Texts("logGroups[].logGroupName", list) {
		of := s
		if of.Stage = strings.TrimPrefix(name, prefix); of.Stage == strings.TrimPrefix(s.Stage, "$") {
			continue
		}
		step := of.AccessLogs()
		is, err := c.find(ctx, step)
		if err != nil {
			return nil, err
		}
		why, err := c.foreign(ctx, step, is.answer)
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

// foreign returns why a step's thing is not known to be of this stack; "" where it is. Unlike ours it does not wait for
// tags that come late: nothing is done to the thing.
func (c *Converger) foreign(ctx context.Context, s stack.Step, answer any) (why string, err error) {
	tags, err := c.tags(ctx, s, answer)
	switch {
	case cloud.Code(err) == "AccessDeniedException": // up --print-policy allows it of this stage's group alone
		return "these credentials may not read whose it is", nil
	case err != nil:
		return "", err
	case !c.own(tags):
		return "it is not of this stack", nil
	}
	return "", nil
}
