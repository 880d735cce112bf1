package facts

import (
	"archive/zip"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
)

// The limits of reading zips.
const (
	maxZip   = 2 << 20         // bytes fetched of one zip
	zipBlock = 64 << 10        // bytes fetched at a time
	maxFile  = 512 << 10       // bytes read of one file
	zipWait  = 8 * time.Second // for the zip and the layers of a function
)

// readCode reads the zip of a function. If the zip lacks the program, it reads the layers.
func (g *gatherer) readCode(f *doctor.Function) {
	c := f.Configuration.Value
	g.mu.Lock()
	location := g.locations[f.Configuration.Of]
	g.mu.Unlock()
	if c == nil || c.Package == "Image" || location == "" {
		return
	}
	f.Code = doctor.Fact[doctor.Code]{Call: "lambda:GetFunction", Of: f.Configuration.Of}
	ctx, cancel := context.WithTimeout(g.ctx, zipWait)
	defer cancel()
	wanted, name := programFiles(c.Runtime, c.Handler)
	if slices.ContainsFunc(c.Variables, func(v doctor.Variable) bool {
		return v.Name == "PYTHONPATH" || v.Name == "NODE_PATH"
	}) {
		wanted = nil // these variables may put the file anywhere
	}
	code := doctor.Code{}
	files, err := openZip(ctx, location)
	if err == nil {
		code = doctor.Code{Files: topNames(files), Alike: similarNames(files, wanted)}
		if wanted != nil {
			code.Wanted = wanted[0]
		}
		code.Program, err = findProgram(files, wanted, name)
	}
	for _, layer := range slices.Backward(c.Layers) { // later layers overwrite earlier ones
		if err != nil || code.Program != nil || wanted == nil {
			break
		}
		code.Program, err = g.findInLayer(ctx, layer, layerPaths(c.Runtime, wanted), name)
	}
	if err != nil {
		f.Code.Error = failureOf(err)
		return
	}
	f.Code.Value = &code
}

// findInLayer looks for a program in a layer.
func (g *gatherer) findInLayer(ctx context.Context, arn string, wanted []string, name string) (*doctor.Program, error) {
	at := strings.LastIndex(arn, ":")
	version, err := strconv.ParseInt(arn[at+1:], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is not the ARN of a layer", arn)
	}
	layer := arn[:at]
	if parts := strings.Split(layer, ":"); len(parts) == 7 && parts[4] == g.c.Caller.Or().Account {
		layer = parts[6]
	}
	location := readFact(g, &lambda.GetLayerVersionInput{LayerName: &layer, VersionNumber: &version}, arn,
		func(answer any) (string, error) {
			text, _ := cloud.Search("Content.Location", answer).(string)
			return text, nil
		})
	if location.Error != nil {
		return nil, fmt.Errorf("%s: %w", arn, readError{location.Error})
	}
	files, err := openZip(ctx, location.Or())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", arn, err)
	}
	p, err := findProgram(files, wanted, name)
	if p != nil {
		p.Layer = arn
	}
	return p, err
}

// readError makes an error of the failure of a call.
type readError struct{ *doctor.Failure }

func (u readError) Error() string { return strings.TrimSpace(u.Code + " " + u.Message) }

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

// topNames returns the names at the top of a zip.
func topNames(files *zip.Reader) (all []string) {
	const most = 12
	for _, f := range files.File {
		name, _, folder := strings.Cut(strings.TrimPrefix(f.Name, "./"), "/")
		if folder {
			name += "/"
		}
		if len(all) < most && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// similarNames returns files of a zip that have the name of a wanted one, but are in another folder or differ in case.
func similarNames(files *zip.Reader, wanted []string) (all []string) {
	const most = 3
	for _, f := range files.File {
		name := strings.TrimPrefix(f.Name, "./")
		vendored := strings.Contains(name, "node_modules/") || strings.Contains(name, "site-packages/")
		for _, one := range wanted {
			if one != wanted[0] && (strings.HasSuffix(one, "/index.js") || strings.HasSuffix(one, "/package.json")) {
				continue // every package has these
			}
			if strings.EqualFold(path.Base(name), path.Base(one)) && path.Base(one) != "__init__.py" && !vendored &&
				name != one && len(all) < most && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// findProgram describes the first of some files that a zip contains. It returns nil if it contains none.
func findProgram(files *zip.Reader, wanted []string, function string) (*doctor.Program, error) {
	for _, name := range wanted {
		i := slices.IndexFunc(files.File, func(f *zip.File) bool {
			at := strings.TrimPrefix(f.Name, "./")
			compiled := strings.HasSuffix(name, ".cpython") && strings.HasPrefix(at, name) &&
				strings.HasSuffix(at, ".so")
			return (at == name || compiled) && !f.FileInfo().IsDir()
		})
		if i < 0 {
			continue
		}
		f := files.File[i]
		content, err := readBeginning(f)
		if err != nil {
			return nil, err
		}
		p := &doctor.Program{Name: name, Executable: f.Mode()&0o111 != 0, Function: function}
		switch whole := uint64(len(content)) == f.UncompressedSize64; {
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
func readBeginning(f *zip.File) ([]byte, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	return io.ReadAll(io.LimitReader(in, maxFile))
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
		if at+size > uint64(len(content)) || size < 40 {
			break
		}
		segment := content[at : at+size]
		begin, length := order(segment[8:16]), order(segment[32:40])
		if order(segment[:4]) == uint64(elf.PT_INTERP) && length < 256 && begin < uint64(len(content))-length {
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
func readSource(p *doctor.Program, files *zip.Reader, text string) {
	for _, word := range doctor.EventWords {
		if strings.Contains(text, word) {
			p.Mentions = append(p.Mentions, word)
		}
	}
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

// isInModule reports whether the nearest package.json above a file makes it an ES module.
func isInModule(files *zip.Reader, name string) bool {
	for folder := path.Dir(name); ; folder = path.Dir(folder) {
		for _, f := range files.File {
			if path.Clean(f.Name) == path.Join(folder, "package.json") {
				content, err := readBeginning(f)
				return err == nil && isModule.Match(content)
			}
		}
		if folder == "." || folder == "/" {
			return false
		}
	}
}

// openZip opens the zip at a URL. It fetches only the parts that are read.
func openZip(ctx context.Context, location string) (*zip.Reader, error) {
	r := &remote{ctx: ctx, url: location, blocks: map[int64][]byte{}}
	if err := r.measure(); err != nil {
		return nil, err
	}
	return zip.NewReader(r, r.size)
}

// remote reads a file at a URL by ranges (RFC 9110, section 14).
type remote struct {
	ctx    context.Context
	url    string
	size   int64
	read   int64
	blocks map[int64][]byte
}

// measure reads the last block, and learns the size from the answer.
func (r *remote) measure() error {
	content, size, err := r.get(fmt.Sprintf("bytes=-%d", zipBlock))
	if err != nil {
		return err
	}
	r.size = size
	begin := size - int64(len(content))
	for at := (begin + zipBlock - 1) / zipBlock * zipBlock; at < size; at += zipBlock {
		r.blocks[at/zipBlock] = content[at-begin : min(at-begin+zipBlock, int64(len(content)))]
	}
	return nil
}

// errZip reports that a zip could not be fetched. It leaves out the URL, which is presigned.
var errZip = errors.New("the zip could not be fetched")

// get fetches a range, and returns it with the size of the whole file.
func (r *remote) get(ranges string) (content []byte, size int64, err error) {
	request, err := http.NewRequestWithContext(r.ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, 0, errZip
	}
	request.Header.Set("Range", ranges)
	answer, err := http.DefaultClient.Do(request) // #nosec G704 -- Lambda returned the URL
	if err != nil {
		return nil, 0, errZip
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return nil, 0, fmt.Errorf("%w: %s", errZip, answer.Status)
	}
	content, err = io.ReadAll(io.LimitReader(answer.Body, maxZip))
	r.read += int64(len(content))
	size = int64(len(content))
	if _, total, ok := strings.Cut(answer.Header.Get("Content-Range"), "/"); ok {
		if size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, 0, errZip
		}
	}
	return content, size, err
}

// ReadAt implements [io.ReaderAt]. It fetches the blocks that were not read yet.
func (r *remote) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		block := r.blocks[at/zipBlock]
		if block == nil {
			if r.read > maxZip {
				return n, fmt.Errorf("%w: its directory and program take more than %d bytes", errZip, maxZip)
			}
			from := at / zipBlock * zipBlock
			if block, _, err = r.get(fmt.Sprintf("bytes=%d-%d", from, from+zipBlock-1)); err != nil {
				return n, err
			}
			if len(block) == 0 {
				return n, io.ErrUnexpectedEOF
			}
			r.blocks[at/zipBlock] = block
		}
		copied := copy(p[n:], block[min(at%zipBlock, int64(len(block))):])
		if copied == 0 {
			return n, io.ErrUnexpectedEOF
		}
		n += copied
	}
	return n, nil
}
