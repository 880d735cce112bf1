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

// stack is an instance of the compose stack.
type stack struct {
	t       *testing.T
	command []string // docker compose or docker-compose
	name    string   // of the compose project, unique
	url     string   // of the server
	env     []string
}

func newStack(t *testing.T) *stack {
	t.Helper()
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		storetest.Lacks(t, "Docker", fmt.Errorf("%w: %s", err, out))
	}
	command := []string{"docker", "compose"}
	if exec.Command("docker", "compose", "version").Run() != nil {
		command = []string{"docker-compose"}
	}
	if out, err := exec.Command(command[0], append(command[1:], "version")...).CombinedOutput(); err != nil {
		storetest.Lacks(t, "docker compose", fmt.Errorf("%w: %s", err, out))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // to find a free port
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	s := &stack{t: t, command: command, name: "notes-test-" + uuid.NewString()[:8], url: "http://127.0.0.1:" + port,
		env: append(os.Environ(), "PORT="+port)}
	t.Cleanup(func() { s.compose("down", "--volumes", "--rmi", "local") })
	return s
}

// compose runs a compose command and returns its output.
func (s *stack) compose(args ...string) string {
	s.t.Helper()
	args = append(append(s.command[1:len(s.command):len(s.command)], "-f", "../../docker-compose.yml", "-p", s.name),
		args...)
	cmd := exec.Command(s.command[0], args...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// docker runs a docker command and returns its trimmed standard output.
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

// containerID returns the id of a service's container.
func (s *stack) containerID(service string) string {
	s.t.Helper()
	return strings.TrimSpace(s.compose("ps", "-q", service))
}

func (s *stack) awaitReady() {
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

// TestContainer builds the images, runs the compose stack, and tests the contract, the image, stops and restarts.
func TestContainer(t *testing.T) {
	storetest.NotWithRace(t)
	s := newStack(t)
	if file, err := os.ReadFile("../../docker-compose.yml"); err != nil ||
		!strings.Contains(string(file), "image: "+dynamotest.Image+"\n") {
		t.Errorf("docker-compose.yml does not use %s, as the tests do: %v", dynamotest.Image, err)
	}
	s.compose("up", "-d", "--build")
	s.awaitReady()

	t.Run("Docs", func(t *testing.T) {
		for seen, all := newReading(s.url), docsSteps(t, "Use it"); len(all) > 0; all = all[1:] {
			seen.run(t, all[0], t.TempDir())
		}
	})

	t.Run("Contract", func(t *testing.T) { apptest.Run(t, s.url, client.Do) })

	t.Run("Image", func(t *testing.T) {
		image := s.docker("inspect", "--format", "{{.Image}}", s.containerID("server"))
		var inspected []struct {
			Size   int64
			Config struct{ User string }
		}
		if err := json.Unmarshal([]byte(s.docker("inspect", image)), &inspected); err != nil {
			t.Fatal(err)
		}
		if size := inspected[0].Size; size > 14e6 {
			t.Errorf("the image has %d bytes, more than 14 MB: does a new dependency make text/template reachable, "+
				"which disables dead code elimination?", size)
		}
		if user := inspected[0].Config.User; user != "65532:65532" {
			t.Errorf("the user is %q", user)
		}
		for _, shell := range []string{"sh", "/bin/sh", "/bin/bash", "/busybox/sh"} {
			if out, err := exec.Command("docker", "run", "--rm", "--entrypoint", shell, image, "-c",
				"true").CombinedOutput(); err == nil {
				t.Errorf("the image has a shell, %s: %s", shell, out)
			}
		}
		host := s.docker("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} "+
			"{{.HostConfig.SecurityOpt}}", s.containerID("server"))
		if host != "true [ALL] [no-new-privileges:true]" {
			t.Errorf("the container runs with %s", host)
		}
	})

	t.Run("Healthcheck", func(t *testing.T) {
		await(t, "the container is healthy", time.Minute, func() bool {
			return s.docker("inspect", "--format", "{{.State.Health.Status}}", s.containerID("server")) == "healthy"
		})
	})

	_, kept := post(t, s.url+"/notes", `{"title":"kept"}`)
	keptURL := s.url + "/notes/" + parseNote(t, kept).ID

	t.Run("KilledDynamoDB", func(t *testing.T) {
		client.CloseIdleConnections()
		s.docker("kill", s.containerID("dynamodb"))
		if code, body := get(t, keptURL); code != 503 {
			t.Errorf("without DynamoDB: %d %s", code, body)
		}
		s.compose("up", "-d", "dynamodb")
		s.awaitReady()
		if code, body := get(t, keptURL); code != 200 || body != kept {
			t.Errorf("with DynamoDB again: %d %s", code, body)
		}
	})

	t.Run("Stop", func(t *testing.T) {
		server := s.containerID("server")
		answered, lost, _ := loadUntilStopped(t, s.url, func() { s.docker("stop", server) })
		if lost > 0 {
			t.Errorf("docker stop lost %d of %d requests", lost, answered+lost)
		}
		if code := s.docker("inspect", "--format", "{{.State.ExitCode}}", server); code != "0" {
			t.Errorf("the exit code is %s", code)
		}
	})

	t.Run("SecondUp", func(t *testing.T) {
		s.compose("down")
		s.compose("up", "-d")
		s.awaitReady()
		if code, body := get(t, keptURL); code != 200 || body != kept {
			t.Errorf("after down and up: %d %s", code, body)
		}
	})

	// By default the image keeps its notes in a volume, and does not start without NOTES_AUTH.
	t.Run("File", func(t *testing.T) {
		image := s.docker("inspect", "--format", "{{.Image}}", s.containerID("server"))
		if out, err := exec.Command("docker", "run", "--rm", image).CombinedOutput(); err == nil ||
			!strings.Contains(string(out), "set NOTES_AUTH=token or NOTES_AUTH=jwt, or NOTES_AUTH=none") {
			t.Errorf("without NOTES_AUTH: %v, %s", err, out)
		}
		id := s.docker("run", "-d", "--read-only", "--cap-drop", "ALL", "-e", "NOTES_AUTH=none", "-e",
			"NOTES_PAGE=off", "-p", "127.0.0.1:0:8080", image)
		t.Cleanup(func() { s.docker("rm", "-f", "-v", id) })
		file := &stack{t: t, url: "http://" + s.docker("port", id, "8080/tcp")}
		file.awaitReady()
		apptest.Parity(t, file.url, client.Do)
	})
	client.CloseIdleConnections()
}
