// Package jwttest runs an OpenID Connect issuer in the test's process: zitadel/oidc, which is certified, with its
// example storage. Tests can change its keys and make it slow or unreachable.
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

// Audience is the audience of the tokens.
const Audience = "notes"

// Issuer issues tokens for any subject.
type Issuer struct {
	URL string

	server      *httptest.Server
	requests    atomic.Int64
	keyRequests atomic.Int64
	delay       atomic.Int64                  // before each response, in ns
	gone        atomic.Bool                   // whether connections are closed without a response
	gate        atomic.Pointer[chan struct{}] // if not nil, responses wait until it is closed
	raw         atomic.Pointer[string]        // if not nil, published instead of the keys

	mu        sync.Mutex
	signing   key
	published []op.Key
	keys      int
}

// New starts an issuer and stops it at the end of the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{}
	i.Rotate(t, true)
	var provider http.Handler
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.requests.Add(1)
		if i.gone.Load() {
			panic(http.ErrAbortHandler)
		}
		if strings.HasSuffix(r.URL.Path, "/keys") {
			i.keyRequests.Add(1)
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
			_, _ = w.Write([]byte(*raw)) // fails only if the client has disconnected
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

// Rotate makes a new signing key. If drop is set, the issuer stops publishing the former keys.
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

// Slow delays every response.
func (i *Issuer) Slow(by time.Duration) { i.delay.Store(int64(by)) }

// Gone sets whether the issuer closes every connection without a response.
func (i *Issuer) Gone(gone bool) { i.gone.Store(gone) }

// Cut closes all open connections. Those of a frozen process are closed like this after a while.
func (i *Issuer) Cut() { i.server.CloseClientConnections() }

// Hold holds back all responses until release is called.
func (i *Issuer) Hold() (release func()) {
	gate := make(chan struct{})
	i.gate.Store(&gate)
	return sync.OnceFunc(func() {
		i.gate.CompareAndSwap(&gate, nil)
		close(gate)
	})
}

// Publish makes the issuer publish text instead of its keys. With "", it publishes its keys again.
func (i *Issuer) Publish(text string) {
	if text == "" {
		i.raw.Store(nil)
		return
	}
	i.raw.Store(&text)
}

// Requests returns the number of requests received, including those without a response.
func (i *Issuer) Requests() int64 { return i.requests.Load() }

// KeyRequests returns the number of requests for the keys.
func (i *Issuer) KeyRequests() int64 { return i.keyRequests.Load() }

// SigningKey returns the key that the issuer signs with, so that tests can forge tokens.
func (i *Issuer) SigningKey() (id string, private *rsa.PrivateKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.signing.id, i.signing.private
}

// Token requests an access token for a subject with the client credentials grant (RFC 6749, section 4.4).
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
	var response struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&response); err != nil || response.AccessToken == "" {
		t.Fatalf("no token: %s %v", answer.Status, err)
	}
	return response.AccessToken
}

// store is the example storage with the issuer's own keys, clients and claims.
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
	return jwtClient{client, name}, err
}

func (s store) ClientCredentialsTokenRequest(_ context.Context, name string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: name, Audience: []string{Audience}, Scopes: scopes}, nil
}

func (s store) GetPrivateClaimsFromScopes(_ context.Context, _, _ string, scopes []string) (map[string]any, error) {
	return map[string]any{"scope": strings.Join(scopes, " ")}, nil
}

// jwtClient is a client of any name that gets JWTs as access tokens.
type jwtClient struct {
	op.Client
	name string
}

func (c jwtClient) GetID() string                       { return c.name }
func (c jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

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

func init() { slog.SetLogLoggerLevel(slog.LevelError) } // hides the provider's log
