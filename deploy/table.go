package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/converge"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
	"example.com/portable-notes/notes/dynamo"
)

func tableCommand() *cobra.Command {
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "table NAME",
		Short: "create the DynamoDB table for the notes, or check an existing one",
		Long: `Creates the table if it does not exist: on-demand, with time to live, point-in-time recovery and
deletion protection. On an existing table it switches these three on. If the keys or the billing mode differ, it lists
the differences and changes nothing. It never changes data.`,
		Example: "  deploy table notes\n  AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 deploy table notes",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !dynamo.IsTableName(args[0]) {
				return fmt.Errorf("%w: a table's name must be %s, not %q", errUsage, dynamo.TableNames, args[0])
			}
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), asJSON)
			cfg, err := cloud.LoadConfig(cmd.Context())
			if err != nil {
				return r.End(err)
			}
			c := converge.New(cloud.New(cfg), "", r)
			logWrites(c.Cloud, cmd, verbose)
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
