package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

func planCommand() *cobra.Command {
	var f stackFlags
	var permitOnly bool
	var api apiFlags
	format := "script"
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "print what up would do, as a shell script or as a template for another tool",
		Long: `Prints a shell script that does what up does, and changes nothing. The script needs only the aws CLI,
and the function's zip as notes.zip in the current directory; deploy zip makes it. The script can be run again.
Without --api, the only AWS call of plan reads the account of the credentials.

The script leaves settings that are not given unchanged, except the architecture and --auth, which must always be
given. It removes variables of the function that the service does not know. A new token is shown once, on stderr. The
script contains only its hash, and does not replace the tokens that a function already has.

With --format it prints the same resources as a template of CloudFormation, AWS SAM or Terraform, whose first lines
say how to use it. The template is for any account and region, so plan then needs no credentials. The settings are the
defaults of its parameters.`,
		Example: "  deploy plan --auth none > up.sh\n" +
			"  deploy plan --auth token --format cloudformation > notes.yaml\n" +
			"  deploy plan --permit-only\n  deploy plan --permit-only --api a1b2c3d4e5",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			isTemplate := format != "script"
			switch {
			case isTemplate && !slices.Contains(stack.Formats, format):
				return fmt.Errorf("%w: --format must be script, cloudformation, sam or terraform, not %q", errUsage,
					format)
			case isTemplate && permitOnly:
				return fmt.Errorf("%w: --permit-only prints commands, and does not go with --format", errUsage)
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
			if err := f.openPlan(cmd, isTemplate, r); err != nil {
				return err
			}
			if !permitOnly {
				if err := f.planAuth(cmd, r); err != nil {
					return err
				}
			}
			kind, text := "script", ""
			if isTemplate {
				kind, text = "template", stack.Template(f.Stack, format)
			} else {
				text = stack.Script(f.Stack, permitOnly)
			}
			if f.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{kind: text})
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			return nil
		},
	}
	f.addIdentity(cmd.Flags())
	f.addSettings(cmd)
	cmd.Flags().StringVar(&format, "format", format, "script, "+strings.Join(stack.Formats, ", "))
	registerChoices(cmd, "format", append([]string{"script"}, stack.Formats...)...)
	cmd.Flags().BoolVar(&permitOnly, "permit-only", false,
		"only the grants, without which the API answers 500 (with --auth jwt also those of the OPTIONS routes)")
	cmd.Flags().StringVar(&api.api, "api", "", "with --permit-only: the grants of this HTTP API, whatever tool "+
		"deployed it")
	cmd.Flags().StringVar(&api.function, "function", "", "with --api: only this function")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the script or the template as a JSON string")
	return cmd
}

// openPlan checks the flags and completes what the plan depends on. A template is for every account, so it needs no
// credentials.
func (f *stackFlags) openPlan(cmd *cobra.Command, isTemplate bool, r *report.Report) error {
	f.Zip = []byte("notes.zip")
	if !isTemplate {
		_, err := f.open(cmd, r)
		return err
	}
	if err := f.checkFlags(); err != nil {
		return err
	}
	_, cfg, _ := cloud.Open(cmd.Context()) // what may be missing, such as a region, is not needed
	f.chooseArchitecture(cfg)
	return nil
}

// planAuth completes the authentication, and shows a new token.
func (f *stackFlags) planAuth(cmd *cobra.Command, r *report.Report) error {
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
	return nil
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
