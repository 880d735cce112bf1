//go:build page

package main

import (
	"github.com/labstack/echo/v4"

	"example.com/portable-notes/adapters/settings"
	"example.com/portable-notes/app/web"
)

func init() {
	mountPage = func(e *echo.Echo, auth settings.Auth) {
		web.Mount(e, web.Options{Auth: auth.Kind, Issuer: auth.Issuer})
	}
}
