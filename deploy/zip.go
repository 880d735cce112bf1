package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/pack"
)

func zipCommand() *cobra.Command {
	var arch, out string
	var jwt bool
	cmd := &cobra.Command{
		Use:   "zip",
		Short: "build the Lambda function and pack it",
		Long: `Builds the function for Lambda's runtime provided.al2023 and packs it: the zip has one executable file,
bootstrap. The same source gives the same bytes in every directory.`,
		Example: "  deploy zip --arch arm64 --out notes.zip",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(pack.Architectures, arch) {
				return fmt.Errorf("%w: --arch must be %s, not %q", errUsage, strings.Join(pack.Architectures, " or "),
					arch)
			}
			content, err := pack.Build(cmd.Context(), arch, jwt)
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
	cmd.Flags().StringVar(&arch, "arch", "arm64", "architecture: arm64 or amd64 (x86-64)")
	registerChoices(cmd, "arch", pack.Architectures...)
	cmd.Flags().BoolVar(&jwt, "jwt", false,
		"include JSON Web Tokens, for NOTES_AUTH=jwt; the function is smaller without")
	cmd.Flags().StringVar(&out, "out", "notes.zip", "file to write")
	return cmd
}
