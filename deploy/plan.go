package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/stack"
)

func planCommand() *cobra.Command {
	var f stackFlags
	var permitOnly bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "print what up would make, as a shell script of aws commands",
		Long: `Prints what up makes as a shell script that needs the aws CLI and nothing else, and makes nothing. The script can be run
again; it wants the function's zip as notes.zip where it runs (deploy zip). It asks AWS only whose the credentials are.`,
		Example: "  deploy plan > up.sh\n  deploy plan --permit-only",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := f.open(cmd); err != nil {
				return err
			}
			f.Zip = []byte("notes.zip")
			fmt.Fprint(cmd.OutOrStdout(), stack.Script(f.Stack, permitOnly))
			return nil
		},
	}
	f.add(cmd.Flags())
	cmd.Flags().BoolVar(&permitOnly, "permit-only", false, "only the grants: the command without which the API answers 500")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}
