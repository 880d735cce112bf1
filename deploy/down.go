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
		Short: "remove what up made; the notes stay",
		Long: `Removes what up made, in reverse: the API, the function with its grants, the log groups, also those of
former stages, and the role. It stops at a thing of the stack's name that is not the stack's, by its tags. The table
with its notes stays, unless --delete-data repeats the stack's name.

What stays is listed: as kept what a flag removes; as left log groups and a table with names like the stack's that are
not the stack's, or whose tags these credentials may not read.`,
		Example: "  deploy down\n  deploy down --stack notes-dev --delete-data notes-dev",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json)
			if data != "" && data != f.Name {
				return r.End(fmt.Errorf("%w: --delete-data must repeat the stack's name, %s, is %q", errUsage, f.Name,
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
	cmd.Flags().StringVar(&data, "delete-data", "", "also remove the table with all notes: the stack's name, as a "+
		"confirmation")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}
