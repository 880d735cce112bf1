package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejson "github.com/go-jose/go-jose/v4/json"

	"example.com/portable-notes/app"
)

// keys holds the public keys of an issuer. Their age decides when they are asked for again: after fresh in the
// background, after overdue by a request that waits for the answer. The background alone is not enough: in a process
// that is frozen between requests, as a Lambda is, no background attempt may ever end. A token that names an unknown
// key has the keys asked for at once, but no more often than the pauses below allow, so that bad tokens cannot make us
// flood the issuer.
type keys struct {
	issuer            string
	client            *http.Client
	log               *slog.Logger
	now               func() instant
	overdue, patience time.Duration // the constants of these names, except in tests

	mu      sync.Mutex
	set     map[label][]*jose.JSONWebKey // usable keys, in the issuer's order
	fetched instant                      // when the attempt that brought them began
	failed  instant                      // when the last failed attempt ended
	failure error                        // of the last attempt
	waited  instant                      // when a request last began to wait for an issuer that may be down
	latest  *attempt                     // nil when it has ended
}

// label is what a token says of its key: the kid, "" for none, and the family that its algorithm needs.
type label struct{ id, family string }

// attempt is one request to the issuer for its keys.
type attempt struct {
	began instant
	done  chan struct{} // closed at its end
}

const (
	fresh         = 10 * time.Minute // age of keys after which they are asked for in the background
	overdue       = 2 * fresh        // age after which a request waits for new ones
	stale         = 24 * time.Hour   // age after which they are not used any more
	pause         = 30 * time.Second // between attempts, and between requests that wait while the issuer is down
	pauseFailed   = 3 * time.Second  // after an attempt that failed
	patience      = time.Second      // how long a request waits while the issuer may be down
	answerWithin  = 3 * time.Second  // each of the issuer's two answers
	attemptWithin = 2 * answerWithin // an attempt
	maxAnswer     = 1 << 20          // bytes of one answer
	minRSA        = 2048             // bits (RFC 7518, section 3.3)
)

// ErrUnreachable is an issuer that does not answer, or says that it cannot.
var ErrUnreachable = errors.New("the issuer cannot be reached")

// errNoKeys is an issuer that publishes no usable key.
var errNoKeys = errors.New("the issuer publishes no usable key")

// Key is a public key of an issuer, as a token names it.
type Key struct {
	ID   string // kid, or ""
	Type string // RSA, P-256, P-384, P-521 or Ed25519
}

// Published asks an issuer for the keys that may check signatures. The error is [ErrUnreachable] where the issuer
// does not answer, and another one where its answers are of no use.
func Published(ctx context.Context, issuer string) (all []Key, err error) {
	keys, err := newKeys(issuer, slog.New(slog.DiscardHandler)).fetch(ctx)
	for _, key := range keys {
		all = append(all, Key{key.KeyID, familyOf(key)})
	}
	return all, err
}

// Check tells what is wrong with an issuer's URL.
func Check(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || !secure(u) || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("must be the issuer's https URL, such as https://example.eu.auth0.com/, as its tokens " +
			"have it in iss")
	}
	return nil
}

// secure tells that what an URL answers comes from whom it names: by TLS, or from this machine.
func secure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" &&
		(u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()))
}

func newKeys(issuer string, log *slog.Logger) *keys {
	return &keys{
		issuer: issuer, log: log, now: now, overdue: overdue, patience: patience,
		client: &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true},
			Timeout:       answerWithin,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// find returns the key for a token of this kid ("" for none) and algorithm, or nil if the issuer has none.
// app.ErrCannotVerify if that is unknown for now.
func (k *keys) find(ctx context.Context, id, alg string) (*jose.JSONWebKey, error) {
	key, asked, limit, err := k.look(ctx, id, alg)
	if asked == nil {
		return key, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-asked.done:
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.known(k.now(), id, alg)
	case <-ctx.Done():
		if key == nil {
			err = fmt.Errorf("%w: %w", app.ErrCannotVerify, ctx.Err())
		}
		return key, err
	}
}

// look returns what is known of a key, and starts an attempt if it is time for one. If the caller should wait for an
// attempt, look returns that and how long to wait.
func (k *keys) look(ctx context.Context, id, alg string) (
	key *jose.JSONWebKey, asked *attempt, limit time.Duration, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	age := now.since(k.fetched)
	key, err = k.known(now, id, alg)
	switch {
	case key != nil && age < fresh:
		return key, nil, 0, nil
	case key == nil && k.failure == nil:
		return nil, k.join(ctx, now), attemptWithin, err
	case (key == nil || age >= k.overdue) && now.since(k.waited) >= pause:
		// It does not join an attempt: one that was frozen may never end, or bring what the issuer said before.
		k.waited = now
		return key, k.start(ctx, now), k.patience, err
	}
	k.join(ctx, now)
	return key, nil, 0, err
}

// known returns a key without asking the issuer. The caller holds the lock.
func (k *keys) known(now instant, id, alg string) (key *jose.JSONWebKey, err error) {
	if now.since(k.fetched) < stale {
		key = choose(k.set[label{id, families[alg]}], id, alg)
	}
	if key == nil && k.failure != nil {
		err = fmt.Errorf("%w: %w", app.ErrCannotVerify, k.failure)
	}
	return key, err
}

// join returns the attempt that is under way, starts one if none is, or returns nil during a pause. The caller holds
// the lock.
func (k *keys) join(ctx context.Context, now instant) *attempt {
	if k.latest != nil && now.since(k.latest.began) < attemptWithin {
		return k.latest
	}
	if now.since(k.fetched) < pause || k.failure != nil && now.since(k.failed) < pauseFailed {
		return nil
	}
	return k.start(ctx, now)
}

// start starts an attempt. The caller holds the lock.
func (k *keys) start(ctx context.Context, now instant) *attempt {
	a := &attempt{began: now, done: make(chan struct{})}
	k.latest = a
	go func() {
		defer close(a.done)
		_ = k.ask(context.WithoutCancel(ctx), now) // ask keeps the error
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.latest == a {
			k.latest = nil
		}
	}()
	return a
}

// ask asks the issuer for its keys. Their age counts from the moment when the attempt began, since the process may be
// frozen before the answer is read.
func (k *keys) ask(ctx context.Context, began instant) error {
	published, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if began.mono < k.fetched.mono {
		return err // a later attempt was faster
	}
	k.failure = err
	if err != nil {
		k.failed = k.now()
		k.log.WarnContext(ctx, "the issuer's keys cannot be fetched", "error", err)
		return err
	}
	set := map[label][]*jose.JSONWebKey{}
	for _, key := range published {
		name := label{key.KeyID, familyOf(key)}
		twin := func(other *jose.JSONWebKey) bool { return equal(other, key) && other.Algorithm == key.Algorithm }
		if slices.ContainsFunc(set[name], twin) {
			continue
		}
		if i := slices.IndexFunc(k.set[name], twin); i >= 0 {
			key = k.set[name][i] // so that tokens that were verified with it stay so
		}
		set[name] = append(set[name], key)
	}
	for _, key := range published {
		if choose(set[label{key.KeyID, familyOf(key)}], key.KeyID, key.Algorithm) == nil {
			k.log.WarnContext(ctx, "a key of the issuer is not used: tokens cannot tell it from another of its keys",
				"kid", key.KeyID, "type", familyOf(key))
		}
	}
	k.set, k.fetched, k.waited = set, began, instant{}
	return nil
}

// families are the algorithms of tokens with the family of keys that each needs: RSA, or a curve.
var families = map[string]string{
	string(jose.RS256): "RSA", string(jose.RS384): "RSA", string(jose.RS512): "RSA",
	string(jose.PS256): "RSA", string(jose.PS384): "RSA", string(jose.PS512): "RSA",
	string(jose.ES256): "P-256", string(jose.ES384): "P-384", string(jose.ES512): "P-521",
	string(jose.EdDSA): "Ed25519",
}

// familyOf returns a key's family, or "" for a key that is too weak or not for public signatures.
func familyOf(key *jose.JSONWebKey) string {
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSA {
			return "RSA"
		}
	case *ecdsa.PublicKey:
		return public.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}

// choose returns the one key that checks an algorithm, of the keys with a token's kid and family. It returns nil if
// none does, or several differ. A key without a kid must be the only one of its family.
func choose(alike []*jose.JSONWebKey, id, alg string) (found *jose.JSONWebKey) {
	if id == "" && len(alike) > 1 {
		return nil
	}
	for _, key := range alike {
		if key.Algorithm != "" && key.Algorithm != alg {
			continue
		}
		if found != nil && !equal(found, key) {
			return nil
		}
		found = key
	}
	return found
}

func equal(a, b *jose.JSONWebKey) bool {
	public, ok := a.Key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b.Key)
}

// parse reads a key as the issuer publishes it. It returns nil for a key that may not check signatures, or cannot be
// read: such keys are to be ignored (RFC 7517, section 5).
func parse(raw json.RawMessage) *jose.JSONWebKey {
	var key jose.JSONWebKey
	var more struct {
		Operations []string `json:"key_ops"`
	}
	if !strict(raw) || key.UnmarshalJSON(raw) != nil || josejson.Unmarshal(raw, &more) != nil || !key.Valid() {
		return nil
	}
	family := familyOf(&key)
	switch {
	case family == "",
		key.Algorithm != "" && families[key.Algorithm] != family,
		key.Use != "" && key.Use != "sig",
		more.Operations != nil && !slices.Contains(more.Operations, "verify"):
		return nil
	}
	return &key
}

// fetch reads what the issuer says of itself (OpenID Connect Discovery 1.0, section 4), and its usable keys, of which
// there is at least one. No connection stays open: the other end may be gone when a frozen process goes on.
func (k *keys) fetch(ctx context.Context) (set []*jose.JSONWebKey, err error) {
	defer k.client.CloseIdleConnections()
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != k.issuer {
		return nil, fmt.Errorf("the issuer %s says that it is %q: its name must be given to the letter", k.issuer,
			about.Issuer)
	}
	if u, err := url.Parse(about.Keys); err != nil || !secure(u) {
		return nil, fmt.Errorf("the issuer %s has its keys at %q, which is no https URL", k.issuer, about.Keys)
	}
	var published struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, about.Keys, &published); err != nil {
		return nil, err
	}
	for _, raw := range published.Keys {
		if key := parse(raw); key != nil {
			set = append(set, key)
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%w: of the %d at %s none may check signatures",
			errNoKeys, len(published.Keys), about.Keys)
	}
	return set, nil
}

func (k *keys) get(ctx context.Context, from string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	answer, err := k.client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answers %s", from, answer.Status)
		if answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests {
			err = fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		return err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("%s answers more than %d bytes", from, maxAnswer)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s answers no such JSON: %w", from, err)
	}
	return nil
}
