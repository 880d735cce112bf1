package main

import (
	"fmt"
	"strconv"
)

// optional is a flag whose value is nil until it is given.
type optional[T any] struct {
	value **T
	parse func(string) (T, error)
}

func (o optional[T]) Set(given string) error {
	value, err := o.parse(given)
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

// number and text read the value of an optional flag.
func number(given string) (int32, error) {
	value, err := strconv.ParseInt(given, 10, 32)
	return int32(value), err // #nosec G115 -- it is read as one of 32 bits
}

func text(given string) (string, error) { return given, nil }
