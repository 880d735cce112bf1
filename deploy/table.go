package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/converge"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

func tableCommand() *cobra.Command {
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "table NAME",
		Short: "create the DynamoDB table of the notes, or compare the one that is there",
		Long: `Creates the table if it is missing: on-demand, with time to live, point-in-time recovery and deletion protection.
Of a table that is there it switches on what is off of these two: time to live and recovery. Whatever else differs it
names, and changes nothing; no data is ever touched.`,
		Example: "  deploy table notes\n  AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 deploy table notes",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := cloud.LoadConfig(cmd.Context())
			if err != nil {
				return err
			}
			c := converge.New(cloud.New(cfg), "", report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), asJSON))
			tell(c.Cloud, cmd, verbose)
			table := stack.Table(args[0])
			state, err := c.Step(cmd.Context(), table)
			if err != nil {
				return fmt.Errorf("%s: %w", table.What, err)
			}
			c.Report.Done(table.What, state)
			return errors.Join(c.Report.End(), err)
		},
	}
	outputFlags(cmd, &asJSON, &verbose)
	return cmd
}
