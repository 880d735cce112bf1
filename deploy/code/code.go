// Package code describes the code of functions: whether a runtime finds the program that a handler names, and what that
// program is. It reads the zip of a function, or the folder from which a tool makes it.
package code

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"example.com/portable-notes/deploy/doctor"
)

// maxFile is the most that is read of one file, in bytes.
const maxFile = 512 << 10

// maxFiles is the most files that are listed. A function may have more, in folders of libraries.
const maxFiles = 20_000

// Zip opens a zip. A name with a backslash, as some programs write for a folder, is a file at the top, as on Lambda. Of
// entries with the same name it takes the last one.
func Zip(r io.ReaderAt, size int64) (fs.FS, error) {
	files, err := zip.NewReader(r, size)
	if err != nil {
		return nil, err
	}
	last := map[string]*zip.File{}
	for _, f := range files.File {
		f.Name = strings.ReplaceAll(f.Name, `\`, "∖")
		last[path.Clean(f.Name)] = f
	}
	files.File = slices.DeleteFunc(files.File, func(f *zip.File) bool { return last[path.Clean(f.Name)] != f })
	return files, nil
}

// Describe describes the files of a function's code. The program is nil if they do not contain it. If the runtime's
// handler does not name a file, Wanted is "". It lists at most 20,000 files, and reads the first 512 KB of the program.
// It returns an error if the files cannot be read.
func Describe(files fs.FS, runtime, handler string) (c doctor.Code, err error) {
	names, err := list(files)
	if err != nil {
		return c, err
	}
	wanted, function := programFiles(runtime, handler)
	c = doctor.Code{Files: topNames(names), Alike: similarNames(names, wanted)}
	if wanted != nil {
		c.Wanted = wanted[0]
	}
	c.Program, err = findProgram(files, names, wanted, function)
	return c, err
}

// Top lists the files of a function's code, without looking for a program.
func Top(files fs.FS) (c doctor.Code, err error) {
	names, err := list(files)
	return doctor.Code{Files: topNames(names)}, err
}

// DescribeLayer describes the program in the files of a layer, nil if they do not contain it.
func DescribeLayer(files fs.FS, runtime, handler string) (*doctor.Program, error) {
	names, err := list(files)
	if err != nil {
		return nil, err
	}
	wanted, function := programFiles(runtime, handler)
	return findProgram(files, names, layerPaths(runtime, wanted), function)
}

// list returns the paths of all files, and of folders with a slash at their end.
func list(files fs.FS) (names []string, err error) {
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case len(names) >= maxFiles:
			return fs.SkipAll
		case entry.IsDir():
			name += "/"
		case entry.Type()&(fs.ModeNamedPipe|fs.ModeDevice|fs.ModeSocket) != 0: // reading it may never end
			return nil
		}
		names = append(names, name)
		return nil
	})
	return names, err
}

// programFiles returns the files that a runtime may start or load for a handler, and the name of the function in them.
// It returns no files if the runtime's handler does not name a file ("Lambda programming model").
func programFiles(runtime, handler string) (files []string, function string) {
	at := strings.LastIndex(handler, ".")
	module, name := handler, ""
	if at >= 0 {
		module, name = handler[:at], handler[at+1:]
	}
	switch {
	case strings.HasPrefix(runtime, "provided"):
		return []string{"bootstrap"}, ""
	case at < 0:
		return nil, ""
	case strings.HasPrefix(runtime, "python"):
		module = strings.ReplaceAll(module, ".", "/")
		return []string{module + ".py", module + "/__init__.py", module + ".pyc", module + ".so",
			module + ".cpython"}, name
	case strings.HasPrefix(runtime, "nodejs"):
		// The module ends at the first dot after the last slash; the rest may be a path into its exports.
		folder, base := path.Split(handler)
		base, name, _ = strings.Cut(base, ".")
		name = name[strings.LastIndex(name, ".")+1:]
		module = path.Clean(folder + base)
		return []string{module + ".js", module + ".mjs", module + ".cjs", module, module + "/index.js",
			module + "/package.json"}, name
	case strings.HasPrefix(runtime, "ruby"):
		module, _, _ = strings.Cut(handler, ".") // source.Class.method; the class may contain colons
		return []string{module + ".rb"}, name
	}
	return nil, ""
}

// layerPaths returns the paths in a layer at which a runtime looks for files of the code ("Packaging your layer
// content").
func layerPaths(runtime string, wanted []string) (all []string) {
	for _, file := range wanted {
		switch {
		case strings.HasPrefix(file, "/opt/"):
			all = append(all, strings.TrimPrefix(file, "/opt/"))
		case strings.HasPrefix(runtime, "python"):
			all = append(all, "python/"+file, "python/lib/"+runtime+"/site-packages/"+file)
		case strings.HasPrefix(runtime, "nodejs"):
			all = append(all, "nodejs/"+file, "nodejs/node_modules/"+file)
		case strings.HasPrefix(runtime, "ruby"):
			all = append(all, "ruby/lib/"+file)
		default:
			all = append(all, file)
		}
	}
	return all
}

// topNames returns the names at the top.
func topNames(names []string) (all []string) {
	const most = 12
	for _, name := range names {
		top, _, folder := strings.Cut(name, "/")
		if folder {
			top += "/"
		}
		if len(all) < most && !slices.Contains(all, top) {
			all = append(all, top)
		}
	}
	slices.Sort(all)
	return all
}

// similarNames returns files that have the name of a wanted one, but are in another folder or differ in case.
func similarNames(names, wanted []string) (all []string) {
	const most = 3
	for _, name := range names {
		vendored := strings.Contains(name, "node_modules/") || strings.Contains(name, "site-packages/")
		for _, one := range wanted {
			if one != wanted[0] && (strings.HasSuffix(one, "/index.js") || strings.HasSuffix(one, "/package.json")) {
				continue // every package has these
			}
			if strings.EqualFold(path.Base(name), path.Base(one)) && path.Base(one) != "__init__.py" && !vendored &&
				name != one && len(all) < most && !slices.Contains(all, name) && !strings.HasSuffix(name, "/") {
				all = append(all, name)
			}
		}
	}
	return all
}

// findProgram describes the first of some files that there is. It returns nil if there is none.
func findProgram(files fs.FS, names, wanted []string, function string) (*doctor.Program, error) {
	for _, name := range wanted {
		at := name
		if i := slices.IndexFunc(names, func(one string) bool {
			return strings.HasSuffix(name, ".cpython") && strings.HasPrefix(one, name) && strings.HasSuffix(one, ".so")
		}); i >= 0 { // compiled
			at = names[i]
		}
		if info, err := fs.Stat(files, at); err != nil || info.IsDir() { // the list may be cut off
			continue
		}
		content, info, err := readBeginning(files, at)
		if err != nil {
			return nil, err
		}
		p := &doctor.Program{Name: name, Executable: info.Mode()&0o111 != 0, Function: function}
		switch whole := int64(len(content)) == info.Size(); {
		case bytes.HasPrefix(content, []byte(elf.ELFMAG)):
			readELF(p, content)
		case bytes.HasPrefix(content, []byte("#!")):
			line, _, _ := bytes.Cut(content[2:min(len(content), 256)], []byte("\n"))
			p.Interpreter = strings.TrimLeft(string(line), " ")
		case whole && isTextual(content):
			readSource(p, files, string(content))
		}
		return p, nil
	}
	return nil, nil
}

// isTextual reports whether a file contains no NUL bytes.
func isTextual(content []byte) bool { return !bytes.ContainsRune(content, 0) }

// readBeginning reads the first maxFile bytes of a file.
func readBeginning(files fs.FS, name string) (content []byte, info fs.FileInfo, err error) {
	in, err := files.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = in.Close() }()
	info, err = in.Stat()
	content, err2 := io.ReadAll(io.LimitReader(in, maxFile))
	return content, info, errors.Join(err, err2)
}

// glibc matches a version of the GNU C library that a program needs. Linkers put these names near the beginning.
var glibc = regexp.MustCompile(`GLIBC_2\.([0-9]+)`)

// readELF reads the architecture, the loader and the needed GNU C library from the beginning of an ELF file.
func readELF(p *doctor.Program, content []byte) {
	if len(content) < 64 {
		return
	}
	order := map[byte]func([]byte) uint64{1: littleEndian, 2: bigEndian}[content[elf.EI_DATA]]
	if order == nil {
		order = littleEndian
	}
	machine := elf.Machine(order(content[18:20])) // #nosec G115 -- two bytes
	p.Architecture = map[elf.Machine]string{elf.EM_X86_64: "x86_64", elf.EM_AARCH64: "arm64"}[machine]
	if p.Architecture == "" {
		p.Architecture = strings.ToLower(strings.TrimPrefix(machine.String(), "EM_"))
	}
	if content[elf.EI_CLASS] != byte(elf.ELFCLASS64) {
		return
	}
	at, size, count := order(content[32:40]), order(content[54:56]), order(content[56:58])
	for range min(count, 64) {
		if n := uint64(len(content)); size < 40 || size > n || at > n-size {
			break
		}
		segment := content[at : at+size]
		begin, length := order(segment[8:16]), order(segment[32:40])
		if order(segment[:4]) == uint64(elf.PT_INTERP) && length < 256 && length <= uint64(len(content)) &&
			begin <= uint64(len(content))-length {
			p.Loader = strings.TrimRight(string(content[begin:begin+length]), "\x00")
		}
		at += size
	}
	if p.Loader == "" {
		return
	}
	for _, m := range glibc.FindAllSubmatch(content, -1) {
		if n, err := strconv.Atoi(string(m[1])); err == nil {
			p.GLIBC = max(p.GLIBC, n)
		}
	}
}

func littleEndian(b []byte) (n uint64) {
	for i := range b {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}

func bigEndian(b []byte) (n uint64) {
	for _, one := range b {
		n = n<<8 | uint64(one)
	}
	return n
}

var (
	// dynamicNames matches code that may define names without spelling them out.
	dynamicNames = regexp.MustCompile(
		`import \*|\.\.\.|exports\[|globals\(|setattr|exec\(|export \*|__exportStar|Object\.assign\((module\.)?` +
			`exports|module\.exports\s*=\s*(require|await|[A-Za-z_$][\w$.]*\s*;?\s*$)|define_method`,
	)
	importLine  = regexp.MustCompile(`(?m)^\s*(import\s+[\w{*'"]|export\s+(const|async|function|default|let|\{))`)
	requireLine = regexp.MustCompile(
		`(?m)^\s*(const|let|var)\s+[\w${},\s]+=\s*require\(|^\s*(module\.)?exports\b[\w.]*\s*=`,
	)
	createsRequire = regexp.MustCompile(`createRequire|import\s+\w+\s+from\s+['"]node:module`)
	isModule       = regexp.MustCompile(`"type"\s*:\s*"module"`)
)

// readSource analyzes the source of a handler: whether it mentions the function, and whether it mixes module types.
func readSource(p *doctor.Program, files fs.FS, text string) {
	for _, word := range doctor.EventWords {
		if strings.Contains(text, word) {
			p.Mentions = append(p.Mentions, word)
		}
	}
	p.Format = formatOf(p.Name, text)
	if p.Function == "" || strings.HasSuffix(p.Name, ".json") {
		return
	}
	name := regexp.QuoteMeta(p.Function)
	p.Lacks = !regexp.MustCompile(`(^|[^\w$])`+name+`($|[^\w$])`).MatchString(text) && !dynamicNames.MatchString(text)
	extension := path.Ext(p.Name)
	if extension != ".js" && extension != ".mjs" && extension != ".cjs" {
		return
	}
	module := extension == ".mjs" || extension == ".js" && isInModule(files, p.Name)
	switch {
	case !module && importLine.MatchString(text) && !requireLine.MatchString(text):
		p.Mixed = "import"
	case module && requireLine.MatchString(text) && !importLine.MatchString(text) && !createsRequire.MatchString(text):
		p.Mixed = "require"
	}
	p.Callback = regexp.MustCompile(`exports\.` + name +
		`\s*=\s*(function\s*\w*)?\s*\(\s*\w+\s*,\s*\w+\s*,\s*\w+\s*\)`).
		MatchString(text)
}

// The fields of an event that only one payload format has, where their lack is an error: a subscript in Python, and a
// member of what is undefined in Node.js ("Create AWS Lambda proxy integrations for HTTP APIs").
var (
	needsV2       = regexp.MustCompile(`requestContext(["']\]\s*\[\s*["']|\.)http(["']\s*\])?\s*[.\[]`)
	needsV2Python = regexp.MustCompile(`\[\s*["'](rawPath|rawQueryString)["']\s*\]`)
	needsV1Python = regexp.MustCompile(`\[\s*["'](httpMethod|multiValueHeaders)["']\s*\]`)
)

// formatOf returns the payload format without whose fields a source file fails, "" if it may read both, or neither.
func formatOf(name, text string) string {
	isPython := strings.HasSuffix(name, ".py")
	v2 := needsV2.MatchString(text) || isPython && needsV2Python.MatchString(text)
	v1 := isPython && needsV1Python.MatchString(text) || strings.Contains(text, "httpMethod")
	switch {
	case v2 && !v1:
		return "2.0"
	case !v2 && isPython && needsV1Python.MatchString(text) && !strings.Contains(text, "rawPath"):
		return "1.0"
	}
	return ""
}

// isInModule reports whether the nearest package.json above a file makes it an ES module.
func isInModule(files fs.FS, name string) bool {
	for folder := path.Dir(name); ; folder = path.Dir(folder) {
		if content, _, err := readBeginning(files, path.Join(folder, "package.json")); err == nil {
			return isModule.Match(content)
		}
		if folder == "." || folder == "/" {
			return false
		}
	}
}
