// Command deploy is the operator's program: it puts the service on AWS, lets any HTTP API invoke its functions, and
// moves notes from one store to another. The service itself has none of the rights that this takes.
//
// Mistakes in the arguments exit with 2, other failures with 1.
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
)

// errExit is the end of a command that deploy ran, which has said what there was to say.
type errExit struct{ code int }

func (e errExit) Error() string { return fmt.Sprintf("the command ended with %d", e.code) }

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
		fmt.Fprintf(os.Stderr, "deploy: %v\ndeploy -h lists the commands\n", err)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	root := &cobra.Command{
		Use:           "deploy",
		Short:         "puts the notes service on AWS, heals HTTP APIs, and moves notes",
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
		{"diagnose", "Diagnose and heal any HTTP API:", []*cobra.Command{doctorCommand(), permitCommand(),
			explainCommand()}},
		{"aws", "The service on AWS:", []*cobra.Command{upCommand(), planCommand(), downCommand(), zipCommand()}},
		{"notes", "Its notes:", []*cobra.Command{tableCommand(), copyCommand()}},
		{"rehearse", "Rehearse without an account:", []*cobra.Command{sandboxCommand()}},
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
		return fmt.Errorf("interrupted; run it again, it goes on from what is there: %w", err)
	}
	return err
}

// version and commit are set by the linker where the Go tool cannot tell them, as in a container's build.
var version, commit string

// buildVersion returns what the linker was told of this build, or the Go tool recorded.
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

// choices completes a flag with the values that it may have.
func choices(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // of a flag that the command lacks
	}
}

// exactly takes so many arguments, which it names.
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
