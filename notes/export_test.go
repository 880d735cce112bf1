package notes

import "time"

// SetClock gives a service another clock: what the wall clock says, and what it would say had nobody set it.
func SetClock(s *Service, read func() (wall, steady time.Time)) { s.clock.read = read }
