package main

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"example.com/portable-notes/deploy/pack"
)

// TestZip checks that the zip is right for provided.al2023, and its size. The limits are exceeded if a package makes
// text/template reachable.
func TestZip(t *testing.T) {
	t.Parallel()
	for arch, machine := range map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64} {
		out := filepath.Join(t.TempDir(), "notes.zip")
		if output, err := deploy(t, "zip", "--arch", arch, "--out", out); err != nil {
			t.Fatal(err, output)
		}
		packed, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			t.Fatal(err)
		}
		if len(archive.File) != 1 || archive.File[0].Name != "bootstrap" || archive.File[0].Mode() != 0o755 {
			t.Fatalf("%s: the files are %+v", arch, archive.File)
		}
		file, err := archive.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		binary, err := elf.NewFile(bytes.NewReader(content))
		if err != nil || binary.Machine != machine {
			t.Errorf("%s: %v, %v", arch, binary, err)
		}
		if section := binary.Section(".interp"); section != nil {
			t.Errorf("%s: bootstrap is linked dynamically", arch)
		}
		if len(content) > 10e6 || len(packed) > 4e6 {
			t.Errorf("%s: bootstrap has %d bytes, the zip %d; at most 10 MB and 4 MB", arch, len(content), len(packed))
		}
		t.Logf("%s: bootstrap %d bytes, zip %d", arch, len(content), len(packed))
	}
}

func TestZipIsReproducible(t *testing.T) {
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	build := func() []byte {
		folder := filepath.Join(t.TempDir(), "a clone")
		if err := os.CopyFS(folder, os.DirFS(source)); err != nil {
			t.Fatal(err)
		}
		t.Chdir(folder)
		packed, err := pack.Build(t.Context(), "x86_64", pack.Parts{})
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	first := build()
	t.Setenv("GOAMD64", "v3")
	t.Setenv("GOFLAGS", "-tags=other")
	if !bytes.Equal(first, build()) {
		t.Error("another directory, or other settings of the Go tool, give another zip")
	}
	t.Chdir(t.TempDir())
	if _, err := pack.Build(t.Context(), "x86_64", pack.Parts{}); err == nil {
		t.Error("Build succeeds without the source")
	}
	t.Setenv("PATH", "")
	if _, err := exec.LookPath("go"); err == nil {
		t.Fatal("go is still in PATH")
	}
	if _, err := pack.Build(t.Context(), "x86_64", pack.Parts{}); err == nil || !bytes.Contains([]byte(err.Error()),
		[]byte("install Go")) {
		t.Errorf("without Go: %v", err)
	}
}
