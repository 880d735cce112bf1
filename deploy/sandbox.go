package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/deploy/sandbox/function"
)

func sandboxCommand() *cobra.Command {
	var o sandbox.Options
	var states map[string]string
	var docker bool
	cmd := &cobra.Command{
		Use:   "sandbox [-- COMMAND ...]",
		Short: "enough of AWS on this machine to deploy, break and heal an HTTP API",
		Long: `Starts enough of AWS on this machine to deploy, break and heal an HTTP API, with no account, and prints
what to export for it; or runs a command with that set, and ends with it. The aws CLI, the SDKs, terraform and curl
then work unchanged.

Unlike other emulators it lets API Gateway invoke a function only if the function's policy says so, and a function do
only what its role allows. Keys of users and roles that are made in it are judged by their policies; with the
sandbox's own key all is allowed. It says why it refuses something. It stands on moto: pip install 'moto[server]', or
Docker.

It runs functions of provided.al2023 and provided.al2, for this machine's architecture or in Docker, and of python3.9
to python3.14 and nodejs18.x to nodejs24.x with the python3 and the node of this machine. They run with your rights on
this machine. It forgets everything at its end, and listens on 127.0.0.1 only. Where it stays another place than AWS:

` + stays(),
		Example: "  deploy sandbox\n  deploy sandbox -- sh -c 'aws lambda list-functions'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return fmt.Errorf("%w: the command to run in the sandbox is written after --", errUsage)
			}
			if !docker && !cmd.Flags().Changed("docker-image") {
				o.Docker = ""
			}
			o.Log, o.Region = cmd.ErrOrStderr(), os.Getenv("AWS_REGION")
			return runSandbox(cmd, o, states, args)
		},
	}
	cmd.Flags().IntVar(&o.Port, "port", 4600, "port to listen on; 0 for a free one, as it also is for a COMMAND")
	cmd.Flags().IntVar(&o.PageSize, "page-size", 0, "most items in an answer of an API Gateway list, to try what "+
		"programs do with pages")
	cmd.Flags().DurationVar(&o.RoleDelay, "role-delay", 0, "time for which Lambda cannot assume a new role, as on "+
		"AWS, such as 8s")
	cmd.Flags().BoolVar(&docker, "docker", function.NeedsDocker() && function.HasDocker(),
		"run functions of provided.al2023 in Docker; the default where they cannot run otherwise")
	cmd.Flags().StringVar(&o.Docker, "docker-image", function.DockerImage, "image that they run in, with --docker")
	cmd.Flags().StringToStringVar(&states, "state", nil,
		"put a function into a state, to rehearse: NAME="+strings.Join(sandbox.States(), "|")+", with :REASON after "+
			"it or not")
	return cmd
}

// stays are the differences from AWS, a line each.
func stays() string {
	var lines []string
	for _, d := range sandbox.Differences {
		lines = append(lines, "  "+d.What+": "+d.Here)
	}
	return strings.Join(lines, "\n")
}

func runSandbox(cmd *cobra.Command, o sandbox.Options, states map[string]string, command []string) error {
	if len(command) > 0 && !cmd.Flags().Changed("port") {
		o.Port = 0
	}
	if function.NeedsDocker() && o.Docker == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "functions of provided.al2023 are programs for Linux and need Docker here, "+
			"which is "+
			"not there: those in Python and Node.js run")
	}
	begin := time.Now()
	s, err := sandbox.Start(cmd.Context(), o)
	if err != nil {
		return err
	}
	defer s.Close()
	for name, state := range states {
		if err := s.Stage(name, state); err != nil {
			return fmt.Errorf("%w: --state: %w", errUsage, err)
		}
	}
	if len(command) > 0 {
		return within(cmd, s, command)
	}
	environment := s.Environment()
	fmt.Fprintf(cmd.OutOrStdout(), "export %s\nexport %s\n", environment[0], strings.Join(environment[1:], " "))
	fmt.Fprintf(cmd.ErrOrStderr(), "ready after %.1f s; ^C ends it. It is not AWS: no latency, few quotas, no VPC, "+
		"no KMS, no signatures checked\n", time.Since(begin).Seconds())
	go func() {
		<-cmd.Context().Done()
		s.Close()
	}()
	return s.Wait()
}

// within runs a command in a sandbox, and ends as it does.
func within(cmd *cobra.Command, s *sandbox.Sandbox, command []string) error {
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	go func() { cancel(s.Wait()) }()
	c := exec.CommandContext(ctx, command[0], command[1:]...) // #nosec G204 -- the command that the operator gives
	c.Env = append(os.Environ(), s.Environment()...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, cmd.OutOrStdout(), cmd.ErrOrStderr()
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 5 * time.Second
	err := c.Run()
	if cause := context.Cause(ctx); cause != nil && cmd.Context().Err() == nil {
		return cause
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return errExit{exit.ExitCode()}
	}
	if err != nil {
		return fmt.Errorf("the command cannot be run: %w", err)
	}
	return nil
}
