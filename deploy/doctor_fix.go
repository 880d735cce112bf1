package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/report"
)

// safeFixes is the value of --fix without a cause: what is safe, which is grants.
const safeFixes = "grants"

// heal applies what heals a diagnosis: the grants that are missing, or what heals the cause that --fix names. It shows
// the commands first, and asks on a terminal. It reports whether it did something.
func (f *doctorFlags) heal(cmd *cobra.Command, d doctor.Diagnosis) (done bool, err error) {
	stages, commands := grantsOf(d, f.fix)
	var calls []any
	found := false
	for _, one := range d.Findings {
		found = found || one.Cause == f.fix
		if one.Link != "permission" && (f.fix == safeFixes || f.fix == one.Cause) {
			more, shown := one.Calls(f.fix == safeFixes)
			calls, commands = append(calls, more...), append(commands, shown...)
		}
	}
	out := cmd.OutOrStdout()
	switch {
	case commands == nil && f.fix == safeFixes:
		fmt.Fprintln(out, "--fix: there is nothing that can be healed safely; whether to run the commands is for "+
			"you to decide.")
		return false, nil
	case !found && f.fix != safeFixes:
		return false, fmt.Errorf("%w: --fix=%s: this cause was not found", errUsage, f.fix)
	case commands == nil:
		return false, fmt.Errorf("%w: --fix=%s: this is not applied here; run the commands yourself", errUsage, f.fix)
	}
	fmt.Fprintf(out, "\n--fix does what this does:\n  %s\n", strings.Join(commands, "\n  "))
	if agreed, err := f.agreed(cmd); !agreed {
		return false, err
	}
	r := report.New(out, cmd.ErrOrStderr(), false)
	if stages != nil {
		in := apiFlags{api: d.Target.API, stages: stages, scope: "route", region: d.Target.Region}
		if err := r.End(permit(cmd, in, r)); err != nil {
			return false, err
		}
	}
	client, err := openCloud(cmd, f.Ask)
	if err != nil {
		return false, err
	}
	for _, input := range calls {
		if _, err := client.Do(cmd.Context(), input); err != nil {
			return false, err
		}
	}
	return true, nil
}

// grantsOf are the stages that lack grants, for any cause or for one, and the commands that give them.
func grantsOf(d doctor.Diagnosis, cause string) (stages, commands []string) {
	for _, one := range d.Findings {
		if one.Link != "permission" || one.Level != doctor.Fault || cause != safeFixes && cause != one.Cause {
			continue
		}
		for _, fix := range one.Fix {
			if fix.Safe && !slices.Contains(commands, fix.Command) {
				commands = append(commands, fix.Command)
				break // the others do the same
			}
		}
		for _, r := range one.Routes {
			if !slices.Contains(stages, r.Stage) {
				stages = append(stages, r.Stage)
			}
		}
	}
	if commands == nil {
		return nil, nil
	}
	return stages, commands
}

// agreed reports whether somebody agrees to what was shown. It is an error where nobody can be asked.
func (f *doctorFlags) agreed(cmd *cobra.Command) (bool, error) {
	if f.yes {
		return true, nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !isatty.IsTerminal(in.Fd()) {
		return false, fmt.Errorf("%w: --fix asks on a terminal, and this is none: add --yes", errUsage)
	}
	fmt.Fprint(cmd.OutOrStdout(), "Do it? [y/N] ")
	answer, _ := bufio.NewReader(in).ReadString('\n') // the end of the input is a no
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))), nil
}
