package gateway

import (
	"fmt"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/policy"
)

var api = API{Partition: "aws", Region: "eu-central-1", Account: "123456789012", ID: "a1b2c3d4e5"}

// statement is one as Lambda keeps it.
func statement(sid, source string) policy.Statement {
	return policy.Statement{Sid: sid, Effect: "Allow",
		Condition: policy.Conditions{"ArnLike": {"AWS:SourceArn": {source}}}}
}

// TestStale: only statements of ours, of the API and of handled stages, that no route needs are stale; those of other
// APIs of the account are named for a closer look; all others are nobody's business here.
func TestStale(t *testing.T) {
	needed := NewGrant(api, "notes", "", "", api.Pattern("dev", "GET /notes"))
	base := "arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/"
	ours := func(n int) string { return fmt.Sprintf("notes-%016x", n) }
	document := policy.Document{Statement: policy.Statements{
		statement(needed.StatementID, needed.SourceARN),
		statement(ours(1), base+"dev/GET/gone"),
		statement(ours(2), base+"prod/GET/notes"),
		statement("theirs", base+"dev/GET/gone"),
		statement("notes-of-somebody", base+"dev/GET/gone"),
		statement(ours(3), strings.Replace(base, "a1b2c3d4e5", "former", 1)+"dev/GET/notes"),
		statement(ours(4), strings.Replace(base, "123456789012", "999999999999", 1)+"dev/GET/notes"),
		statement(ours(5), strings.Replace(base, "eu-central-1", "us-east-1", 1)+"dev/GET/notes"),
		statement(ours(6), "arn:aws:s3:::bucket"),
		{Sid: ours(7), Effect: "Allow"},
	}}
	says := func(stages []string) string {
		stale, elsewhere := Stale(document, api, stages, []Grant{needed})
		var all []string
		for _, s := range stale {
			all = append(all, s.Sid)
		}
		for _, key := range []string{"eu-central-1 former", "us-east-1 a1b2c3d4e5"} {
			if len(elsewhere[key]) != 1 {
				t.Errorf("%s is not among %v", key, elsewhere)
			}
		}
		if len(elsewhere) != 2 {
			t.Errorf("elsewhere are %v", elsewhere)
		}
		return strings.Join(all, " ")
	}
	if got := says([]string{"dev"}); got != ours(1) {
		t.Errorf("stale on dev are %s", got)
	}
	if got := says(nil); got != ours(1)+" "+ours(2) {
		t.Errorf("stale on all stages are %s", got)
	}
}

// TestGrantIDs: a grant has one id for ever, and another grant another one.
func TestGrantIDs(t *testing.T) {
	first := NewGrant(api, "notes", "", "", api.Pattern("dev", "ANY /notes"))
	if first.StatementID != "notes-4561f1dddd1d3d49" {
		t.Errorf("the id is %s: statements that were made before are not known any more", first.StatementID)
	}
	seen := map[string]bool{first.StatementID: true}
	for _, g := range []Grant{NewGrant(api, "notes", "live", "", first.SourceARN), NewGrant(api, "other", "", "",
		first.SourceARN), NewGrant(api, "notes", "", "", first.SourceARN+"x")} {
		if seen[g.StatementID] || !Ours(g.StatementID) {
			t.Errorf("the id %s is used twice, or not ours", g.StatementID)
		}
		seen[g.StatementID] = true
	}
}
