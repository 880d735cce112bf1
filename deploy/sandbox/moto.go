package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/portable-notes/deploy/sandbox/process"
)

// moto is the server that keeps the control plane: https://docs.getmoto.org.
type moto struct {
	url string
	cmd *exec.Cmd
	// once it is closed, also by the end of this process, the sweeper ends moto and removes the folder
	sweep io.Closer
	swept *exec.Cmd     // the sweeper
	ended chan struct{} // closed when moto has ended
	asked atomic.Bool   // to end

	mu   sync.Mutex
	last []byte // the end of what moto says
}

// image is moto where it is not installed.
const image = "motoserver/moto:5.2.1"

// ErrNoMoto tells that the machine has neither moto nor Docker.
var ErrNoMoto = errors.New("the sandbox stands on moto, which is not there: pip install 'moto[server]' (or install " +
	"Docker, for the image " + image + ")")

// sweeper waits until its input ends, which it does however the sandbox ends, and then clears up: $1 is moto's process
// group, $2 the container, $3 the folder. Nothing else of the sandbox is left then: functions end with the Runtime API.
const sweeper = `cat >/dev/null
kill -9 "-$1" 2>/dev/null
[ -z "$2" ] || docker rm -f "$2" >/dev/null 2>&1
rm -rf "$3"`

var running = regexp.MustCompile(`Running on http://[^:]+:([0-9]+)`)

// startMoto starts moto and waits until it listens.
func startMoto(ctx context.Context, folder string) (*moto, error) {
	m := &moto{ended: make(chan struct{})}
	container := ""
	if path, err := exec.LookPath("moto_server"); err == nil {
		m.cmd = exec.Command(path, "-H", "127.0.0.1", "-p", "0") // #nosec G204 -- moto, and what ends it
	} else if path, err := exec.LookPath("docker"); err == nil {
		container = filepath.Base(folder)
		m.cmd = exec.Command(path, "run", "--rm", "--name", container, "-p", "127.0.0.1:0:5000", "-e",
			"MOTO_IAM_LOAD_MANAGED_POLICIES=true", image) // #nosec G204 -- moto, and what ends it
	} else {
		return nil, ErrNoMoto
	}
	m.cmd.Env = append(os.Environ(), "MOTO_IAM_LOAD_MANAGED_POLICIES=true", "PYTHONUNBUFFERED=1")
	m.cmd.SysProcAttr = process.OwnGroup() // ^C in a terminal is for the sandbox, which ends moto
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	m.cmd.Stdout, m.cmd.Stderr = in, in
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("moto does not start: %w", err)
	}
	_ = in.Close()
	m.swept = exec.Command("sh", "-c", sweeper, "sweeper", fmt.Sprint(m.cmd.Process.Pid), container,
		folder) // #nosec G204 -- moto, and what ends it
	m.swept.SysProcAttr = process.OwnGroup()
	if m.sweep, err = m.swept.StdinPipe(); err == nil {
		err = m.swept.Start()
	}
	if err != nil {
		_ = m.cmd.Process.Kill()
		return nil, fmt.Errorf("no shell to clear up with: %w", err)
	}
	port := make(chan string, 1)
	go func() {
		for lines := bufio.NewReader(out); ; {
			line, _, err := lines.ReadLine()
			if err != nil {
				break
			}
			if found := running.FindSubmatch(line); found != nil {
				select {
				case port <- string(found[1]):
				default: // known already
				}
			}
			m.mu.Lock()
			m.last = append(append(m.last[max(0, len(m.last)-4096):], line...), '\n')
			m.mu.Unlock()
		}
		_ = m.cmd.Wait()
		_ = out.Close()
		close(m.ended)
	}()
	select {
	case p := <-port:
		if container != "" { // which says the port inside
			published, err := exec.CommandContext(ctx, "docker", "port", container, "5000").Output()
			first, _, _ := strings.Cut(string(published), "\n") // one for each address
			if _, p, _ = strings.Cut(first, ":"); err == nil && p == "" {
				err = fmt.Errorf("docker port says %q", published)
			}
			if err != nil {
				m.close()
				return nil, fmt.Errorf("the container of moto has no port: %w", err)
			}
		}
		m.url = "http://127.0.0.1:" + p
		return m, nil
	case <-m.ended:
		err = fmt.Errorf("moto ended as it started: %s", m.says())
	case <-time.After(time.Minute):
		err = fmt.Errorf("moto does not listen after a minute: %s", m.says())
	case <-ctx.Done():
		err = ctx.Err()
	}
	m.close()
	return nil, err
}

// says is the last line of what moto said.
func (m *moto) says() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, _, _ := strings.Cut(string(m.last), "\nRun 'docker run --help'") // what docker adds to each error
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// close ends moto, removes the folder and waits for both.
func (m *moto) close() {
	process.KillGroup(m.cmd.Process.Pid)
	<-m.ended
	_ = m.sweep.Close()
	_ = m.swept.Wait()
}

// do sends a call to moto as it came.
func (m *moto) do(ctx context.Context, method, uri string, header http.Header, body []byte) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, m.url+uri,
		bytes.NewReader(body)) // #nosec G704 -- of moto, which this started
	if err != nil {
		return answer{}, err
	}
	r.Header = header.Clone()
	r.Header.Del("Accept-Encoding")    // the transport's own, which is undone
	a, err := http.DefaultClient.Do(r) // #nosec G704 -- of moto, which this started
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = a.Body.Close() }()
	content, err := io.ReadAll(a.Body)
	for _, hop := range []string{"Connection", "Transfer-Encoding", "Server"} {
		a.Header.Del(hop)
	}
	if method != http.MethodHead { // whose answer tells the length of another
		a.Header.Del("Content-Length")
	}
	return answer{a.StatusCode, a.Header, content}, err
}
