package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/pack"
)

func zipCommand() *cobra.Command {
	arch, out := "arm64", ""
	var jwt bool
	cmd := &cobra.Command{
		Use:   "zip",
		Short: "build the Lambda function and pack it",
		Long: `Builds the function for Lambda's runtime provided.al2023 and packs it: the zip has one executable file,
bootstrap. The same source gives the same bytes in every directory.`,
		Example: "  deploy zip --arch arm64 --out notes.zip",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			done := showBuild(cmd.ErrOrStderr(), arch)
			content, err := pack.Build(cmd.Context(), arch, jwt)
			done()
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, content, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: bootstrap for %s, %d bytes packed\n", out, arch, len(content))
			return nil
		},
	}
	cmd.Flags().Var((*archFlag)(&arch), "arch", "architecture: arm64 or x86_64")
	registerChoices(cmd, "arch", pack.Architectures...)
	cmd.Flags().BoolVar(&jwt, "jwt", false,
		"include JSON Web Tokens, for NOTES_AUTH=jwt; the function is smaller without")
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
