package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/report"
)

// permitter gives an API the grants that it needs on functions, and takes back ours that it does not need any more.
type permitter struct {
	*cloud.Cloud
	api    gateway.API
	stages []string // nil for all
	report *report.Report
	strict bool // a statement that is not ours, and opens the API, is an error
}

// policyOf reads the policy of a function, or of one of its versions or aliases.
func (p *permitter) policyOf(ctx context.Context, function, qualifier string) (document policy.Document, revision string, err error) {
	in := &lambda.GetPolicyInput{FunctionName: &function}
	if qualifier != "" {
		in.Qualifier = &qualifier
	}
	answer, err := p.Do(ctx, in)
	if cloud.IsNotFound(err) { // the policy; or the function, of which AddPermission will tell
		return document, "", nil
	} else if err != nil {
		return document, "", err
	}
	text, _ := cloud.Search("Policy", answer).(string)
	revision, _ = cloud.Search("RevisionId", answer).(string)
	document, err = policy.Parse([]byte(text))
	return document, revision, err
}

func (p *permitter) arn(g gateway.Grant) string {
	arn := fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s", p.api.Partition, p.api.Region, p.api.Account, g.Function)
	if g.Qualifier != "" {
		arn += ":" + g.Qualifier
	}
	return arn
}

// add adds the grants that are missing, and tells how many there are then. A function that is not there has none.
func (p *permitter) add(ctx context.Context, grants []gateway.Grant) (there int, err error) {
	for on, some := range byResource(grants) {
		document, _, err := p.policyOf(ctx, on[0], on[1])
		if err != nil {
			return there, err
		}
		var lacking []gateway.Grant
		for _, g := range some {
			if by := gateway.Covered(document, g, p.arn(g)); by == g.StatementID {
				p.report.Done("grant for "+g.For, "unchanged")
			} else if by != "" {
				p.report.Done("grant for "+g.For, "unchanged: statement "+by+", which is not ours, opens it")
			} else {
				lacking = append(lacking, g)
				continue
			}
			there++
		}
		if size := gateway.Size(document, lacking, p.arn); lacking != nil && size > policy.MaxPolicy {
			return there, fmt.Errorf("the policy of %s would have %d bytes, more than the %d that Lambda takes: use --scope stage or --scope api, or remove statements of others; nothing was written", p.arn(some[0]), size, policy.MaxPolicy)
		}
		for _, g := range lacking {
			if err := p.grant(ctx, g); cloud.IsNotFound(err) {
				p.report.Done("grant for "+g.For, "not helped: there is no function "+p.arn(g))
				continue
			} else if err != nil {
				return there, err
			}
			there++
			p.report.Done("grant for "+g.For, "created")
		}
	}
	return there, nil
}

// grant makes one grant. A conflict also tells that somebody else wrote at the same time, so the policy is read again.
func (p *permitter) grant(ctx context.Context, g gateway.Grant) error {
	return cloud.Retry(ctx, cloud.Patience, func() error {
		_, err := p.Call(ctx, g.Input())
		if err == nil {
			return nil
		}
		if cloud.Code(err) != "ResourceConflictException" && !cloud.IsAmbiguous(err) {
			return cloud.Explained(err)
		}
		document, _, err2 := p.policyOf(ctx, g.Function, g.Qualifier)
		if err2 != nil {
			return errors.Join(err, err2)
		}
		i := slices.IndexFunc(document.Statement, func(s policy.Statement) bool { return s.Sid == g.StatementID })
		switch {
		case i < 0:
			return cloud.Later(err)
		case gateway.Covered(policy.Document{Statement: document.Statement[i : i+1]}, g, p.arn(g)) != "":
			return nil
		}
		return fmt.Errorf("statement %s of %s is ours by its id, but grants something else: remove it with aws lambda remove-permission --function-name %s --statement-id %s, then run this again", g.StatementID, p.arn(g), g.Function, g.StatementID)
	})
}

func byResource(grants []gateway.Grant) map[[2]string][]gateway.Grant {
	all := map[[2]string][]gateway.Grant{}
	for _, g := range grants {
		on := [2]string{g.Function, g.Qualifier}
		all[on] = append(all[on], g)
	}
	return all
}

// prune removes our statements that no route needs: of this API, and of APIs that are not there any more. What cannot be
// told for sure is kept.
func (p *permitter) prune(ctx context.Context, function, qualifier string, needed []gateway.Grant) error {
	document, _, err := p.policyOf(ctx, function, qualifier)
	if err != nil {
		return err
	}
	stale, elsewhere := gateway.Stale(document, p.api, p.stages, needed)
	for key, statements := range elsewhere {
		region, id, _ := strings.Cut(key, " ")
		there := p.Cloud
		if region != p.Region() {
			there = p.In(region)
		}
		if _, err := there.Do(ctx, &apigatewayv2.GetApiInput{ApiId: &id}); cloud.Code(err) == "NotFoundException" {
			stale = append(stale, statements...)
		}
	}
	for _, statement := range stale {
		if err := p.remove(ctx, function, qualifier, statement.Sid); err != nil {
			return fmt.Errorf("statement %s, which no route needs, is not removed (run this again): %w", statement.Sid, err)
		}
		p.report.Done("grant "+statement.Sid, "removed: no route needs it")
	}
	var others []string
	for _, s := range document.Statement {
		if !gateway.Ours(s.Sid) {
			others = append(others, s.Sid)
		}
	}
	if others != nil {
		if p.strict {
			return fmt.Errorf("the policy of function %s has statements that are not ours: %v; --strict makes that an error", function, others)
		}
		p.report.Note("the policy of function %s also has statements that are not ours, and were left alone: %v", function, others)
	}
	return nil
}

// remove removes a statement of the policy as it is now. Where somebody else wrote in between, the policy is read again.
func (p *permitter) remove(ctx context.Context, function, qualifier, sid string) error {
	return cloud.Retry(ctx, cloud.Patience, func() error {
		_, revision, err := p.policyOf(ctx, function, qualifier)
		if err != nil {
			return err
		}
		in := &lambda.RemovePermissionInput{FunctionName: &function, StatementId: &sid, RevisionId: &revision}
		if qualifier != "" {
			in.Qualifier = &qualifier
		}
		switch _, err = p.Call(ctx, in); {
		case err == nil || cloud.IsNotFound(err):
			return nil
		case cloud.Code(err) == "PreconditionFailedException":
			return cloud.Later(err)
		}
		return cloud.Explained(err)
	})
}

// facts reads what an API has.
func (p *permitter) facts(ctx context.Context) (f gateway.Facts, err error) {
	f.API = p.api
	id := &p.api.ID
	for _, list := range []struct {
		input any
		into  any
	}{
		{&apigatewayv2.GetRoutesInput{ApiId: id}, &f.Routes}, {&apigatewayv2.GetIntegrationsInput{ApiId: id}, &f.Integrations},
		{&apigatewayv2.GetStagesInput{ApiId: id}, &f.Stages}, {&apigatewayv2.GetAuthorizersInput{ApiId: id}, &f.Authorizers},
	} {
		answer, err := p.Do(ctx, list.input)
		if cloud.IsNotFound(err) {
			return f, fmt.Errorf("there is no HTTP API %s in %s: aws apigatewayv2 get-apis lists those that are there", *id, p.Region())
		}
		if err == nil {
			err = cloud.Decode(cloud.Search("Items", answer), list.into)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// apiFlags are those of the commands about one API.
type apiFlags struct {
	api, function, scope string
	stages               []string
	json, verbose        bool
	strict               bool
}

// openAPI begins a command about one API, and reads what that has.
func openAPI(cmd *cobra.Command, f apiFlags) (*permitter, gateway.Facts, error) {
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
	p := &permitter{Cloud: c, api: gateway.API{Partition: partition, Region: cfg.Region, Account: account, ID: f.api}, stages: f.stages, report: r, strict: f.strict}
	facts, err := p.facts(cmd.Context())
	return p, facts, err
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
			p, facts, err := openAPI(cmd, f)
			if err != nil {
				return err
			}
			for _, stage := range f.stages {
				if !slices.ContainsFunc(facts.Stages, func(s types.Stage) bool { return *s.StageName == stage }) {
					return fmt.Errorf("the API has no stage %s", stage)
				}
			}
			grants, unhelped := gateway.Grants(facts, f.function, p.stages, scope)
			for _, u := range unhelped {
				p.report.Done("route "+u.Route, "not helped: "+u.Why)
			}
			there, err := p.add(cmd.Context(), grants)
			if err != nil {
				return errors.Join(p.report.End(), err)
			}
			if there == 0 {
				return errors.Join(p.report.End(), fmt.Errorf("no route of API %s is one that a grant can help; nothing was written", f.api))
			}
			for on := range byResource(grants) {
				if err := p.prune(cmd.Context(), on[0], on[1], grants); err != nil {
					return errors.Join(p.report.End(), err)
				}
			}
			return p.report.End()
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
			p, facts, err := openAPI(cmd, f)
			if err != nil {
				return err
			}
			if parts := strings.SplitN(args[0], ":", 6); len(parts) == 6 && parts[4] == "" {
				p.report.Note("the pattern names no account, so it lets nothing in: it must hold %s", p.api.Account)
			}
			for _, s := range facts.Stages {
				for _, r := range facts.Routes {
					p.report.Done(*s.StageName+" "+*r.RouteKey, gateway.Covers(args[0], p.api, *s.StageName, *r.RouteKey))
				}
			}
			return p.report.End()
		},
	}
	cmd.Flags().StringVar(&f.api, "api", "", "id of the HTTP API")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}
