package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"example.com/portable-notes/notes"
)

// Report is what [Check] found.
type Report struct {
	Notes, Keys uint64   // notes and idempotency keys that can be read
	Findings    []string // all that is wrong, in plain words; empty for a sound file
}

// Check reads every page and every record of a notes file that no process has open, and changes nothing. It finds what
// [Open] refuses, and beyond that: records whose checksum does not fit, records that are missing, and pages that belong
// to nothing. An error means that the file could not be read as a notes file at all.
func Check(path string) (Report, error) {
	report, err := check(path)
	switch {
	case errors.Is(err, errInUse):
		err = errors.New("another process has the file open: stop that one first, or check a copy")
	case errors.Is(err, errBroken):
		err = fmt.Errorf("%w. Restore a copy", err)
	}
	if err != nil {
		return Report{}, fmt.Errorf("notes file %s: %w", path, err)
	}
	return report, nil
}

func check(path string) (Report, error) {
	if err := regular(path); err != nil {
		return Report{}, err
	}
	file, err := openLocked(path, os.O_RDONLY, 0)
	if err != nil {
		return Report{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Report{}, err
	}
	if info.Size() == 0 {
		return Report{}, errEmpty
	}
	c := checker{version: errNoNotes, index: map[string]bool{}}
	if err := walk(file, info.Size(), c.find, c.visit); err != nil {
		return Report{}, err
	}
	if errors.Is(c.version, errForeign) && len(c.report.Findings) == 0 {
		return Report{}, c.version
	}
	c.conclude()
	return c.report, nil
}

type checker struct {
	report  Report
	version error           // of the format record
	counts  *counts         // what the file says that it holds
	index   map[string]bool // the entries of the expiry index that no key has claimed
}

func (c *checker) find(format string, args ...any) {
	c.report.Findings = append(c.report.Findings, fmt.Errorf(format, args...).Error())
}

// visit looks at one record. The buckets come in the order of their names: expiry, keys, notes, portable-notes.
func (c *checker) visit(bucket string, key, value []byte) {
	switch bucket {
	case string(expiryBucket):
		c.index[string(key)] = true
	case string(keysBucket):
		o, err := decodeOnce(key, value)
		if err != nil {
			c.find("an idempotency key of %s: %w", ownerOf(key, len(key)), err)
			return
		}
		c.report.Keys++
		entry := string(expiryKey(o.Expires, key))
		if !c.index[entry] {
			c.find("an idempotency key of %s is missing in the index of expiries: it would be kept for ever",
				ownerOf(key, len(key)))
		}
		delete(c.index, entry)
	case string(notesBucket):
		if len(key) < 2+16 {
			c.find("a note has a key of %d bytes, which is none", len(key))
		} else if _, err := decodeNote(key, value); err != nil {
			c.find("note %s of %s: %w", notes.ID(key[len(key)-16:]), ownerOf(key, len(key)-16), err)
		} else {
			c.report.Notes++
		}
	case string(metaBucket):
		switch string(key) {
		case string(formatKey):
			c.version = checkFormat(value)
		case string(countsKey):
			if n, err := decodeCounts(key, value); err == nil {
				c.counts = &n
			}
		}
	default:
		c.find("bucket %q is none that a notes file has", bucket)
	}
}

// ownerOf words the owner that a key begins with.
func ownerOf(key []byte, end int) string {
	if len(key) < 2 || int(binary.BigEndian.Uint16(key))+2 > end {
		return "an owner whose name cannot be read"
	}
	return fmt.Sprintf("owner %q", key[2:2+binary.BigEndian.Uint16(key)])
}

// conclude says what only the whole shows.
func (c *checker) conclude() {
	if c.version != nil {
		c.find("%w", c.version)
	}
	if len(c.index) > 0 {
		c.find("the index of expiries has %d entries without an idempotency key", len(c.index))
	}
	if c.counts == nil {
		c.find("the record of how many notes the file holds is missing or damaged")
		return
	}
	if c.counts.notes != c.report.Notes {
		c.find("the file should hold %d notes, %d can be read", c.counts.notes, c.report.Notes)
	}
	if c.counts.keys != c.report.Keys {
		c.find("the file should hold %d idempotency keys, %d can be read", c.counts.keys, c.report.Keys)
	}
}
