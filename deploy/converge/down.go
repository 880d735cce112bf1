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

// Down removes a stack. What is gone already is no failure.
func (c *Converger) Down(ctx context.Context, s stack.Stack, data bool) error {
	steps := s.Steps()
	other, _ := s.OtherRole()
	steps = append([]stack.Step{other}, steps...)
	groups, err := c.others(ctx, s)
	if err != nil {
		return fmt.Errorf("access logs of other stages: %w", err)
	}
	for _, group := range groups {
		steps = append([]stack.Step{group}, steps...)
	}
	for i, step := range slices.Backward(steps) {
		if step.Remove == nil {
			continue // it goes with its API
		}
		is, err := c.find(ctx, step)
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		if step.Data && !data {
			if is.exists {
				c.Report.Done(step.What, report.Kept, "it stays, with its notes; --delete-data "+s.Name+" removes it")
			}
			continue
		}
		if !is.exists {
			if i >= len(steps)-len(s.Steps()) {
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
			removals = append([]any{call.Resolve(step.Twin, with(c.refs, "twin", twin))}, removals...)
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

// others are the access log groups of other stages that the stack had.
func (c *Converger) others(ctx context.Context, s stack.Stack) (steps []stack.Step, err error) {
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
		tags, err := c.tags(ctx, step, is.answer)
		switch {
		case cloud.Code(err) == "AccessDeniedException": // the rights that up prints are for this stage's group
			c.Report.Note("log group %s was left alone: these credentials may not read whose it is", name)
		case err != nil:
			return nil, err
		case c.own(tags):
			steps = append(steps, step)
		}
	}
	return steps, nil
}
