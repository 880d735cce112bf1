package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/stack"
)

func downCommand() *cobra.Command {
	var f stackFlags
	var data string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "remove what up made; the notes stay",
		Long: `Removes what up made, in reverse: the API, the function with its grants, the log groups, the role. What is not of the
stack, by its tags, is not touched. The table with its notes stays, unless --delete-data repeats the stack's name.`,
		Example: "  deploy down\n  deploy down --stack notes-dev --delete-data notes-dev",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data != "" && data != f.Name {
				return fmt.Errorf("%w: --delete-data must repeat the stack's name, %s, is %q", errUsage, f.Name, data)
			}
			c, err := f.open(cmd)
			if err != nil {
				return err
			}
			return errors.Join(down(cmd.Context(), c, f.Stack, data != ""), c.report.End())
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().StringVar(&data, "delete-data", "", "also remove the table with all notes: the stack's name, as a confirmation")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// down removes a stack. What is gone already is no failure.
func down(ctx context.Context, c *converger, s stack.Stack, data bool) error {
	steps := s.Steps()
	other, _ := s.OtherRole()
	steps = append([]stack.Step{other}, steps...)
	groups, err := others(ctx, c, s)
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
		there, id, answer, err := c.find(ctx, step)
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		if step.Data && !data {
			if there {
				c.report.Done(step.What, "stays, with its notes; --delete-data "+s.Name+" removes it")
			}
			continue
		}
		if !there {
			if i >= len(steps)-len(s.Steps()) {
				c.report.Done(step.What, "is not there")
			}
			continue
		}
		if err := c.ours(ctx, step, answer); err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		if step.Ref != "" {
			c.refs[step.Ref] = id
		}
		removals := step.Remove
		for _, twin := range twins(step, answer) {
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
		c.report.Done(step.What, "removed")
	}
	return nil
}

// others are the access log groups of other stages that the stack had.
func others(ctx context.Context, c *converger, s stack.Stack) (steps []stack.Step, err error) {
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
		for _, step := range of.Steps() {
			if step.What != "log group "+name {
				continue
			}
			_, _, answer, err := c.find(ctx, step)
			if err != nil {
				return nil, err
			}
			if tags, err := c.tags(ctx, step, answer); err != nil {
				return nil, err
			} else if c.own(tags) {
				steps = append(steps, step)
			}
		}
	}
	return steps, nil
}

func twins(s stack.Step, answer any) []string {
	if s.Twins == "" {
		return nil
	}
	return cloud.Texts(s.Twins, answer)
}
