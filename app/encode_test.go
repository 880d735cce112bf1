package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

func TestAppendText(t *testing.T) {
	const length = 19 // two words and a rest
	for _, other := range []string{"a", "é", "\n"} {
		for b := range 256 {
			t.Run(fmt.Sprintf("%q beside %#x", other, b), func(t *testing.T) {
				for at := range length {
					s := strings.Repeat(other, at) + string([]byte{byte(b)}) + strings.Repeat(other, length-at-1)
					want, err := jsontext.AppendQuote(nil, s)
					if got := appendText(nil, s); string(got) != string(want) {
						t.Errorf("%q: %s, want %s", s, got, want)
					}
					if err == nil && quotedSize(s) != len(want) {
						t.Errorf("%q: %d bytes, want %d", s, quotedSize(s), len(want))
					}
				}
			})
		}
	}
}

func TestAppendTime(t *testing.T) {
	tokyo := time.FixedZone("", 9*60*60)
	for want, at := range map[string]time.Time{
		"2026-11-22T09:00:00.000000Z": time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC),
		"2026-11-22T09:00:00.000001Z": time.Date(2026, 11, 22, 9, 0, 0, 1999, time.UTC),
		"2026-11-22T09:00:00.999999Z": time.Date(2026, 11, 22, 18, 0, 0, 999_999_999, tokyo),
		"0001-01-01T00:00:00.000000Z": {},
	} {
		t.Run(want, func(t *testing.T) {
			if got := appendTime(nil, at); string(got) != want {
				t.Errorf("%s", got)
			}
		})
	}
}

func TestAppendID(t *testing.T) {
	id := uuid.New()
	if got := appendID(nil, id); string(got) != id.String() {
		t.Errorf("%s, want %s", got, id)
	}
}
