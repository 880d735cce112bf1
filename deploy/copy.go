package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/transfer"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
)

func copyCommand() *cobra.Command {
	var merge bool
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "copy all notes and idempotency keys from one store to another",
		Long: `Copies notes with their owner, id, version and times, and what is remembered of idempotency keys. FROM
and TO are bolt:FILE or dynamodb:TABLE, as in NOTES_STORE. Stop the service first, so that nothing is written
meanwhile. A copy that was cut short is run again. The end is a count and a checksum of both sides.

A target that holds notes which FROM does not have, or later versions of them, is refused, unless --merge is given:
then they stay. Once a target is in service do not copy into it again: what was deleted there would come back.`,
		Example: "  deploy copy bolt:notes.db dynamodb:notes\n  deploy copy dynamodb:notes bolt:backup.db",
		Args:    exactly("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if args[0] == args[1] {
				return fmt.Errorf("%w: FROM and TO are both %s", errUsage, args[0])
			}
			from, closeFrom, err := openStore(cmd.Context(), args[0], true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeFrom()) }()
			to, closeTo, err := openStore(cmd.Context(), args[1], false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeTo()) }()
			return transfer.Run(cmd.Context(), from, to, merge, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&merge, "merge", false, "keep notes that only the target has")
	return cmd
}

// openStore opens a store by its name. A file that must exist is not made.
func openStore(ctx context.Context, name string, mustExist bool) (transfer.Store, func() error, error) {
	kind, place, _ := strings.Cut(name, ":")
	log := slog.New(slog.DiscardHandler)
	switch {
	case kind == "bolt" && place != "":
		if _, err := os.Stat(place); mustExist && err != nil {
			return nil, nil, fmt.Errorf("there is nothing to copy: %w", err)
		}
		store, err := bolt.Open(place, log)
		if err != nil {
			return nil, nil, err
		}
		return store, store.Close, nil
	case kind == "dynamodb" && place != "":
		cfg, err := cloud.LoadConfig(ctx)
		if err != nil {
			return nil, nil, err
		}
		store, err := dynamo.Open(ctx, cfg, place, log)
		if err != nil {
			return nil, nil, err
		}
		return store.Patient(), func() error { return nil }, nil
	}
	return nil, nil, fmt.Errorf("%w: a store is bolt:FILE or dynamodb:TABLE, %q is none", errUsage, name)
}
