package main

import (
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
		Long: `Creates the table if it is missing: on-demand, with time to live, point-in-time recovery and deletion
protection. Of a table that is there it switches on what is off of these two: time to live and recovery. Whatever else
differs it names, and changes nothing; no data is ever touched.`,
		Example: "  deploy table notes\n  AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 deploy table notes",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), asJSON)
			cfg, err := cloud.LoadConfig(cmd.Context())
			if err != nil {
				return r.End(err)
			}
			c := converge.New(cloud.New(cfg), "", r)
			tell(c.Cloud, cmd, verbose)
			table := stack.Table(args[0])
			state, detail, err := c.Apply(cmd.Context(), table)
			if err != nil {
				return r.End(fmt.Errorf("%s: %w", table.What, err))
			}
			r.Done(table.What, state, detail)
			return r.End(nil)
		},
	}
	outputFlags(cmd, &asJSON, &verbose)
	return cmd
}
