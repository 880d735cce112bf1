package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/pack"
)

func zipCommand() *cobra.Command {
	var f stackFlags // only its architecture is used
	var out string
	var parts pack.Parts
	cmd := &cobra.Command{
		Use:   "zip",
		Short: "build the Lambda function and pack it",
		Long: `Builds the function for Lambda's runtime provided.al2023 and packs it: the zip has one executable file,
bootstrap. The same source gives the same bytes in every directory.`,
		Example: "  deploy zip --arch arm64 --out notes.zip",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, cfg, _ := cloud.Open(cmd.Context()) // what may be missing, such as a region, is not needed
			f.chooseArchitecture(cfg)
			done := showBuild(cmd.ErrOrStderr(), f.Architecture)
			content, err := pack.Build(cmd.Context(), f.Architecture, parts)
			done()
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, content, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: bootstrap for %s, %d bytes packed\n", out, f.Architecture, len(content))
			return nil
		},
	}
	cmd.Flags().Var((*archFlag)(&f.Architecture), "arch",
		"architecture: arm64 or x86_64 (default: arm64; in the sandbox this machine's)")
	registerChoices(cmd, "arch", pack.Architectures...)
	cmd.Flags().BoolVar(&parts.JWT, "jwt", false,
		"include JSON Web Tokens, for NOTES_AUTH=jwt; the function is smaller without")
	cmd.Flags().BoolVar(&parts.Page, "page", false,
		"include the notes page, for NOTES_PAGE=on; the function is smaller without")
	cmd.Flags().StringVar(&out, "out", "notes.zip", "file to write")
	return cmd
}

// showBuild shows on a terminal that the function is being built; done removes the line.
func showBuild(out io.Writer, arch string) (done func()) {
	show, done := progress(out)
	if show != nil {
		show("building the function for " + arch + "; the first time takes about a minute")
	}
	return done
}
