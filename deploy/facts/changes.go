package facts

import (
	"slices"
	"strings"
	"time"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// Changes are looked for so far back, and so many are told.
const (
	changesWithin = 24 * time.Hour
	maxChanges    = 20
)

// changes reads from CloudTrail what was changed of the API and its functions ("LookupEvents", CloudTrail API
// reference). Events are some minutes late.
func (g *gatherer) changes() {
	f := doctor.Fact[[]doctor.Change]{Call: "cloudtrail:LookupEvents", Of: g.c.Asked.API, Value: &[]doctor.Change{}}
	names := []string{g.c.Asked.API}
	for _, one := range g.c.Functions {
		names = append(names, one.Target.Function)
	}
	for _, source := range []string{"apigateway.amazonaws.com", "lambda.amazonaws.com"} {
		g.note("aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventSource,AttributeValue=" + source)
		answer, err := g.cloud.Target(g.ctx, "cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."+
			"LookupEvents", map[string]any{"StartTime": g.c.At.Add(-changesWithin).Unix(), "MaxResults": 50,
			"LookupAttributes": []any{map[string]string{"AttributeKey": "EventSource", "AttributeValue": source}}})
		if err != nil {
			f.Value, f.Error = nil, failure(err)
			break
		}
		*f.Value = append(*f.Value, changesOf(answer, names)...)
	}
	if f.Value != nil {
		slices.SortStableFunc(*f.Value, func(a, b doctor.Change) int { return b.At.Compare(a.At) })
		*f.Value = (*f.Value)[:min(len(*f.Value), maxChanges)]
	}
	g.c.Changes = f
}

// changesOf are the events that changed one of some things.
func changesOf(answer any, names []string) (all []doctor.Change) {
	events, _ := cloud.Search("Events", answer).([]any)
	for _, e := range events {
		text := func(field string) string { t, _ := cloud.Search(field, e).(string); return t }
		whole := text("CloudTrailEvent")
		of := slices.IndexFunc(names, func(n string) bool {
			return n != "" && (strings.Contains(whole, `"`+n+`"`) || strings.Contains(whole, ":function:"+n+`"`))
		})
		at, err := timeOf(cloud.Search("EventTime", e))
		if err != nil || of < 0 || text("ReadOnly") == "true" {
			continue
		}
		all = append(all, doctor.Change{At: time.Unix(at, 0).UTC(), Event: text("EventName"), Of: names[of],
			By: secrets[emails].ReplaceAllString(text("Username"), masked)})
	}
	return all
}
