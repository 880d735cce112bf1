package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/converge"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

// apiFlags are those of the commands about one API.
type apiFlags struct {
	api, function, scope string
	region               string // "" for that of the settings
	stages               []string
	json, verbose        bool
	strict               bool
}

// openAPI begins a command about one API, and reads what that has.
func openAPI(cmd *cobra.Command, f apiFlags, r *report.Report) (*converge.Permitter, gateway.Facts, error) {
	if f.api == "" {
		return nil, gateway.Facts{}, fmt.Errorf("%w: --api says which HTTP API; aws apigatewayv2 get-apis lists them",
			errUsage)
	}
	c, cfg, err := cloud.Open(cmd.Context())
	if err != nil {
		return nil, gateway.Facts{}, err
	}
	if f.region != "" && f.region != cfg.Region {
		c, cfg.Region = c.In(f.region), f.region
	}
	account, partition, err := c.Identity(cmd.Context())
	if err != nil {
		return nil, gateway.Facts{}, err
	}
	tell(c, cmd, f.verbose)
	api := gateway.API{Partition: partition, Region: cfg.Region, Account: account, ID: f.api}
	p := &converge.Permitter{Cloud: c, API: api, Stages: f.stages, Report: r, Strict: f.strict}
	has, err := facts.API(cmd.Context(), c, p.API)
	return p, has, err
}

func permitCommand() *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use:   "permit --api ID",
		Short: "let an HTTP API invoke its functions: the cure of the blank 500",
		Long: `Gives API Gateway the right to invoke the functions that an HTTP API integrates, however they were
deployed: for each route of each stage one statement of the function's resource-based policy, no wider than the route,
on the version or alias that the integration names. What is granted already stays; statements of ours that no route
needs go; those of others are left alone. A route that no grant can help is listed with the reason.`,
		Example: "  deploy permit --api a1b2c3d4e5\n  deploy permit --api a1b2c3d4e5 --function my-fn --stage dev",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json)
			return r.End(permit(cmd, f, r))
		},
	}
	cmd.Flags().StringVar(&f.api, "api", "", "id of the HTTP API")
	cmd.Flags().StringVar(&f.function, "function", "", "only this function, by its name")
	cmd.Flags().StringSliceVar(&f.stages, "stage", nil, "only this stage; may be given again")
	cmd.Flags().StringVar(&f.scope, "scope", "route",
		"what one statement opens: route, stage or api; wider ones keep a policy small")
	choices(cmd, "scope", "route", "stage", "api")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail if the policy has statements that are not ours")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// permit gives an API the grants that it needs.
func permit(cmd *cobra.Command, f apiFlags, r *report.Report) error {
	scope := gateway.Scope(f.scope)
	if !slices.Contains([]gateway.Scope{gateway.RouteScope, gateway.StageScope, gateway.APIScope}, scope) {
		return fmt.Errorf("%w: --scope must be route, stage or api, is %q", errUsage, f.scope)
	}
	p, has, err := openAPI(cmd, f, r)
	if err != nil {
		return err
	}
	for _, stage := range f.stages {
		if !slices.ContainsFunc(has.Stages, func(s types.Stage) bool { return *s.StageName == stage }) {
			return fmt.Errorf("the API has no stage %s", stage)
		}
	}
	grants, unhelped := gateway.Grants(has, f.function, f.stages, scope)
	for _, u := range unhelped {
		r.Done("route "+u.Route, report.Unhelped, u.Why)
	}
	there, err := p.Add(cmd.Context(), grants)
	if err != nil {
		return err
	}
	if there == 0 {
		return fmt.Errorf("no route of API %s is one that a grant can help; nothing was written", f.api)
	}
	for _, some := range converge.ByFunction(grants) {
		if err := p.Prune(cmd.Context(), some[0].Function, some[0].Qualifier, grants); err != nil {
			return err
		}
	}
	return nil
}

// tell says each change as a command on standard error, if that is asked for. A secret of the function's is not shown.
func tell(c *cloud.Cloud, cmd *cobra.Command, verbose bool) {
	if verbose {
		c.OnWrite = func(input any) { fmt.Fprintln(cmd.ErrOrStderr(), call.Command(stack.WithoutSecrets(input))) }
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
		Long: `Says for each route of each stage whether a statement with this source ARN lets API Gateway invoke a
function for it, as the policy of a function would judge it. Where AWS does not document what API Gateway presents, as
for path variables, a route that only one reading lets in is said to be unsure.`,
		Example: "  deploy explain 'arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/*/GET/notes' --api " +
			"a1b2c3d4e5",
		Args: exactly("ARN-PATTERN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json)
			return r.End(explain(cmd, f, args[0], r))
		},
	}
	cmd.Flags().StringVar(&f.api, "api", "", "id of the HTTP API")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// explain says which routes and authorizers of an API a pattern lets in.
func explain(cmd *cobra.Command, f apiFlags, pattern string, r *report.Report) error {
	parts := strings.SplitN(pattern, ":", 6)
	if pattern != "*" && (len(parts) < 6 || parts[0] != "arn") {
		return fmt.Errorf("%w: %q is not the pattern of an ARN: "+
			"arn:PARTITION:execute-api:REGION:ACCOUNT:API-ID/STAGE/…", errUsage, pattern)
	}
	if pattern != "*" && parts[4] == "" {
		r.Note("the pattern names no account, so it lets nothing in: put the account's number between the colons")
	}
	p, has, err := openAPI(cmd, f, r)
	if err != nil {
		return err
	}
	for _, s := range has.Stages {
		for _, route := range has.Routes {
			possible := p.API.Possible(*s.StageName, *route.RouteKey)
			said(r, *s.StageName+" "+*route.RouteKey, gateway.Cover(pattern, possible))
		}
	}
	for _, a := range has.Authorizers {
		if a.AuthorizerType == types.AuthorizerTypeRequest { // the others invoke no function
			possible := []string{p.API.Authorizer(*a.AuthorizerId)}
			said(r, "authorizer "+aws.ToString(a.Name), gateway.Cover(pattern, possible))
		}
	}
	return nil
}

// said says whether a route is let in, and of one that is so only at times, when it is not.
func said(r *report.Report, what string, c gateway.Coverage) {
	switch {
	case len(c.Out) == 0:
		r.Done(what, report.Allowed, "")
	case len(c.In) == 0:
		r.Done(what, report.Refused, "")
	default:
		r.Done(what, report.Unsure, "not where API Gateway presents "+strings.Join(c.Out, " or "))
	}
}
