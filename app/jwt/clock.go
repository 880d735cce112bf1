package jwt

import "time"

// An instant is a reading of both clocks. The wall clock advances while the process is frozen or the machine sleeps,
// but it can be set. The monotonic clock cannot be set, but may stop meanwhile.
type instant struct {
	wall time.Time     // without a monotonic reading
	mono time.Duration // since the process started
}

var processStart = time.Now()

func readClocks() instant {
	t := time.Now()
	return instant{wall: t.Round(0), mono: t.Sub(processStart)}
}

// since returns the time since an earlier instant, by the clock that has advanced further.
func (i instant) since(earlier instant) time.Duration {
	return max(i.wall.Sub(earlier.wall), i.mono-earlier.mono)
}
