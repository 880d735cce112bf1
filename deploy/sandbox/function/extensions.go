package function

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/google/uuid"

	"example.com/portable-notes/deploy/sandbox/process"
)

// extensions are the processes of a function's extensions, which run beside it ("Lambda Extensions API").
type extensions struct {
	mu    sync.Mutex
	all   []*exec.Cmd
	hears map[string]chan extensionEvent // by the id that an extension was given
}

// extensionEvent is what an extension is told.
type extensionEvent struct {
	Type     string `json:"eventType"` // INVOKE
	Deadline int64  `json:"deadlineMs"`
	Request  string `json:"requestId"`
	ARN      string `json:"invokedFunctionArn"`
}

// launch starts the extensions that a function's layers have, if they do not run.
func (e *environment) launch(folder, opt string) *fault {
	x := &e.extensions
	x.mu.Lock()
	defer x.mu.Unlock()
	files, err := os.ReadDir(filepath.Join(opt, "extensions"))
	if err != nil || opt == "" || x.all != nil {
		return nil // there are none, or they run
	}
	x.hears = map[string]chan extensionEvent{}
	for _, file := range files {
		cmd := exec.Command(filepath.Join(opt, "extensions", file.Name())) // #nosec G204 -- the function's
		if err := e.startProcess(cmd, folder, opt); err != nil {
			for _, started := range x.all { // so that they are launched again
				process.KillGroup(started.Process.Pid)
			}
			x.all = nil
			if path, ok := err.(*fs.PathError); ok {
				err = path.Err
			}
			return &fault{kind: "Extension.LaunchError", message: fmt.Sprintf("fork/exec /opt/extensions/%s: %v",
				file.Name(), err)}
		}
		x.all = append(x.all, cmd)
		go func() { _ = cmd.Wait() }()
	}
	return nil
}

// tell tells the extensions of an event.
func (x *extensions) tell(v *event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, hears := range x.hears {
		select {
		case hears <- extensionEvent{"INVOKE", v.deadline.UnixMilli(), v.id, v.ARN}:
		default: // it is still at the event before
		}
	}
}

// kill ends the extensions.
func (x *extensions) kill() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, cmd := range x.all {
		process.KillGroup(cmd.Process.Pid)
	}
}

// serveExtensions answers the Extensions API.
func (e *environment) serveExtensions(mux *http.ServeMux) {
	const id = "Lambda-Extension-Identifier"
	x, c := &e.extensions, e.pool.config
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		given := uuid.NewString()
		x.mu.Lock()
		if x.hears != nil {
			x.hears[given] = make(chan extensionEvent, 1)
		}
		x.mu.Unlock()
		w.Header().Set(id, given)
		_ = json.NewEncoder(w).Encode(map[string]*string{
			"functionName": c.FunctionName, "functionVersion": c.Version, "handler": c.Handler})
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		hears := x.hears[r.Header.Get(id)]
		x.mu.Unlock()
		if hears == nil {
			http.Error(w, `{"errorType":"Extension.UnknownExtensionIdentifier"}`, http.StatusForbidden)
			return
		}
		select {
		case told := <-hears:
			_ = json.NewEncoder(w).Encode(told)
		case <-r.Context().Done():
		}
	})
	for _, what := range []string{"init", "exit"} {
		mux.HandleFunc("POST /2020-01-01/extension/"+what+"/error", func(w http.ResponseWriter, r *http.Request) {
			said, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // what there is of it
			e.line("EXTENSION\t%s error: %s %s", what, r.Header.Get("Lambda-Extension-Function-Error-Type"), said)
			w.WriteHeader(http.StatusAccepted)
		})
	}
}
