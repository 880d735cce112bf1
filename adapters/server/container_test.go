package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"example.com/portable-notes/app/apptest"
	"example.com/portable-notes/notes/dynamo/dynamotest"
	"example.com/portable-notes/notes/storetest"
)

// stack is the compose stack, under a name of its own.
type stack struct {
	t       *testing.T
	compose []string
	name    string
	url     string
	env     []string
}

func newStack(t *testing.T) *stack {
	t.Helper()
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		storetest.Lacks(t, "Docker", fmt.Errorf("%w: %s", err, out))
	}
	compose := []string{"docker", "compose"}
	if exec.Command("docker", "compose", "version").Run() != nil {
		compose = []string{"docker-compose"}
	}
	if out, err := exec.Command(compose[0], append(compose[1:], "version")...).CombinedOutput(); err != nil {
		storetest.Lacks(t, "docker compose", fmt.Errorf("%w: %s", err, out))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // for a port that is free
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	s := &stack{t: t, compose: compose, name: "notes-test-" + uuid.NewString()[:8], url: "http://127.0.0.1:" + port,
		env: append(os.Environ(), "PORT="+port)}
	t.Cleanup(func() { s.run("down", "--volumes", "--rmi", "local") })
	return s
}

// run runs a compose command.
func (s *stack) run(args ...string) string {
	s.t.Helper()
	args = append(append(s.compose[1:len(s.compose):len(s.compose)], "-f", "../../docker-compose.yml", "-p", s.name),
		args...)
	cmd := exec.Command(s.compose[0], args...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// docker runs a docker command.
func (s *stack) docker(args ...string) string {
	s.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("docker", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("docker %v: %v\n%s", args, err, &stderr)
	}
	return strings.TrimSpace(stdout.String())
}

// container is the id of a service's container.
func (s *stack) container(service string) string {
	s.t.Helper()
	return strings.TrimSpace(s.run("ps", "-q", service))
}

func (s *stack) ready() {
	s.t.Helper()
	await(s.t, "the service in its container is ready", time.Minute, func() bool {
		answer, err := client.Get(s.url + "/readyz")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// TestContainer builds the images and runs the compose stack: the whole contract, what the image holds, and how it
// stops and comes back.
func TestContainer(t *testing.T) {
	storetest.NotWithRace(t)
	s := newStack(t)
	if file, err := os.ReadFile("../../docker-compose.yml"); err != nil ||
		!strings.Contains(string(file), "image: "+dynamotest.Image+"\n") {
		t.Errorf("docker-compose.yml has another DynamoDB Local than the tests: %v", err)
	}
	s.run("up", "-d", "--build")
	s.ready()

	t.Run("Readme", func(t *testing.T) {
		for seen, all := at(s.url), steps(t, "Use it"); len(all) > 0; all = all[1:] {
			seen.follow(t, all[0], t.TempDir())
		}
	})

	t.Run("Contract", func(t *testing.T) { apptest.Run(t, s.url, client.Do) })

	t.Run("Image", func(t *testing.T) {
		image := s.docker("inspect", "--format", "{{.Image}}", s.container("server"))
		var config []struct {
			Size   int64
			Config struct{ User string }
		}
		if err := json.Unmarshal([]byte(s.docker("inspect", image)), &config); err != nil {
			t.Fatal(err)
		}
		if size := config[0].Size; size > 14e6 {
			t.Errorf("the image has %d bytes, more than 14 MB: what was linked that makes text/template reachable?",
				size)
		}
		if user := config[0].Config.User; user != "65532:65532" {
			t.Errorf("the user is %q", user)
		}
		for _, shell := range []string{"sh", "/bin/sh", "/bin/bash", "/busybox/sh"} {
			if out, err := exec.Command("docker", "run", "--rm", "--entrypoint", shell, image, "-c",
				"true").CombinedOutput(); err == nil {
				t.Errorf("there is a shell %s: %s", shell, out)
			}
		}
		host := s.docker("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} "+
			"{{.HostConfig.SecurityOpt}}", s.container("server"))
		if host != "true [ALL] [no-new-privileges:true]" {
			t.Errorf("the container runs with %s", host)
		}
	})

	t.Run("Healthcheck", func(t *testing.T) {
		await(t, "the container is healthy", time.Minute, func() bool {
			return s.docker("inspect", "--format", "{{.State.Health.Status}}", s.container("server")) == "healthy"
		})
	})

	_, kept := post(t, s.url+"/notes", `{"title":"kept"}`)
	keptURL := s.url + "/notes/" + parse(t, kept).ID

	t.Run("KilledDynamoDB", func(t *testing.T) {
		client.CloseIdleConnections()
		s.docker("kill", s.container("dynamodb"))
		if code, body := get(t, keptURL); code != 503 {
			t.Errorf("without DynamoDB: %d %s", code, body)
		}
		s.run("up", "-d", "dynamodb")
		s.ready()
		if code, body := get(t, keptURL); code != 200 || body != kept {
			t.Errorf("with DynamoDB again: %d %s", code, body)
		}
	})

	t.Run("Stop", func(t *testing.T) {
		server := s.container("server")
		answered, lost, _ := loadUntilStopped(t, s.url, func() { s.docker("stop", server) })
		if lost > 0 {
			t.Errorf("docker stop lost %d of %d requests", lost, answered+lost)
		}
		if code := s.docker("inspect", "--format", "{{.State.ExitCode}}", server); code != "0" {
			t.Errorf("the exit code is %s", code)
		}
	})

	t.Run("SecondUp", func(t *testing.T) {
		s.run("down")
		s.run("up", "-d")
		s.ready()
		if code, body := get(t, keptURL); code != 200 || body != kept {
			t.Errorf("after down and up: %d %s", code, body)
		}
	})

	// the same image keeps its notes in a volume, and starts only once somebody says who may read them
	t.Run("File", func(t *testing.T) {
		image := s.docker("inspect", "--format", "{{.Image}}", s.container("server"))
		if out, err := exec.Command("docker", "run", "--rm", image).CombinedOutput(); err == nil ||
			!strings.Contains(string(out), "set NOTES_AUTH=token or NOTES_AUTH=jwt, or NOTES_AUTH=none") {
			t.Errorf("without NOTES_AUTH: %v, %s", err, out)
		}
		id := s.docker("run", "-d", "--read-only", "--cap-drop", "ALL", "-e", "NOTES_AUTH=none", "-p",
			"127.0.0.1:0:8080", image)
		t.Cleanup(func() { s.docker("rm", "-f", "-v", id) })
		file := &stack{t: t, url: "http://" + s.docker("port", id, "8080/tcp")}
		file.ready()
		apptest.Parity(t, file.url, client.Do)
	})
	client.CloseIdleConnections()
}
