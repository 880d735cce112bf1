package converge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/report"
)

// Permitter gives an API the grants that it needs on functions, and takes back ours that it does not need any more.
type Permitter struct {
	*cloud.Cloud
	API    gateway.API
	Stages []string // nil for all
	Report *report.Report
	Strict bool // a statement that is not ours, and opens the API, is an error
}

func (p *Permitter) arn(g gateway.Grant) string {
	arn := fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s", p.API.Partition, p.API.Region, p.API.Account, g.Function)
	if g.Qualifier != "" {
		arn += ":" + g.Qualifier
	}
	return arn
}

// Add adds the grants that are missing, and tells how many there are then. A function that is not there has none.
func (p *Permitter) Add(ctx context.Context, grants []gateway.Grant) (there int, err error) {
	for _, some := range ByFunction(grants) {
		document, _, err := facts.Policy(ctx, p.Cloud, some[0].Function, some[0].Qualifier)
		if err != nil {
			return there, err
		}
		var lacking []gateway.Grant
		for _, g := range some {
			if by := gateway.CoveredBy(document, g, p.arn(g)); by == g.StatementID {
				p.Report.Done("grant for "+g.For, report.Unchanged, "")
			} else if by != "" {
				p.Report.Done("grant for "+g.For, report.Unchanged, "statement "+by+", which is not ours, opens it")
			} else {
				lacking = append(lacking, g)
				continue
			}
			there++
		}
		if size := gateway.Size(document, lacking, p.arn); lacking != nil && size > policy.MaxPolicy {
			return there, fmt.Errorf("the policy of %s would have %d bytes, more than the %d that Lambda takes: "+
				"use --scope stage or --scope api, or remove statements of others; nothing was written",
				p.arn(some[0]), size, policy.MaxPolicy)
		}
		for _, g := range lacking {
			if err := p.grant(ctx, g); cloud.IsNotFound(err) {
				p.Report.Done("grant for "+g.For, report.Unhelped, "there is no function "+p.arn(g))
				continue
			} else if err != nil {
				return there, err
			}
			there++
			p.Report.Done("grant for "+g.For, report.Created, "")
		}
	}
	return there, nil
}

// grant makes one grant. A conflict also tells that somebody else wrote at the same time, so the policy is read again.
func (p *Permitter) grant(ctx context.Context, g gateway.Grant) error {
	return cloud.Retry(ctx, cloud.DefaultWait, func() error {
		_, err := p.Call(ctx, g.Input())
		if err == nil {
			return nil
		}
		if cloud.Code(err) != "ResourceConflictException" && !cloud.IsAmbiguous(err) {
			return cloud.Explain(err)
		}
		document, _, err2 := facts.Policy(ctx, p.Cloud, g.Function, g.Qualifier)
		if err2 != nil {
			return errors.Join(err, err2)
		}
		i := slices.IndexFunc(document.Statement, func(s policy.Statement) bool { return s.Sid == g.StatementID })
		switch {
		case i < 0:
			return cloud.RetryLater(err)
		case gateway.CoveredBy(policy.Document{Statement: document.Statement[i : i+1]}, g, p.arn(g)) != "":
			return nil
		}
		return fmt.Errorf("statement %s of %s is ours by its id, but grants something else: remove it with "+
			"aws lambda remove-permission --function-name %s --statement-id %s, then run this again",
			g.StatementID, p.arn(g), g.Function, g.StatementID)
	})
}

// ByFunction groups grants by the function and the qualifier in whose policy they are, in the order of the grants.
func ByFunction(grants []gateway.Grant) (groups [][]gateway.Grant) {
	for _, g := range grants {
		i := slices.IndexFunc(groups, func(group []gateway.Grant) bool {
			return group[0].Function == g.Function && group[0].Qualifier == g.Qualifier
		})
		if i < 0 {
			groups = append(groups, []gateway.Grant{g})
		} else {
			groups[i] = append(groups[i], g)
		}
	}
	return groups
}

// Prune removes our statements that no route needs: of this API, and of APIs that are not there any more. What cannot
// be told for sure is kept.
func (p *Permitter) Prune(ctx context.Context, function, qualifier string, needed []gateway.Grant) error {
	document, _, err := facts.Policy(ctx, p.Cloud, function, qualifier)
	if err != nil {
		return err
	}
	stale, elsewhere := gateway.Stale(document, p.API, p.Stages, needed)
	for _, key := range slices.Sorted(maps.Keys(elsewhere)) {
		region, id, _ := strings.Cut(key, " ")
		there := p.Cloud
		if region != p.Region() {
			there = p.In(region)
		}
		if _, err := there.Do(ctx, &apigatewayv2.GetApiInput{ApiId: &id}); cloud.Code(err) == "NotFoundException" {
			stale = append(stale, elsewhere[key]...)
		}
	}
	for _, statement := range stale {
		if err := p.remove(ctx, function, qualifier, statement.Sid); err != nil {
			return fmt.Errorf("statement %s, which no route needs, is not removed (run this again): %w",
				statement.Sid, err)
		}
		p.Report.Done("grant "+statement.Sid, report.Removed, "no route needs it")
	}
	var others []string
	for _, s := range document.Statement {
		if !gateway.IsOurs(s.Sid) {
			others = append(others, s.Sid)
		}
	}
	if others != nil {
		if p.Strict {
			return fmt.Errorf("the policy of function %s has statements that are not ours: %v; --strict makes that "+
				"an error",
				function, others)
		}
		p.Report.Note("the policy of function %s also has statements that are not ours, and were left alone: %v",
			function, others)
	}
	return nil
}

// remove removes a statement of the policy as it is now. Where somebody else wrote in between, the policy is read
// again.
func (p *Permitter) remove(ctx context.Context, function, qualifier, sid string) error {
	return cloud.Retry(ctx, cloud.DefaultWait, func() error {
		_, revision, err := facts.Policy(ctx, p.Cloud, function, qualifier)
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
			return cloud.RetryLater(err)
		}
		return cloud.Explain(err)
	})
}
