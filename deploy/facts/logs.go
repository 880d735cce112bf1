package facts

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// CloudWatch Logs returns events some seconds late, so they are polled for. The pauses double, to 8 s in total. A
// sandbox returns them at once.
const (
	logPolls   = 6
	logPause   = 250 * time.Millisecond // the first pause
	localPause = 50 * time.Millisecond  // the first pause in a sandbox
)

// logEvent is one event of a log group.
type logEvent struct {
	Stream, Message string
	Time            int64 // milliseconds since 1970
}

// poll reads the events of a log group since the request, optionally with a filter pattern, until done reports true for
// them or the polls are used up.
func (g *gatherer) poll(group, pattern string, done func([]logEvent) bool) (f doctor.Fact[[]logEvent]) {
	since := g.c.At.Add(-5 * time.Second).UnixMilli()
	pause := logPause
	if g.c.Asked.Local {
		pause = localPause
	}
	for n := range logPolls {
		f = readFact(g, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, StartTime: &since,
			FilterPattern: optional(pattern)}, group, func(answer any) (all []logEvent, err error) {
			err = cloud.Decode(cloud.Search("events[].{Stream: logStreamName, Message: message, Time: timestamp}",
				answer), &all)
			return all, err
		})
		if f.Error != nil && !f.Missing() || done(f.Or()) || n == logPolls-1 { // a group is created with its first line
			break
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-g.ctx.Done():
			timer.Stop()
			return f
		}
		pause *= 2
	}
	return f
}

// readAccessLog reads the line about the request from the stage's access log.
func (g *gatherer) readAccessLog(stage doctor.Stage, request string) {
	log := stage.AccessLog
	if log == nil || request == "" || !strings.Contains(log.Format, "$context.requestId") {
		return
	}
	_, group, ok := strings.Cut(log.Destination, ":log-group:")
	if !ok { // a Firehose stream, which cannot be read
		return
	}
	group = strings.TrimSuffix(group, ":*")
	found := g.poll(group, `"`+request+`"`, func(all []logEvent) bool { return len(all) > 0 })
	g.c.Access.Call, g.c.Access.Of, g.c.Access.Error = found.Call, found.Of, found.Error
	for _, e := range found.Or() {
		if line, ok := accessLine(log.Format, e.Message); ok {
			g.c.Access.Value = &line
		}
	}
}

// contextVariable matches a variable in the format of an access log.
var contextVariable = regexp.MustCompile(`\$context\.(?:authorizer\.claims\.[\w:]+|[A-Za-z]\w*(?:\.\w+)*)`)

// accessLine parses a line of an access log by the log's format ("Customize HTTP API access logs"). It reports false
// for a line of another format.
func accessLine(format, line string) (l doctor.AccessLine, ok bool) {
	var form strings.Builder
	var names []string
	end := 0
	for _, at := range contextVariable.FindAllStringIndex(format, -1) {
		form.WriteString(regexp.QuoteMeta(format[end:at[0]]) + "(.*?)")
		names = append(names, strings.TrimPrefix(format[at[0]:at[1]], "$context."))
		end = at[1]
	}
	form.WriteString(regexp.QuoteMeta(format[end:]))
	read, err := regexp.Compile("(?s)^\\s*" + form.String() + "\\s*$")
	if err != nil {
		return l, false
	}
	values := read.FindStringSubmatch(line)
	if values == nil {
		return l, false
	}
	for i, name := range names {
		value := values[i+1]
		if value == "-" || value == "" {
			continue
		}
		switch name {
		case "integrationErrorMessage", "integration.error":
			l.Integration = truncate(mask(value))
		case "authorizer.error":
			l.Authorizer = truncate(mask(value))
		case "integration.requestId":
			l.RequestID = value
		case "integrationStatus", "integration.integrationStatus":
			l.Status = value
		case "error.message", "error.messageString":
			l.Error = truncate(mask(value))
		}
	}
	return l, true
}

// readFunctionLog reads the error lines of the function's log: those of the request if an id identifies them, otherwise
// those of the newest invocation.
func (g *gatherer) readFunctionLog(group string) {
	ids := []string{g.c.Answer.Or().RequestID, g.c.Access.Or().RequestID}
	own := func(all []logEvent) (b logBlock, some []string) {
		b = findBlock(all, ids)
		some, _, _ = logLines(strings.Join(b.lines, "\n"))
		return b, some
	}
	found := g.poll(group, "", func(all []logEvent) bool {
		b, some := own(all)
		return b.matched || len(some) > 0 && b.begins >= g.sent.Add(-clockSkew).UnixMilli()
	})
	f := doctor.Fact[[]string]{Call: found.Call, Of: found.Of, Error: found.Error}
	if found.Value != nil {
		b, some := own(*found.Value)
		f.Value, g.c.Joined = &some, b.matched
	}
	g.c.Lines = f
}

// clockSkew is how far Lambda's clock may be behind this machine's. Older lines are not of the request.
const clockSkew = 200 * time.Millisecond

var (
	startLine = regexp.MustCompile(`^START RequestId: |"type":"platform\.start"`)
	endLine   = regexp.MustCompile(`^REPORT RequestId: |"type":"platform\.report"`)
)

// logBlock is the part of a log that belongs to one invocation.
type logBlock struct {
	lines   []string
	begins  int64 // milliseconds since 1970
	matched bool  // an id shows that it belongs to the request
}

// findBlock returns the block that contains one of some ids, or the newest block if none does. A log without Lambda's
// START lines is one block per stream.
func findBlock(all []logEvent, ids []string) logBlock {
	last := map[string]int{} // index of the open block, by stream
	var blocks []logBlock
	for _, e := range all {
		i, open := last[e.Stream]
		begins := startLine.MatchString(e.Message)
		if !open || begins && slices.ContainsFunc(blocks[i].lines, startLine.MatchString) {
			i = len(blocks) // lines before the first START belong to the init phase
			blocks, last[e.Stream] = append(blocks, logBlock{begins: e.Time}), i
		}
		blocks[i].lines = append(blocks[i].lines, e.Message)
		if begins {
			blocks[i].begins = e.Time
		}
		for _, id := range ids {
			blocks[i].matched = blocks[i].matched || id != "" && strings.Contains(e.Message, id)
		}
		if endLine.MatchString(e.Message) {
			delete(last, e.Stream)
		}
	}
	if len(blocks) == 0 {
		return logBlock{}
	}
	if i := slices.IndexFunc(blocks, func(b logBlock) bool { return b.matched }); i >= 0 {
		return blocks[i]
	}
	return slices.MaxFunc(blocks, func(a, b logBlock) int { return cmp.Compare(a.begins, b.begins) })
}

// readLogs reads what the logs say about the request, unless the facts read so far already explain the response.
func (g *gatherer) readLogs(d doctor.Diagnosis) {
	if a := d.Answer; a == nil || a.Status < 400 || isExplained(d) {
		return
	}
	stage, ok := findIn(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == d.Target.Stage })
	if ok && g.c.Access.Call == "" {
		g.readAccessLog(stage, d.Answer.RequestID)
	}
	if f := g.targetFunction(d); f != nil && f.Configuration.Seen() && g.c.Lines.Call == "" && d.Answer.Status >= 500 {
		g.readFunctionLog(f.Configuration.Value.LogGroup)
	}
}

// isExplained reports whether a proved fault explains the response. That the app itself returned it explains nothing.
func isExplained(d doctor.Diagnosis) bool {
	return slices.ContainsFunc(d.Findings, func(f doctor.Finding) bool {
		return f.Explains && f.Certainty == doctor.Proved && f.Level == doctor.Fault && f.Cause != "app.answered"
	})
}

// namedTable matches the name of a table in an error of DynamoDB.
var namedTable = regexp.MustCompile(`Table: ([A-Za-z0-9_.-]{3,255}) not found`)

// readRights reads the role of the function, if the function may lack a permission, and the table that an error names.
func (g *gatherer) readRights(d doctor.Diagnosis) {
	f := g.targetFunction(d)
	if f == nil || !f.Configuration.Seen() || d.Answer == nil || d.Answer.Status < 500 {
		return
	}
	told := append(slices.Clone(g.c.Lines.Or()), g.c.Invocation.Or().Log...)
	told = append(told, g.c.Invocation.Or().Message, g.c.Answer.Or().Body)
	text := strings.Join(told, " ")
	refused := g.c.Invocation.Error != nil && strings.HasPrefix(g.c.Invocation.Error.Code, "KMS")
	if strings.Contains(text, "not authorized to perform") || g.c.Lines.Missing() || refused {
		g.c.Role = g.readRole(f.Configuration.Value.Role)
	}
	if action, resource, ok := doctor.DeniedAction(text); ok {
		g.c.Simulation = g.simulate(f.Configuration.Value.Role, action, resource)
	}
	if m := namedTable.FindStringSubmatch(text); m != nil && strings.Contains(text, "not found") {
		g.c.Table = readPath[doctor.Table](g, &dynamodb.DescribeTableInput{TableName: &m[1]}, m[1], "Table")
	}
}

var (
	reportLine = regexp.MustCompile(`^REPORT RequestId: ([0-9a-f-]+)`)
	errorLine  = regexp.MustCompile(
		`\[ERROR\]|\bERROR\b|Error\b|error:|Exception|Task timed out|INIT_REPORT.*Status|` +
			`signal: |panic:|fatal|AccessDenied`,
	)
)

// maxLines is the most lines kept of a log.
const maxLines = 6

// logLines returns the error lines of a log, and Lambda's REPORT line with its request id.
func logLines(tail string) (errors []string, report, id string) {
	for _, line := range strings.Split(tail, "\n") {
		if m := reportLine.FindStringSubmatch(line); m != nil {
			id = m[1]
			report = strings.TrimSpace(strings.Join(strings.Fields(line), " "))
		} else if errorLine.MatchString(line) {
			line = truncateTo(mask(strings.Join(strings.Fields(line), " ")), maxLine)
			if !slices.Contains(errors, line) {
				errors = append(errors, line)
			}
		}
	}
	if len(errors) > maxLines {
		errors = errors[len(errors)-maxLines:]
	}
	return errors, report, id
}
