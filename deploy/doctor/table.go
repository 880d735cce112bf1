package doctor

import (
	"regexp"
)

// tableErrors are what DynamoDB says, and the cause ("Error handling with DynamoDB").
var tableErrors = []struct {
	says  *regexp.Regexp
	cause string
}{
	{regexp.MustCompile(`KMS key access denied|InaccessibleEncryption`), "table.kms"},
	{regexp.MustCompile(`table (that )?is being (created|deleted)`), "table.not-active"},
	{
		regexp.MustCompile(`Requested resource not found|Cannot do operations on a non-existent table`),
		"table.missing",
	},
	{
		regexp.MustCompile(
			`provided key element does not match the schema|parameter values were invalid: Missing the key|` +
				`Type mismatch for key|Query condition missed key schema element`,
		),
		"table.keys",
	},
	{regexp.MustCompile(`does not have the specified index|Invalid index: `), "table.index"},
	{regexp.MustCompile(`ProvisionedThroughputExceeded`), "table.throttled"},
	{
		regexp.MustCompile(`(ThrottlingException|RequestLimitExceeded).*\b(` + tableOperations + `)\b`),
		"table.throttled",
	},
	{regexp.MustCompile(`Could not connect to the endpoint URL: "http://` + localHosts), "table.local-endpoint"},
}

// Hosts that only a developer's machine knows, and operations of DynamoDB.
const (
	localHosts      = `(127\.|localhost|\[::1\]|host\.docker\.internal|[a-z-]+:)`
	tableOperations = `(Batch)?GetItem|(Batch)?(Put|Write)Item|(Update|Delete)Item|Query|Scan|` +
		`Transact(Get|Write)Items|` +
		`DescribeTable|dynamodb|DynamoDB`
)

// calledOperation is the operation in an error of boto3.
var calledOperation = regexp.MustCompile(`when calling the (\w+) operation`)

// mayBeOfTable reports whether a text that looks like one of DynamoDB's may be: it names no operation of another
// service.
func mayBeOfTable(text string) bool {
	m := calledOperation.FindStringSubmatch(text)
	return m == nil || regexp.MustCompile("^("+tableOperations+")$").MatchString(m[1])
}

// tableCause is the cause that an error of DynamoDB tells; "" where a text is none.
func tableCause(text string) string {
	for _, kind := range tableErrors {
		if kind.says.MatchString(text) && mayBeOfTable(text) {
			return kind.cause
		}
	}
	return ""
}

// checkTable judges what the function's own errors tell of its table.
func checkTable(v *view, r *result) {
	p := v.selected
	if p == nil || r.explained("role") {
		return
	}
	for _, e := range v.said() {
		cause := tableCause(e.Value)
		if cause == "" && refusesHere.MatchString(e.Value) && p.loopback() != "–" {
			cause = "table.local-endpoint"
		}
		if cause == "" {
			continue
		}
		f := found{
			cause:     cause,
			certainty: v.ofLines(),
			pairs:     r.alike(p),
			explains:  v.fails(),
			evidence:  []Evidence{e},
			values:    values{"function": p.named(), "message": e.Value, "variables": p.loopback()},
		}
		r.described(&f)
		r.find(f)
		return
	}
}

// telemetry are variables of agents that run beside a function.
var telemetry = regexp.MustCompile(`OTEL|OTLP|DD_|DATADOG|STATSD|XRAY|COLLECTOR`)

// refusesHere is what runtimes say where nobody listens at an address of a developer's machine.
var refusesHere = regexp.MustCompile(`(ECONNREFUSED|ENOTFOUND|dial tcp|lookup|[Cc]onnection refused).{0,60}` +
	`(127\.0\.0\.1|\[?::1\]?|localhost|host\.docker\.internal)`)

// loopback are the names of the variables that name a developer's own machine; "–" for none.
//
// Those of telemetry are left out: what they name listens beside the function, in a layer.
func (p *pair) loopback() string {
	c := p.configuration()
	var local []Variable
	if c != nil {
		for _, one := range c.Variables {
			if one.Loopback && !telemetry.MatchString(one.Name) {
				local = append(local, one)
			}
		}
	}
	return names(local, func(v Variable) string { return v.Name })
}

// described tells of a table that is said to be missing, where its name is known and it exists.
func (r *result) described(f *found) {
	t := r.Table
	if f.cause != "table.missing" || hideFact(r, t, "would.table") || !t.Seen() {
		return
	}
	f.values["table"], f.values["status"], f.values["region"] = t.Value.Name, t.Value.Status, r.Asked.Region
	f.cause = "table.elsewhere"
	if t.Value.Status != "ACTIVE" {
		f.cause = "table.not-active"
	}
	f.evidence = append(f.evidence, Evidence{t.Call, t.Of, "TableStatus", t.Value.Status, "ACTIVE"})
}
