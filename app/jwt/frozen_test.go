//go:build unix

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
	"syscall"
	"testing"
	"time"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/jwt/jwttest"
)

// The environment of the process that judges tokens: the issuer, and the age after which a request waits for keys.
const (
	frozenIssuer  = "JWT_FROZEN_ISSUER"
	frozenOverdue = "JWT_FROZEN_OVERDUE"
)

func TestMain(m *testing.M) {
	if issuer := os.Getenv(frozenIssuer); issuer != "" {
		if err := judge(issuer, os.Getenv(frozenOverdue), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// judge answers each line with a line: how far the wall clock goes on, in hours that a test does not have, and a token.
func judge(issuer, overdue string, in io.Reader, out io.Writer) error {
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
		at := now()
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

// frozen is a process that judges tokens, and is frozen while it has none to judge.
type frozen struct {
	*exec.Cmd
	in     io.Writer
	out    *bufio.Scanner
	log    string // a file
	issuer *jwttest.Issuer
}

func startFrozen(t *testing.T, issuer *jwttest.Issuer, overdue time.Duration) *frozen {
	t.Helper()
	p := &frozen{Cmd: exec.CommandContext(t.Context(), os.Args[0]), issuer: issuer}
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
			t.Logf("the process says %s", p.said(t))
		}
	})
	p.in, p.out = in, bufio.NewScanner(out)
	if got := p.line(t); got != "ready" {
		t.Fatalf("the process says %q", got)
	}
	p.freeze(t)
	return p
}

func (p *frozen) line(t *testing.T) string {
	t.Helper()
	if !p.out.Scan() {
		t.Fatalf("the process ended: %v", p.out.Err())
	}
	return p.out.Text()
}

func (p *frozen) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// freeze stops the process. Its connections do not outlast that.
func (p *frozen) freeze(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	p.issuer.Cut()
}

// said returns what the process has logged.
func (p *frozen) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// ask lets the process go on, later by this time, and judge a token. The process still runs then.
func (p *frozen) ask(t *testing.T, later time.Duration, token string) string {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
	if _, err := fmt.Fprintln(p.in, later, token); err != nil {
		t.Fatal(err)
	}
	return p.line(t)
}

// TestFrozen: a process that is frozen between requests cannot end an attempt in the background. It refuses a withdrawn
// key all the same when its keys are overdue. In the control they are never overdue, and the key is taken.
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
			token := lasting(t, issuer, "")
			issuer.Rotate(t, true)

			release := issuer.Hold() // the attempt in the background is not answered
			defer release()
			reached := issuer.Reached()
			if got := p.ask(t, fresh, token); got != "ok" {
				t.Fatalf("a key that was withdrawn just now: %s", got)
			}
			await(t, "the issuer is asked", func() bool { return issuer.Reached() > reached })
			p.freeze(t)
			release()
			p.signal(t, syscall.SIGCONT)
			await(t, "the attempt fails", func() bool { return strings.Contains(p.said(t), "cannot be fetched") })
			p.freeze(t)

			if got := p.ask(t, overdue-fresh, token); got != c.want {
				t.Errorf("a withdrawn key that is overdue: %s, want %s", got, c.want)
			}
		})
	}
}
