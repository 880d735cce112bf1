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

// A keyCache caches the public keys of an issuer. Once they are older than fresh, it fetches them again in the
// background; once they are older than overdue, a request waits for the fetch. Fetching in the background is not
// enough, because it may never end in a process that is frozen between requests, such as a Lambda. A token with an
// unknown key also causes a fetch, but only after the pauses below, so that bad tokens cannot flood the issuer.
type keyCache struct {
	issuer            string
	client            *http.Client
	log               *slog.Logger
	now               func() instant
	overdue, patience time.Duration // the constants, except in tests

	mu      sync.Mutex
	set     map[keyRef][]*jose.JSONWebKey // usable keys, in the issuer's order
	fetched instant                       // when the last successful attempt began
	failed  instant                       // when the last failed attempt ended
	failure error                         // of the last attempt
	waited  instant                       // when a request last began to wait for an issuer that may be down
	latest  *attempt                      // nil after it has ended
}

// A keyRef is how a token refers to its key: the kid, or "", and the key family that the algorithm needs.
type keyRef struct{ id, family string }

// An attempt is one fetch of the issuer's keys.
type attempt struct {
	began instant
	done  chan struct{} // closed at the end of the attempt
}

const (
	fresh         = 10 * time.Minute // age after which the keys are fetched in the background
	overdue       = 2 * fresh        // age after which a request waits for the fetch
	stale         = 24 * time.Hour   // age after which the keys are not used any more
	pause         = 30 * time.Second // between attempts, and between requests that wait while the issuer is down
	pauseFailed   = 3 * time.Second  // after a failed attempt
	patience      = time.Second      // how long a request waits while the issuer may be down
	answerWithin  = 3 * time.Second  // timeout of each of the two requests of an attempt
	attemptWithin = 2 * answerWithin // timeout of an attempt
	maxAnswer     = 1 << 20          // bytes of one response
	minRSA        = 2048             // bits (RFC 7518, section 3.3)
)

// ErrUnreachable says that the issuer does not respond, or responds with 429 or 5xx.
var ErrUnreachable = errors.New("the issuer cannot be reached")

var errNoKeys = errors.New("the issuer publishes no usable key")

// Key identifies a public key of an issuer.
type Key struct {
	ID   string // kid, or ""
	Type string // RSA, P-256, P-384, P-521 or Ed25519
}

// Published fetches an issuer's keys that may verify signatures. The error is [ErrUnreachable] if the issuer does not
// respond, and another one if its responses are not valid or have no such key.
func Published(ctx context.Context, issuer string) (all []Key, err error) {
	keys, err := newKeyCache(issuer, slog.New(slog.DiscardHandler)).fetch(ctx)
	for _, key := range keys {
		all = append(all, Key{key.KeyID, familyOf(key)})
	}
	return all, err
}

// Check returns an error if issuer is not a valid URL of an issuer.
func Check(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || !isSecure(u) || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("must be the issuer's https URL, such as https://example.eu.auth0.com/, exactly as in the " +
			"claim iss of its tokens")
	}
	return nil
}

// isSecure reports whether responses from a URL are authentic: by TLS, or because they come from this machine.
func isSecure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" &&
		(u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()))
}

func newKeyCache(issuer string, log *slog.Logger) *keyCache {
	return &keyCache{
		issuer: issuer, log: log, now: readClocks, overdue: overdue, patience: patience,
		client: &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true},
			Timeout:       answerWithin,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// find returns the key for a token's kid, which may be "", and algorithm. It returns nil if the issuer has no such key,
// and app.ErrCannotVerify if that cannot be determined at present.
func (k *keyCache) find(ctx context.Context, id, alg string) (*jose.JSONWebKey, error) {
	key, pending, limit, err := k.lookUp(ctx, id, alg)
	if pending == nil {
		return key, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-pending.done:
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.cached(k.now(), id, alg)
	case <-ctx.Done():
		if key == nil {
			err = fmt.Errorf("%w: %w", app.ErrCannotVerify, ctx.Err())
		}
		return key, err
	}
}

// lookUp returns the cached key and starts an attempt if one is due. If the caller must wait for an attempt, lookUp
// returns it and the longest time to wait.
func (k *keyCache) lookUp(ctx context.Context, id, alg string) (
	key *jose.JSONWebKey, pending *attempt, limit time.Duration, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	age := now.since(k.fetched)
	key, err = k.cached(now, id, alg)
	switch {
	case key != nil && age < fresh:
		return key, nil, 0, nil
	case key == nil && k.failure == nil:
		return nil, k.join(ctx, now), attemptWithin, err
	case (key == nil || age >= k.overdue) && now.since(k.waited) >= pause:
		// Do not join an attempt: if it was frozen, it may never end, or may return old keys.
		k.waited = now
		return key, k.start(ctx, now), k.patience, err
	}
	k.join(ctx, now)
	return key, nil, 0, err
}

// cached returns a cached key. The caller holds mu.
func (k *keyCache) cached(now instant, id, alg string) (key *jose.JSONWebKey, err error) {
	if now.since(k.fetched) < stale {
		key = choose(k.set[keyRef{id, families[alg]}], id, alg)
	}
	if key == nil && k.failure != nil {
		err = fmt.Errorf("%w: %w", app.ErrCannotVerify, k.failure)
	}
	return key, err
}

// join returns the attempt in progress. If there is none, it starts one, or returns nil during a pause. The caller
// holds mu.
func (k *keyCache) join(ctx context.Context, now instant) *attempt {
	if k.latest != nil && now.since(k.latest.began) < attemptWithin {
		return k.latest
	}
	if now.since(k.fetched) < pause || k.failure != nil && now.since(k.failed) < pauseFailed {
		return nil
	}
	return k.start(ctx, now)
}

// start starts an attempt. The caller holds mu.
func (k *keyCache) start(ctx context.Context, now instant) *attempt {
	a := &attempt{began: now, done: make(chan struct{})}
	k.latest = a
	go func() {
		defer close(a.done)
		_ = k.update(context.WithoutCancel(ctx), now) // records the error
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.latest == a {
			k.latest = nil
		}
	}()
	return a
}

// update fetches the issuer's keys. Their age counts from the beginning of the attempt, because the process may be
// frozen before it reads the response.
func (k *keyCache) update(ctx context.Context, began instant) error {
	published, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if began.mono < k.fetched.mono {
		return err // a later attempt has ended before this one
	}
	k.failure = err
	if err != nil {
		k.failed = k.now()
		k.log.WarnContext(ctx, "the issuer's keys cannot be fetched", "error", err)
		return err
	}
	set := map[keyRef][]*jose.JSONWebKey{}
	for _, key := range published {
		ref := keyRef{key.KeyID, familyOf(key)}
		isSame := func(other *jose.JSONWebKey) bool { return equal(other, key) && other.Algorithm == key.Algorithm }
		if slices.ContainsFunc(set[ref], isSame) {
			continue
		}
		if i := slices.IndexFunc(k.set[ref], isSame); i >= 0 {
			key = k.set[ref][i] // keep the pointer, so that tokens verified with this key stay verified
		}
		set[ref] = append(set[ref], key)
	}
	for _, key := range published {
		if choose(set[keyRef{key.KeyID, familyOf(key)}], key.KeyID, key.Algorithm) == nil {
			k.log.WarnContext(ctx, "a key of the issuer is not used: its kid does not distinguish it from another key",
				"kid", key.KeyID, "type", familyOf(key))
		}
	}
	k.set, k.fetched, k.waited = set, began, instant{}
	return nil
}

// families maps the algorithms of tokens to the family of keys that they need: RSA, or a curve.
var families = map[string]string{
	string(jose.RS256): "RSA", string(jose.RS384): "RSA", string(jose.RS512): "RSA",
	string(jose.PS256): "RSA", string(jose.PS384): "RSA", string(jose.PS512): "RSA",
	string(jose.ES256): "P-256", string(jose.ES384): "P-384", string(jose.ES512): "P-521",
	string(jose.EdDSA): "Ed25519",
}

// familyOf returns the family of a key, or "" if the key is too short or is not a public key for signatures.
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

// choose returns the key for an algorithm from the keys with the token's keyRef. It returns nil if there is none, or
// if there are different ones. A key without a kid must be the only one of its family.
func choose(candidates []*jose.JSONWebKey, id, alg string) (found *jose.JSONWebKey) {
	if id == "" && len(candidates) > 1 {
		return nil
	}
	for _, key := range candidates {
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

// parseKey parses a published key. It returns nil for a key that may not verify signatures or cannot be parsed; RFC
// 7517, section 5, says to ignore such keys.
func parseKey(raw json.RawMessage) *jose.JSONWebKey {
	var key jose.JSONWebKey
	var more struct {
		Operations []string `json:"key_ops"`
	}
	if !isStrict(raw) || key.UnmarshalJSON(raw) != nil || josejson.Unmarshal(raw, &more) != nil || !key.Valid() {
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

// fetch fetches the issuer's configuration (OpenID Connect Discovery 1.0, section 4) and its usable keys, at least one.
// It keeps no connection open, because the peer may have closed it when a frozen process continues.
func (k *keyCache) fetch(ctx context.Context) (set []*jose.JSONWebKey, err error) {
	defer k.client.CloseIdleConnections()
	var discovery struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	source := strings.TrimSuffix(k.issuer, "/") + "/.well-known/openid-configuration"
	if err := k.get(ctx, source, &discovery); err != nil {
		return nil, err
	}
	if discovery.Issuer != k.issuer {
		return nil, fmt.Errorf("the issuer %s calls itself %q: use exactly that URL", k.issuer, discovery.Issuer)
	}
	if u, err := url.Parse(discovery.Keys); err != nil || !isSecure(u) {
		return nil, fmt.Errorf("the issuer %s publishes its keys at %q, which is not an https URL", k.issuer,
			discovery.Keys)
	}
	var published struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := k.get(ctx, discovery.Keys, &published); err != nil {
		return nil, err
	}
	for _, raw := range published.Keys {
		if key := parseKey(raw); key != nil {
			set = append(set, key)
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%w: none of the %d keys at %s may verify signatures",
			errNoKeys, len(published.Keys), discovery.Keys)
	}
	return set, nil
}

// get fetches the JSON at source and decodes it into v.
func (k *keyCache) get(ctx context.Context, source string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
	if err != nil {
		return err
	}
	answer, err := k.client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answers %s", source, answer.Status)
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
		return fmt.Errorf("%s answers with more than %d bytes", source, maxAnswer)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s does not answer with the expected JSON: %w", source, err)
	}
	return nil
}
