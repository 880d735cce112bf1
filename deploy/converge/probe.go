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

// probeWait is how long the live check waits for the right answer. Host names, grants and deployments take seconds to
// take effect everywhere.
const probeWait = 60 * time.Second

// prober sends requests to an API at its public URL.
type prober struct {
	url    string
	token  string // bearer token, or ""
	key    string // idempotency key, so that retries create only one note
	client *http.Client
	report *report.Report
}

// send sends a request until the answer has the wanted status, and returns the answer's body.
func (p *prober) send(ctx context.Context, method, path, body string, want int) (string, error) {
	var content []byte
	tries := 0
	err := cloud.Retry(ctx, probeWait, func() error {
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
		content, _ = io.ReadAll(io.LimitReader(answer.Body, 1<<20)) // as much as there is
		// An earlier try whose answer was lost may have deleted the note.
		gone := method == http.MethodDelete && tries > 1 && answer.StatusCode == http.StatusNotFound
		if answer.StatusCode == want || gone {
			return nil
		}
		err = fmt.Errorf("%s %s must answer %d, but its last answer is %d %.300s",
			method, p.url+path, want, answer.StatusCode, bytes.TrimSpace(content))
		if slices.Contains([]int{401, 403, 404, 500, 503}, answer.StatusCode) {
			p.report.ShowWaiting(fmt.Sprintf("the API, which answers %d", answer.StatusCode))
			return cloud.RetryLater(err)
		}
		return err
	})
	return string(content), err
}

// probe checks the API at its public URL. If the service has authentication, a request without a token must be refused;
// without a token to send, probe stops there. Otherwise it lists notes and, with write, creates, reads, changes, lists
// and deletes one.
func probe(ctx context.Context, r *report.Report, url, auth, token string, write bool) error {
	p := &prober{url: url, key: uuid.NewString(), client: &http.Client{Timeout: 15 * time.Second}, report: r}
	if auth != "none" {
		refusal, err := p.send(ctx, "GET", "/notes?limit=1", "", 401)
		if err != nil {
			return fmt.Errorf("a request without a token must be refused: %w", err)
		}
		if auth == "jwt" { // API Gateway refused the request; check that the service answers too
			if _, err := p.send(ctx, "OPTIONS", "/notes", "", 204); err != nil {
				return err
			}
		} else if !strings.Contains(refusal, `"code":"unauthenticated"`) {
			return fmt.Errorf("GET %s/notes is refused, but not by the service: %.300s", url, refusal)
		}
		if token == "" {
			r.Done("live check", report.OK, "requests without a token are refused; set NOTES_TOKEN to check more")
			return nil
		}
	}
	p.token = token
	if _, err := p.send(ctx, "GET", "/notes?limit=1", "", 200); err != nil {
		return err
	}
	if !write {
		r.Done("live check", report.OK, "the notes can be read")
		return nil
	}
	created, err := p.send(ctx, "POST", "/notes", `{"title":"created by deploy to check the `+
		`service","tags":["deploy-check"]}`,
		201)
	if err != nil {
		return err
	}
	var note struct{ ID string }
	if err := json.Unmarshal([]byte(created), &note); err != nil || note.ID == "" {
		return fmt.Errorf("POST %s/notes does not answer a note: %.300s", url, created)
	}
	for _, r := range []struct {
		method, path, body string
		want               int
	}{
		{method: "GET", path: "/notes/" + note.ID, want: 200},
		{method: "PATCH", path: "/notes/" + note.ID, body: `{"content":"changed"}`, want: 200},
		{method: "GET", path: "/notes?tag=deploy-check&limit=1", want: 200},
		{method: "DELETE", path: "/notes/" + note.ID, want: 204},
	} {
		if _, err := p.send(ctx, r.method, r.path, r.body, r.want); err != nil {
			return err
		}
	}
	r.Done("live check", report.OK, "a note was created, read, changed, listed and deleted")
	return nil
}
