package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/sandbox/process"
	"example.com/portable-notes/notes/storetest"
)

// TestStopsLeaveNothing: a closed sandbox leaves no process, port or folder behind.
func TestStopsLeaveNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	before := leftovers(t)
	for i := range storetest.Amount(5, 100) {
		s, err := Start(t.Context(), Options{})
		if errors.Is(err, ErrNoMoto) {
			storetest.Lacks(t, "moto", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		w := enter(t, s)
		w.function(bootstrap(t))
		did[*lambda.InvokeOutput](t)(w.functions.Invoke(t.Context(), &lambda.InvokeInput{FunctionName: &w.name}))
		pid := s.moto.cmd.Process.Pid
		s.Close()
		if err := s.Wait(); err != nil {
			t.Errorf("stop %d: %v", i, err)
		}
		if alive(pid) {
			t.Errorf("stop %d: moto still runs", i)
		}
		if _, err := http.Get(s.URL); err == nil {
			t.Errorf("stop %d: the port is still open", i)
		}
	}
	if after := leftovers(t); after != before {
		t.Errorf("left behind: %s; before: %s", after, before)
	}
}

// leftovers lists the folders of sandboxes and counts the child processes of this test.
func leftovers(t *testing.T) string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), "portable-notes-sandbox-*"))
	if err != nil {
		t.Fatal(err)
	}
	children, _ := exec.Command("pgrep", "-P", fmt.Sprint(os.Getpid())).Output() // fails if there are none
	return fmt.Sprint(folders, strings.Count(string(children), "\n"))
}

func alive(pid int) bool { return exec.Command("kill", "-0", fmt.Sprint(pid)).Run() == nil }

// TestKilledMoto: if moto is killed, Wait returns one clear error and nothing is left behind.
func TestKilledMoto(t *testing.T) {
	s := start(t, Options{})
	process.KillGroup(s.moto.cmd.Process.Pid)
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "moto") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Wait returns %v", err)
	}
	if _, err := os.Stat(s.folder); err == nil {
		t.Errorf("the folder %s is left", s.folder)
	}
}

// TestManyAtOnce: 64 concurrent requests are served, each by its own process.
func TestManyAtOnce(t *testing.T) {
	w := open(t)
	api := w.api(w.function(bootstrap(t)), "GET /sleep")
	w.configure(lambda.UpdateFunctionConfigurationInput{Timeout: aws.Int32(60)}) // 64 concurrent starts take a while
	w.grant(api, "*/*")
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			w.ask(api, "GET", "/dev/sleep", "").is(t, "one of 64", 200, "/dev/sleep")
		})
	}
	all.Wait()
}
