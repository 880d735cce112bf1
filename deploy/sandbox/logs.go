package sandbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"example.com/portable-notes/deploy/gateway"
)

// stream is a log stream. Writing to it needs the rights of who; nil is AWS itself.
type stream struct {
	region, group, name string
	who                 *principal
}

type logLine struct {
	to   stream
	text string
	at   time.Time
}

// sink writes lines to CloudWatch Logs in batches, without delaying requests.
type sink struct {
	s       *Sandbox
	lines   chan logLine
	stop    sync.Once
	done    chan struct{}
	streams map[stream]bool // streams that exist; false after a failure
}

// batchDelay is how long the sink collects lines before it writes them.
const batchDelay = 50 * time.Millisecond

func newSink(s *Sandbox) *sink {
	k := &sink{s: s, lines: make(chan logLine, 4096), done: make(chan struct{}), streams: map[stream]bool{}}
	go k.run()
	return k
}

func (k *sink) write(to stream, text string) {
	select {
	case k.lines <- logLine{to: to, text: text, at: time.Now()}:
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
			for until := time.After(batchDelay); ; {
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

// put writes lines to a stream, and creates the stream and the group if needed. Without the rights to do so the lines
// are lost, as on AWS.
func (k *sink) put(to stream, events []types.InputLogEvent) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	logs := k.s.logs(to.region)
	write := func() (bool, error) {
		if !k.allowed(ctx, to, "PutLogEvents") {
			return false, nil
		}
		_, err := logs.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: &to.group,
			LogStreamName: &to.name, LogEvents: events})
		return true, err
	}
	createStream := func() (bool, error) {
		if !k.allowed(ctx, to, "CreateLogStream") {
			return false, nil
		}
		_, err := logs.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: &to.group,
			LogStreamName: &to.name})
		if exists := (*types.ResourceAlreadyExistsException)(nil); errors.As(err, &exists) {
			return true, nil
		}
		return true, err
	}
	createGroup := func() (bool, error) {
		if !k.allowed(ctx, to, "CreateLogGroup") {
			return false, nil
		}
		_, err := logs.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &to.group})
		return true, err
	}
	missing := func(err error) bool {
		var m *types.ResourceNotFoundException
		return errors.As(err, &m)
	}
	if k.streams[to] {
		if _, err := write(); !missing(err) {
			return
		}
	}
	allowed, err := createStream()
	if missing(err) && to.who != nil {
		if allowed, err = createGroup(); allowed && err == nil {
			allowed, err = createStream()
		}
	}
	if k.streams[to] = allowed && err == nil; k.streams[to] {
		_, err = write()
	}
	if err != nil && !missing(err) {
		k.s.log.Printf("log lines for %s are lost: %v", to.group, err)
	}
}

// allowed checks and records a call that Lambda makes with the rights of a function's role.
func (k *sink) allowed(ctx context.Context, to stream, operation string) bool {
	if to.who == nil {
		return true
	}
	name := to.name
	if operation == "CreateLogGroup" {
		name = ""
	}
	c := Call{Time: time.Now(), Service: "logs", Operation: operation, Region: to.region, Caller: to.who.arn,
		Status: 200,
		Resources: []string{"arn:" + gateway.Partition(to.region) + ":logs:" + to.region + ":" + Account +
			":log-group:" +
			to.group + ":log-stream:" + name}}
	if c.Refusal = k.s.judge(ctx, *to.who, to.region, demand{action: c.Action(),
		resource: c.Resources[0]}); c.Refusal != "" {
		c.Status = 400
		k.s.log.Printf("the function's log lines are not written to %s: %s", to.group, c.Refusal)
	}
	k.s.record(c)
	return c.Refusal == ""
}
