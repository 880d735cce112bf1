package notes

import (
	"sync"
	"time"
)

// maxLead is how far stamps may run ahead of the wall clock. Within it they rise, whatever the clock does.
const maxLead = time.Second

// clock gives a service its times. The wall clock may be set at any moment; the steady one is the wall clock of the
// start and the time that has passed since, which nobody sets. Where the wall clock has not been set for as long as a
// key lives, it is believed: a machine may start with a wrong clock.
type clock struct {
	read func() (wall, steady time.Time)

	mu      sync.Mutex
	stamped time.Time     // the latest stamp
	minted  time.Time     // the time in the latest id
	base    time.Duration // that the steady clock is moved by, once the wall clock is believed
	ahead   time.Duration // how far the wall clock was ahead of the steady one at the last reading
	set     time.Time     // when the wall clock was last set, by the steady clock as it is read
}

func newClock(now func() time.Time) clock {
	started := now()
	return clock{read: func() (wall, steady time.Time) {
		wall = now()
		return wall, started.Add(wall.Sub(started)) // by the monotonic clock, where now reads it (package time)
	}}
}

// moment is one reading of the clock, in whole microseconds of UTC.
type moment struct {
	stamp            time.Time // for created_at and updated_at
	id               time.Time // for an id; later than that of every earlier moment
	earliest, latest time.Time // of the two clocks: between them lies the time, whichever of them is wrong
}

// moment reads the clock. A stamp is later than the one before, unless it would run more than maxLead ahead of the wall
// clock: a clock that was wrong for a moment must not be wrong until the next start. An id's time never goes back.
func (c *clock) moment() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, read := c.read()
	wall, read = wholeMicroseconds(wall), wholeMicroseconds(read)
	steady := read.Add(c.base)
	ahead := wall.Sub(steady)
	if (ahead - c.ahead).Abs() > maxLead {
		c.set = read
	}
	c.ahead = ahead
	if read.Sub(c.set) > KeyLifetime { // the wall clock is believed
		c.base, c.ahead, steady = c.base+ahead, 0, wall
	}
	m := moment{stamp: wall, id: wall, earliest: wall, latest: wall}
	if next := c.stamped.Add(time.Microsecond); next.After(wall) && next.Sub(wall) <= maxLead {
		m.stamp = next
	}
	if !m.id.After(c.minted) {
		m.id = c.minted.Add(time.Microsecond)
	}
	if steady.Before(wall) {
		m.earliest = steady
	} else {
		m.latest = steady
	}
	c.stamped, c.minted = m.stamp, m.id
	return m
}

func wholeMicroseconds(t time.Time) time.Time { return t.Round(0).UTC().Truncate(time.Microsecond) }
