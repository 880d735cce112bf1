package facts

import (
	"slices"
	"strings"
	"time"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

const (
	changesWithin = 24 * time.Hour // how far back changes are read
	maxChanges    = 20             // the newest changes are kept
)

// readChanges reads the changes of the API and its functions from CloudTrail ("LookupEvents", CloudTrail API
// reference). Events arrive some minutes late.
func (g *gatherer) readChanges() {
	f := doctor.Fact[[]doctor.Change]{Call: "cloudtrail:LookupEvents", Of: g.c.Asked.API, Value: &[]doctor.Change{}}
	names := []string{g.c.Asked.API}
	for _, one := range g.c.Functions {
		names = append(names, one.Target.Function)
	}
	for _, source := range []string{"apigateway.amazonaws.com", "lambda.amazonaws.com"} {
		g.logCall("aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventSource,AttributeValue=" + source)
		answer, err := g.cloud.Target(g.ctx, "cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."+
			"LookupEvents", map[string]any{"StartTime": g.c.At.Add(-changesWithin).Unix(), "MaxResults": 50,
			"LookupAttributes": []any{map[string]string{"AttributeKey": "EventSource", "AttributeValue": source}}})
		if err != nil {
			f.Value, f.Error = nil, failureOf(err)
			break
		}
		*f.Value = append(*f.Value, filterChanges(answer, names)...)
	}
	if f.Value != nil {
		slices.SortStableFunc(*f.Value, func(a, b doctor.Change) int { return b.At.Compare(a.At) })
		*f.Value = (*f.Value)[:min(len(*f.Value), maxChanges)]
	}
	g.c.Changes = f
}

// filterChanges returns the events that changed something with one of some names.
func filterChanges(answer any, names []string) (all []doctor.Change) {
	events, _ := cloud.Search("Events", answer).([]any)
	for _, e := range events {
		text := func(field string) string { t, _ := cloud.Search(field, e).(string); return t }
		whole := text("CloudTrailEvent")
		of := slices.IndexFunc(names, func(n string) bool {
			return n != "" && (strings.Contains(whole, `"`+n+`"`) || strings.Contains(whole, ":function:"+n+`"`))
		})
		at, err := parseTime(cloud.Search("EventTime", e))
		if err != nil || of < 0 || text("ReadOnly") == "true" {
			continue
		}
		all = append(all, doctor.Change{At: time.Unix(at, 0).UTC(), Event: text("EventName"), Of: names[of],
			By: secretPatterns[emailPattern].ReplaceAllString(text("Username"), masked)})
	}
	return all
}
