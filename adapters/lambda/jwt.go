//go:build jwt

package main

import "example.com/portable-notes/app/jwt"

func init() { openJWT = jwt.Open }
