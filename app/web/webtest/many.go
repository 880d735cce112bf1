package webtest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// RunMany tests the page on a store with many notes.
func RunMany(t *testing.T, site Site) {
	s := newSuite(t, newBrowser(t), site)
	const few, all = 1000, 10_000
	s.createMany(0, few)
	p := newTab(t, s.browser, nil)
	p.run(chromedp.ActionFunc(watchShifts))
	p.open(s.url)
	p.awaitText("#progress", "The newest 50 notes")
	p.await("document.querySelectorAll('#list li').length === 50")
	equal(t, "layout shifts while the page is loaded", p.eval("window.shifts"), "0")

	s.createMany(few, all)
	s.requests()
	p.enter("#query", "needle 1")
	p.awaitText("#progress", "1 found")
	if seen := s.requests(); len(seen) > all/1000 {
		t.Errorf("a search of %d notes takes %d requests", all, len(seen))
	}

	// The list goes on to the last note, and the page still answers.
	p.enter("#query", "")
	p.awaitText("#progress", "The newest 50 notes")
	p.eval("window.end = setInterval(() => document.querySelector('#list-pane').scrollTo(0, 1e9), 10)")
	p.awaitFor("document.querySelectorAll('#list li').length === 10000", 8)
	p.eval("clearInterval(window.end)")
	p.awaitText("#progress", "10,000 notes")
	p.click("#new")
	p.await("document.activeElement.id === 'title'")

	// A note of the greatest size can be read, changed and saved.
	long := s.create("Long", strings.Repeat("0123456789abcde\n", 16_384))
	p.open(s.url + "?")
	p.openNote(long.ID)
	p.eval("document.querySelector('#content').setSelectionRange(0, 1); document.querySelector('#content').focus()")
	p.insert("X")
	p.click("#save")
	p.awaitText("#state", "Saved")
	if got := s.get(long.ID).Content; len(got) != 262_144 || !strings.HasPrefix(got, "X123") {
		t.Errorf("the text has %d bytes and begins with %.10q", len(got), got)
	}
}

// Measure reports how long the page takes: from the start of the navigation to the first paint and to the list of a
// store with 1,000 notes, and a search of 10,000 notes; and the longest time between two frames while a list of 10,000
// notes is scrolled. The times are in milliseconds, in Chromium on this machine.
func Measure(b *testing.B, site Site) {
	s := newSuite(b, newBrowser(b), site)
	s.createMany(0, 1000)
	measure := func(name string, do func() float64) {
		var values []float64
		for range 5 {
			values = append(values, do())
		}
		b.ReportMetric(median(values), name)
	}
	p := newTab(b, s.browser, nil)
	p.open(s.url)
	loaded := func(script string) func() float64 {
		return func() float64 {
			p.open(s.url)
			p.await("document.querySelectorAll('#list li').length === 50")
			return p.number(script)
		}
	}
	measure("paint-ms", loaded("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
	measure("list-ms", loaded("performance.getEntriesByType('resource').findLast((r) => "+
		"r.name.includes('/notes?')).responseEnd"))
	s.createMany(1000, 10_000)
	measure("search-ms", func() float64 {
		p.open(s.url)
		p.await("document.querySelectorAll('#list li').length === 50")
		p.eval("performance.clearResourceTimings()")
		p.enter("#query", "needle 1")
		p.awaitText("#progress", "1 found")
		return p.number("(() => { const all = performance.getEntriesByType('resource'); " +
			"return all.at(-1).responseEnd - all[0].startTime })()")
	})
	p.open(s.url)
	p.eval("window.end = setInterval(() => document.querySelector('#list-pane').scrollTo(0, 1e9), 10)")
	p.awaitFor("document.querySelectorAll('#list li').length === 10000", 8)
	p.eval("clearInterval(window.end)")
	measure("frame-ms", func() float64 { return p.number(scrollThrough) })
	b.ReportMetric(0, "ns/op")
}

// scrollThrough scrolls the list from its start to its end in 100 frames, and returns the longest time of a frame.
const scrollThrough = `(async () => {
	const pane = document.querySelector('#list-pane'), frame = () => new Promise(requestAnimationFrame);
	let longest = 0, before = await frame();
	for (let i = 0; i <= 100; i++) {
		pane.scrollTo(0, pane.scrollHeight * i / 100);
		const now = await frame();
		longest = Math.max(longest, now - before);
		before = now;
	}
	return longest;
})()`

// median returns the middle value.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// createMany creates the notes with the numbers in [from, to). Every 9,000th has the word needle in its title.
func (s *suite) createMany(from, to int) {
	s.Helper()
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := range numbers {
				body := fmt.Sprintf(`{"title":"Note %d","content":"%s","tags":["tag %d"]}`, i,
					strings.Repeat("some text that is not long ", 10), i%20)
				if i%9000 == 1 {
					body = fmt.Sprintf(`{"title":"A needle %d"}`, i)
				}
				answer, err := http.Post(strings.TrimSuffix(s.site.URL, "/")+"/notes", "application/json",
					strings.NewReader(body))
				if err != nil {
					s.Error(err)
					continue
				}
				_ = answer.Body.Close()
				if answer.StatusCode != http.StatusCreated {
					s.Errorf("note %d: %d", i, answer.StatusCode)
				}
			}
		})
	}
	for i := from; i < to; i++ {
		numbers <- i
	}
	close(numbers)
	workers.Wait()
}
