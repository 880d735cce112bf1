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

// safeFixes is the value of --fix without a cause. It selects the fixes that are safe, which are grants.
const safeFixes = "grants"

// applyFixes makes the missing grants, or fixes the cause that --fix names. It first prints the equivalent commands and
// asks on a terminal. It reports whether it changed something.
func (f *doctorFlags) applyFixes(cmd *cobra.Command, d doctor.Diagnosis) (done bool, err error) {
	stages, commands := stagesToGrant(d, f.fix)
	var calls []any
	found := false
	for _, finding := range d.Findings {
		found = found || finding.Cause == f.fix
		// The safe fixes of permissions are grants, which permit makes.
		if f.fix == finding.Cause || finding.Link != doctor.LinkPermission && f.fix == safeFixes {
			moreCalls, moreCommands := finding.Calls(f.fix == safeFixes)
			calls, commands = append(calls, moreCalls...), append(commands, moreCommands...)
		}
	}
	out := cmd.OutOrStdout()
	switch {
	case commands == nil && f.fix == safeFixes:
		fmt.Fprintln(out, "--fix: there is nothing that can be fixed safely; decide whether to run the commands "+
			"yourself.")
		return false, nil
	case !found && f.fix != safeFixes:
		return false, fmt.Errorf("%w: --fix=%s: this cause was not found", errUsage, f.fix)
	case commands == nil:
		return false, fmt.Errorf("%w: --fix=%s: the doctor does not apply this fix: run the commands yourself",
			errUsage, f.fix)
	}
	fmt.Fprintf(out, "\n--fix does the same as:\n  %s\n", strings.Join(commands, "\n  "))
	if confirmed, err := f.confirm(cmd); !confirmed {
		return false, err
	}
	r := report.New(out, cmd.ErrOrStderr(), false)
	if stages != nil {
		in := apiFlags{api: d.Target.API, stages: stages, scope: "route", region: d.Target.Region}
		if err := r.End(permit(cmd, in, r)); err != nil {
			return false, err
		}
	}
	client, err := openCloud(cmd, f.Inquiry)
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

// stagesToGrant returns the stages that lack grants, for one cause or with [safeFixes] for any, and the commands that
// make the grants.
func stagesToGrant(d doctor.Diagnosis, cause string) (stages, commands []string) {
	for _, f := range d.Findings {
		if f.Link != "permission" || f.Level != doctor.Fault || cause != safeFixes && cause != f.Cause {
			continue
		}
		for _, fix := range f.Fix {
			if fix.Safe && !slices.Contains(commands, fix.Command) {
				commands = append(commands, fix.Command)
				break // the others are alternatives
			}
		}
		for _, r := range f.Routes {
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

// confirm asks on the terminal and reports whether the answer is yes. It is an error if there is no terminal.
func (f *doctorFlags) confirm(cmd *cobra.Command) (bool, error) {
	if f.yes {
		return true, nil
	}
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !isatty.IsTerminal(in.Fd()) {
		return false, fmt.Errorf("%w: --fix asks for confirmation, and standard input is not a terminal: add --yes",
			errUsage)
	}
	fmt.Fprint(cmd.OutOrStdout(), "Do it? [y/N] ")
	answer, _ := bufio.NewReader(in).ReadString('\n') // the end of the input means no
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))), nil
}
