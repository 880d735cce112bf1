package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/jwt/jwttest"
)

// verdict returns the result for a token: "ok", a refusal, or "cannot verify". A request that never ends is a verdict
// too, so that the test does not hang.
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
	case errors.Is(err, app.ErrCannotVerify):
		return "cannot verify"
	case err != nil:
		return err.Error()
	}
	return "ok"
}

// longLived returns a token signed with the issuer's key that is valid for a week. Tokens with different ids differ.
func longLived(t testing.TB, issuer *jwttest.Issuer, id string) string {
	t.Helper()
	kid, private := issuer.SigningKey()
	return forge(t, jose.RS256, private, map[string]any{"kid": kid}, claims{
		"iss": issuer.URL, "sub": "anna", "aud": jwttest.Audience, "jti": id,
		"exp": time.Now().Add(7 * 24 * time.Hour).Unix(),
	})
}

// waitIdle waits until no attempt is in progress.
func (k *keyCache) waitIdle(t *testing.T) {
	t.Helper()
	await(t, "the attempt ends", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.latest == nil
	})
}

// TestAge: if the keys are overdue by either clock, the next request waits for a fetch, even if a background fetch has
// failed before.
func TestAge(t *testing.T) {
	both := func(c *clock, d time.Duration) { c.pass(d) }
	setBack := func(c *clock, d time.Duration) { c.tick(d); c.shift(-time.Hour) }
	for _, c := range []struct {
		name string
		pass func(c *clock, d time.Duration)
		age  time.Duration
		fail bool // whether a fetch in the background fails before
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
			at := useClock(v)
			token := longLived(t, issuer, "")
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
				v.keys.waitIdle(t)
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

// TestExpiryByWallClock: a cached token expires while the machine sleeps.
func TestExpiryByWallClock(t *testing.T) {
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	v.keys.patience = 40 * time.Second
	at := useClock(v)
	token := longLived(t, issuer, "")
	if got := verdict(t, v, token); got != "ok" {
		t.Fatal(got)
	}
	at.shift(8 * 24 * time.Hour)
	if got := verdict(t, v, token); got != string(app.ExpiredToken) {
		t.Errorf("%s, want expired", got)
	}
}

// TestSetBack: after the wall clock is set back, fetches and waits still work.
func TestSetBack(t *testing.T) {
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	v.keys.patience = 40 * time.Second
	at := useClock(v)
	at.shift(-24 * time.Hour)
	for range 3 {
		issuer.Rotate(t, true)
		at.tick(pause)
		if got := verdict(t, v, longLived(t, issuer, "")); got != "ok" {
			t.Errorf("a new key: %s", got)
		}
		issuer.Gone(true)
		at.tick(overdue)
		at.shift(-time.Hour)
		if got := verdict(t, v, longLived(t, issuer, "")); got != "ok" {
			t.Errorf("an old key while the issuer is down: %s", got)
		}
		v.keys.waitIdle(t)
		issuer.Gone(false)
	}
}

// TestDeadIssuer: while the issuer does not respond, one request in 30 s waits, for at most 1 s, whether its key is
// cached or not. The HTTP client of this test has no timeout, so an unbounded wait would not end.
func TestDeadIssuer(t *testing.T) {
	k := newKeyCache("", nil)
	if k.patience != time.Second || pause != 30*time.Second || k.overdue != 20*time.Minute {
		t.Errorf("limits of %v, %v and %v", k.patience, pause, k.overdue)
	}
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	at := useClock(v)
	known := longLived(t, issuer, "")
	_, private := issuer.SigningKey()
	unknown := forge(t, jose.RS256, private, map[string]any{"kid": "new"}, claims{"iss": issuer.URL})
	if got := verdict(t, v, known); got != "ok" {
		t.Fatal(got)
	}
	v.keys.client.Timeout = 0
	latest := func() *attempt {
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
		fail              bool // whether a fetch fails before
	}{
		{"known key", known, "ok", false},
		{"known key, after a failure", known, "ok", true},
		{"unknown key, after a failure", unknown, "cannot verify", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer.Gone(true)
			at.pass(overdue)
			if c.fail {
				if got := verdict(t, v, known); got != "ok" {
					t.Fatal(got)
				}
				v.keys.waitIdle(t)
				at.pass(pause)
			}
			issuer.Gone(false)
			release := issuer.Hold()
			defer release()

			v.keys.patience = time.Millisecond
			if got := verdict(t, v, c.token); got != c.want { // the only one that may wait
				t.Errorf("the request that waits: %s, want %s", got, c.want)
			}
			v.keys.patience = time.Hour
			all(t, c.token, c.want)
			at.pass(pause - time.Second)
			all(t, c.token, c.want)

			at.pass(time.Second)
			before := latest()
			waits := make(chan string)
			go func() { waits <- verdict(t, v, c.token) }()
			await(t, "an attempt starts", func() bool { return latest() != before })
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

// TestFrozenAttempt: an attempt that was frozen for hours returns the keys of hours ago. It does not make them fresh or
// replace newer keys, and no request waits for it.
func TestFrozenAttempt(t *testing.T) {
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	v.keys.patience = 40 * time.Second
	at := useClock(v)
	token := longLived(t, issuer, "")
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
	if got := verdict(t, v, longLived(t, issuer, "")); got != "ok" {
		t.Errorf("a new key while an attempt is frozen: %s", got)
	}
	issuer.Publish(before)
	if err := v.keys.update(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	if got := verdict(t, v, token); got != "key" {
		t.Errorf("an attempt that ends after a later one: %s, want key", got)
	}
	issuer.Gone(true)
	if err := v.keys.update(t.Context(), began); err == nil || v.keys.failure != nil {
		t.Errorf("an attempt that fails after a later one: %v, %v", err, v.keys.failure)
	}
	issuer.Gone(false)

	began = at.read()
	began.mono++
	at.pass(23 * time.Hour)
	if err := v.keys.update(t.Context(), began); err != nil {
		t.Fatal(err)
	}
	issuer.Publish("")
	if got := verdict(t, v, token); got != "key" {
		t.Errorf("after an attempt that began 23 hours ago: %s, want key", got)
	}
}

// jwks returns a JSON Web Key Set.
func jwks(t testing.TB, keys ...jose.JSONWebKey) string {
	t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestChoose: which published key verifies a token.
func TestChoose(t *testing.T) {
	rsaKey := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	ecKey := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	anna, ben := rsaKey(), rsaKey()
	p256, other256 := ecKey(elliptic.P256()), ecKey(elliptic.P256())
	p384, p521 := ecKey(elliptic.P384()), ecKey(elliptic.P521())
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// jwk returns a JSON Web Key with additional members.
	jwk := func(private crypto.Signer, members string) string {
		text, err := json.Marshal(jose.JSONWebKey{Key: private.Public()})
		if err != nil {
			t.Fatal(err)
		}
		if members == "" {
			return string(text)
		}
		return strings.TrimSuffix(string(text), "}") + "," + members + "}"
	}
	// named returns a key whose kid is k.
	named := func(private crypto.Signer, members string) string {
		return jwk(private, strings.TrimSuffix(`"kid":"k",`+members, ","))
	}
	issuer := jwttest.New(t)
	sign := func(kid string, alg jose.SignatureAlgorithm, private crypto.Signer) string {
		header := map[string]any{}
		if kid != "" {
			header["kid"] = kid
		}
		return forge(t, alg, private, header, claims{
			"iss": issuer.URL, "sub": "anna", "aud": jwttest.Audience, "exp": time.Now().Unix() + 300,
		})
	}
	other := jwk(rsaKey(), `"kid":"other"`) // makes sure that the set has a usable key
	for _, c := range []struct {
		name  string
		keys  []string
		token string
		want  string
	}{
		{"kid", []string{named(anna, "")}, sign("k", jose.RS256, anna), "ok"},
		{"another kid", []string{named(anna, "")}, sign("x", jose.RS256, anna), "key"},
		{"another key", []string{named(anna, "")}, sign("k", jose.RS256, ben), "signature"},
		{"any algorithm of RSA", []string{named(anna, "")}, sign("k", jose.PS512, anna), "ok"},
		{"only the key's algorithm", []string{named(anna, `"alg":"RS256"`)}, sign("k", jose.PS256, anna), "key"},
		{"P-384", []string{named(p384, "")}, sign("k", jose.ES384, p384), "ok"},
		{"P-521", []string{named(p521, "")}, sign("k", jose.ES512, p521), "ok"},
		{"Ed25519", []string{named(edwards, "")}, sign("k", jose.EdDSA, edwards), "ok"},
		{"another curve", []string{named(p384, "")}, sign("k", jose.ES256, p256), "key"},

		{"RSA and EC share a kid: RSA", []string{named(anna, ""), named(p256, "")}, sign("k", jose.RS256, anna), "ok"},
		{"RSA and EC share a kid: EC", []string{named(anna, ""), named(p256, "")}, sign("k", jose.ES256, p256), "ok"},
		{"EC and RSA share a kid: RSA", []string{named(p256, ""), named(anna, "")}, sign("k", jose.RS256, anna), "ok"},
		{"EC and RSA share a kid: EC", []string{named(p256, ""), named(anna, "")}, sign("k", jose.ES256, p256), "ok"},
		{"two curves share a kid", []string{named(p256, ""), named(p384, "")}, sign("k", jose.ES256, p256), "ok"},
		{"two RSA keys share a kid: first", []string{named(anna, ""), named(ben, "")},
			sign("k", jose.RS256, anna), "key"},
		{"two RSA keys share a kid: last", []string{named(anna, ""), named(ben, "")},
			sign("k", jose.RS256, ben), "key"},
		{"their algorithms tell them apart", []string{named(anna, `"alg":"RS256"`), named(ben, `"alg":"PS256"`)},
			sign("k", jose.RS256, anna), "ok"},
		{"the same key twice", []string{named(anna, ""), named(anna, "")}, sign("k", jose.RS256, anna), "ok"},
		{"the same key for two algorithms", []string{named(anna, `"alg":"RS256"`), named(anna, `"alg":"PS256"`)},
			sign("k", jose.PS256, anna), "ok"},
		{"the other is for encryption", []string{named(anna, ""), named(ben, `"use":"enc"`)},
			sign("k", jose.RS256, anna), "ok"},

		{"no kid", []string{jwk(anna, "")}, sign("", jose.RS256, anna), "ok"},
		{"an empty kid", []string{jwk(anna, `"kid":""`)}, sign("", jose.RS256, anna), "ok"},
		{"no kid, one key of each type", []string{jwk(anna, ""), jwk(p256, ""), jwk(edwards, "")},
			sign("", jose.ES256, p256), "ok"},
		{"no kid, beside one with a kid", []string{jwk(anna, ""), named(ben, "")}, sign("", jose.RS256, anna), "ok"},
		{"no kid, two keys", []string{jwk(anna, ""), jwk(ben, "")}, sign("", jose.RS256, anna), "key"},
		{"no kid, two keys of one curve", []string{jwk(anna, ""), jwk(p256, ""), jwk(other256, "")},
			sign("", jose.ES256, other256), "key"},
		{"no kid, two keys, two algorithms", []string{jwk(anna, `"alg":"RS256"`), jwk(ben, `"alg":"PS256"`)},
			sign("", jose.RS256, anna), "key"},
		{"no kid, the other is for encryption", []string{jwk(anna, ""), jwk(ben, `"use":"enc"`)},
			sign("", jose.RS256, anna), "ok"},
		{"no kid, the other encrypts by its algorithm", []string{jwk(anna, ""), jwk(ben, `"alg":"RSA-OAEP"`)},
			sign("", jose.RS256, anna), "ok"},
		{"a kid, the key has none", []string{jwk(anna, "")}, sign("k", jose.RS256, anna), "key"},
		{"no kid, the key has one", []string{named(anna, "")}, sign("", jose.RS256, anna), "key"},

		{"use sig", []string{named(anna, `"use":"sig"`)}, sign("k", jose.RS256, anna), "ok"},
		{"use enc", []string{named(anna, `"use":"enc"`), other}, sign("k", jose.RS256, anna), "key"},
		{"another use", []string{named(anna, `"use":"SIG"`), other}, sign("k", jose.RS256, anna), "key"},
		{"key_ops verify", []string{named(anna, `"key_ops":["verify"]`)}, sign("k", jose.RS256, anna), "ok"},
		{"key_ops with verify", []string{named(anna, `"key_ops":["sign","verify"]`)},
			sign("k", jose.RS256, anna), "ok"},
		{"key_ops encrypt", []string{named(anna, `"key_ops":["encrypt"]`), other}, sign("k", jose.RS256, anna), "key"},
		{"key_ops sign", []string{named(anna, `"key_ops":["sign"]`), other}, sign("k", jose.RS256, anna), "key"},
		{"key_ops in another case", []string{named(anna, `"key_ops":["Verify"]`), other},
			sign("k", jose.RS256, anna), "key"},
		{"no key_ops at all", []string{named(anna, `"key_ops":[]`), other}, sign("k", jose.RS256, anna), "key"},
		{"key_ops a text", []string{named(anna, `"key_ops":"verify"`), other}, sign("k", jose.RS256, anna), "key"},
		{"use sig, key_ops encrypt", []string{named(anna, `"use":"sig","key_ops":["encrypt"]`), other},
			sign("k", jose.RS256, anna), "key"},
		{"use enc, key_ops verify", []string{named(anna, `"use":"enc","key_ops":["verify"]`), other},
			sign("k", jose.RS256, anna), "key"},
		{"an algorithm of another type", []string{named(anna, `"alg":"ES256"`), other},
			sign("k", jose.RS256, anna), "key"},
		{"a duplicate name", []string{jwk(anna, `"kid":"x","kid":"k"`), other}, sign("k", jose.RS256, anna), "key"},
		{"an unpaired surrogate in the kid", []string{jwk(anna, `"kid":"\ud800"`), other},
			sign("\ufffd", jose.RS256, anna), "key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer.Publish(`{"keys":[` + strings.Join(c.keys, ",") + `]}`)
			v, log := open(t, issuer.URL)
			for range 2 { // the second time from the cache
				if got := verdict(t, v, c.token); got != c.want {
					t.Errorf("%s, want %s; the log: %s", got, c.want, log)
				}
			}
		})
	}

	t.Run("the log names keys that a kid does not distinguish", func(t *testing.T) {
		for _, kid := range []string{"", `"kid":"k"`} {
			issuer.Publish(`{"keys":[` + jwk(anna, kid) + "," + jwk(ben, kid) + "," + jwk(p256, kid) + `]}`)
			_, log := open(t, issuer.URL)
			text := log.String()
			if strings.Count(text, "does not distinguish it") != 2 || strings.Contains(text, "P-256") {
				t.Errorf("%q: %s", kid, text)
			}
		}
	})
}

// unusableSets returns key sets without a usable key.
func unusableSets(t *testing.T) []struct{ name, text string } {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return []struct{ name, text string }{
		{"empty", `{"keys":[]}`},
		{"null", `{"keys":null}`},
		{"no keys", `{}`},
		{"other types", `{"keys":[{"kty":"new","kid":"a"},{"kty":"RSA","kid":"b"},1,null,[]]}`},
		{"a secret", jwks(t, jose.JSONWebKey{Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "a"})},
		{"encryption", jwks(t, jose.JSONWebKey{Key: private.Public(), KeyID: "key-1", Use: "enc"})},
		{"a private key", jwks(t, jose.JSONWebKey{Key: private, KeyID: "key-1"})},
		{"too small", jwks(t, jose.JSONWebKey{Key: small.Public(), KeyID: "key-1"})},
	}
}

// TestNoUsableKey: a response without a usable key is a failure. Cached keys are used until they are stale.
func TestNoUsableKey(t *testing.T) {
	for _, c := range unusableSets(t) {
		t.Run(c.name, func(t *testing.T) {
			issuer := jwttest.New(t)
			v, log := open(t, issuer.URL)
			v.keys.patience = 40 * time.Second
			at := useClock(v)
			token := longLived(t, issuer, "")
			if got := verdict(t, v, token); got != "ok" {
				t.Fatal(got)
			}
			issuer.Publish(c.text)
			at.pass(overdue)
			for _, one := range []string{token, longLived(t, issuer, "another")} {
				if got := verdict(t, v, one); got != "ok" {
					t.Errorf("an old key: %s", got)
				}
			}
			if !strings.Contains(log.String(), errNoKeys.Error()) {
				t.Errorf("the log has %s", log)
			}
			before := issuer.KeyRequests()
			for range 10 {
				if got := verdict(t, v, token); got != "ok" {
					t.Errorf("an old key during the pause: %s", got)
				}
			}
			if issuer.KeyRequests() != before {
				t.Error("the keys were fetched during the pause")
			}
			at.pass(stale - overdue - time.Second)
			if got := verdict(t, v, token); got != "ok" {
				t.Errorf("just before the keys are stale: %s", got)
			}
			v.keys.waitIdle(t)
			at.pass(pause)
			if got := verdict(t, v, token); got != "cannot verify" {
				t.Errorf("after the keys are stale: %s", got)
			}
			issuer.Publish("")
			issuer.Rotate(t, true)
			at.pass(pause)
			if got := verdict(t, v, token); got != "key" {
				t.Errorf("a withdrawn key after the issuer has keys again: %s", got)
			}
			if got := verdict(t, v, longLived(t, issuer, "")); got != "ok" {
				t.Errorf("a new key: %s", got)
			}
		})
		t.Run(c.name+", at the start", func(t *testing.T) {
			issuer := jwttest.New(t)
			issuer.Publish(c.text)
			v, log := open(t, issuer.URL)
			if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), errNoKeys.Error()) {
				t.Errorf("the log has %q", log)
			}
			v.keys.patience = 40 * time.Second
			at := useClock(v)
			token := longLived(t, issuer, "")
			if got := verdict(t, v, token); got != "cannot verify" {
				t.Errorf("%s, want cannot verify", got)
			}
			issuer.Publish("")
			at.pass(pause)
			if got := verdict(t, v, token); got != "ok" {
				t.Errorf("after the issuer has keys: %s", got)
			}
		})
	}
}

// TestCachedToken: a cached token is verified again when its key is withdrawn or replaced.
func TestCachedToken(t *testing.T) {
	issuer := jwttest.New(t)
	kid, private := issuer.SigningKey()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mine := jose.JSONWebKey{Key: private.Public(), KeyID: kid}
	for _, c := range []struct {
		name string
		keys []jose.JSONWebKey
		want string
	}{
		{"the same", []jose.JSONWebKey{mine}, "ok"},
		{"beside another type", []jose.JSONWebKey{mine, {Key: curve.Public(), KeyID: kid}}, "ok"},
		{"beside another kid", []jose.JSONWebKey{{Key: other.Public(), KeyID: "x"}, mine}, "ok"},
		{"for its algorithm", []jose.JSONWebKey{{Key: private.Public(), KeyID: kid, Algorithm: "RS256"}}, "ok"},
		{"gone", []jose.JSONWebKey{{Key: other.Public(), KeyID: "x"}}, "key"},
		{"replaced", []jose.JSONWebKey{{Key: other.Public(), KeyID: kid}}, "signature"},
		{"replaced by another type", []jose.JSONWebKey{{Key: curve.Public(), KeyID: kid}}, "key"},
		{"ambiguous", []jose.JSONWebKey{mine, {Key: other.Public(), KeyID: kid}}, "key"},
		{"renamed", []jose.JSONWebKey{{Key: private.Public(), KeyID: "x"}}, "key"},
		{"without its kid", []jose.JSONWebKey{{Key: private.Public()}}, "key"},
		{"for encryption", []jose.JSONWebKey{
			{Key: private.Public(), KeyID: kid, Use: "enc"}, {Key: other.Public(), KeyID: "x"},
		}, "key"},
		{"for another algorithm", []jose.JSONWebKey{{Key: private.Public(), KeyID: kid, Algorithm: "PS256"}}, "key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			issuer.Publish(jwks(t, mine))
			v, _ := open(t, issuer.URL)
			v.keys.patience = 40 * time.Second
			at := useClock(v)
			token := longLived(t, issuer, "")
			if got := verdict(t, v, token); got != "ok" {
				t.Fatal(got)
			}
			issuer.Publish(jwks(t, c.keys...))
			at.pass(overdue)
			if got := verdict(t, v, token); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}
