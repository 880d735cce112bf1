package doctor

import (
	"regexp"
)

// tableErrors maps error messages of DynamoDB to causes ("Error handling with DynamoDB").
var tableErrors = []struct {
	text  *regexp.Regexp
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

// Patterns of hosts that only a developer's machine has, and of DynamoDB operations.
const (
	localHosts      = `(127\.|localhost|\[::1\]|host\.docker\.internal|[a-z-]+:)`
	tableOperations = `(Batch)?GetItem|(Batch)?(Put|Write)Item|(Update|Delete)Item|Query|Scan|` +
		`Transact(Get|Write)Items|` +
		`DescribeTable|dynamodb|DynamoDB`
)

// calledOperation matches the operation in an error of boto3.
var calledOperation = regexp.MustCompile(`when calling the (\w+) operation`)

// mayBeDynamoDB reports whether an error may be one of DynamoDB: it does not name an operation of another service.
func mayBeDynamoDB(text string) bool {
	m := calledOperation.FindStringSubmatch(text)
	return m == nil || regexp.MustCompile("^("+tableOperations+")$").MatchString(m[1])
}

// tableCause returns the cause that an error of DynamoDB shows, "" for another error.
func tableCause(text string) string {
	for _, kind := range tableErrors {
		if kind.text.MatchString(text) && mayBeDynamoDB(text) {
			return kind.cause
		}
	}
	return ""
}

// checkTable judges what the function's errors show about its table.
func checkTable(v *view, r *result) {
	p := v.selected
	if p == nil || r.isExplained(LinkRole) {
		return
	}
	for _, e := range v.errorTexts() {
		cause := tableCause(e.Value)
		if cause == "" && localRefusal.MatchString(e.Value) && p.localVariables() != "–" {
			cause = "table.local-endpoint"
		}
		if cause == "" {
			continue
		}
		f := draft{
			cause:     cause,
			certainty: v.textCertainty(),
			pairs:     r.sharingFunction(p),
			explains:  v.serverFailed(),
			evidence:  []Evidence{e},
			values:    values{"function": p.qualifiedName(), "message": e.Value, "variables": p.localVariables()},
		}
		r.checkDescription(&f)
		r.addFinding(f)
		return
	}
}

// telemetryVariable matches variables of agents that run beside a function.
var telemetryVariable = regexp.MustCompile(`OTEL|OTLP|DD_|DATADOG|STATSD|XRAY|COLLECTOR`)

// localRefusal matches the error of a runtime when nothing listens at an address that only a developer's machine has.
var localRefusal = regexp.MustCompile(`(ECONNREFUSED|ENOTFOUND|dial tcp|lookup|[Cc]onnection refused).{0,60}` +
	`(127\.0\.0\.1|\[?::1\]?|localhost|host\.docker\.internal)`)

// localVariables names the variables whose value is a URL on a developer's machine, "–" for none. Variables of
// telemetry agents are left out, because such an agent listens beside the function, in a layer.
func (p *pair) localVariables() string {
	c := p.configuration()
	var local []Variable
	if c != nil {
		for _, one := range c.Variables {
			if one.Loopback && !telemetryVariable.MatchString(one.Name) {
				local = append(local, one)
			}
		}
	}
	return joinNames(local, func(v Variable) string { return v.Name })
}

// checkDescription refines the finding of a missing table by what DescribeTable answers for its name.
func (r *result) checkDescription(f *draft) {
	t := r.Table
	if f.cause != "table.missing" || reportUnseen(r, t, "would.table") || !t.Seen() {
		return
	}
	f.values["table"], f.values["status"], f.values["region"] = t.Value.Name, t.Value.Status, r.Asked.Region
	f.cause = "table.elsewhere"
	if t.Value.Status != "ACTIVE" {
		f.cause = "table.not-active"
	}
	f.evidence = append(f.evidence, Evidence{Call: t.Call, Of: t.Of, Field: "TableStatus", Value: t.Value.Status,
		Expected: "ACTIVE"})
}
