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

	"example.com/portable-notes/notes"
	"example.com/portable-notes/notes/bolt"
)

// note300 makes a note with a content of 300 bytes.
func note300(n int64) notes.Note {
	note := numbered(int(n))
	note.Content = note.Content[:300]
	return note
}

// appends counts for how often a record can be appended to a file and synced, the limit for one writer.
func appends(b *testing.B, folder string, during time.Duration) float64 {
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

// BenchmarkDurableCreates compares creates by 64 writers with appends and syncs by one, on the same disk.
func BenchmarkDurableCreates(b *testing.B) {
	folder := b.TempDir()
	store := openBench(b, folder)
	var made atomic.Int64
	var ratios []float64
	for b.Loop() {
		base := appends(b, folder, time.Second)
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

// BenchmarkNewest20 compares the newest 20 of 100,000 notes with the newest 20 of 1,000.
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
