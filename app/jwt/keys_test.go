package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/jwt/jwttest"
)

// verdict returns what becomes of a token: "ok", a refusal, or "cannot tell". A request that waits for ever is a
// failure of the test and does not hang it.
func verdict(t testing.TB, v *Verifier, token string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	_, err := v.Caller(ctx, token)
	var refusal app.Refusal
	switch {
	case ctx.Err() != nil:
		return "waited for ever"
	case errors.As(err, &refusal):
		return string(refusal)
	case errors.Is(err, app.ErrCannotTell):
		return "cannot tell"
	case err != nil:
		return err.Error()
	}
	return "ok"
}

// lasting returns a token by the issuer's key that lasts for days. Its id tells it from others.
func lasting(t testing.TB, issuer *jwttest.Issuer, id string) string {
	t.Helper()
	kid, private := issuer.SigningKey()
	return forge(t, jose.RS256, private, map[string]any{"kid": kid}, claims{
		"iss": issuer.URL, "sub": "anna", "aud": jwttest.Audience, "jti": id,
		"exp": time.Now().Add(7 * 24 * time.Hour).Unix(),
	})
}

// idle waits until no attempt is under way.
func (k *keys) idle(t *testing.T) {
	t.Helper()
	await(t, "the attempt ends", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.latest == nil
	})
}

// TestAge: by whatever clock keys are overdue, the next request asks and waits, also after an attempt in the background
// that failed.
func TestAge(t *testing.T) {
	both := func(c *clock, d time.Duration) { c.pass(d) }
	setBack := func(c *clock, d time.Duration) { c.tick(d); c.shift(-time.Hour) }
	for _, c := range []struct {
		name string
		pass func(c *clock, d time.Duration)
		age  time.Duration
		fail bool // of an attempt in the background
		want string
	}{
		{"fresh", both, fresh - time.Second, false, "ok"},
		{"overdue", both, overdue, false, "key"},
		{"overdue, after a failure", both, overdue, true, "key"},
		{"while the machine slept", (*clock).shift, overdue, false, "key"},
		{"while the machine slept, after a failure", (*clock).shift, overdue, true, "key"},
		{"the wall clock stood still", (*clock).tick, overdue, false, "key"},
		{"the wall clock was set back", setBack, overdue, false, "key"},
		{"the wall clock was set back, after a failure", setBack, overdue, true, "key"},
		{"the wall clock was set back, fresh", setBack, fresh - time.Second, false, "ok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer := jwttest.New(t)
			v, _ := open(t, issuer.URL)
			v.keys.patience = 40 * time.Second
			at := byHand(v)
			token := lasting(t, issuer, "")
			if got := verdict(t, v, token); got != "ok" {
				t.Fatal(got)
			}
			issuer.Rotate(t, true)
			if c.fail {
				c.pass(at, overdue-time.Second)
				issuer.Gone(true)
				if got := verdict(t, v, token); got != "ok" {
					t.Fatalf("before it is overdue: %s", got)
				}
				v.keys.idle(t)
				issuer.Gone(false)
				at.pass(time.Second)
			} else {
				c.pass(at, c.age)
			}
			if got := verdict(t, v, token); got != c.want {
				t.Errorf("a withdrawn key: %s, want %s", got, c.want)
			}
		})
	}
}

// TestExpiryByWallClock: a token that is remembered expires while the machine sleeps.
func TestExpiryByWallClock(t *testing.T) {
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	v.keys.patience = 40 * time.Second
	at := byHand(v)
	token := lasting(t, issuer, "")
	if got := verdict(t, v, token); got != "ok" {
		t.Fatal(got)
	}
	at.shift(8 * 24 * time.Hour)
	if got := verdict(t, v, token); got != string(app.ExpiredToken) {
		t.Errorf("%s, want expired", got)
	}
}

// TestSetBack: a wall clock that is set back stops neither attempts nor waits.
func TestSetBack(t *testing.T) {
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	v.keys.patience = 40 * time.Second
	at := byHand(v)
	at.shift(-24 * time.Hour)
	for range 3 {
		issuer.Rotate(t, true)
		at.tick(pause)
		if got := verdict(t, v, lasting(t, issuer, "")); got != "ok" {
			t.Errorf("a new key: %s", got)
		}
		issuer.Gone(true)
		at.tick(overdue)
		at.shift(-time.Hour)
		if got := verdict(t, v, lasting(t, issuer, "")); got != "ok" {
			t.Errorf("an old key, without the issuer: %s", got)
		}
		v.keys.idle(t)
		issuer.Gone(false)
	}
}

// TestDeadIssuer: while the issuer does not answer, one request in 30 s waits, for 1 s at most, whether its key is
// known or not. The issuer of this test never answers and the client has no limit, so a wait without a bound does not
// end.
func TestDeadIssuer(t *testing.T) {
	k := newKeys("", nil)
	if k.patience != time.Second || pause != 30*time.Second || k.overdue != 20*time.Minute {
		t.Errorf("limits of %v, %v and %v", k.patience, pause, k.overdue)
	}
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	at := byHand(v)
	known := lasting(t, issuer, "")
	_, private := issuer.SigningKey()
	unknown := forge(t, jose.RS256, private, map[string]any{"kid": "new"}, claims{"iss": issuer.URL})
	if got := verdict(t, v, known); got != "ok" {
		t.Fatal(got)
	}
	v.keys.client.Timeout = 0
	attempts := func() (started *attempt) {
		v.keys.mu.Lock()
		defer v.keys.mu.Unlock()
		return v.keys.latest
	}
	all := func(t *testing.T, token, want string) {
		t.Helper()
		var requests sync.WaitGroup
		for range 50 {
			requests.Go(func() {
				if got := verdict(t, v, token); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			})
		}
		requests.Wait()
	}
	for _, c := range []struct {
		name, token, want string
		fail              bool // before
	}{
		{"known key", known, "ok", false},
		{"known key, after a failure", known, "ok", true},
		{"unknown key, after a failure", unknown, "cannot tell", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer.Gone(true)
			at.pass(overdue)
			if c.fail {
				if got := verdict(t, v, known); got != "ok" {
					t.Fatal(got)
				}
				v.keys.idle(t)
				at.pass(pause)
			}
			issuer.Gone(false)
			release := issuer.Hold()
			defer release()

			v.keys.patience = time.Millisecond
			if got := verdict(t, v, c.token); got != c.want { // the only one that may wait
				t.Errorf("the one that waits: %s, want %s", got, c.want)
			}
			v.keys.patience = time.Hour
			all(t, c.token, c.want)
			at.pass(pause - time.Second)
			all(t, c.token, c.want)

			at.pass(time.Second)
			before := attempts()
			waits := make(chan string)
			go func() { waits <- verdict(t, v, c.token) }()
			await(t, "a request asks", func() bool { return attempts() != before })
			all(t, c.token, c.want) // while it waits
			issuer.Gone(true)
			issuer.Cut()
			if got := <-waits; got != c.want {
				t.Errorf("after a failure: %s, want %s", got, c.want)
			}
			issuer.Gone(false)
			release()

			at.pass(pause)
			v.keys.patience = 40 * time.Second
			if got := verdict(t, v, known); got != "ok" {
				t.Fatal(got)
			}
		})
	}

	t.Run("a request's own deadline", func(t *testing.T) {
		at.pass(overdue)
		defer issuer.Hold()()
		v.keys.patience = time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := v.Caller(ctx, known); err != nil {
			t.Error(err)
		}
	})
}

// TestFrozenAttempt: an attempt that was frozen for hours brings what the issuer said hours ago. It does not make the
// keys new, nor replace newer ones, and nobody waits for it.
func TestFrozenAttempt(t *testing.T) {
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	v.keys.patience = 40 * time.Second
	at := byHand(v)
	token := lasting(t, issuer, "")
	kid, private := issuer.SigningKey()
	before := jwks(t, jose.JSONWebKey{Key: private.Public(), KeyID: kid})
	if got := verdict(t, v, token); got != "ok" {
		t.Fatal(got)
	}
	at.pass(fresh)
	began := at.read()
	at.pass(time.Hour)
	issuer.Rotate(t, true)

	v.keys.latest = &attempt{began: began, done: make(chan struct{})} // never ends
	if got := verdict(t, v, lasting(t, issuer, "")); got != "ok" {
		t.Errorf("a new key, while an attempt is frozen: %s", got)
	}
	issuer.Publish(before)
	if err := v.keys.ask(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, v, token); got != "key" {
		t.Errorf("an attempt that ends after a later one: %s, want key", got)
	}
	issuer.Gone(true)
	if err := v.keys.ask(t.Context(), began); err == nil || v.keys.failure != nil {
		t.Errorf("an attempt that fails after a later one: %v, %v", err, v.keys.failure)
	}
	issuer.Gone(false)

	began = at.read()
	began.mono++
	at.pass(23 * time.Hour)
	if err := v.keys.ask(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	issuer.Publish("")
	if got := verdict(t, v, token); got != "key" {
		t.Errorf("after an attempt of yesterday: %s, want key", got)
	}
}

// jwks returns a set of keys as an issuer publishes it.
func jwks(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
