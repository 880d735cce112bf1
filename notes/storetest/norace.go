//go:build !race

package storetest

const race = false
