package sandbox

import (
	"bufio"
	"bytes"
	"cmp"
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

	"example.com/portable-notes/deploy/sam"
	"example.com/portable-notes/deploy/sandbox/process"
)

// moto is the running server of https://docs.getmoto.org, which stores the configuration.
type moto struct {
	url    string
	inner  string   // URL of moto for the program that runner starts, which may be in its container
	runner []string // command that runs Python with moto's packages
	cmd    *exec.Cmd
	// Closing sweeperInput, which the end of this process does too, lets the sweeper kill moto and remove the folder.
	sweeperInput io.Closer
	sweeper      *exec.Cmd
	ended        chan struct{} // closed when moto has ended
	closing      atomic.Bool   // Close was called

	mu     sync.Mutex
	output []byte // end of moto's output
}

// motoImage is the Docker image to use where moto is not installed.
const motoImage = "motoserver/moto:5.2.1"

// ErrNoMoto is returned by Start if the machine has neither moto nor Docker.
var ErrNoMoto = errors.New("the sandbox needs moto, which is not installed: pip install 'moto[server]' (or install " +
	"Docker, for the image " + motoImage + ")")

// sweeperScript waits until its input ends, as it does when the sandbox ends for any reason, and then cleans up: $1 is
// moto's process group, $2 the container, $3 the folder. Functions need no sweeping: they end with the Runtime API.
const sweeperScript = `cat >/dev/null
kill -9 "-$1" 2>/dev/null
[ -z "$2" ] || docker rm -f "$2" >/dev/null 2>&1
rm -rf "$3"`

var listening = regexp.MustCompile(`Running on http://[^:]+:([0-9]+)`)

// startMoto starts moto and waits until it listens.
func startMoto(ctx context.Context, folder string) (*moto, error) {
	m := &moto{ended: make(chan struct{})}
	container := ""
	if path, err := exec.LookPath("moto_server"); err == nil {
		m.cmd = exec.Command(path, "-H", "127.0.0.1", "-p", "0") // #nosec G204 -- moto or its sweeper
		m.runner = []string{sam.Interpreter(path)}
	} else if path, err := exec.LookPath("docker"); err == nil {
		container = filepath.Base(folder)
		m.runner, m.inner = []string{path, "exec", "-i", container, "python"}, "http://127.0.0.1:5000"
		m.cmd = exec.Command(path, "run", "--rm", "--name", container, "-p", "127.0.0.1:0:5000", "-e",
			"MOTO_IAM_LOAD_MANAGED_POLICIES=true", motoImage) // #nosec G204 -- moto or its sweeper
	} else {
		return nil, ErrNoMoto
	}
	m.cmd.Env = append(clean(os.Environ()), "MOTO_IAM_LOAD_MANAGED_POLICIES=true", "PYTHONUNBUFFERED=1")
	m.cmd.SysProcAttr = process.OwnGroup() // ^C in a terminal must reach only the sandbox, which ends moto
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	m.cmd.Stdout, m.cmd.Stderr = in, in
	if err := m.cmd.Start(); err != nil {
		return nil, fmt.Errorf("moto cannot be started: %w", err)
	}
	_ = in.Close()
	m.sweeper = exec.Command("sh", "-c", sweeperScript, "sweeper", fmt.Sprint(m.cmd.Process.Pid), container,
		folder) // #nosec G204 -- moto or its sweeper
	m.sweeper.SysProcAttr = process.OwnGroup()
	if m.sweeperInput, err = m.sweeper.StdinPipe(); err == nil {
		err = m.sweeper.Start()
	}
	if err != nil {
		_ = m.cmd.Process.Kill()
		return nil, fmt.Errorf("the shell that cleans up after the sandbox cannot be started: %w", err)
	}
	port := make(chan string, 1)
	go func() {
		for lines := bufio.NewReader(out); ; {
			line, _, err := lines.ReadLine()
			if err != nil {
				break
			}
			if found := listening.FindSubmatch(line); found != nil {
				select {
				case port <- string(found[1]):
				default: // already known
				}
			}
			m.mu.Lock()
			m.output = append(append(m.output[max(0, len(m.output)-4096):], line...), '\n')
			m.mu.Unlock()
		}
		_ = m.cmd.Wait()
		_ = out.Close()
		close(m.ended)
	}()
	select {
	case p := <-port:
		if container != "" { // moto reports the port inside the container
			published, err := exec.CommandContext(ctx, "docker", "port", container, "5000").Output()
			first, _, _ := strings.Cut(string(published), "\n") // one line for each address
			if _, p, _ = strings.Cut(first, ":"); err == nil && p == "" {
				err = fmt.Errorf("docker port answers %q", published)
			}
			if err != nil {
				m.close()
				return nil, fmt.Errorf("moto's container has no port: %w", err)
			}
		}
		m.url = "http://127.0.0.1:" + p
		m.inner = cmp.Or(m.inner, m.url)
		return m, nil
	case <-m.ended:
		err = fmt.Errorf("moto ended while starting: %s", m.lastLine())
	case <-time.After(time.Minute):
		err = fmt.Errorf("moto does not listen after a minute: %s", m.lastLine())
	case <-ctx.Done():
		err = ctx.Err()
	}
	m.close()
	return nil, err
}

// dockerHelp matches what docker adds to each error.
var dockerHelp = regexp.MustCompile(`\n(Run|See) 'docker run --help'[^\n]*`)

// lastLine returns the last line of moto's output.
func (m *moto) lastLine() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := dockerHelp.ReplaceAllString(string(m.output), "")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// close kills moto, and waits until it has ended and the folder is removed.
func (m *moto) close() {
	process.KillGroup(m.cmd.Process.Pid)
	<-m.ended
	_ = m.sweeperInput.Close()
	_ = m.sweeper.Wait()
}

// do sends an HTTP request to moto.
func (m *moto) do(ctx context.Context, method, uri string, header http.Header, body []byte) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, m.url+uri,
		bytes.NewReader(body)) // #nosec G704 -- to our moto
	if err != nil {
		return answer{}, err
	}
	r.Header = header.Clone()
	r.Header.Del("Accept-Encoding")    // the transport adds its own and decodes the answer
	a, err := http.DefaultClient.Do(r) // #nosec G704 -- to our moto
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = a.Body.Close() }()
	content, err := io.ReadAll(a.Body)
	for _, hop := range []string{"Connection", "Transfer-Encoding", "Server"} {
		a.Header.Del(hop)
	}
	if method != http.MethodHead { // its Content-Length is that of a GET
		a.Header.Del("Content-Length")
	}
	return answer{status: a.StatusCode, header: a.Header, body: content}, err
}
