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
		Short: "emulate enough of AWS on this machine to deploy, break and fix an HTTP API",
		Long: `Emulates enough of AWS on this machine to deploy, break and fix an HTTP API without an account. It
prints the environment variables to export; or it runs a command with them and exits when the command does. The aws
CLI (with CloudFormation), AWS SAM, AWS CDK, the Serverless Framework, Terraform, the SDKs and curl work in it
unchanged.

Unlike other emulators it enforces policies: API Gateway can invoke a function only if the function's policy allows
it, and a function can do only what its role allows. The same holds for the keys of users and roles created in the
sandbox. The sandbox's own key may do everything. When the sandbox refuses a call, it prints the reason. It needs
moto, from pip install 'moto[server]' or in Docker.

It runs functions of provided.al2023 and provided.al2, for this machine's architecture or in Docker, and of python3.9
to python3.14 and nodejs18.x to nodejs24.x with the python3 and node of this machine. Functions run with your rights.
The sandbox listens on 127.0.0.1 only, and keeps nothing when it ends. It differs from AWS in these points:

` + sandboxDifferences(),
		Example: "  deploy sandbox\n  deploy sandbox -- sh -c 'aws lambda list-functions'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return fmt.Errorf("%w: put -- before the command to run in the sandbox", errUsage)
			}
			if !docker && !cmd.Flags().Changed("docker-image") {
				o.Docker = ""
			}
			o.Log, o.Region = cmd.ErrOrStderr(), os.Getenv("AWS_REGION")
			return runSandbox(cmd, o, states, args)
		},
	}
	cmd.Flags().IntVar(&o.Port, "port", 4600, "port to listen on; 0 means any free one, which is the default with "+
		"a COMMAND")
	cmd.Flags().IntVar(&o.PageSize, "page-size", 0,
		"maximum number of items per page of API Gateway's lists, to test pagination")
	cmd.Flags().DurationVar(&o.RoleDelay, "role-delay", 0,
		"time during which Lambda cannot assume a new role, as on AWS, such as 8s")
	cmd.Flags().BoolVar(&docker, "docker", function.NeedsDocker() && function.HasDocker(),
		"run functions of provided.al2023 in Docker (default: only if they cannot run otherwise)")
	cmd.Flags().StringVar(&o.Docker, "docker-image", function.DockerImage, "image for --docker")
	cmd.Flags().StringToStringVar(&states, "state", nil,
		"put a function into a state: NAME="+strings.Join(sandbox.States(), "|")+", optionally followed by :REASON")
	return cmd
}

// sandboxDifferences returns the differences from AWS, one per line.
func sandboxDifferences() string {
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
		fmt.Fprintln(cmd.ErrOrStderr(), "functions of provided.al2023 need Docker on this machine, which was not "+
			"found; functions in Python and Node.js run")
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
		return runIn(cmd, s, command)
	}
	if foreign := sandbox.ForeignVariables(os.Environ()); len(foreign) > 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "unset", strings.Join(foreign, " "))
	}
	environment := s.Variables(os.Environ())
	fmt.Fprintf(cmd.OutOrStdout(), "export %s\nexport %s\n", environment[0], strings.Join(environment[1:], " "))
	fmt.Fprintf(cmd.ErrOrStderr(), "ready after %.1f s; ^C ends it. Unlike AWS it has no latency, few quotas, no VPC "+
		"and no KMS, and checks no signatures\n", time.Since(begin).Seconds())
	go func() {
		<-cmd.Context().Done()
		s.Close()
	}()
	return s.Wait()
}

// runIn runs a command in a sandbox, and returns its exit code as an errExit.
func runIn(cmd *cobra.Command, s *sandbox.Sandbox, command []string) error {
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	go func() { cancel(s.Wait()) }()
	c := exec.CommandContext(ctx, command[0], command[1:]...) // #nosec G204 -- the operator's command
	c.Env = s.CommandEnviron(os.Environ())
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
