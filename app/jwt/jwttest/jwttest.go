// Package jwttest is an OpenID Connect issuer in the test's own process: zitadel/oidc, a certified one, over its
// example storage. Its keys can be changed, and it can be slow or gone.
package jwttest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// Audience is whom the tokens are for.
const Audience = "notes"

// Issuer gives tokens to everybody who asks for one by name.
type Issuer struct {
	URL string

	server  *httptest.Server
	reached atomic.Int64 // by any request
	asked   atomic.Int64 // for keys
	delay   atomic.Int64 // before an answer, ns
	gone    atomic.Bool  // connections are cut
	gate    atomic.Pointer[chan struct{}]
	raw     atomic.Pointer[string] // published in place of the keys

	mu        sync.Mutex
	signing   key
	published []op.Key
	keys      int
}

// New starts an issuer, which ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	i.Rotate(t, true)
	var provider http.Handler
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.reached.Add(1)
		if i.gone.Load() {
			panic(http.ErrAbortHandler)
		}
		if strings.HasSuffix(r.URL.Path, "/keys") {
			i.asked.Add(1)
		}
		select {
		case <-time.After(time.Duration(i.delay.Load())):
		case <-r.Context().Done():
		}
		if gate := i.gate.Load(); gate != nil {
			select {
			case <-*gate:
			case <-r.Context().Done():
			}
		}
		if raw := i.raw.Load(); raw != nil && strings.HasSuffix(r.URL.Path, "/keys") {
			_, _ = w.Write([]byte(*raw)) // fails only where the client has gone
			return
		}
		provider.ServeHTTP(w, r)
	}))
	t.Cleanup(i.server.Close)
	i.URL = "http://" + i.server.Listener.Addr().String()
	example := storage.NewStorage(storage.NewUserStore(i.URL))
	made, err := op.NewProvider(&op.Config{CryptoKey: sha256.Sum256([]byte("test")), CryptoKeyId: "test",
		SupportedUILocales: []language.Tag{language.English}},
		store{Storage: example, issuer: i}, op.StaticIssuer(i.URL), op.WithAllowInsecure())
	if err != nil {
		t.Fatal(err)
	}
	provider = made
	i.server.Start()
	return i
}

// Rotate makes a new key to sign with. The former ones stay published, or go.
func (i *Issuer) Rotate(t testing.TB, drop bool) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys++
	i.signing = key{id: "key-" + strconv.Itoa(i.keys), private: private}
	if drop {
		i.published = nil
	}
	i.published = append(i.published, public{i.signing})
}

// Slow makes the issuer take so long for each answer; 0 is as fast as it can.
func (i *Issuer) Slow(by time.Duration) { i.delay.Store(int64(by)) }

// Gone makes the issuer cut every connection, or serve again.
func (i *Issuer) Gone(gone bool) { i.gone.Store(gone) }

// Cut closes the connections that are open, as those of a frozen process are in time.
func (i *Issuer) Cut() { i.server.CloseClientConnections() }

// Hold keeps every answer back until release is called.
func (i *Issuer) Hold() (release func()) {
	gate := make(chan struct{})
	i.gate.Store(&gate)
	return sync.OnceFunc(func() {
		i.gate.CompareAndSwap(&gate, nil)
		close(gate)
	})
}

// Publish makes the issuer answer with this text where it publishes its keys, until Publish is called with "".
func (i *Issuer) Publish(text string) {
	if text == "" {
		i.raw.Store(nil)
		return
	}
	i.raw.Store(&text)
}

// Reached returns the number of requests of any kind, answered or not.
func (i *Issuer) Reached() int64 { return i.reached.Load() }

// Asked is how often the keys were asked for.
func (i *Issuer) Asked() int64 { return i.asked.Load() }

// SigningKey is what the issuer signs with, for forgeries.
func (i *Issuer) SigningKey() (id string, private *rsa.PrivateKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signing.id, i.signing.private
}

// Token asks the issuer for an access token of a subject, as its clients do (RFC 6749, section 4.4).
func (i *Issuer) Token(t testing.TB, subject, scope string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.URL+"/oauth/token",
		strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(url.QueryEscape(subject), "secret")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var told struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&told); err != nil || told.AccessToken == "" {
		t.Fatalf("no token: %s %v", answer.Status, err)
	}
	return told.AccessToken
}

// store answers for the example storage what is ours to say.
type store struct {
	*storage.Storage
	issuer *Issuer
}

func (s store) SigningKey(context.Context) (op.SigningKey, error) {
	s.issuer.mu.Lock()
	defer s.issuer.mu.Unlock()
	return s.issuer.signing, nil
}

func (s store) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.RS256}, nil
}

func (s store) KeySet(context.Context) ([]op.Key, error) {
	s.issuer.mu.Lock()
	defer s.issuer.mu.Unlock()
	return append([]op.Key{}, s.issuer.published...), nil
}

func (s store) ClientCredentials(ctx context.Context, name, _ string) (op.Client, error) {
	client, err := s.Storage.ClientCredentials(ctx, "sid1", "verysecret")
	return subject{client, name}, err
}

func (s store) ClientCredentialsTokenRequest(_ context.Context, name string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: name, Audience: []string{Audience}, Scopes: scopes}, nil
}

func (s store) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, scopes []string) (map[string]any, error) {
	return map[string]any{"scope": strings.Join(scopes, " ")}, nil
}

// subject is a client that gets JWTs under a name of its choice.
type subject struct {
	op.Client
	name string
}

func (s subject) GetID() string                       { return s.name }
func (s subject) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

type key struct {
	id      string
	private *rsa.PrivateKey
}

func (k key) ID() string                                  { return k.id }
func (k key) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k key) Key() any                                    { return k.private }

type public struct{ key }

func (p public) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (p public) Use() string                        { return "sig" }
func (p public) Key() any                           { return &p.private.PublicKey }

func init() { slog.SetLogLoggerLevel(slog.LevelError) } // the provider's own log is not needed here
