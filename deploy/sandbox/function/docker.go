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

// DockerImage is AWS's image of provided.al2023, in which Docker runs functions that have a bootstrap.
const DockerImage = "public.ecr.aws/lambda/provided:al2023"

// NeedsDocker reports whether this machine needs Docker for functions that have a bootstrap, which are Linux programs.
func NeedsDocker() bool { return goruntime.GOOS != "linux" }

// HasDocker reports whether this machine has Docker.
func HasDocker() bool { return exec.Command("docker", "version").Run() == nil }

// dockerCommand returns the command that runs a bootstrap in a container, and a function that removes the container.
func (e *environment) dockerCommand(folder, opt string) (cmd *exec.Cmd, end func()) {
	name := "portable-notes-sandbox-" + e.session.Stream[max(0, len(e.session.Stream)-16):] + "-" +
		filepath.Base(folder)
	name = strings.NewReplacer("/", "-", "[", "-", "]", "-", "$", "-").Replace(name)
	args := []string{"run", "--rm", "--name", name, "--entrypoint", "/var/task/bootstrap",
		"--memory", fmt.Sprint(*e.pool.config.MemorySize) + "m", "-v", folder + ":/var/task:ro", "-w", "/var/task",
		"--read-only", "--tmpfs", fmt.Sprintf("/tmp:exec,size=%dm", e.tmpSize())}
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
		args = append(args, "-e", name) // docker takes the value from its environment: a command line is public
	}
	// #nosec G204 -- the sandbox exists to run the function
	cmd = exec.Command("docker", append(args, e.pool.host.Docker)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = folder, variables, process.DieWithParent()
	cmd.Stdout, cmd.Stderr = e.output, e.output
	return cmd, func() {
		_ = exec.Command("docker", "rm", "-f", name).Run() // #nosec G204 -- our container, running or not
	}
}

// fromContainer returns a NAME=VALUE variable with the address by which a container reaches this machine.
func fromContainer(variable string) string {
	if NeedsDocker() {
		return strings.ReplaceAll(variable, "127.0.0.1", "host.docker.internal")
	}
	return variable
}
