package jwt

import (
	"testing"

	"example.com/portable-notes/app/jwt/jwttest"
)

// BenchmarkCaller measures the verification of a token, without and with the cache.
func BenchmarkCaller(b *testing.B) {
	issuer := jwttest.New(b)
	v, _ := open(b, issuer.URL)
	token := issuer.Token(b, "anna", "notes:write")
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.verify(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Caller(b.Context(), token); err != nil {
				b.Fatal(err)
			}
		}
	})
}
