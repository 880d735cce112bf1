package app

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestWholeNumber(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want int64
	}{
		{"1", 1}, {"1.0", 1}, {"10e-1", 1}, {"0.1E1", 1}, {"1.5e+1", 15}, {"1e18", 1e18},
		{"1" + strings.Repeat("0", 50) + "e-50", 1},
		{"1." + strings.Repeat("0", 50), 1}, {"0." + strings.Repeat("0", 50) + "1e51", 1},
		{"9007199254740993", 1<<53 + 1}, {"9007199254740993.0", 1<<53 + 1},
		{strconv.FormatInt(math.MaxInt64, 10), math.MaxInt64},
		{"9223372036854775808", math.MaxInt64}, {"1e19", math.MaxInt64}, {"1e999999999999999999999", math.MaxInt64},
		{"0", 0}, {"0.0", 0}, {"-0", 0}, {"-1", 0}, {"-1e3", 0}, {"1.5", 0}, {"0.99999999999999999999", 0},
		{"1.00000000000000000001", 0},
		{"9007199254740993.5", 0}, {"1e-1", 0}, {"1e-999999999999999999999", 0}, {"0e999999999999999999999", 0},
	} {
		t.Run(c.raw, func(t *testing.T) {
			if got := wholeNumber('0', jsontext.Value(c.raw)); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestIsTime(t *testing.T) {
	for text, want := range map[string]bool{
		"2026-11-22T09:00:00Z": true, "2026-11-22t09:00:00.123456z": true, "2026-11-22T09:00:00+01:00": true,
		"2016-12-31T23:59:60Z": true, "2016-12-31T18:59:60.5-05:00": true,
		"2016-12-31T23:58:60Z": false, "2016-12-31T23:59:60+01:00": false, "2016-12-31T23:60:00Z": false,
		"2016-12-31T23:59:61Z": false,
		"2026-11-22T09:00:00":  false, "2026-11-22": false, "": false, "2026-11-22T09:00:60": false,
		"2016-12-31T23:59:60": false,
	} {
		t.Run(text, func(t *testing.T) {
			if got := isTime(text); got != want {
				t.Errorf("%v, want %v", got, want)
			}
		})
	}
}
