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

// Lines of a log come some seconds later than what they tell of: they are asked for at most so often, with pauses that
// double, 8 s in all. In a sandbox they come at once.
const (
	logPolls   = 6
	logPause   = 250 * time.Millisecond
	localPause = 50 * time.Millisecond
)

// event is one event of a log group.
type event struct {
	Stream, Message string
	Time            int64 // milliseconds since 1970
}

// poll reads the events of a log group since the request, with a pattern or without, until some are what it wants.
func (g *gatherer) poll(group, pattern string, wants func([]event) bool) (f doctor.Fact[[]event]) {
	since := g.c.At.Add(-5 * time.Second).UnixMilli()
	pause := logPause
	if g.c.Asked.Local {
		pause = localPause
	}
	for n := range logPolls {
		f = fact(g, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group, StartTime: &since,
			FilterPattern: optional(pattern)}, group, func(answer any) (all []event, err error) {
			err = cloud.Decode(cloud.Search("events[].{Stream: logStreamName, Message: message, Time: timestamp}",
				answer), &all)
			return all, err
		})
		if f.Error != nil && !f.Missing() || wants(f.Or()) || n == logPolls-1 { // a group comes with its first line
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

// access reads the line of the stage's access log about the request.
func (g *gatherer) access(stage doctor.Stage, request string) {
	log := stage.AccessLog
	if log == nil || request == "" || !strings.Contains(log.Format, "$context.requestId") {
		return
	}
	_, group, ok := strings.Cut(log.Destination, ":log-group:")
	if !ok { // a stream of Firehose, which cannot be asked
		return
	}
	group = strings.TrimSuffix(group, ":*")
	found := g.poll(group, `"`+request+`"`, func(all []event) bool { return len(all) > 0 })
	g.c.Access.Call, g.c.Access.Of, g.c.Access.Error = found.Call, found.Of, found.Error
	for _, e := range found.Or() {
		if line, ok := accessLine(log.Format, e.Message); ok {
			g.c.Access.Value = &line
		}
	}
}

// contextVariable is a variable of an access log's format.
var contextVariable = regexp.MustCompile(`\$context\.(?:authorizer\.claims\.[\w:]+|[A-Za-z]\w*(?:\.\w+)*)`)

// accessLine reads a line of an access log by the log's format ("Customize HTTP API access logs").
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
			l.Integration = cut(mask(value))
		case "authorizer.error":
			l.Authorizer = cut(mask(value))
		case "integration.requestId":
			l.RequestID = value
		case "integrationStatus", "integration.integrationStatus":
			l.Status = value
		case "error.message", "error.messageString":
			l.Error = cut(mask(value))
		}
	}
	return l, true
}

// lines reads the lines of the function's log that tell of errors: those of the request, where an id tells which these
// are, else those of the newest invocation.
func (g *gatherer) lines(group string) {
	ids := []string{g.c.Answer.Or().RequestID, g.c.Access.Or().RequestID}
	own := func(all []event) (b block, some []string) {
		b = blockOf(all, ids)
		some, _, _ = logLines(strings.Join(b.lines, "\n"))
		return b, some
	}
	found := g.poll(group, "", func(all []event) bool {
		b, some := own(all)
		return b.joined || len(some) > 0 && b.begins >= g.sent.Add(-clockSkew).UnixMilli()
	})
	f := doctor.Fact[[]string]{Call: found.Call, Of: found.Of, Error: found.Error}
	if found.Value != nil {
		b, some := own(*found.Value)
		f.Value, g.c.Joined = &some, b.joined
	}
	g.c.Lines = f
}

// clockSkew is how far Lambda's clock may be behind this machine's. Lines of the request are not older.
const clockSkew = 200 * time.Millisecond

var (
	startLine = regexp.MustCompile(`^START RequestId: |"type":"platform\.start"`)
	endLine   = regexp.MustCompile(`^REPORT RequestId: |"type":"platform\.report"`)
)

// block is what a log says of one invocation.
type block struct {
	lines  []string
	begins int64 // milliseconds since 1970
	joined bool  // an id tells that it is of the request
}

// blockOf is the block of a log in which one of some ids is, else the newest. Of a log without the lines in which
// Lambda tells of starts it is all.
func blockOf(all []event, ids []string) block {
	last := map[string]int{} // of each stream, the index of its last block
	var blocks []block
	for _, e := range all {
		i, open := last[e.Stream]
		begins := startLine.MatchString(e.Message)
		if !open || begins && slices.ContainsFunc(blocks[i].lines, startLine.MatchString) {
			i = len(blocks) // what was before the first START is of the start of the runtime
			blocks, last[e.Stream] = append(blocks, block{begins: e.Time}), i
		}
		blocks[i].lines = append(blocks[i].lines, e.Message)
		if begins {
			blocks[i].begins = e.Time
		}
		for _, id := range ids {
			blocks[i].joined = blocks[i].joined || id != "" && strings.Contains(e.Message, id)
		}
		if endLine.MatchString(e.Message) {
			delete(last, e.Stream)
		}
	}
	if len(blocks) == 0 {
		return block{}
	}
	if i := slices.IndexFunc(blocks, func(b block) bool { return b.joined }); i >= 0 {
		return blocks[i]
	}
	return slices.MaxFunc(blocks, func(a, b block) int { return cmp.Compare(a.begins, b.begins) })
}

// logs reads what the logs tell of the request, where nothing that was read before explains its answer.
func (g *gatherer) logs(d doctor.Diagnosis) {
	if a := d.Answer; a == nil || a.Status < 400 || proved(d) {
		return
	}
	stage, ok := find(g.c.Stages.Or(), func(s doctor.Stage) bool { return s.Name == d.Target.Stage })
	if ok && g.c.Access.Call == "" {
		g.access(stage, d.Answer.RequestID)
	}
	if f := g.target(d); f != nil && f.Configuration.Seen() && g.c.Lines.Call == "" && d.Answer.Status >= 500 {
		g.lines(f.Configuration.Value.LogGroup)
	}
}

// proved reports whether a fault is proved that explains the answer. That the app answered so explains nothing.
func proved(d doctor.Diagnosis) bool {
	return slices.ContainsFunc(d.Findings, func(f doctor.Finding) bool {
		return f.Explains && f.Certainty == doctor.Proved && f.Level == doctor.Fault && f.Cause != "app.answered"
	})
}

// namedTable is a table in an error of DynamoDB.
var namedTable = regexp.MustCompile(`Table: ([A-Za-z0-9_.-]{3,255}) not found`)

// rights reads the role of the function, where a right of it may lack.
func (g *gatherer) rights(d doctor.Diagnosis) {
	f := g.target(d)
	if f == nil || !f.Configuration.Seen() || d.Answer == nil || d.Answer.Status < 500 {
		return
	}
	told := append(slices.Clone(g.c.Lines.Or()), g.c.Invocation.Or().Log...)
	told = append(told, g.c.Invocation.Or().Message, g.c.Answer.Or().Body)
	text := strings.Join(told, " ")
	refused := g.c.Invocation.Error != nil && strings.HasPrefix(g.c.Invocation.Error.Code, "KMS")
	if strings.Contains(text, "not authorized to perform") || g.c.Lines.Missing() || refused {
		g.c.Role = g.role(f.Configuration.Value.Role)
	}
	if action, resource, ok := doctor.RightOf(text); ok {
		g.c.Simulation = g.simulate(f.Configuration.Value.Role, action, resource)
	}
	if m := namedTable.FindStringSubmatch(text); m != nil && strings.Contains(text, "not found") {
		g.c.Table = ask[doctor.Table](g, &dynamodb.DescribeTableInput{TableName: &m[1]}, m[1], "Table")
	}
}

var (
	reportLine = regexp.MustCompile(`^REPORT RequestId: ([0-9a-f-]+)`)
	telling    = regexp.MustCompile(
		`\[ERROR\]|\bERROR\b|Error\b|error:|Exception|Task timed out|INIT_REPORT.*Status|` +
			`signal: |panic:|fatal|AccessDenied`,
	)
)

// maxLines is the most lines of a log that are kept.
const maxLines = 6

// logLines are the lines of a log that tell of an error, and Lambda's REPORT line with the request's id.
func logLines(tail string) (errors []string, report, id string) {
	for _, line := range strings.Split(tail, "\n") {
		if m := reportLine.FindStringSubmatch(line); m != nil {
			id = m[1]
			report = strings.TrimSpace(strings.Join(strings.Fields(line), " "))
		} else if telling.MatchString(line) {
			if line = cutAt(mask(strings.Join(strings.Fields(line), " ")), maxLine); !slices.Contains(errors, line) {
				errors = append(errors, line)
			}
		}
	}
	if len(errors) > maxLines {
		errors = errors[len(errors)-maxLines:]
	}
	return errors, report, id
}
