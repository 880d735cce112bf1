package jwt

import (
	"context"
	"crypto"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"example.com/portable-notes/app"
)

// keys are the public keys of an issuer. They are asked for again while the old ones are used; a token that names an
// unknown key has them asked for at once, but not more often than the pauses below, so that bad tokens cannot make us flood
// the issuer.
type keys struct {
	issuer string
	client *http.Client
	log    *slog.Logger
	now    func() time.Time
	asking singleflight.Group

	mu      sync.Mutex
	byID    map[string]*jose.JSONWebKey
	fetched time.Time // when the issuer last told them
	next    time.Time // not asked before
	failure error     // of the last asking
}

const (
	fresh        = 10 * time.Minute // after which keys are asked for again, beside
	overdue      = 2 * fresh        // after which that is waited for, if the issuer was there the last time
	stale        = 24 * time.Hour   // after which they are not used any more
	pause        = 30 * time.Second // between two askings
	pauseFailed  = 3 * time.Second  // after one that failed
	answerWithin = 3 * time.Second  // each of the issuer's two answers
	maxAnswer    = 1 << 20          // bytes of one
	minRSA       = 2048             // bits (RFC 7518, section 3.3)
)

// errUnreachable is an issuer that does not answer, or says that it cannot.
var errUnreachable = errors.New("the issuer cannot be reached")

// Check tells what is wrong with an issuer's URL.
func Check(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || !secure(u) || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("must be the issuer's https URL, such as https://example.eu.auth0.com/, as its tokens have it in iss")
	}
	return nil
}

// secure tells that what an URL answers comes from whom it names: by TLS, or from this machine.
func secure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()))
}

func newKeys(issuer string, log *slog.Logger) *keys {
	return &keys{issuer: issuer, log: log, now: time.Now, client: &http.Client{
		Timeout:       answerWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// find returns a key by its id, or nil where the issuer has none of it. app.ErrCannotTell where that cannot be told.
func (k *keys) find(ctx context.Context, id string) (*jose.JSONWebKey, error) {
	key, due, wait, err := k.look(id)
	if !due {
		return key, err
	}
	asked := k.asking.DoChan("", func() (any, error) { return nil, k.ask(context.WithoutCancel(ctx)) })
	if !wait {
		return key, err // it is asked beside
	}
	select {
	case <-asked:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", app.ErrCannotTell, ctx.Err())
	}
	key, _, _, err = k.look(id)
	return key, err
}

// look tells what is known of a key, whether it is time to ask, and whether to wait for the answer: where the key is not known, or
// so old that it may be gone though the issuer could tell.
func (k *keys) look(id string) (key *jose.JSONWebKey, due, wait bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	age := now.Sub(k.fetched)
	if age < stale {
		key = k.byID[id]
	}
	if key == nil && k.failure != nil {
		err = fmt.Errorf("%w: %w", app.ErrCannotTell, k.failure)
	}
	due = (key == nil || age >= fresh) && !now.Before(k.next)
	return key, due, key == nil || k.failure == nil && age >= overdue, err
}

// ask asks the issuer for its keys.
func (k *keys) ask(ctx context.Context) error {
	set, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failure = err
	if err != nil {
		k.next = k.now().Add(pauseFailed)
		k.log.WarnContext(ctx, "the issuer's keys cannot be fetched", "error", err)
		return err
	}
	byID := map[string]*jose.JSONWebKey{}
	for _, key := range set {
		if !usable(key) {
			continue
		}
		byID[key.KeyID] = &key
		if known := k.byID[key.KeyID]; known != nil && same(known, &key) {
			byID[key.KeyID] = known // so that tokens that were verified with it stay so
		}
	}
	k.byID, k.fetched, k.next = byID, k.now(), k.now().Add(pause)
	return nil
}

// usable tells that a key has an id and may check signatures.
func usable(key jose.JSONWebKey) bool {
	if key.KeyID == "" || key.Use != "" && key.Use != "sig" || !key.IsPublic() || !key.Valid() {
		return false
	}
	public, isRSA := key.Key.(*rsa.PublicKey)
	return !isRSA || public.N.BitLen() >= minRSA
}

func same(a, b *jose.JSONWebKey) bool {
	public, ok := a.Key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b.Key) && a.Algorithm == b.Algorithm
}

// fetch reads what the issuer says of itself (OpenID Connect Discovery 1.0, section 4), and its keys. Of a kind of key that
// is unknown here nothing can be said (RFC 7517, section 5).
func (k *keys) fetch(ctx context.Context) (set []jose.JSONWebKey, err error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != k.issuer {
		return nil, fmt.Errorf("the issuer %s says that it is %q: its name must be given to the letter", k.issuer, about.Issuer)
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
	for _, one := range published.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(one, &key) == nil {
			set = append(set, key)
		}
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
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answers %s", from, answer.Status)
		if answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests {
			err = fmt.Errorf("%w: %w", errUnreachable, err)
		}
		return err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errUnreachable, err)
	case len(body) > maxAnswer:
		return fmt.Errorf("%s answers more than %d bytes", from, maxAnswer)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s answers no such JSON: %w", from, err)
	}
	return nil
}
