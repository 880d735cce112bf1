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

// extensions are the extension processes of an environment ("Lambda Extensions API").
type extensions struct {
	mu        sync.Mutex
	processes []*exec.Cmd
	queues    map[string]chan extensionEvent // events for each registered extension, by its id
}

// extensionEvent is the answer to an extension's /event/next.
type extensionEvent struct {
	Type     string `json:"eventType"` // INVOKE
	Deadline int64  `json:"deadlineMs"`
	Request  string `json:"requestId"`
	ARN      string `json:"invokedFunctionArn"`
}

// startExtensions starts the extensions in a function's layers, unless they are running.
func (e *environment) startExtensions(folder, opt string) *fault {
	x := &e.extensions
	x.mu.Lock()
	defer x.mu.Unlock()
	files, err := os.ReadDir(filepath.Join(opt, "extensions"))
	if err != nil || opt == "" || x.processes != nil {
		return nil // none, or running
	}
	x.queues = map[string]chan extensionEvent{}
	for _, file := range files {
		cmd := exec.Command(filepath.Join(opt, "extensions", file.Name())) // #nosec G204 -- the function's own program
		if err := e.startProcess(cmd, folder, opt); err != nil {
			for _, started := range x.processes { // the next event starts them all again
				process.KillGroup(started.Process.Pid)
			}
			x.processes = nil
			if path, ok := err.(*fs.PathError); ok {
				err = path.Err
			}
			return &fault{kind: "Extension.LaunchError", message: fmt.Sprintf("fork/exec /opt/extensions/%s: %v",
				file.Name(), err)}
		}
		x.processes = append(x.processes, cmd)
		go func() { _ = cmd.Wait() }()
	}
	return nil
}

// notify sends an event to the extensions.
func (x *extensions) notify(v *event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, queue := range x.queues {
		select {
		case queue <- extensionEvent{Type: "INVOKE", Deadline: v.deadline.UnixMilli(), Request: v.id, ARN: v.ARN}:
		default: // the extension is still busy with the previous event
		}
	}
}

// kill kills the extensions.
func (x *extensions) kill() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, cmd := range x.processes {
		process.KillGroup(cmd.Process.Pid)
	}
}

// serveExtensions adds the Extensions API to mux.
func (e *environment) serveExtensions(mux *http.ServeMux) {
	const id = "Lambda-Extension-Identifier"
	x, c := &e.extensions, e.pool.config
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		extensionID := uuid.NewString()
		x.mu.Lock()
		if x.queues != nil {
			x.queues[extensionID] = make(chan extensionEvent, 1)
		}
		x.mu.Unlock()
		w.Header().Set(id, extensionID)
		_ = json.NewEncoder(w).Encode(map[string]*string{
			"functionName": c.FunctionName, "functionVersion": c.Version, "handler": c.Handler})
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		queue := x.queues[r.Header.Get(id)]
		x.mu.Unlock()
		if queue == nil {
			http.Error(w, `{"errorType":"Extension.UnknownExtensionIdentifier"}`, http.StatusForbidden)
			return
		}
		select {
		case event := <-queue:
			_ = json.NewEncoder(w).Encode(event)
		case <-r.Context().Done():
		}
	})
	for _, what := range []string{"init", "exit"} {
		mux.HandleFunc("POST /2020-01-01/extension/"+what+"/error", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // logs the part that was read
			e.logf("EXTENSION\t%s error: %s %s", what, r.Header.Get("Lambda-Extension-Function-Error-Type"), body)
			w.WriteHeader(http.StatusAccepted)
		})
	}
}
