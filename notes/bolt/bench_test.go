package bolt_test

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
)

// note300 returns the nth note, with 300 bytes of content.
func note300(n int64) notes.Note {
	note := numbered(int(n))
	note.Content = note.Content[:300]
	return note
}

// appendRate returns how many times per second a record can be appended to a file and synced. This is the limit for a
// single writer.
func appendRate(b *testing.B, folder string, during time.Duration) float64 {
	b.Helper()
	file, err := os.Create(filepath.Join(folder, "appends"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	record := make([]byte, 300)
	n := 0
	begin := time.Now()
	for ; time.Since(begin) < during; n++ {
		if _, err := file.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(begin).Seconds()
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

func openBench(b *testing.B, folder string) *bolt.Store {
	b.Helper()
	store, err := bolt.Open(filepath.Join(folder, "notes.db"), quiet)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return store
}

// BenchmarkDurableCreates compares creates by 64 writers with synced appends by one writer on the same disk.
func BenchmarkDurableCreates(b *testing.B) {
	folder := b.TempDir()
	store := openBench(b, folder)
	var made atomic.Int64
	var ratios []float64
	for b.Loop() {
		base := appendRate(b, folder, time.Second)
		before := made.Load()
		begin := time.Now()
		var writers sync.WaitGroup
		for range 64 {
			writers.Go(func() {
				for time.Since(begin) < time.Second {
					if _, err := store.Create(b.Context(), owner, note300(made.Add(1)), nil); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		writers.Wait()
		rate := float64(made.Load()-before) / time.Since(begin).Seconds()
		ratios = append(ratios, rate/base)
		b.ReportMetric(rate, "creates/s")
		b.ReportMetric(base, "appends/s")
	}
	b.ReportMetric(median(ratios), "creates/append")
}

// BenchmarkGet compares reads through the store with reads through bbolt alone from an identical file.
func BenchmarkGet(b *testing.B) {
	const count, gets = 10_000, 200_000
	folder := b.TempDir()
	store := openBench(b, folder)
	var writers sync.WaitGroup
	for w := range int64(64) {
		writers.Go(func() {
			for n := w; n < count; n += 64 {
				if _, err := store.Create(b.Context(), owner, note300(n), nil); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	file, err := os.ReadFile(filepath.Join(folder, "notes.db"))
	if err != nil {
		b.Fatal(err)
	}
	copied := filepath.Join(folder, "copy.db")
	if err := os.WriteFile(copied, file, 0o600); err != nil {
		b.Fatal(err)
	}
	db, err := bbolt.Open(copied, 0o600, &bbolt.Options{NoStatistics: true})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	ids := make([]notes.ID, count)
	for n := range ids {
		ids[n] = note300(int64(n)).ID
	}
	prefix := append([]byte{0, byte(len(owner))}, owner...)
	each := func(get func(id notes.ID) bool) float64 {
		begin := time.Now()
		for n := range gets {
			if !get(ids[n*7919%count]) {
				b.Fatal("a note is missing")
			}
		}
		return time.Since(begin).Seconds() / gets * 1e6
	}
	var ratios []float64
	for b.Loop() {
		alone := each(func(id notes.ID) (found bool) {
			err := db.View(func(tx *bbolt.Tx) error {
				key := append(prefix[:len(prefix):len(prefix)], id[:]...)
				found = tx.Bucket([]byte("notes")).Get(key) != nil
				return nil
			})
			return found && err == nil
		})
		ours := each(func(id notes.ID) bool { _, err := store.Get(b.Context(), owner, id); return err == nil })
		ratios = append(ratios, ours/alone)
		b.ReportMetric(alone, "µs/get-of-bbolt")
		b.ReportMetric(ours, "µs/get")
	}
	b.ReportMetric(median(ratios), "get/bbolt")
}

// BenchmarkNewest20 compares listing the newest 20 of 100,000 notes with listing the newest 20 of 1,000.
func BenchmarkNewest20(b *testing.B) {
	small, large := openBench(b, b.TempDir()), openBench(b, b.TempDir())
	for store, count := range map[*bolt.Store]int64{small: 1000, large: 100_000} {
		var writers sync.WaitGroup
		for w := range int64(64) {
			writers.Go(func() {
				for n := w; n < count; n += 64 {
					if _, err := store.Create(b.Context(), owner, note300(n), nil); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		writers.Wait()
	}
	list := func(store *bolt.Store) float64 {
		const lists = 20_000
		begin := time.Now()
		for range lists {
			for _, err := range store.Newest(b.Context(), owner, uuid.Max, 20) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		return time.Since(begin).Seconds() / lists * 1e6
	}
	var ratios []float64
	for b.Loop() {
		s, l := list(small), list(large)
		ratios = append(ratios, l/s)
		b.ReportMetric(s, "µs/list-of-1k")
		b.ReportMetric(l, "µs/list-of-100k")
	}
	b.ReportMetric(median(ratios), "100k/1k")
}
