package converge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/report"
)

// probePatience is how long the live check waits for the API to answer as it must: names, grants and deployments of AWS
// take seconds to be known everywhere.
const probePatience = 60 * time.Second

// prober asks an API through its public URL.
type prober struct {
	url    string
	token  string // "" for none
	key    string // of the note that is made, for all tries: an answer that was lost leaves no note behind
	client *http.Client
	report *report.Report
}

// ask sends a request until it is answered with a status, and returns the answer's body.
func (p *prober) ask(ctx context.Context, method, path, body string, want int) (string, error) {
	var content []byte
	tries := 0
	err := cloud.Retry(ctx, probePatience, func() error {
		tries++
		request, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		if p.token != "" {
			request.Header.Set("Authorization", "Bearer "+p.token)
		}
		if method == http.MethodPost {
			request.Header.Set("Idempotency-Key", p.key)
		}
		answer, err := p.client.Do(request)
		if err != nil {
			p.report.ShowWaiting("the API, which does not answer")
			return cloud.RetryLater(fmt.Errorf("%s %s: %w", method, p.url+path, err))
		}
		defer answer.Body.Close()
		content, _ = io.ReadAll(io.LimitReader(answer.Body, 1<<20)) // what there is of it
		// A try whose answer was lost may have removed it.
		gone := method == http.MethodDelete && tries > 1 && answer.StatusCode == http.StatusNotFound
		if answer.StatusCode == want || gone {
			return nil
		}
		err = fmt.Errorf("%s %s must answer %d, its last answer is %d %.300s",
			method, p.url+path, want, answer.StatusCode, bytes.TrimSpace(content))
		if slices.Contains([]int{401, 403, 404, 500, 503}, answer.StatusCode) {
			p.report.ShowWaiting(fmt.Sprintf("the API, which answers %d", answer.StatusCode))
			return cloud.RetryLater(err)
		}
		return err
	})
	return string(content), err
}

// probe asks the API through its public URL: where the service knows its callers, whether it refuses a stranger; then
// it lists the notes, and where it may write it makes, reads, changes, lists and removes one note. Without a token that
// can only be seen to work as far as the refusal.
func probe(ctx context.Context, r *report.Report, url, auth, token string, write bool) error {
	p := &prober{url: url, key: uuid.NewString(), client: &http.Client{Timeout: 15 * time.Second}, report: r}
	if auth != "none" {
		refusal, err := p.ask(ctx, "GET", "/notes?limit=1", "", 401)
		if err != nil {
			return fmt.Errorf("a stranger must be refused: %w", err)
		}
		if auth == "jwt" { // that was API Gateway; this is the service
			if _, err := p.ask(ctx, "OPTIONS", "/notes", "", 204); err != nil {
				return err
			}
		} else if !strings.Contains(refusal, `"code":"unauthenticated"`) {
			return fmt.Errorf("GET %s/notes is refused, but not by the service: %.300s", url, refusal)
		}
		if token == "" {
			r.Done("live check", report.OK, "strangers are refused; with a token in NOTES_TOKEN more is tried")
			return nil
		}
	}
	p.token = token
	if _, err := p.ask(ctx, "GET", "/notes?limit=1", "", 200); err != nil {
		return err
	}
	if !write {
		r.Done("live check", report.OK, "the notes can be read")
		return nil
	}
	made, err := p.ask(ctx, "POST", "/notes", `{"title":"made by deploy to try the service","tags":["deploy-check"]}`,
		201)
	if err != nil {
		return err
	}
	var note struct{ ID string }
	if err := json.Unmarshal([]byte(made), &note); err != nil || note.ID == "" {
		return fmt.Errorf("POST %s/notes answers no note: %.300s", url, made)
	}
	for _, one := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/notes/" + note.ID, "", 200}, {"PATCH", "/notes/" + note.ID, `{"content":"changed"}`, 200},
		{"GET", "/notes?tag=deploy-check&limit=1", "", 200}, {"DELETE", "/notes/" + note.ID, "", 204},
	} {
		if _, err := p.ask(ctx, one.method, one.path, one.body, one.want); err != nil {
			return err
		}
	}
	r.Done("live check", report.OK, "a note was made, read, changed, listed and removed")
	return nil
}
