package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/converge"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/report"
)

// apiFlags are those of the commands about one API.
type apiFlags struct {
	api, function, scope string
	stages               []string
	json, verbose        bool
	strict               bool
}

// openAPI begins a command about one API, and reads what that has.
func openAPI(cmd *cobra.Command, f apiFlags) (*converge.Permitter, gateway.Facts, error) {
	if f.api == "" {
		return nil, gateway.Facts{}, fmt.Errorf("%w: --api says which HTTP API; aws apigatewayv2 get-apis lists them", errUsage)
	}
	c, cfg, err := cloud.Open(cmd.Context())
	if err != nil {
		return nil, gateway.Facts{}, err
	}
	account, partition, err := c.Identity(cmd.Context())
	if err != nil {
		return nil, gateway.Facts{}, err
	}
	r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json)
	tell(c, cmd, f.verbose)
	p := &converge.Permitter{Cloud: c, API: gateway.API{Partition: partition, Region: cfg.Region, Account: account, ID: f.api}, Stages: f.stages, Report: r, Strict: f.strict}
	has, err := facts.API(cmd.Context(), c, p.API)
	return p, has, err
}

func permitCommand() *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use:   "permit --api ID",
		Short: "let an HTTP API invoke its functions: the cure of the blank 500",
		Long: `Gives API Gateway the right to invoke the functions that an HTTP API integrates, however they were deployed: for each
route of each stage one statement of the function's resource-based policy, no wider than the route, on the version or alias
that the integration names. What is granted already stays; statements of ours that no route needs go; those of others are
left alone. A route that no grant can help is listed with the reason.`,
		Example: "  deploy permit --api a1b2c3d4e5\n  deploy permit --api a1b2c3d4e5 --function my-fn --stage dev",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			scope := gateway.Scope(f.scope)
			if !slices.Contains([]gateway.Scope{gateway.RouteScope, gateway.StageScope, gateway.APIScope}, scope) {
				return fmt.Errorf("%w: --scope must be route, stage or api, is %q", errUsage, f.scope)
			}
			p, has, err := openAPI(cmd, f)
			if err != nil {
				return err
			}
			for _, stage := range f.stages {
				if !slices.ContainsFunc(has.Stages, func(s types.Stage) bool { return *s.StageName == stage }) {
					return fmt.Errorf("the API has no stage %s", stage)
				}
			}
			grants, unhelped := gateway.Grants(has, f.function, p.Stages, scope)
			for _, u := range unhelped {
				p.Report.Done("route "+u.Route, "not helped: "+u.Why)
			}
			there, err := p.Add(cmd.Context(), grants)
			if err != nil {
				return errors.Join(p.Report.End(), err)
			}
			if there == 0 {
				return errors.Join(p.Report.End(), fmt.Errorf("no route of API %s is one that a grant can help; nothing was written", f.api))
			}
			for on := range converge.ByFunction(grants) {
				if err := p.Prune(cmd.Context(), on[0], on[1], grants); err != nil {
					return errors.Join(p.Report.End(), err)
				}
			}
			return p.Report.End()
		},
	}
	cmd.Flags().StringVar(&f.api, "api", "", "id of the HTTP API")
	cmd.Flags().StringVar(&f.function, "function", "", "only this function, by its name")
	cmd.Flags().StringSliceVar(&f.stages, "stage", nil, "only this stage; may be given again")
	cmd.Flags().StringVar(&f.scope, "scope", "route", "what one statement opens: route, stage or api; wider ones keep a policy small")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail if the policy has statements that are not ours")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// tell says each change on standard error, if that is asked for.
func tell(c *cloud.Cloud, cmd *cobra.Command, verbose bool) {
	if verbose {
		c.Said = func(command string) { fmt.Fprintln(cmd.ErrOrStderr(), command) }
	}
}

// outputFlags are those of every command that makes something on AWS.
func outputFlags(cmd *cobra.Command, asJSON, verbose *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "say what was done as JSON")
	cmd.Flags().BoolVarP(verbose, "verbose", "v", false, "also say each change as the aws command that does the same")
}

func explainCommand() *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use:   "explain ARN-PATTERN --api ID",
		Short: "say which routes of an HTTP API a source ARN lets in",
		Long: `Says for each route of each stage whether a statement with this source ARN lets API Gateway invoke a function for it, as
the policy of a function would judge it. Where AWS does not document what API Gateway presents, as for path variables, a
route that only one reading lets in is said to be unsure.`,
		Example: "  deploy explain 'arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/*/GET/notes' --api a1b2c3d4e5",
		Args:    exactly("ARN-PATTERN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, has, err := openAPI(cmd, f)
			if err != nil {
				return err
			}
			if parts := strings.SplitN(args[0], ":", 6); len(parts) == 6 && parts[4] == "" {
				p.Report.Note("the pattern names no account, so it lets nothing in: it must hold %s", p.API.Account)
			}
			for _, s := range has.Stages {
				for _, r := range has.Routes {
					p.Report.Done(*s.StageName+" "+*r.RouteKey, gateway.Covers(args[0], p.API, *s.StageName, *r.RouteKey))
				}
			}
			return p.Report.End()
		},
	}
	cmd.Flags().StringVar(&f.api, "api", "", "id of the HTTP API")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}
