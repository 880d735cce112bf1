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
		Short: "print what up would make, as a shell script of aws commands",
		Long: `Prints what up makes as a shell script that needs the aws CLI and nothing else, and makes nothing. The
script can be run again; it wants the function's zip as notes.zip where it runs (deploy zip). Of AWS plan asks only
whose the credentials are. What it is not told stays as it is where the script runs, but for the processor and who may
use the service: these it must be told. Variables of the function that the service does not know are removed. A token
that it makes is shown on stderr, once; the script has only its hash, and leaves a function that has tokens those that
it has.`,
		Example: "  deploy plan --auth none > up.sh\n  deploy plan --permit-only\n  deploy plan --permit-only --api " +
			"a1b2c3d4e5",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case api.api != "" && !permitOnly:
				return fmt.Errorf("%w: --api goes with --permit-only: of another API only the grants can be printed",
					errUsage)
			case api.api != "" && f.json:
				return fmt.Errorf("%w: --json is for the whole script: leave it out with --api", errUsage)
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
				made, err := f.choose(cmd.Flags(), stack.Auth{})
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
		"only the grants: the command without which the API answers 500 (those of OPTIONS routes with --auth jwt)")
	cmd.Flags().StringVar(&api.api, "api", "", "with --permit-only: of this HTTP API, however it was deployed")
	cmd.Flags().StringVar(&api.function, "function", "", "with --api: only this function, by its name")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the script as a text in JSON")
	return cmd
}

// planGrants prints the commands that give an API the grants that it needs.
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
		return fmt.Errorf("no route of API %s is one that a grant can help", f.api)
	}
	for _, g := range grants {
		fmt.Fprintf(cmd.OutOrStdout(), "# %s\n%s\n", g.For, stack.GrantCommand(g))
	}
	return nil
}
