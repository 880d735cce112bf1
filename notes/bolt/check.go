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
	Notes, Keys uint64   // readable notes and idempotency keys
	Findings    []string // everything wrong with the file, in plain words; empty if nothing is
}

// Check reads every page and every record of a notes file without changing it. No process may have the file open. Check
// finds what [Open] refuses, and also records whose checksum does not match, missing records, and pages that are
// neither in use nor free. It returns an error if the file cannot be read as a notes file at all.
func Check(path string) (Report, error) {
	report, err := check(path)
	switch {
	case errors.Is(err, errInUse):
		err = errors.New("another process has the file open: stop that one first, or check a copy")
	case errors.Is(err, errBroken):
		err = fmt.Errorf("%w; restore a copy, or copy what can be read with deploy copy --salvage", err)
	}
	if err != nil {
		return Report{}, fmt.Errorf("notes file %s: %w", path, err)
	}
	return report, nil
}

func check(path string) (Report, error) {
	if err := checkRegular(path); err != nil {
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
	c := checker{formatErr: errOtherProgram, unclaimed: map[string]bool{}}
	if err := walk(file, info.Size(), c.addf, c.visit); err != nil {
		return Report{}, err
	}
	if errors.Is(c.formatErr, errForeign) && len(c.report.Findings) == 0 {
		return Report{}, c.formatErr
	}
	c.compareTotals()
	return c.report, nil
}

type checker struct {
	report    Report
	formatErr error           // from checkFormat
	counts    *counts         // from the file's record
	unclaimed map[string]bool // entries of the expiry index without a key so far
}

func (c *checker) addf(format string, args ...any) {
	c.report.Findings = append(c.report.Findings, fmt.Errorf(format, args...).Error())
}

// visit checks one record. Buckets are visited in the order of their names: expiry, keys, notes, portable-notes.
func (c *checker) visit(bucket string, key, value []byte) {
	switch bucket {
	case string(expiryBucket):
		c.unclaimed[string(key)] = true
	case string(keysBucket):
		o, err := decodeUsedKey(key, value)
		if err != nil {
			c.addf("an idempotency key of %s: %w", describeOwner(key, len(key)), err)
			return
		}
		c.report.Keys++
		entry := string(expiryKey(o.Expires, key))
		if !c.unclaimed[entry] {
			c.addf("an idempotency key of %s is missing from the expiry index: it would never be removed",
				describeOwner(key, len(key)))
		}
		delete(c.unclaimed, entry)
	case string(notesBucket):
		if len(key) < 2+16 {
			c.addf("a note has a key of %d bytes, which is too short", len(key))
		} else if _, err := decodeNote(key, value); err != nil {
			c.addf("note %s of %s: %w", notes.ID(key[len(key)-16:]), describeOwner(key, len(key)-16), err)
		} else {
			c.report.Notes++
		}
	case string(metaBucket):
		switch string(key) {
		case string(formatKey):
			c.formatErr = checkFormat(value)
		case string(countsKey):
			if n, err := decodeCounts(key, value); err == nil {
				c.counts = &n
			}
		}
	default:
		c.addf("bucket %q does not belong in a notes file", bucket)
	}
}

// describeOwner describes the owner at the beginning of key[:end].
func describeOwner(key []byte, end int) string {
	if len(key) < 2 || int(binary.BigEndian.Uint16(key))+2 > end {
		return "an unreadable owner"
	}
	return fmt.Sprintf("owner %q", key[2:2+binary.BigEndian.Uint16(key)])
}

// compareTotals adds the findings that need the whole file.
func (c *checker) compareTotals() {
	if c.formatErr != nil {
		c.addf("%w", c.formatErr)
	}
	if len(c.unclaimed) > 0 {
		c.addf("the expiry index has %d entries without an idempotency key", len(c.unclaimed))
	}
	if c.counts == nil {
		c.addf("the record with the number of notes is missing or damaged")
		return
	}
	if c.counts.notes != c.report.Notes {
		c.addf("the file should hold %d notes, %d can be read", c.counts.notes, c.report.Notes)
	}
	if c.counts.keys != c.report.Keys {
		c.addf("the file should hold %d idempotency keys, %d can be read", c.counts.keys, c.report.Keys)
	}
}
