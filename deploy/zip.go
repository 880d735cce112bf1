package main

import (
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// architectures are those of Lambda, by the names that Go has for them.
var architectures = []string{"arm64", "amd64"}

func zipCommand() *cobra.Command {
	var arch, out string
	var jwt bool
	cmd := &cobra.Command{
		Use:   "zip",
		Short: "build the Lambda function and pack it",
		Long: `Builds the function for Lambda's runtime provided.al2023 and packs it as that wants it: one file, bootstrap, with its
exec bit set. The same source gives the same bytes, in whatever folder it lies.`,
		Example: "  deploy zip --arch arm64 --out notes.zip",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(architectures, arch) {
				return fmt.Errorf("%w: --arch must be %s, is %q", errUsage, strings.Join(architectures, " or "), arch)
			}
			packed, err := buildZip(cmd.Context(), arch, jwt)
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, packed, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: bootstrap for %s, %d bytes packed\n", out, arch, len(packed))
			return nil
		},
	}
	cmd.Flags().StringVar(&arch, "arch", "arm64", "processor: arm64 or amd64 (x86-64)")
	cmd.Flags().BoolVar(&jwt, "jwt", false, "with JSON Web Tokens, for NOTES_AUTH=jwt; without, the function is smaller")
	cmd.Flags().StringVar(&out, "out", "notes.zip", "file to write")
	return cmd
}

const functionPackage = "example.com/portable-notes/adapters/lambda"

// buildZip builds the function, with JSON Web Tokens or without, and packs it. It needs the Go tool, and a folder of this module to be the current one.
func buildZip(ctx context.Context, arch string, jwt bool) ([]byte, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("the Go tool is not there: install Go 1.26 (https://go.dev/dl): %w", err)
	}
	folder, err := os.MkdirTemp("", "notes-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	binary := filepath.Join(folder, "bootstrap")
	tags := "lambda.norpc" // leaves net/rpc out, and with it a third of the program
	if jwt {
		tags += ",jwt"
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", "-s -w", "-o", binary, functionPackage) // #nosec G204 -- go build
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0",
		// and nothing of this machine's settings: a processor level that Lambda's lacks would not even start
		"GOFLAGS=-trimpath", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the function does not build: run this in a clone of portable-notes: %w\n%s", err, bytes.TrimSpace(out))
	}
	program, err := os.ReadFile(binary) // #nosec G304 -- what was just built
	if err != nil {
		return nil, err
	}
	return zipOf(program)
}

// zipOf packs a program as the runtime provided.al2023 wants it.
func zipOf(program []byte) ([]byte, error) {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate} // without a time, so that it is always the same
	header.SetMode(0o755)
	entry, err := w.CreateHeader(header)
	if err == nil {
		_, err = entry.Write(program)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

// checkZip says what is wrong with a zip for the runtime provided.al2023.
func checkZip(packed []byte, arch string) error {
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return fmt.Errorf("--zip: it is no zip: %w", err)
	}
	i := slices.IndexFunc(archive.File, func(f *zip.File) bool { return f.Name == "bootstrap" })
	if i < 0 {
		return errors.New("--zip: it has no file bootstrap, which is what the runtime provided.al2023 starts: deploy zip makes one")
	}
	if archive.File[i].Mode()&0o111 == 0 {
		return errors.New("--zip: its bootstrap cannot be executed: chmod 755 it before it is packed")
	}
	file, err := archive.File[i].Open()
	if err != nil {
		return fmt.Errorf("--zip: %w", err)
	}
	program, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("--zip: %w", err)
	}
	want := map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64}[arch]
	if binary, err := elf.NewFile(bytes.NewReader(program)); err == nil && binary.Machine != want {
		return fmt.Errorf("--zip: its bootstrap is for %v, the function for %v: set --arch, or build it for the other", binary.Machine, want)
	}
	return nil
}
