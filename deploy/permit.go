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

// apiFlags are the flags of the commands about one API.
type apiFlags struct {
	api, function, scope string
	region               string // "" for the region of the AWS settings
	stages               []string
	json, verbose        bool
	strict               bool
}

// openAPI returns a Permitter for the API of f, and the API's configuration.
func openAPI(cmd *cobra.Command, f apiFlags, r *report.Report) (*converge.Permitter, gateway.Facts, error) {
	if f.api == "" {
		return nil, gateway.Facts{}, fmt.Errorf("%w: --api must name the HTTP API; aws apigatewayv2 get-apis lists "+
			"them",
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
	logWrites(c, cmd, f.verbose)
	api := gateway.API{Partition: partition, Region: cfg.Region, Account: account, ID: f.api}
	p := &converge.Permitter{Cloud: c, API: api, Stages: f.stages, Report: r, Strict: f.strict}
	configuration, err := facts.API(cmd.Context(), c, p.API)
	return p, configuration, err
}

func permitCommand() *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use:   "permit --api ID",
		Short: "let an HTTP API invoke its functions, which fixes the blank 500",
		Long: `Lets API Gateway invoke the functions that an HTTP API integrates, whatever tool deployed them. For
each route of each stage it adds a statement to the resource-based policy of the function, or of the version or alias
in the integration. The statement allows no more than the route. It skips what is already allowed, removes statements
that it made and no route needs, and leaves the statements of others alone. It lists the routes that no grant can make
work, with the reasons.`,
		Example: "  deploy permit --api a1b2c3d4e5\n  deploy permit --api a1b2c3d4e5 --function my-fn --stage dev",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json)
			return r.End(permit(cmd, f, r))
		},
	}
	cmd.Flags().StringVar(&f.api, "api", "", "id of the HTTP API")
	cmd.Flags().StringVar(&f.function, "function", "", "only this function")
	cmd.Flags().StringSliceVar(&f.stages, "stage", nil, "only this stage; may be repeated")
	cmd.Flags().StringVar(&f.scope, "scope", "route",
		"what one statement allows: route, stage or api; wide scopes keep the policy small")
	registerChoices(cmd, "scope", "route", "stage", "api")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail if the policy has statements that permit did not make")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// permit makes the grants that an API needs.
func permit(cmd *cobra.Command, f apiFlags, r *report.Report) error {
	scope := gateway.Scope(f.scope)
	if !slices.Contains([]gateway.Scope{gateway.RouteScope, gateway.StageScope, gateway.APIScope}, scope) {
		return fmt.Errorf("%w: --scope must be route, stage or api, not %q", errUsage, f.scope)
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
	existing, err := p.Add(cmd.Context(), grants)
	if err != nil {
		return err
	}
	if existing == 0 {
		return fmt.Errorf("a grant cannot make any route of API %s work, so nothing was written", f.api)
	}
	for _, group := range converge.ByFunction(grants) {
		if err := p.Prune(cmd.Context(), group[0].Function, group[0].Qualifier, grants); err != nil {
			return err
		}
	}
	return nil
}

// logWrites makes c print each change as an aws command on standard error, if verbose. It hides the function's secrets.
func logWrites(c *cloud.Cloud, cmd *cobra.Command, verbose bool) {
	if verbose {
		c.OnWrite = func(input any) { fmt.Fprintln(cmd.ErrOrStderr(), call.Command(stack.WithoutSecrets(input))) }
	}
}

// outputFlags adds the flags of every command that changes AWS.
func outputFlags(cmd *cobra.Command, asJSON, verbose *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print the result as JSON")
	cmd.Flags().BoolVarP(verbose, "verbose", "v", false, "also print each change as an aws command")
}

func explainCommand() *cobra.Command {
	var f apiFlags
	cmd := &cobra.Command{
		Use:   "explain ARN-PATTERN --api ID",
		Short: "explain which routes of an HTTP API a source ARN pattern allows",
		Long: `Prints for each route of each stage whether a policy statement with this source ARN lets API Gateway
invoke a function for it. AWS does not document the source ARNs of some routes, such as those with path variables.
Such a route is listed as unsure if the pattern allows only some of its possible ARNs.`,
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

// explain reports which routes and authorizers of an API a pattern allows.
func explain(cmd *cobra.Command, f apiFlags, pattern string, r *report.Report) error {
	parts := strings.SplitN(pattern, ":", 6)
	if pattern != "*" && (len(parts) < 6 || parts[0] != "arn") {
		return fmt.Errorf("%w: %q is not an ARN pattern of the form "+
			"arn:PARTITION:execute-api:REGION:ACCOUNT:API-ID/STAGE/…", errUsage, pattern)
	}
	if pattern != "*" && parts[4] == "" {
		r.Note("the pattern has no account, so it allows nothing: put the account number between the colons")
	}
	p, has, err := openAPI(cmd, f, r)
	if err != nil {
		return err
	}
	for _, s := range has.Stages {
		for _, route := range has.Routes {
			possible := p.API.Possible(*s.StageName, *route.RouteKey)
			reportCoverage(r, *s.StageName+" "+*route.RouteKey, gateway.Cover(pattern, possible))
		}
	}
	for _, a := range has.Authorizers {
		if a.AuthorizerType == types.AuthorizerTypeRequest { // others do not invoke a function
			possible := []string{p.API.Authorizer(*a.AuthorizerId)}
			reportCoverage(r, "authorizer "+aws.ToString(a.Name), gateway.Cover(pattern, possible))
		}
	}
	return nil
}

// reportCoverage reports whether a route is allowed, and if that is unsure the ARNs for which it is not.
func reportCoverage(r *report.Report, what string, c gateway.Coverage) {
	switch {
	case len(c.Out) == 0:
		r.Done(what, report.Allowed, "")
	case len(c.In) == 0:
		r.Done(what, report.Refused, "")
	default:
		r.Done(what, report.Unsure, "refused if API Gateway presents "+strings.Join(c.Out, " or "))
	}
}
