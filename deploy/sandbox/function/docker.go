package function

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"

	"example.com/portable-notes/deploy/sandbox/process"
)

// DockerImage is the image that functions with a bootstrap run in where Docker is used: AWS's own, of provided.al2023.
const DockerImage = "public.ecr.aws/lambda/provided:al2023"

// NeedsDocker reports whether functions with a bootstrap, which are programs for Linux, need Docker on this machine.
func NeedsDocker() bool { return goruntime.GOOS != "linux" }

// HasDocker reports whether this machine has Docker.
func HasDocker() bool { return exec.Command("docker", "version").Run() == nil }

// inDocker is a bootstrap in a container that can reach this machine, and how the container is ended.
func (e *environment) inDocker(folder, opt string) (cmd *exec.Cmd, end func()) {
	name := "portable-notes-sandbox-" + e.session.Stream[max(0, len(e.session.Stream)-16):] + "-" +
		filepath.Base(folder)
	name = strings.NewReplacer("/", "-", "[", "-", "]", "-", "$", "-").Replace(name)
	args := []string{"run", "--rm", "--name", name, "--entrypoint", "/var/task/bootstrap",
		"--memory", fmt.Sprint(*e.pool.config.MemorySize) + "m", "-v", folder + ":/var/task:ro", "-w", "/var/task",
		"--read-only", "--tmpfs", fmt.Sprintf("/tmp:exec,size=%dm", e.tmp())}
	if opt != "" {
		args = append(args, "-v", opt+":/opt:ro")
	}
	if NeedsDocker() {
		args = append(args, "--add-host", "host.docker.internal:host-gateway")
	} else {
		args = append(args, "--network", "host")
	}
	if opt != "" {
		opt = "/opt"
	}
	variables := os.Environ()
	for _, variable := range e.variables("/var/task", opt) {
		variables = append(variables, fromContainer(variable))
		name, _, _ := strings.Cut(variable, "=")
		args = append(args, "-e", name) // whose value comes from the client's environment, not from a command line
	}
	// #nosec G204 -- the function, which is what a sandbox runs
	cmd = exec.Command("docker", append(args, e.pool.host.Docker)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = folder, variables, e.say, e.say, process.DieWithParent()
	return cmd, func() {
		_ = exec.Command("docker", "rm", "-f", name).Run() // #nosec G204 -- a container of ours, gone or not
	}
}

// fromContainer is a variable as a process in a container needs it: this machine has another name there.
func fromContainer(variable string) string {
	if NeedsDocker() {
		return strings.ReplaceAll(variable, "127.0.0.1", "host.docker.internal")
	}
	return variable
}
