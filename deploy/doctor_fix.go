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

// heal applies what is safe of a diagnosis: the grants that are missing, as permit gives them. It shows the commands
// first, and asks on a terminal. It reports whether it did something.
func (f *doctorFlags) heal(cmd *cobra.Command, d doctor.Diagnosis) (done bool, err error) {
	var stages, commands []string
	for _, one := range d.Findings {
		for _, fix := range one.Fix {
			if one.Level != doctor.Fault || one.Link != "permission" || !fix.Safe ||
				slices.Contains(commands, fix.Command) {
				continue
			}
			commands = append(commands, fix.Command)
			break // the others do the same
		}
		for _, r := range one.Routes {
			if one.Link == "permission" && !slices.Contains(stages, r.Stage) {
				stages = append(stages, r.Stage)
			}
		}
	}
	out := cmd.OutOrStdout()
	if commands == nil {
		fmt.Fprintln(out, "--fix: there is nothing that can be healed safely; whether to run the commands is for "+
			"you to decide.")
		return false, nil
	}
	fmt.Fprintf(out, "\n--fix does what this does:\n  %s\n", strings.Join(commands, "\n  "))
	if !f.yes {
		in, ok := cmd.InOrStdin().(*os.File)
		if !ok || !isatty.IsTerminal(in.Fd()) {
			return false, fmt.Errorf("%w: --fix asks on a terminal, and this is none: add --yes", errUsage)
		}
		fmt.Fprint(out, "Do it? [y/N] ")
		answer, _ := bufio.NewReader(in).ReadString('\n') // the end of the input is a no
		if !slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))) {
			return false, nil
		}
	}
	r := report.New(out, cmd.ErrOrStderr(), false)
	in := apiFlags{api: d.Target.API, stages: stages, scope: "route", region: d.Target.Region}
	return true, r.End(permit(cmd, in, r))
}
