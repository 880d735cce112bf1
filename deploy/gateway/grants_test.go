package gateway

import (
	"fmt"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/policy"
)

var api = API{Partition: "aws", Region: "eu-central-1", Account: "123456789012", ID: "a1b2c3d4e5"}

// statement returns a statement as Lambda stores it.
func statement(sid, source string) policy.Statement {
	return policy.Statement{Sid: sid, Effect: "Allow",
		Condition: policy.Conditions{"ArnLike": {"AWS:SourceArn": {source}}}}
}

// TestStale checks which statements are stale, which belong to other APIs of the account, and that all others are left
// out.
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
	staleIn := func(stages []string) string {
		stale, elsewhere := Stale(document, api, stages, []Grant{needed})
		var all []string
		for _, s := range stale {
			all = append(all, s.Sid)
		}
		for _, key := range []string{"eu-central-1 former", "us-east-1 a1b2c3d4e5"} {
			if len(elsewhere[key]) != 1 {
				t.Errorf("elsewhere lacks %s: %v", key, elsewhere)
			}
		}
		if len(elsewhere) != 2 {
			t.Errorf("elsewhere is %v", elsewhere)
		}
		return strings.Join(all, " ")
	}
	if got := staleIn([]string{"dev"}); got != ours(1) {
		t.Errorf("stale in dev: %s", got)
	}
	if got := staleIn(nil); got != ours(1)+" "+ours(2) {
		t.Errorf("stale in all stages: %s", got)
	}
}

// TestGrantIDs checks that ids are stable and distinct.
func TestGrantIDs(t *testing.T) {
	first := NewGrant(api, "notes", "", "", api.Pattern("dev", "ANY /notes"))
	if first.StatementID != "notes-4561f1dddd1d3d49" {
		t.Errorf("the id is %s: existing statements are no longer recognized", first.StatementID)
	}
	seen := map[string]bool{first.StatementID: true}
	for _, g := range []Grant{NewGrant(api, "notes", "live", "", first.SourceARN), NewGrant(api, "other", "", "",
		first.SourceARN), NewGrant(api, "notes", "", "", first.SourceARN+"x")} {
		if seen[g.StatementID] || !IsOurs(g.StatementID) {
			t.Errorf("the id %s is not unique, or not recognized", g.StatementID)
		}
		seen[g.StatementID] = true
	}
}
