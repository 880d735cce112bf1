package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"example.com/portable-notes/app/token"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/transfer"
	"example.com/portable-notes/notes/bolt"
	"example.com/portable-notes/notes/dynamo"
)

func copyCommand() *cobra.Command {
	var merge bool
	var salvage string
	var owners map[string]string
	cmd := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "copy all notes and idempotency keys from one store to another",
		Long: `Copies notes with their owners, ids, versions and times, and the idempotency keys. FROM and TO are
bolt:FILE or dynamodb:TABLE, as in NOTES_STORE. Stop the service first, so that nothing is written meanwhile. An
interrupted copy can be run again. At the end it prints a count and a checksum of both stores.

It refuses a target that has notes that FROM lacks, or later versions of notes. With --merge it keeps them. Do not
copy into a target that is already in service: notes that were deleted there would come back.

With --salvage it reads a damaged file as far as possible, and lists what is lost. Notes on pages that the file no
longer uses are listed too, and copied only with --salvage=all: most of them were deleted. The file is not changed.`,
		Example: "  deploy copy bolt:notes.db dynamodb:notes\n  deploy copy dynamodb:notes bolt:backup.db\n" +
			"  deploy copy --salvage bolt:damaged.db bolt:notes.db\n" +
			"  deploy copy --owner local=anna bolt:notes.db bolt:annas.db",
		Args: exactly("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if args[0] == args[1] {
				return fmt.Errorf("%w: FROM and TO are both %s", errUsage, args[0])
			}
			source, closeSource, err := openSource(cmd.Context(), args[0], salvage)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeSource()) }()
			from := source
			if len(owners) > 0 {
				for old, renamed := range owners {
					if !token.IsOwner(old) || !token.IsOwner(renamed) {
						return fmt.Errorf("%w: --owner is OLD=NEW, both 1 to 512 bytes without spaces and commas, "+
							"not %s=%s", errUsage, old, renamed)
					}
				}
				from = transfer.RenameOwners(from, owners)
			}
			to, closeTo, err := openStore(cmd.Context(), args[1], false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, closeTo()) }()
			if err := transfer.Run(cmd.Context(), from, to, merge, cmd.OutOrStdout()); err != nil {
				return err
			}
			if saved, ok := source.(*bolt.Salvage); ok {
				return listLosses(saved, cmd.OutOrStdout())
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&merge, "merge", false, "keep notes, and later versions of notes, that only the target has")
	cmd.Flags().StringVar(&salvage, "salvage", "", "read a damaged file: notes in use, or all")
	cmd.Flags().Lookup("salvage").NoOptDefVal = "used"
	cmd.Flags().StringToStringVar(&owners, "owner", nil, "give the notes of owner OLD to owner NEW")
	return cmd
}

// openSource opens the store to copy from, or what can be salvaged of it.
func openSource(ctx context.Context, name, salvage string) (transfer.Source, func() error, error) {
	file, isFile := strings.CutPrefix(name, "bolt:")
	switch {
	case salvage == "":
		return openStore(ctx, name, true)
	case salvage != "used" && salvage != "all":
		return nil, nil, fmt.Errorf("%w: --salvage is used or all, not %q", errUsage, salvage)
	case !isFile || file == "":
		return nil, nil, fmt.Errorf("%w: --salvage reads a file, bolt:FILE, not %q", errUsage, name)
	}
	saved, err := bolt.OpenSalvage(file, salvage == "all")
	if err != nil {
		return nil, nil, err
	}
	return saved, saved.Close, nil
}

// listLosses prints what could not be salvaged, and what was left out. It returns an error if anything is lost.
func listLosses(saved *bolt.Salvage, out io.Writer) error {
	for _, left := range saved.Unused {
		fmt.Fprintln(out, "left out (--salvage=all copies it):", left)
	}
	for _, lost := range saved.Lost {
		fmt.Fprintln(out, "lost:", lost)
	}
	if len(saved.Lost) > 0 {
		return errors.New("everything that can be read was copied, but not everything can be read: see above")
	}
	return nil
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
		if !dynamo.IsTableName(location) {
			return nil, nil, fmt.Errorf("%w: a table's name must be %s, not %q", errUsage, dynamo.TableNames, location)
		}
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
