package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

func planCommand() *cobra.Command {
	var f stackFlags
	var permitOnly bool
	var api apiFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "print what up would do as a shell script of aws commands",
		Long: `Prints a shell script that does what up does, and changes nothing. The script needs only the aws CLI,
and the function's zip as notes.zip in the current directory; deploy zip makes it. The script can be run again.
Without --api, the only AWS call of plan reads the account of the credentials.

The script leaves settings that are not given unchanged, except the architecture and --auth, which must always be
given. It removes variables of the function that the service does not know. A new token is shown once, on stderr. The
script contains only its hash, and does not replace the tokens that a function already has.`,
		Example: "  deploy plan --auth none > up.sh\n  deploy plan --permit-only\n  deploy plan --permit-only --api " +
			"a1b2c3d4e5",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case api.api != "" && !permitOnly:
				return fmt.Errorf("%w: --api goes with --permit-only: for another API only the grants can be printed",
					errUsage)
			case api.api != "" && f.json:
				return fmt.Errorf("%w: --json does not go with --api", errUsage)
			case api.api == "" && api.function != "":
				return fmt.Errorf("%w: --function goes with --api", errUsage)
			case api.api != "":
				return planGrants(cmd, api)
			}
			r := report.New(cmd.ErrOrStderr(), io.Discard, false)
			if _, err := f.open(cmd, r); err != nil {
				return err
			}
			if !permitOnly {
				made, err := f.chooseAuth(cmd.Flags(), stack.Auth{})
				if err == nil && f.Auth.Kind == "jwt" {
					err = checkIssuer(cmd.Context(), f.Auth.Issuer, false, r)
				}
				if err := r.End(err); err != nil {
					return err
				}
				if made != "" {
					showToken(cmd.ErrOrStderr(), made)
				}
			}
			f.Zip = []byte("notes.zip")
			script := stack.Script(f.Stack, permitOnly)
			if f.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"script": script})
			}
			fmt.Fprint(cmd.OutOrStdout(), script)
			return nil
		},
	}
	f.addIdentity(cmd.Flags())
	f.addSettings(cmd)
	cmd.Flags().BoolVar(&permitOnly, "permit-only", false,
		"only the grants, without which the API answers 500 (with --auth jwt also those of the OPTIONS routes)")
	cmd.Flags().StringVar(&api.api, "api", "", "with --permit-only: the grants of this HTTP API, whatever tool "+
		"deployed it")
	cmd.Flags().StringVar(&api.function, "function", "", "with --api: only this function")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the script as a JSON string")
	return cmd
}

// planGrants prints the commands that make the grants that an API needs.
func planGrants(cmd *cobra.Command, f apiFlags) error {
	_, has, err := openAPI(cmd, f, report.New(io.Discard, io.Discard, false))
	if err != nil {
		return err
	}
	grants, unhelped := gateway.Grants(has, f.function, nil, gateway.RouteScope)
	for _, u := range unhelped {
		fmt.Fprintf(cmd.OutOrStdout(), "# %s: %s\n", u.Route, u.Why)
	}
	if len(grants) == 0 {
		return fmt.Errorf("a grant cannot make any route of API %s work", f.api)
	}
	for _, g := range grants {
		fmt.Fprintf(cmd.OutOrStdout(), "# %s\n%s\n", g.For, stack.GrantCommand(g))
	}
	return nil
}
