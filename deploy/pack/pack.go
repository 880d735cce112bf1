// Package pack builds the Lambda function and packs it for deployment.
package pack

import (
	"archive/zip"
	"bytes"
	"compress/flate"
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
)

// Architectures are the processor architectures, in Lambda's spelling.
var Architectures = []string{"arm64", "x86_64"}

// ParseArchitecture returns an architecture in Lambda's spelling. It also accepts those of Go and of uname.
func ParseArchitecture(text string) (string, error) {
	switch strings.ToLower(text) {
	case "arm64", "aarch64":
		return "arm64", nil
	case "x86_64", "amd64", "x86-64":
		return "x86_64", nil
	}
	return "", fmt.Errorf("the architecture must be %s, not %q", strings.Join(Architectures, " or "), text)
}

const functionPackage = "example.com/portable-notes/adapters/lambda"

// goarch maps Lambda's spelling to Go's.
var goarch = map[string]string{"arm64": "arm64", "x86_64": "amd64"}

// Parts are the parts of the function that it has only on request, because each makes it larger.
type Parts struct {
	JWT  bool // checks JSON Web Tokens
	Page bool // serves the notes page
}

// Build builds the function for an architecture and packs it. It needs the Go tool and must run in
// a directory of this module.
func Build(ctx context.Context, arch string, parts Parts) ([]byte, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("the Go tool was not found: install Go 1.26 (https://go.dev/dl): %w", err)
	}
	folder, err := os.MkdirTemp("", "notes-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	binary := filepath.Join(folder, "bootstrap")
	// Leave out net/rpc, a third of the program, and HTTP/2, which neither the Lambda Runtime API nor DynamoDB uses.
	tags := "lambda.norpc,nethttpomithttp2"
	if parts.JWT {
		tags += ",jwt"
	}
	if parts.Page {
		tags += ",page"
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags,
		// #nosec G204 -- go build
		"-ldflags", "-s -w", "-o", binary, functionPackage)
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch[arch], "CGO_ENABLED=0",
		// Override the settings of this machine: Lambda may lack its processor features.
		"GOFLAGS=-trimpath", "GOWORK=off", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("the function does not build: run this in a clone of portable-notes: %w\n%s",
			err, bytes.TrimSpace(out))
	}
	program, err := os.ReadFile(binary) // #nosec G304 -- the file just built
	if err != nil {
		return nil, err
	}
	return Zip(program)
}

// Zip packs a program for the runtime provided.al2023. Equal programs give equal zips.
func Zip(program []byte) ([]byte, error) {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestCompression)
	})
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate} // no time, for reproducible zips
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

// Check returns an error if a zip cannot run on provided.al2023, or not on the architecture arch.
func Check(packed []byte, arch string) error {
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return fmt.Errorf("--zip: not a zip file: %w", err)
	}
	i := slices.IndexFunc(archive.File, func(f *zip.File) bool { return f.Name == "bootstrap" })
	if i < 0 {
		return errors.New("--zip: it has no file bootstrap, which the runtime provided.al2023 starts: " +
			"deploy zip makes such a zip")
	}
	if archive.File[i].Mode()&0o111 == 0 {
		return errors.New("--zip: its bootstrap is not executable: chmod 755 it before packing")
	}
	file, err := archive.File[i].Open()
	if err != nil {
		return fmt.Errorf("--zip: %w", err)
	}
	program, err := io.ReadAll(file)
	if err != nil {
		return fmt.Errorf("--zip: %w", err)
	}
	want := map[string]elf.Machine{"arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64}[arch]
	if binary, err := elf.NewFile(bytes.NewReader(program)); err == nil && binary.Machine != want {
		return fmt.Errorf("--zip: its bootstrap is for %v, but the function for %v: set --arch, or build for the other",
			binary.Machine, want)
	}
	return nil
}
