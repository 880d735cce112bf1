package dynamo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"example.com/portable-notes/notes"
)

// counting counts attempts.
type counting struct {
	*transport
	attempts atomic.Int64
}

func (c *counting) Do(r *http.Request) (*http.Response, error) {
	c.attempts.Add(1)
	return c.transport.Do(r)
}

// Reads reads a note for each line that it gets, and tells how long it took and how many attempts it was. Stock tells
// to do so with the SDK's own client.
func Reads(cfg aws.Config, stock bool, in io.Reader, out io.Writer) error {
	s, err := Open(context.Background(), cfg, "notes", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	count := &counting{transport: newTransport(cfg, service.attempt)}
	var stockAttempts atomic.Int64
	if stock {
		s.client = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
			o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				stockAttempts.Add(1)
				return http.DefaultClient.Do(r)
			})
		})
	} else {
		s.client = dynamodb.New(s.client.Options(), func(o *dynamodb.Options) { o.HTTPClient = count })
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		count.attempts.Store(0)
		stockAttempts.Store(0)
		begin := time.Now()
		_, err := s.Get(context.Background(), "o", notes.ID{})
		fmt.Fprintln(out, time.Since(begin).Microseconds(), count.attempts.Load()+stockAttempts.Load(), err != nil)
	}
	return nil
}

// SlowBodies has a store's requests handed over with a body that takes a moment to be read, so that an answer may come
// before it. Stock tells to hand them to net/http as the SDK does, instead of to our transport.
func SlowBodies(s *Store, cfg aws.Config, stock bool) {
	next := newTransport(cfg, service.attempt)
	s.client = dynamodb.New(s.client.Options(), func(o *dynamodb.Options) {
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			r.Body = slowBody{r.Body}
			if stock {
				return next.RoundTrip(r)
			}
			return next.Do(r)
		})
	})
}

type slowBody struct{ io.ReadCloser }

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return b.ReadCloser.Read(p)
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
