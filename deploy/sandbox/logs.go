package sandbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

// stream is where lines go: a stream of a log group, written with the rights of a session; nil is for AWS's own.
type stream struct {
	region, group, name string
	who                 *principal
}

type logLine struct {
	to   stream
	text string
	at   time.Time
}

// sink writes lines to CloudWatch Logs, some at a time, so that no request waits for it.
type sink struct {
	s     *Sandbox
	lines chan logLine
	stop  sync.Once
	done  chan struct{}
	there map[stream]bool // whether a stream was made; false where it was refused
}

// gather is how long lines are gathered before they are written.
const gather = 50 * time.Millisecond

func newSink(s *Sandbox) *sink {
	k := &sink{s: s, lines: make(chan logLine, 4096), done: make(chan struct{}), there: map[stream]bool{}}
	go k.run()
	return k
}

func (k *sink) write(to stream, text string) {
	select {
	case k.lines <- logLine{to, text, time.Now()}:
	case <-k.done:
	}
}

func (k *sink) close() { k.stop.Do(func() { close(k.done) }) }

func (k *sink) run() {
	for {
		select {
		case <-k.done:
			return
		case first := <-k.lines:
			batch := map[stream][]types.InputLogEvent{}
			add := func(l logLine) {
				at := l.at.UnixMilli()
				batch[l.to] = append(batch[l.to], types.InputLogEvent{Message: &l.text, Timestamp: &at})
			}
			add(first)
			for until := time.After(gather); ; {
				select {
				case l := <-k.lines:
					add(l)
					continue
				case <-until:
				case <-k.done:
				}
				break
			}
			for to, events := range batch {
				k.put(to, events)
			}
		}
	}
}

// put writes lines, as Lambda does with a role's rights: without them there are no lines.
func (k *sink) put(to stream, events []types.InputLogEvent) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	logs := k.s.logs(to.region)
	write := func() (bool, error) {
		if !k.may(ctx, to, "PutLogEvents") {
			return false, nil
		}
		_, err := logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &to.group,
			LogStreamName: &to.name, LogEvents: events})
		return true, err
	}
	make := func() (bool, error) {
		if !k.may(ctx, to, "CreateLogStream") {
			return false, nil
		}
		_, err := logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &to.group,
			LogStreamName: &to.name})
		if there := (*types.ResourceAlreadyExistsException)(nil); errors.As(err, &there) {
			return true, nil
		}
		return true, err
	}
	group := func() (bool, error) {
		if !k.may(ctx, to, "CreateLogGroup") {
			return false, nil
		}
		_, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &to.group})
		return true, err
	}
	missing := func(err error) bool {
		var m *types.ResourceNotFoundException
		return errors.As(err, &m)
	}
	if k.there[to] {
		if _, err := write(); !missing(err) {
			return
		}
	}
	allowed, err := make()
	if missing(err) && to.who != nil {
		if allowed, err = group(); allowed && err == nil {
			allowed, err = make()
		}
	}
	if k.there[to] = allowed && err == nil; k.there[to] {
		_, err = write()
	}
	if err != nil && !missing(err) {
		k.s.log.Printf("log lines for %s are lost: %v", to.group, err)
	}
}

// may judges and records a call that Lambda makes under a function's role.
func (k *sink) may(ctx context.Context, to stream, operation string) bool {
	if to.who == nil {
		return true
	}
	name := to.name
	if operation == "CreateLogGroup" {
		name = ""
	}
	c := Call{Time: time.Now(), Service: "logs", Operation: operation, Region: to.region, Caller: to.who.arn,
		Status: 200,
		Resources: []string{"arn:" + partition(to.region) + ":logs:" + to.region + ":" + Account + ":log-group:" +
			to.group + ":log-stream:" + name}}
	if c.Refusal = k.s.judge(ctx, *to.who, to.region, demand{action: c.Action(),
		resource: c.Resources[0]}); c.Refusal != "" {
		c.Status = 400
		k.s.log.Printf("the function's lines are not written to %s: %s", to.group, c.Refusal)
	}
	k.s.record(c)
	return c.Refusal == ""
}
