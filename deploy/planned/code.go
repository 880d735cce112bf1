package planned

import (
	"archive/zip"
	"bytes"
	"cmp"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/code"
	"example.com/portable-notes/deploy/doctor"
)

// codeAt is where the code of a function is.
type codeAt struct {
	path    string // of a folder or a zip, from the folder of the file; "" if it is not known
	inline  string // the text of the only file, index, if the template has it
	isBuilt bool   // a tool makes the code of what is in the folder
}

// code returns the facts about a function's code. It returns the zero fact if the code is not here, or if what is here
// does not show what will be deployed.
func (b *builder) code(one *resource, c *doctor.Configuration) (fact doctor.Fact[doctor.Code]) {
	if c.Package == "Image" || slices.ContainsFunc(c.Variables, func(v doctor.Variable) bool {
		return v.Name == "PYTHONPATH" || v.Name == "NODE_PATH" // they may put the file anywhere
	}) {
		return fact
	}
	files, done := b.options.codeFiles(one.code, c.Runtime)
	if files == nil && one.code.path != "" {
		b.note("%s: its code %s is not here, so it is not judged", one.place, one.code.path)
	}
	if files == nil {
		return fact
	}
	defer done()
	described, err := code.Describe(files, c.Runtime, c.Handler)
	copied := strings.HasPrefix(c.Runtime, "python") || strings.HasPrefix(c.Runtime, "ruby")
	if err != nil || described.Program == nil && (len(c.Layers) > 0 || one.code.isBuilt && !copied || hasLinks(files)) {
		return fact // a layer may have it, the tool may make it, or it is behind a link
	}
	return known(cmp.Or(one.code.path, b.name), one.id, described)
}

// hasLinks reports whether a folder has symbolic links, which tools may follow. Those in node_modules do not count.
func hasLinks(files fs.FS) (found bool) {
	err := fs.WalkDir(files, ".", func(_ string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.Name() == "node_modules":
			return fs.SkipDir
		case entry.Type()&fs.ModeSymlink != 0:
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found || err != nil
}

// codeFiles opens the code of a function, nil if it is not here. The caller calls done afterwards.
func (o Options) codeFiles(at codeAt, runtime string) (files fs.FS, done func()) {
	switch name := path.Clean(at.path); {
	case at.inline != "":
		extension := ".js"
		if strings.HasPrefix(runtime, "python") {
			extension = ".py"
		}
		return inlineFile("index"+extension, at.inline), func() {}
	case at.path == "" || o.Files == nil || !fs.ValidPath(name):
		return nil, nil
	case strings.HasSuffix(name, ".zip") || strings.HasSuffix(name, ".jar"):
		return o.openZip(name)
	default:
		info, err := fs.Stat(o.Files, name)
		if err != nil || !info.IsDir() {
			return nil, nil
		}
		folder, err := fs.Sub(o.Files, name)
		if err != nil {
			return nil, nil
		}
		return folder, func() {}
	}
}

// inlineFile returns a folder with one file.
func inlineFile(name, text string) fs.FS {
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	if file, err := w.Create(name); err == nil {
		_, _ = io.WriteString(file, text) // a buffer takes all
	}
	_ = w.Close()
	files, err := zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
	if err != nil {
		return nil
	}
	return files
}

// openZip opens a zip.
func (o Options) openZip(name string) (fs.FS, func()) {
	file, err := o.Files.Open(name)
	if err != nil {
		return nil, nil
	}
	done := func() { _ = file.Close() }
	info, err := file.Stat()
	at, ok := file.(io.ReaderAt)
	if err != nil || !ok {
		done()
		return nil, nil
	}
	files, err := code.Zip(at, info.Size())
	if err != nil {
		done()
		return nil, nil
	}
	return files, done
}
