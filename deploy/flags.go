package main

import (
	"fmt"
	"strconv"

	"example.com/portable-notes/deploy/pack"
)

// optional is a flag whose value is nil unless it is given.
type optional[T any] struct {
	value **T
	parse func(string) (T, error)
}

func (o optional[T]) Set(s string) error {
	value, err := o.parse(s)
	if err == nil {
		*o.value = &value
	}
	return err
}

func (o optional[T]) String() string {
	if o.value == nil || *o.value == nil {
		return ""
	}
	return fmt.Sprint(**o.value)
}

func (o optional[T]) Type() string {
	var value T
	return fmt.Sprintf("%T", value)
}

// parseInt32 and parseString parse the values of optional flags.
func parseInt32(s string) (int32, error) {
	value, err := strconv.ParseInt(s, 10, 32)
	return int32(value), err // #nosec G115 -- ParseInt limits it to 32 bits
}

func parseString(s string) (string, error) { return s, nil }

// archFlag is the value of --arch, in Lambda's spelling.
type archFlag string

func (f *archFlag) String() string { return string(*f) }
func (f *archFlag) Type() string   { return "string" }

func (f *archFlag) Set(text string) (err error) {
	arch, err := pack.ParseArchitecture(text)
	*f = archFlag(arch)
	return err
}
