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
		Long: `Copies notes with their owners, ids, versions and times, and the idempotency keys. FROM and TO are
bolt:FILE or dynamodb:TABLE, as in NOTES_STORE. Stop the service first, so that nothing is written meanwhile. An
interrupted copy can be run again. At the end it prints a count and a checksum of both stores.

It refuses a target that has notes that FROM lacks, or later versions of notes. With --merge it keeps them. Do not
copy into a target that is already in service: notes that were deleted there would come back.`,
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
	cmd.Flags().BoolVar(&merge, "merge", false, "keep notes, and later versions of notes, that only the target has")
	return cmd
}

// openStore opens the store with a name and returns a function that closes it. With mustExist it does not create a
// file.
func openStore(ctx context.Context, name string, mustExist bool) (transfer.Store, func() error, error) {
	kind, location, _ := strings.Cut(name, ":")
	log := slog.New(slog.DiscardHandler)
	switch {
	case kind == "bolt" && location != "":
		if _, err := os.Stat(location); mustExist && err != nil {
			return nil, nil, fmt.Errorf("there is nothing to copy: %w", err)
		}
		store, err := bolt.Open(location, log)
		if err != nil {
			return nil, nil, err
		}
		return store, store.Close, nil
	case kind == "dynamodb" && location != "":
		cfg, err := cloud.LoadConfig(ctx)
		if err != nil {
			return nil, nil, err
		}
		store, err := dynamo.Open(ctx, cfg, location, log)
		if err != nil {
			return nil, nil, err
		}
		return store.Patient(), func() error { return nil }, nil
	}
	return nil, nil, fmt.Errorf("%w: a store is bolt:FILE or dynamodb:TABLE, not %q", errUsage, name)
}
