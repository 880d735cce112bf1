// Command deploy is the operator's program. It deploys the service to AWS, finds and fixes faults of any HTTP API, and
// copies notes between stores. The service itself has none of the rights that these tasks need.
//
// It exits with 2 for mistakes in the arguments and with 1 for other failures.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/report"
)

// errExit ends the program with a code and without a message, because everything has been printed.
type errExit struct{ code int }

func (e errExit) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// errUsage is a mistake in the arguments.
var errUsage = errors.New("this cannot be run")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var exit errExit
	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case err == nil:
	case errors.As(err, &exit):
		os.Exit(exit.code)
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "deploy: %s\ndeploy -h lists the commands\n", printable(err))
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "deploy:", printable(err))
		os.Exit(1)
	}
}

// printable returns the lines of an error without control characters, which files and answers may contain.
func printable(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = report.Printable(line)
	}
	return strings.Join(lines, "\n")
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "deploy",
		Short:         "deploys the notes service to AWS, fixes HTTP APIs, and copies notes",
		Version:       buildVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{id: "diagnose", title: "Diagnose and fix any HTTP API:",
			commands: []*cobra.Command{doctorCommand(), permitCommand(),
				explainCommand()}},
		{id: "aws", title: "The service on AWS:",
			commands: []*cobra.Command{upCommand(), planCommand(), downCommand(), zipCommand()}},
		{id: "notes", title: "Its notes:", commands: []*cobra.Command{tableCommand(), copyCommand()}},
		{id: "rehearse", title: "Rehearse without an account:", commands: []*cobra.Command{sandboxCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, command := range group.commands {
			command.GroupID = group.id
			root.AddCommand(command)
		}
	}
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("%w: there is no command %q", errUsage, args[0])
		}
		return cmd.Help()
	}
	root.Args = cobra.ArbitraryArgs
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted: run it again to continue: %w", err)
	}
	return err
}

// version and commit are set by the linker if the Go tool does not know them, as in a container build.
var version, commit string

// buildVersion returns the version set by the linker, or else the one that the Go tool recorded.
func buildVersion() string {
	if version != "" {
		return strings.TrimSpace(version + " " + commit)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

// registerChoices makes shell completion offer the values of a flag.
func registerChoices(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the command lacks the flag
	}
}

// exactly requires exactly the named arguments.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			takes := "no arguments"
			if len(names) > 0 {
				takes = strings.Join(names, " and ")
			}
			return fmt.Errorf("%w: %s takes %s, but was given %q", errUsage, cmd.CommandPath(), takes, args)
		}
		return nil
	}
}
