package notes

import (
	"sync"
	"time"
)

// maxLead is how far stamps may run ahead of the wall clock. Within it they always increase.
const maxLead = time.Second

// clock gives a service its times. It compares the wall clock, which may be set at any moment, with a steady clock: the
// wall clock at the start plus the monotonic time since. The machine may have started with a wrong wall clock, so once
// nobody has set the wall clock for KeyLifetime, the steady clock is adjusted to it.
type clock struct {
	read func() (wall, steady time.Time)

	mu        sync.Mutex
	lastStamp time.Time
	lastID    time.Time     // the time in the latest id
	offset    time.Duration // added to the steady reading to adjust it to the wall clock
	skew      time.Duration // wall clock minus steady clock at the last reading
	lastSet   time.Time     // the steady reading, without offset, when the wall clock was last found set
}

func newClock(now func() time.Time) clock {
	started := now()
	return clock{read: func() (wall, steady time.Time) {
		wall = now()
		return wall, started.Add(wall.Sub(started)) // monotonic if now returns a monotonic reading, see package time
	}}
}

// moment is one reading of the clock, in UTC and whole microseconds.
type moment struct {
	stamp            time.Time // for created_at and updated_at
	id               time.Time // for an id; later than in every earlier moment
	earliest, latest time.Time // the two clocks in order: if either is right, the true time is in this interval
}

// now reads the clock. Each stamp is later than the one before, unless it would run more than maxLead ahead of the wall
// clock: a clock that was briefly wrong must not spoil stamps until the next start. An id's time never goes back.
func (c *clock) now() moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, read := c.read()
	wall, read = wholeMicroseconds(wall), wholeMicroseconds(read)
	steady := read.Add(c.offset)
	skew := wall.Sub(steady)
	if (skew - c.skew).Abs() > maxLead {
		c.lastSet = read
	}
	c.skew = skew
	if read.Sub(c.lastSet) > KeyLifetime { // trust the wall clock
		c.offset, c.skew, steady = c.offset+skew, 0, wall
	}
	m := moment{stamp: wall, id: wall, earliest: wall, latest: wall}
	if next := c.lastStamp.Add(time.Microsecond); next.After(wall) && next.Sub(wall) <= maxLead {
		m.stamp = next
	}
	if !m.id.After(c.lastID) {
		m.id = c.lastID.Add(time.Microsecond)
	}
	if steady.Before(wall) {
		m.earliest = steady
	} else {
		m.latest = steady
	}
	c.lastStamp, c.lastID = m.stamp, m.id
	return m
}

func wholeMicroseconds(t time.Time) time.Time { return t.Round(0).UTC().Truncate(time.Microsecond) }
