package jwt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/jwt/jwttest"
	"example.com/portable-notes/notes/storetest"
)

// The environment variables of the child process: the issuer, and the age after which a request waits for keys.
const (
	frozenIssuer  = "JWT_FROZEN_ISSUER"
	frozenOverdue = "JWT_FROZEN_OVERDUE"
)

func TestMain(m *testing.M) {
	if issuer := os.Getenv(frozenIssuer); issuer != "" {
		if err := serveVerdicts(issuer, os.Getenv(frozenOverdue), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serveVerdicts verifies tokens. Each line of input has a duration, by which it moves the wall clock, and a token; each
// line of output is the verdict.
func serveVerdicts(issuer, overdue string, in io.Reader, out io.Writer) error {
	limit, err := time.ParseDuration(overdue)
	if err != nil {
		return err
	}
	ctx := context.Background()
	v, err := New(ctx, issuer, jwttest.Audience, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	var passed atomic.Int64 // ns
	v.keys.overdue, v.keys.patience = limit, time.Minute
	v.keys.now = func() instant {
		at := readClocks()
		at.wall = at.wall.Add(time.Duration(passed.Load()))
		return at
	}
	fmt.Fprintln(out, "ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		further, token, _ := strings.Cut(lines.Text(), " ")
		d, err := time.ParseDuration(further)
		if err != nil {
			return err
		}
		passed.Add(int64(d))
		_, err = v.Caller(ctx, token)
		var refusal app.Refusal
		switch {
		case errors.As(err, &refusal):
			fmt.Fprintln(out, string(refusal))
		case err != nil:
			fmt.Fprintln(out, err)
		default:
			fmt.Fprintln(out, "ok")
		}
	}
	return nil
}

// frozenProcess is a child process that runs serveVerdicts and is frozen between tokens.
type frozenProcess struct {
	*exec.Cmd
	in     io.Writer
	out    *bufio.Scanner
	log    string // a file
	issuer *jwttest.Issuer
	thaw   func() // lets the process go on
}

func startFrozen(t *testing.T, issuer *jwttest.Issuer, overdue time.Duration) *frozenProcess {
	t.Helper()
	p := &frozenProcess{Cmd: exec.CommandContext(t.Context(), os.Args[0]), issuer: issuer}
	p.Env = append(os.Environ(), frozenIssuer+"="+issuer.URL, frozenOverdue+"="+overdue.String())
	p.log = filepath.Join(t.TempDir(), "log")
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.Stderr = log
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill() // fails only if it has ended
		_ = p.Wait()
		if t.Failed() {
			t.Logf("the log of the process has %s", p.logText(t))
		}
	})
	p.in, p.out = in, bufio.NewScanner(out)
	if got := p.line(t); got != "ready" {
		t.Fatalf("the process prints %q", got)
	}
	p.freeze(t)
	return p
}

func (p *frozenProcess) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("the process ended: %v", p.out.Err())
	}
	return p.out.Text()
}

// freeze stops the process and closes its connections.
func (p *frozenProcess) freeze(t *testing.T) {
	t.Helper()
	p.thaw = storetest.Freeze(t, p.Process)
	p.issuer.Cut()
}

// logText returns the log of the process.
func (p *frozenProcess) logText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ask continues the process, moves its wall clock, and returns the verdict on a token. The process keeps running.
func (p *frozenProcess) ask(t *testing.T, later time.Duration, token string) string {
	t.Helper()
	p.thaw()
	if _, err := fmt.Fprintln(p.in, later, token); err != nil {
		t.Fatal(err)
	}
	return p.line(t)
}

// TestFrozen: a process that is frozen between requests cannot fetch keys in the background. It still refuses a
// withdrawn key once its keys are overdue. In the control, keys are never overdue, and the withdrawn key is accepted.
func TestFrozen(t *testing.T) {
	for _, c := range []struct {
		name    string
		overdue time.Duration
		want    string
	}{
		{"age decides", overdue, "key"},
		{"control: never overdue", 12 * time.Hour, "ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer := jwttest.New(t)
			p := startFrozen(t, issuer, c.overdue)
			token := longLived(t, issuer, "")
			issuer.Rotate(t, true)

			release := issuer.Hold() // the background fetch gets no response
			defer release()
			before := issuer.Requests()
			if got := p.ask(t, fresh, token); got != "ok" {
				t.Fatalf("a key that has just been withdrawn: %s", got)
			}
			await(t, "a request to the issuer", func() bool { return issuer.Requests() > before })
			p.freeze(t)
			release()
			p.thaw()
			await(t, "the attempt fails", func() bool { return strings.Contains(p.logText(t), "cannot be fetched") })
			p.freeze(t)

			if got := p.ask(t, overdue-fresh, token); got != c.want {
				t.Errorf("a withdrawn key while the keys are overdue: %s, want %s", got, c.want)
			}
		})
	}
}
