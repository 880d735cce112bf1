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

// countingTransport counts attempts.
type countingTransport struct {
	*transport
	attempts atomic.Int64
}

func (c *countingTransport) Do(r *http.Request) (*http.Response, error) {
	c.attempts.Add(1)
	return c.transport.Do(r)
}

// RunReader reads a note for each input line, and prints the duration in microseconds, the number of attempts and
// whether it failed. If stock is true it uses the SDK's own client.
func RunReader(cfg aws.Config, stock bool, in io.Reader, out io.Writer) error {
	s, err := Open(context.Background(), cfg, "notes", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	count := &countingTransport{transport: newTransport(cfg, servicePolicy.attemptTimeout)}
	var stockAttempts atomic.Int64
	if stock {
		s.client = dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) {
			o.HTTPClient = doerFunc(func(r *http.Request) (*http.Response, error) {
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

// SlowBodies slows down reading the bodies of a store's requests, so that an answer may arrive first. If stock is true,
// requests go directly to net/http, as the SDK sends them, and not through our transport.
func SlowBodies(s *Store, cfg aws.Config, stock bool) {
	next := newTransport(cfg, servicePolicy.attemptTimeout)
	s.client = dynamodb.New(s.client.Options(), func(o *dynamodb.Options) {
		o.HTTPClient = doerFunc(func(r *http.Request) (*http.Response, error) {
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

type doerFunc func(*http.Request) (*http.Response, error)

func (d doerFunc) Do(r *http.Request) (*http.Response, error) { return d(r) }
