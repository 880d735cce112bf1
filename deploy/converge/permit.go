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

// Permitter makes the grants that an API needs, and removes those made by this program that it no longer needs.
type Permitter struct {
	*cloud.Cloud
	API    gateway.API
	Stages []string // nil for all
	Report *report.Report
	Strict bool // statements that this program did not make are errors
}

func (p *Permitter) arn(g gateway.Grant) string {
	arn := fmt.Sprintf("arn:%s:lambda:%s:%s:function:%s", p.API.Partition, p.API.Region, p.API.Account, g.Function)
	if g.Qualifier != "" {
		arn += ":" + g.Qualifier
	}
	return arn
}

// Add makes the missing grants, and returns how many of the grants exist afterwards. Grants on missing functions do
// not.
func (p *Permitter) Add(ctx context.Context, grants []gateway.Grant) (existing int, err error) {
	for _, group := range ByFunction(grants) {
		document, _, err := facts.Policy(ctx, p.Cloud, group[0].Function, group[0].Qualifier)
		if err != nil {
			return existing, err
		}
		var missing []gateway.Grant
		for _, g := range group {
			if by := gateway.CoveredBy(document, g, p.arn(g)); by == g.StatementID {
				p.Report.Done("grant for "+g.For, report.Unchanged, "")
			} else if by != "" {
				p.Report.Done("grant for "+g.For, report.Unchanged, "statement "+by+
					", made by others, already allows it")
			} else {
				missing = append(missing, g)
				continue
			}
			existing++
		}
		if size := gateway.Size(document, missing, p.arn); missing != nil && size > policy.MaxPolicy {
			return existing, fmt.Errorf("the policy of %s would have %d bytes, but Lambda allows %d, so nothing was "+
				"written: use --scope stage or --scope api, or remove other statements",
				p.arn(group[0]), size, policy.MaxPolicy)
		}
		for _, g := range missing {
			if err := p.addGrant(ctx, g); cloud.IsNotFound(err) {
				p.Report.Done("grant for "+g.For, report.Unhelped, "the function "+p.arn(g)+" does not exist")
				continue
			} else if err != nil {
				return existing, err
			}
			existing++
			p.Report.Done("grant for "+g.For, report.Created, "")
		}
	}
	return existing, nil
}

// addGrant makes one grant. After a conflict it reads the policy again: the statement may exist, or somebody else may
// have written at the same time.
func (p *Permitter) addGrant(ctx context.Context, g gateway.Grant) error {
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
		return fmt.Errorf("statement %s of %s has the id of a grant, but grants something else: remove it with "+
			"aws lambda remove-permission --function-name %s --statement-id %s, then run this again",
			g.StatementID, p.arn(g), g.Function, g.StatementID)
	})
}

// ByFunction groups grants by function and qualifier, which have a policy each. It keeps the order of the grants.
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

// Prune removes the statements of this program that no route needs, because they are for other routes of this API or
// for APIs that no longer exist. It keeps those that it is not sure about.
func (p *Permitter) Prune(ctx context.Context, function, qualifier string, needed []gateway.Grant) error {
	document, _, err := facts.Policy(ctx, p.Cloud, function, qualifier)
	if err != nil {
		return err
	}
	stale, elsewhere := gateway.Stale(document, p.API, p.Stages, needed)
	for _, key := range slices.Sorted(maps.Keys(elsewhere)) {
		region, id, _ := strings.Cut(key, " ")
		client := p.Cloud
		if region != p.Region() {
			client = p.In(region)
		}
		if _, err := client.Do(ctx, &apigatewayv2.GetApiInput{ApiId: &id}); cloud.Code(err) == "NotFoundException" {
			stale = append(stale, elsewhere[key]...)
		}
	}
	for _, statement := range stale {
		if err := p.removeStatement(ctx, function, qualifier, statement.Sid); err != nil {
			return fmt.Errorf("statement %s, which no route needs, was not removed: run this again: %w",
				statement.Sid, err)
		}
		p.Report.Done("grant "+statement.Sid, report.Removed, "no route needs it")
	}
	var others, unneeded []string
	for i, s := range document.Statement {
		if gateway.IsOurs(s.Sid) {
			continue
		}
		others = append(others, s.Sid)
		alone := policy.Document{Statement: document.Statement[i : i+1]}
		if !slices.ContainsFunc(needed, func(g gateway.Grant) bool {
			return gateway.CoveredBy(alone, g, p.arn(g)) != ""
		}) {
			unneeded = append(unneeded, s.Sid)
		}
	}
	if others != nil && p.Strict {
		return fmt.Errorf("the policy of function %s has statements made by others, which --strict makes an error: %v",
			function, others)
	}
	if unneeded != nil {
		p.Report.Note("the policy of function %s also has statements made by others, which were left alone: %v",
			function, unneeded)
	}
	return nil
}

// removeStatement removes a statement. It starts again if somebody else changed the policy in between.
func (p *Permitter) removeStatement(ctx context.Context, function, qualifier, sid string) error {
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
