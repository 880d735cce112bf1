package webtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"example.com/portable-notes/notes/storetest"
)

// newBrowser starts a headless Chromium that ends with the test.
func newBrowser(t testing.TB) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		storetest.Lacks(t, "Chromium", exec.ErrNotFound)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path),
		chromedp.Flag("lang", "en-US"))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium's sandbox refuses root
	}
	allocated, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	browser, end := chromedp.NewContext(allocated, chromedp.WithErrorf(ignore))
	t.Cleanup(func() {
		_ = chromedp.Cancel(browser) // waits until Chromium has ended
		end()
	})
	if err := chromedp.Run(browser); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	return browser
}

// ignore ignores what chromedp logs: events that it does not know.
func ignore(string, ...any) {}

// patience is how long a condition may take to hold. No test measures time by it.
const patience = time.Minute

// tab is an open page. A fault of the page's script, or a violation of its policy, fails the test.
type tab struct {
	testing.TB
	ctx     context.Context
	storage cdp.BrowserContextID

	mu     sync.Mutex
	faults []string
}

// takeFaults returns the faults since the last call, which then do not fail the test.
func (p *tab) takeFaults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	faults := p.faults
	p.faults = nil
	return faults
}

// awaitFault waits for a fault with a text in it, and takes it and those before.
func (p *tab) awaitFault(text string) {
	p.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(strings.Join(p.takeFaults(), "\n"), text); {
		if time.Now().After(deadline) {
			p.Fatalf("no fault: %s", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// watchPolicy reports violations of the Content-Security-Policy as errors on the console.
const watchPolicy = `addEventListener('securitypolicyviolation', (e) => ` +
	`console.error('policy violation:', e.violatedDirective, e.blockedURI, e.sourceFile))`

// newTab opens a tab with its own storage, or with that of another tab if one is given.
func newTab(t testing.TB, browser context.Context, beside *tab) *tab {
	t.Helper()
	executor := cdp.WithExecutor(browser, chromedp.FromContext(browser).Browser)
	p := &tab{TB: t}
	var err error
	if beside != nil {
		p.storage = beside.storage
	} else if p.storage, err = target.CreateBrowserContext().WithDisposeOnDetach(true).Do(executor); err != nil {
		t.Fatal(err)
	}
	// A window of its own keeps a tab active beside others.
	id, err := target.CreateTarget("about:blank").WithBrowserContextID(p.storage).WithNewWindow(true).Do(executor)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := chromedp.NewContext(browser, chromedp.WithTargetID(id))
	t.Cleanup(end)
	p.ctx = ctx
	chromedp.ListenTarget(ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			p.faults = append(p.faults, e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError {
				args, _ := json.Marshal(e.Args)
				p.faults = append(p.faults, string(args))
			}
		case *log.EventEntryAdded:
			if e.Entry.Source == log.SourceSecurity || strings.Contains(e.Entry.Text, "Content Security Policy") {
				p.faults = append(p.faults, e.Entry.Text)
			}
		case *page.EventJavascriptDialogOpening:
			p.faults = append(p.faults, "a dialog opened: "+e.Message)
		}
	})
	t.Cleanup(func() {
		for _, fault := range p.takeFaults() {
			t.Errorf("the page has a fault: %s", fault)
		}
	})
	// The first actions attach to the tab, and would detach from it when a timeout of theirs ends.
	if err := chromedp.Run(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(watchPolicy).Do(ctx)
		return err
	})); err != nil {
		t.Fatal(err)
	}
	return p
}

// run carries out actions.
func (p *tab) run(actions ...chromedp.Action) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// open goes to a URL and waits until it has loaded.
func (p *tab) open(url string) {
	p.Helper()
	p.run(chromedp.Navigate(url))
}

// reload loads the page again.
func (p *tab) reload() {
	p.Helper()
	p.run(chromedp.Reload())
}

// eval returns the value of a JavaScript expression as text, or as JSON if it is not a string.
func (p *tab) eval(script string) string {
	p.Helper()
	value, err := p.tryEval(script)
	if err != nil {
		p.Fatalf("%s: %v", script, err)
	}
	return value
}

func (p *tab) tryEval(script string) (string, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	var raw json.RawMessage
	awaitPromise := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
	if err := chromedp.Run(ctx, chromedp.Evaluate(script, &raw, awaitPromise)); err != nil {
		return "", err
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	return string(raw), nil
}

// number returns the value of a JavaScript expression that is a number.
func (p *tab) number(script string) float64 {
	p.Helper()
	n, err := strconv.ParseFloat(p.eval(script), 64)
	if err != nil {
		p.Fatalf("%s: %v", script, err)
	}
	return n
}

// watchShifts adds up, in window.shifts, how far things move on the page without the reader's doing
// (https://web.dev/articles/cls).
func watchShifts(ctx context.Context) error {
	_, err := page.AddScriptToEvaluateOnNewDocument(`window.shifts = 0;
		new PerformanceObserver((list) => {
			for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifts += shift.value;
		}).observe({ type: 'layout-shift', buffered: true });`).Do(ctx)
	return err
}

// await waits until a JavaScript expression is true.
func (p *tab) await(condition string) {
	p.Helper()
	p.awaitFor(condition, 1)
}

// awaitFor waits some times longer.
func (p *tab) awaitFor(condition string, times time.Duration) {
	p.Helper()
	deadline := time.Now().Add(times * patience)
	for {
		// The page may be navigating, so an error is no failure yet.
		value, err := p.tryEval("Boolean(" + condition + ")")
		if value == "true" {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("never true: %s (%v)\nat %s\nnotice: %s\nstate: %s\nprogress: %s\nunsaved: %s\nlist: %s",
				condition, err, p.eval("location.href"), p.text("#notice"), p.text("#state"), p.text("#progress"),
				p.text("#unsaved"), p.text("#list"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// text returns the text of the first element that a selector matches, or "" if there is none.
func (p *tab) text(selector string) string {
	p.Helper()
	return p.eval(fmt.Sprintf("document.querySelector(%s)?.innerText ?? ''", quote(selector)))
}

// awaitText waits until an element has a text in it.
func (p *tab) awaitText(selector, text string) {
	p.Helper()
	p.await(fmt.Sprintf("(document.querySelector(%s)?.innerText ?? '').includes(%s)", quote(selector), quote(text)))
}

// click clicks the element at its place, as a mouse does.
func (p *tab) click(selector string) {
	p.Helper()
	// The place is that of two frames in which nothing has moved.
	place := fmt.Sprintf(`(async () => {
		const e = document.querySelector(%s), frame = () => new Promise(requestAnimationFrame);
		const center = () => {
			const box = e.getBoundingClientRect();
			return [box.x + box.width / 2, box.y + box.height / 2];
		};
		e.scrollIntoView({ block: 'nearest' });
		const before = center();
		await frame();
		await frame();
		const after = center();
		return String(before) === String(after) && e.contains(document.elementFromPoint(...after)) ? after : [];
	})()`, quote(selector))
	for deadline := time.Now().Add(patience); ; {
		var at []float64
		value, err := p.tryEval(place)
		if err == nil && json.Unmarshal([]byte(value), &at) == nil && len(at) == 2 {
			p.run(chromedp.MouseClickXY(at[0], at[1]))
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("%s cannot be clicked: %s %v", selector, value, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// enter replaces the text of a field.
func (p *tab) enter(selector, text string) {
	p.Helper()
	p.run(chromedp.Focus(selector, chromedp.ByQuery))
	p.eval("document.activeElement.select?.()")
	p.insert(text)
}

// insert types a text where the cursor is.
func (p *tab) insert(text string) {
	p.Helper()
	p.run(chromedp.ActionFunc(func(ctx context.Context) error { return input.InsertText(text).Do(ctx) }))
}

// press presses a key, with the modifiers held. The character is part of the event that the key goes down, as with a
// real keyboard, so that a script can prevent it.
func (p *tab) press(key string, modifiers ...input.Modifier) {
	p.Helper()
	p.run(chromedp.ActionFunc(func(ctx context.Context) error {
		for _, char := range key {
			events := kb.Encode(char)
			down, up := events[0], events[len(events)-1]
			down.Type = input.KeyDown
			for _, m := range modifiers {
				down.Modifiers |= m
				up.Modifiers |= m
			}
			if len(events) > 2 && down.Modifiers&input.ModifierCtrl == 0 {
				down.Text = events[1].Text
			}
			if err := errors.Join(down.Do(ctx), up.Do(ctx)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// screenshot writes a picture of the tab to the folder NOTES_TEST_SCREENSHOTS, if that is set, for people to look at.
func (p *tab) screenshot(name string) {
	p.Helper()
	folder := os.Getenv("NOTES_TEST_SCREENSHOTS")
	if folder == "" {
		return
	}
	var picture []byte
	p.run(chromedp.CaptureScreenshot(&picture))
	path := filepath.Join(folder, name+".png")
	if err := os.WriteFile(path, picture, 0o600); err != nil { // #nosec G703 -- a folder that the tester names
		p.Fatal(err)
	}
}

// quote returns a text as a JavaScript string.
func quote(text string) string {
	quoted, _ := json.Marshal(text) // strings cannot fail
	return string(quoted)
}
