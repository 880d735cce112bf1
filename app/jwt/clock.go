package jwt

import "time"

// instant is a moment by both of the machine's clocks. The wall clock counts the time in which the process is frozen or
// the machine sleeps, but it can be set. The monotonic clock cannot be set, but may stand still meanwhile.
type instant struct {
	wall time.Time     // without a monotonic reading
	mono time.Duration // since the program started
}

var started = time.Now()

func now() instant {
	t := time.Now()
	return instant{wall: t.Round(0), mono: t.Sub(started)}
}

// since returns the time that has passed since an earlier moment, by the clock that shows more of it.
func (i instant) since(earlier instant) time.Duration {
	return max(i.wall.Sub(earlier.wall), i.mono-earlier.mono)
}
