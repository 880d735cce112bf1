package jwt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/jwt/jwttest"
)

func open(t testing.TB, issuer string) (*Verifier, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	v, err := New(t.Context(), issuer, jwttest.Audience, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return v, &log
}

// TestIssuer: tokens of a real issuer are accepted with the right owner and scope.
func TestIssuer(t *testing.T) {
	issuer := jwttest.New(t)
	v, _ := open(t, issuer.URL)
	for scope, want := range map[string]app.Scope{"notes:read": app.Read, "notes:write": app.Write,
		"notes:read notes:write": app.Write, "openid": app.NoScope, "notes:writer": app.NoScope} {
		token := issuer.Token(t, "anna", scope)
		for range 2 { // the second time from the cache
			caller, err := v.Caller(t.Context(), token)
			if err != nil || caller != (app.Caller{Owner: issuer.URL + " anna", Scope: want}) {
				t.Errorf("%s: %+v, %v", scope, caller, err)
			}
		}
	}
	if issuer.KeyRequests() != 1 {
		t.Errorf("the keys were fetched %d times", issuer.KeyRequests())
	}
}

// forge returns a token with any header and claims. Claims of type []byte are the payload itself.
func forge(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[string]any, claims any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.([]byte)
	if !ok {
		if payload, err = json.Marshal(claims); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

type claims = map[string]any

// TestBadTokens: a token is refused unless the issuer has made it for this audience and it is valid now.
func TestBadTokens(t *testing.T) {
	issuer := jwttest.New(t)
	v, log := open(t, issuer.URL)
	id, private := issuer.SigningKey()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	now := time.Now().Unix()
	good := func(changes claims) claims {
		all := claims{"iss": issuer.URL, "sub": "anna", "aud": jwttest.Audience, "exp": now + 300, "nbf": now - 5,
			"iat": now - 5, "scope": "notes:write"}
		for name, value := range changes {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		return all
	}
	signed := func(changes claims) string {
		return forge(t, jose.RS256, private, map[string]any{"kid": id}, good(changes))
	}
	with := func(header map[string]any) string { return forge(t, jose.RS256, private, header, good(nil)) }
	foreign := func(header map[string]any) string { return forge(t, jose.RS256, other, header, good(nil)) }
	raw := func(header, payload string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
			base64.RawURLEncoding.EncodeToString([]byte(payload))
	}
	// exactly signs a header and a payload byte for byte.
	exactly := func(header, payload string) string {
		input := raw(header, payload)
		sum := sha256.Sum256([]byte(input))
		sig, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return input + "." + base64.RawURLEncoding.EncodeToString(sig)
	}
	plain := `{"alg":"RS256","kid":"` + id + `"}`
	rest := fmt.Sprintf(`,"iss":%q,"aud":"notes","exp":%d}`, issuer.URL, now+300)
	subject := func(text string) string { return exactly(plain, `{"sub":"`+text+`"`+rest) }
	audience := func(text string) string {
		return exactly(plain, fmt.Sprintf(`{"iss":%q,"sub":"anna","aud":%s,"exp":%d}`, issuer.URL, text, now+300))
	}
	more := func(member string) string { return exactly(plain, `{"sub":"anna",`+member+rest) }
	header := func(member string) string {
		return exactly(`{"alg":"RS256","kid":"`+id+`",`+member+`}`, `{"sub":"anna"`+rest)
	}
	text, err := json.Marshal(good(nil))
	if err != nil {
		t.Fatal(err)
	}
	valid := signed(nil)
	parts := strings.Split(valid, ".")
	jwk := func(key any) map[string]any {
		var m map[string]any
		b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "mine"})
		if err != nil || json.Unmarshal(b, &m) != nil {
			t.Fatal(err)
		}
		return m
	}
	flip := func(s string) string {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	steal := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a URL in the header of a token was fetched")
	}))
	t.Cleanup(steal.Close)

	// Valid tokens, which show that the bad ones are refused only for the named reason.
	for name, token := range map[string]string{
		"as made":             valid,
		"audience in a list":  signed(claims{"aud": []string{"other", jwttest.Audience}}),
		"client_id alone":     signed(claims{"aud": nil, "client_id": jwttest.Audience}),
		"expired just now":    signed(claims{"exp": now - 10}),
		"a clock ahead":       signed(claims{"nbf": now + 10, "iat": now + 10}),
		"at+jwt":              with(map[string]any{"kid": id, "typ": "at+jwt"}),
		"JWT":                 with(map[string]any{"kid": id, "typ": "JWT"}),
		"jku, signed as ours": with(map[string]any{"kid": id, "jku": steal.URL}),
		"byte for byte":       subject("anna"),
		"audience, as bytes":  audience(`["notes"]`),
		"escapes":             subject(`\u0061nna`),
		"another claim":       more(`"name":"\ud83d\ude00"`),
		"another header":      header(`"x":"\ud83d\ude00"`),
	} {
		if caller, err := v.Caller(t.Context(), token); err != nil || caller.Owner != issuer.URL+" anna" {
			t.Errorf("%s: %+v, %v", name, caller, err)
		}
	}

	for text, want := range map[string]string{ // valid subjects that are similar to bad ones below
		`\ufffd`:       "\ufffd",
		"\ufffd":       "\ufffd",
		`\ud83d\ude00`: "\U0001f600",
		`\\ud800`:      `\ud800`,
		`a\u0000`:      "a\x00", // an owner is any UTF-8 (notes.Store)
		`\u0007`:       "\a",
	} {
		if caller, err := v.Caller(t.Context(), subject(text)); err != nil || caller.Owner != issuer.URL+" "+want {
			t.Errorf("subject %s: %+q, %v", text, caller.Owner, err)
		}
	}

	bad := map[string]struct {
		token string
		want  app.Refusal
	}{
		"none": {raw(`{"alg":"none"}`, string(text)) + ".", malformed},
		"None": {raw(`{"alg":"None","kid":"`+id+`"}`, string(text)) + ".", malformed},
		"none, with a signature": {raw(`{"alg":"none","kid":"`+id+`"}`, string(text)) + "." + parts[2],
			malformed},
		"no algorithm": {raw(`{"kid":"`+id+`"}`, string(text)) + "." + parts[2], malformed},
		"HS256 with the public key, PEM": {forge(t, jose.HS256, publicPEM, map[string]any{"kid": id}, good(nil)),
			malformed},
		"HS256 with the public key, DER": {forge(t, jose.HS256, der, map[string]any{"kid": id}, good(nil)), malformed},
		"HS256 with nothing": {forge(t, jose.HS256, make([]byte, 32), map[string]any{"kid": id},
			good(nil)), malformed},
		"HS512 with the modulus": {forge(t, jose.HS512, private.N.Bytes(), map[string]any{"kid": id},
			good(nil)), malformed},
		"PS256 with the RS256 key": {forge(t, jose.PS256, private, map[string]any{"kid": id}, good(nil)),
			unknownKey},
		"ES256 under the RSA key's id": {forge(t, jose.ES256, curve, map[string]any{"kid": id}, good(nil)),
			unknownKey},
		"EdDSA under the RSA key's id": {forge(t, jose.EdDSA, edwards, map[string]any{"kid": id}, good(nil)),
			unknownKey},
		"another key under the id":     {foreign(map[string]any{"kid": id}), signature},
		"unknown kid":                  {foreign(map[string]any{"kid": "key-99"}), unknownKey},
		"no kid":                       {with(nil), unknownKey},
		"empty kid":                    {with(map[string]any{"kid": ""}), unknownKey},
		"kid of a file":                {foreign(map[string]any{"kid": "../../../../dev/null"}), unknownKey},
		"kid of SQL":                   {foreign(map[string]any{"kid": "x' UNION SELECT 'key"}), unknownKey},
		"kid in another case":          {with(map[string]any{"kid": strings.ToUpper(id)}), unknownKey},
		"kid with a NUL":               {with(map[string]any{"kid": id + "\x00"}), unknownKey},
		"jwk":                          {foreign(map[string]any{"jwk": jwk(other.Public())}), unknownKey},
		"jwk, and a known kid":         {foreign(map[string]any{"jwk": jwk(other.Public()), "kid": id}), signature},
		"jku":                          {foreign(map[string]any{"kid": "mine", "jku": steal.URL}), unknownKey},
		"x5u":                          {foreign(map[string]any{"kid": "mine", "x5u": steal.URL}), unknownKey},
		"jku of the issuer, known kid": {foreign(map[string]any{"kid": id, "jku": issuer.URL + "/keys"}), signature},
		"x5c": {raw(`{"alg":"RS256","kid":"`+id+`","x5c":["AAAA"]}`, string(text)) + "." +
			parts[2], malformed},
		"an extension that must be known": {raw(`{"alg":"RS256","kid":"`+id+`","crit":["exp"],"exp":1}`,
			string(text)) + "." + parts[2], malformed},
		"b64 false": {raw(`{"alg":"RS256","kid":"`+id+`","b64":false,"crit":["b64"]}`,
			string(text)) + "." + parts[2], signature},
		"a logout token":           {with(map[string]any{"kid": id, "typ": "logout+jwt"}), wrongType},
		"a security event":         {with(map[string]any{"kid": id, "typ": "secevent+jwt"}), wrongType},
		"a type that is a list":    {with(map[string]any{"kid": id, "typ": []string{"logout+jwt"}}), wrongType},
		"another issuer":           {signed(claims{"iss": "https://example.com"}), wrongIssuer},
		"issuer and a slash":       {signed(claims{"iss": issuer.URL + "/"}), wrongIssuer},
		"no issuer":                {signed(claims{"iss": nil}), wrongIssuer},
		"issuer in a list":         {signed(claims{"iss": []string{issuer.URL}}), malformed},
		"another audience":         {signed(claims{"aud": "others"}), wrongAudience},
		"audience in another case": {signed(claims{"aud": "Notes"}), wrongAudience},
		"no audience":              {signed(claims{"aud": nil}), wrongAudience},
		"empty audience":           {signed(claims{"aud": []string{}}), wrongAudience},
		"another audience, our client_id": {signed(claims{"aud": "others", "client_id": jwttest.Audience}),
			wrongAudience},
		"expired":          {signed(claims{"exp": now - 31}), app.ExpiredToken},
		"expired long ago": {signed(claims{"exp": 1}), app.ExpiredToken},
		"no expiry":        {signed(claims{"exp": nil}), noExpiry},
		"expiry null": {forge(t, jose.RS256, private, map[string]any{"kid": id}, claims{
			"iss": issuer.URL, "sub": "anna", "aud": "notes", "exp": nil}), noExpiry},
		"expiry a text":          {signed(claims{"exp": "tomorrow"}), malformed},
		"not yet valid":          {signed(claims{"nbf": now + 3600}), notYet},
		"made in the future":     {signed(claims{"iat": now + 3600}), notYet},
		"no subject":             {signed(claims{"sub": nil}), badSubject},
		"empty subject":          {signed(claims{"sub": ""}), badSubject},
		"subject too long":       {signed(claims{"sub": strings.Repeat("x", 600)}), badSubject},
		"subject is a number":    {signed(claims{"sub": 1}), malformed},
		"truncated":              {valid[:len(valid)-1], malformed},
		"without a signature":    {parts[0] + "." + parts[1] + ".", signature},
		"two parts":              {parts[0] + "." + parts[1], malformed},
		"four parts":             {valid + "." + parts[2], malformed},
		"a bit of the payload":   {parts[0] + "." + flip(parts[1]) + "." + parts[2], signature},
		"a bit of the signature": {parts[0] + "." + parts[1] + "." + flip(parts[2]), signature},
		"another's signature": {parts[0] + "." + parts[1] + "." +
			strings.Split(signed(claims{"sub": "ben"}), ".")[2], signature},
		"payload no JSON": {forge(t, jose.RS256, private, map[string]any{"kid": id}, []byte("hello")),
			malformed},
		"payload a list": {forge(t, jose.RS256, private, map[string]any{"kid": id}, []byte("[]")),
			malformed},
		"JSON serialization": {`{"payload":"` + parts[1] + `","protected":"` + parts[0] +
			`","signature":"` + parts[2] + `"}`, malformed},
		"no token":                        {"x", malformed},
		"dots":                            {"..", malformed},
		"padding":                         {parts[0] + "=." + parts[1] + "." + parts[2], malformed},
		"huge":                            {strings.Repeat("x.", 4096), malformed},
		"subject: half a pair, high":      {subject(`\ud800`), malformed},
		"subject: half a pair, low":       {subject(`anna\udfff`), malformed},
		"subject: a pair turned around":   {subject(`\ude00\ud83d`), malformed},
		"subject: two high halves":        {subject(`\ud83d\ud83d`), malformed},
		"subject: a pair with text in it": {subject(`\ud83dx\ude00`), malformed},
		"subject: byte FF":                {subject("\xff"), malformed},
		"subject: byte 80":                {subject("anna\x80"), malformed},
		"subject: overlong":               {subject("\xc0\xaf"), malformed},
		"subject: surrogate in UTF-8":     {subject("\xed\xa0\x80"), malformed},
		"subject: cut off":                {subject("\xe2\x82"), malformed},
		"subject: Latin-1":                {subject("Ren\xe9"), malformed},
		"subject: a bare NUL":             {subject("a\x00"), malformed},
		"subject twice":                   {more(`"sub":"ben"`), malformed},
		"subject twice, escaped":          {more(`"s\u0075b":"ben"`), malformed},
		"scope twice":                     {more(`"scope":"notes:read","scope":"notes:write"`), malformed},
		"issuer: half a pair":             {exactly(plain, `{"sub":"anna","iss":"\ud800","exp":1}`), malformed},
		"audience: half a pair":           {audience(`["notes","\ud800"]`), malformed},
		"audience: byte FF":               {audience("[\"notes\",\"\xff\"]"), malformed},
		"client_id: half a pair":          {more(`"client_id":"\ud800"`), malformed},
		"scope: byte FF":                  {more("\"scope\":\"notes:write \xff\""), malformed},
		"scp: half a pair":                {more(`"scp":["notes:write","\udc00"]`), malformed},
		"another claim: half a pair":      {more(`"name":"\ud800"`), malformed},
		"a claim's name: half a pair":     {more(`"\ud800":1`), malformed},
		"a name twice, deeper":            {more(`"act":{"sub":"a","sub":"b"}`), malformed},
		"payload with a byte order mark":  {exactly(plain, "\ufeff"+`{"sub":"anna"`+rest), malformed},
		"payload with trailing data":      {exactly(plain, `{"sub":"anna"`+rest+`{}`), malformed},
		"header: half a pair":             {header(`"x":"\ud800"`), malformed},
		"header: byte FF":                 {header("\"x\":\"\xff\""), malformed},
		"header: a name twice, deeper":    {header(`"x":{"a":1,"a":2}`), malformed},
		"header: kid twice":               {header(`"kid":"mine"`), malformed},
		"kid: half a pair":                {exactly(`{"alg":"RS256","kid":"\ud800"}`, string(text)), malformed},
		"kid: byte FF":                    {exactly("{\"alg\":\"RS256\",\"kid\":\"\xff\"}", string(text)), malformed},
	}
	if len(bad) < 40 {
		t.Errorf("only %d bad tokens", len(bad))
	}
	web := app.New(nil, app.Options{Authenticate: v.Caller})
	for name, c := range bad {
		r := httptest.NewRequest("GET", "/notes", nil)
		r.Header.Set("Authorization", "Bearer "+c.token)
		w := httptest.NewRecorder()
		web.ServeHTTP(w, r)
		if w.Code != 401 || !strings.HasPrefix(w.Header().Get("Www-Authenticate"),
			`Bearer realm="notes", error="invalid_token"`) ||
			!strings.Contains(w.Body.String(), `"detail":"the token is unknown or has expired"`) &&
				!strings.Contains(w.Body.String(), `"detail":"the header Authorization must be one bearer token`) {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
		caller, err := v.Caller(t.Context(), c.token)
		var refusal app.Refusal
		if caller != (app.Caller{}) || !errors.As(err, &refusal) || refusal != c.want {
			t.Errorf("%s: %+v, %v; want %q", name, caller, err, c.want)
		}
	}
	if issuer.KeyRequests() > 2 {
		t.Errorf("bad tokens caused %d fetches of the keys", issuer.KeyRequests())
	}
	if log.Len() > 0 {
		t.Errorf("the log has %s", log)
	}
}

// clock is a pair of clocks that stand still except when the test moves them.
type clock struct {
	mu sync.Mutex
	at instant
}

// useClock makes a verifier use a new clock.
func useClock(v *Verifier) *clock {
	c := &clock{at: readClocks()}
	v.now, v.keys.now = c.read, c.read
	return c
}

func (c *clock) read() instant {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// pass moves both clocks.
func (c *clock) pass(d time.Duration) {
	c.shift(d)
	c.tick(d)
}

// shift moves only the wall clock, as when it is set or the machine sleeps.
func (c *clock) shift(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.wall = c.at.wall.Add(d)
}

// tick moves only the monotonic clock.
func (c *clock) tick(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at.mono += d
}

// await waits until holds returns true.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// TestRotation: a new key is fetched when a token needs it, the tokens of a withdrawn key are refused, and tokens with
// a cached key are accepted while the issuer is slow or down.
func TestRotation(t *testing.T) {
	issuer := jwttest.New(t)
	v, log := open(t, issuer.URL)
	at := useClock(v)
	v.keys.patience = time.Minute // for the slow issuer below; TestDeadIssuer tests the time that a request waits
	refused := func(token string, want app.Refusal) {
		t.Helper()
		var refusal app.Refusal
		if _, err := v.Caller(t.Context(), token); !errors.As(err, &refusal) || refusal != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	accepted := func(token string) {
		t.Helper()
		if _, err := v.Caller(t.Context(), token); err != nil {
			t.Error(err)
		}
	}
	newToken := func() string { // with the issuer's key, but valid for longer than the issuer's own tokens
		id, private := issuer.SigningKey()
		return forge(t, jose.RS256, private, map[string]any{"kid": id}, claims{
			"iss": issuer.URL, "sub": "anna", "aud": "notes", "exp": at.read().wall.Add(48 * time.Hour).Unix(),
		})
	}
	first := newToken()
	accepted(first)

	issuer.Rotate(t, false)
	second := newToken()
	at.pass(pause)
	accepted(second)
	accepted(first)

	issuer.Rotate(t, true) // withdraws the first two keys, which takes effect with the next fetch
	before := issuer.KeyRequests()
	accepted(second)
	if issuer.KeyRequests() != before {
		t.Error("fresh keys were fetched again")
	}
	at.pass(fresh)
	accepted(first) // starts a fetch in the background
	await(t, "the keys are fetched", func() bool {
		v.keys.mu.Lock()
		defer v.keys.mu.Unlock()
		return len(v.keys.set) == 1
	})
	refused(first, unknownKey)
	refused(second, unknownKey)
	at.pass(pause)
	third := newToken()
	accepted(third)
	issuer.Rotate(t, true)
	at.pass(overdue) // the next request waits for the keys
	refused(third, unknownKey)
	third = newToken()
	accepted(third)

	issuer.Gone(true)
	at.pass(fresh)
	var requests sync.WaitGroup
	for range 100 {
		requests.Go(func() {
			if _, err := v.Caller(t.Context(), third); err != nil {
				t.Error(err)
			}
		})
	}
	requests.Wait()
	await(t, "the fetch fails", func() bool {
		v.keys.mu.Lock()
		defer v.keys.mu.Unlock()
		return v.keys.failure != nil
	})
	if !strings.Contains(log.String(), "cannot be fetched") {
		t.Errorf("the log has %s", log)
	}
	_, private := issuer.SigningKey()
	unknown := forge(t, jose.RS256, private, map[string]any{"kid": "new"}, claims{"iss": issuer.URL})
	if _, err := v.Caller(t.Context(), unknown); !errors.Is(err, app.ErrCannotVerify) {
		t.Errorf("an unknown key while the issuer is down: %v", err)
	}
	at.pass(stale - fresh - time.Hour)
	long := newToken()
	accepted(long) // the key is old, but not stale
	at.pass(2 * time.Hour)
	if _, err := v.Caller(t.Context(), long); !errors.Is(err, app.ErrCannotVerify) {
		t.Errorf("stale keys are used: %v", err)
	}

	issuer.Gone(false)
	issuer.Slow(300 * time.Millisecond)
	at.pass(pause)
	accepted(long)
	issuer.Rotate(t, false)
	long = newToken()
	at.pass(pause)
	before = issuer.KeyRequests()
	for range 100 {
		requests.Go(func() {
			if _, err := v.Caller(t.Context(), long); err != nil {
				t.Error(err)
			}
		})
	}
	requests.Wait()
	if asked := issuer.KeyRequests() - before; asked != 1 {
		t.Errorf("a slow issuer got %d concurrent requests", asked)
	}
	at.pass(48 * time.Hour)
	refused(long, app.ExpiredToken)
}

// TestOpen: New fails if the issuer's response is not valid, but not if the issuer cannot be reached.
func TestOpen(t *testing.T) {
	var answers map[string]string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := answers[r.URL.Path]
		switch {
		case !ok:
			w.WriteHeader(http.StatusNotFound)
		case body == "down":
			w.WriteHeader(http.StatusBadGateway)
		case body == "elsewhere":
			http.Redirect(w, r, "https://example.com/", http.StatusFound)
		default:
			_, _ = w.Write([]byte(body))
		}
	}))
	t.Cleanup(s.Close)
	const discovery = "/.well-known/openid-configuration"
	about := func(issuer, keys string) string { return `{"issuer":"` + issuer + `","jwks_uri":"` + keys + `"}` }
	for says, served := range map[string]map[string]string{
		"answers 404":            {},
		"answers 302":            {discovery: "elsewhere"},
		"calls itself":           {discovery: about("https://example.com", s.URL+"/keys")},
		"is not an https URL":    {discovery: about(s.URL, "http://example.com/keys")},
		"with the expected JSON": {discovery: "<html>"},
		"answers with more than": {discovery: about(s.URL, s.URL+"/keys"), "/keys": `{"keys":[` +
			strings.Repeat(" ", 2<<20) + "]}"},
		"/keys does not answer with the expected JSON: ": {discovery: about(s.URL, s.URL+"/keys"),
			"/keys": `{"keys":1}`},
	} {
		answers = served
		if _, err := New(t.Context(), s.URL, "notes", slog.New(slog.DiscardHandler)); err == nil ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	answers = map[string]string{discovery: "down"}
	v, err := New(t.Context(), s.URL, "notes", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: curve.Public(), KeyID: "curve", Algorithm: "ES256"}, {Key: small.Public(), KeyID: "small"}, {
			Key: []byte("0123456789abcdef0123456789abcdef"), KeyID: "secret"},
		{Key: curve.Public(), KeyID: "encryption", Use: "enc"}, {Key: curve, KeyID: "private"}, {Key: curve.Public()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	answers = map[string]string{discovery: about(s.URL, s.URL+"/keys"),
		"/keys": strings.Replace(string(set), `"keys":[`, `"keys":[{"kty":"new"},{"kty":"RSA"},`, 1)}
	v.keys.patience = time.Minute
	token := forge(t, jose.ES256, curve, map[string]any{"kid": "curve"}, claims{
		"iss": s.URL, "sub": "x", "aud": "notes", "exp": time.Now().Unix() + 60})
	if _, err := v.Caller(t.Context(), token); err != nil {
		t.Error(err)
	}
	used := v.keys.set
	if len(used) != 2 || len(used[keyRef{"curve", "P-256"}]) != 1 || len(used[keyRef{"", "P-256"}]) != 1 {
		t.Errorf("the keys in use are %v", used)
	}
	for _, wrong := range []string{"", "example.com", "http://example.com", "ftp://example.com",
		"https://example.com?x", "https://a@example.com", "https://", "http://localhost.example.com",
		"https://example.com/#x"} {
		if Check(wrong) == nil {
			t.Errorf("%q is accepted as an issuer", wrong)
		}
	}
	for _, right := range []string{"https://example.com", "https://example.com/tenant/", "http://127.0.0.1:8080",
		"http://localhost:1", "http://[::1]:1"} {
		if err := Check(right); err != nil {
			t.Errorf("%s: %v", right, err)
		}
	}
}
