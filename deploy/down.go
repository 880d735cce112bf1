package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/report"
)

func downCommand() *cobra.Command {
	var f stackFlags
	var data string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "remove what up made, except the notes",
		Long: `Removes what up made, in reverse order: the API, the function with its grants, the log groups,
including those of former stages, and the role. It stops at a resource that has the stack's name but not its tags. It
keeps the table with its notes, unless --delete-data repeats the stack's name.

It lists what it does not remove. A flag removes what is listed as kept. Log groups and a table with names like the
stack's are listed as left if they do not belong to the stack, or if these credentials may not read their tags.`,
		Example: "  deploy down\n  deploy down --stack notes-dev --delete-data notes-dev",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json)
			if data != "" && data != f.Name {
				return r.End(fmt.Errorf("%w: --delete-data must repeat the stack's name, %s, not %q", errUsage, f.Name,
					data))
			}
			c, err := f.open(cmd, r)
			if err != nil {
				return r.End(err)
			}
			return r.End(c.Down(cmd.Context(), f.Stack, data != ""))
		},
	}
	f.addIdentity(cmd.Flags())
	cmd.Flags().StringVar(&data, "delete-data", "",
		"also remove the table with all notes; the value must be the stack's name")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}
