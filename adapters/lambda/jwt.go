//go:build jwt

package main

import (
	"context"
	"log/slog"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/jwt"
)

func init() {
	openJWT = func(ctx context.Context, issuer, audience string, log *slog.Logger) (app.Authenticate, error) {
		verifier, err := jwt.Open(ctx, issuer, audience, log)
		if err != nil {
			return nil, err
		}
		return verifier.Caller, nil
	}
}
