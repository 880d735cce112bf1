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

// What is read of zips: at most so many bytes of each, in blocks, and of a file that much.
const (
	maxZip   = 2 << 20
	zipBlock = 64 << 10
	maxFile  = 512 << 10
	zipWait  = 8 * time.Second
)

// code reads what the zip of a function has, and where it lacks the program, what its layers have.
func (g *gatherer) code(f *doctor.Function) {
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
	wanted, name := programOf(c.Runtime, c.Handler)
	if slices.ContainsFunc(c.Variables, func(v doctor.Variable) bool {
		return v.Name == "PYTHONPATH" || v.Name == "NODE_PATH"
	}) {
		wanted = nil // it may lie anywhere
	}
	code := doctor.Code{}
	files, err := openZip(ctx, location)
	if err == nil {
		code = doctor.Code{Files: topOf(files), Alike: alike(files, wanted)}
		if wanted != nil {
			code.Wanted = wanted[0]
		}
		code.Program, err = program(files, wanted, name)
	}
	for _, layer := range slices.Backward(c.Layers) { // a later one is over an earlier one
		if err != nil || code.Program != nil || wanted == nil {
			break
		}
		code.Program, err = g.layer(ctx, layer, inLayer(c.Runtime, wanted), name)
	}
	if err != nil {
		f.Code.Error = failure(err)
		return
	}
	f.Code.Value = &code
}

// layer looks for a program in a layer.
func (g *gatherer) layer(ctx context.Context, arn string, wanted []string, name string) (*doctor.Program, error) {
	at := strings.LastIndex(arn, ":")
	version, err := strconv.ParseInt(arn[at+1:], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is not the ARN of a layer", arn)
	}
	layer := arn[:at]
	if parts := strings.Split(layer, ":"); len(parts) == 7 && parts[4] == g.c.Caller.Or().Account {
		layer = parts[6]
	}
	location := fact(g, &lambda.GetLayerVersionInput{LayerName: &layer, VersionNumber: &version}, arn,
		func(answer any) (string, error) {
			text, _ := cloud.Search("Content.Location", answer).(string)
			return text, nil
		})
	if location.Error != nil {
		return nil, fmt.Errorf("%s: %w", arn, unread{location.Error})
	}
	files, err := openZip(ctx, location.Or())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", arn, err)
	}
	p, err := program(files, wanted, name)
	if p != nil {
		p.Layer = arn
	}
	return p, err
}

// unread is the failure of a call within another fact.
type unread struct{ *doctor.Failure }

func (u unread) Error() string { return strings.TrimSpace(u.Code + " " + u.Message) }

// programOf tells which files may be what a runtime starts or loads, by the handler, and the function in it. It returns
// none for a runtime whose handler names no file ("Lambda programming model").
func programOf(runtime, handler string) (files []string, function string) {
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
		// The module ends at the first dot after the last slash; the rest may be a path in what it exports.
		folder, base := path.Split(handler)
		base, name, _ = strings.Cut(base, ".")
		name = name[strings.LastIndex(name, ".")+1:]
		module = path.Clean(folder + base)
		return []string{module + ".js", module + ".mjs", module + ".cjs", module, module + "/index.js",
			module + "/package.json"}, name
	case strings.HasPrefix(runtime, "ruby"):
		module, _, _ = strings.Cut(handler, ".") // source.Class.method, where the class may have colons
		return []string{module + ".rb"}, name
	}
	return nil, ""
}

// inLayer are the paths in a layer at which a runtime looks for files of the code ("Packaging your layer content").
func inLayer(runtime string, wanted []string) (all []string) {
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

// topOf are the names at the top of a zip.
func topOf(files *zip.Reader) (all []string) {
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

// alike are files of a zip that have the name of one that is wanted, in another folder or in other letters.
func alike(files *zip.Reader, wanted []string) (all []string) {
	const most = 3
	for _, f := range files.File {
		name := strings.TrimPrefix(f.Name, "./")
		vendored := strings.Contains(name, "node_modules/") || strings.Contains(name, "site-packages/")
		for _, one := range wanted {
			if one != wanted[0] && (strings.HasSuffix(one, "/index.js") || strings.HasSuffix(one, "/package.json")) {
				continue // of a package
			}
			if strings.EqualFold(path.Base(name), path.Base(one)) && path.Base(one) != "__init__.py" && !vendored &&
				name != one && len(all) < most && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// program looks at the first of some files that a zip has; nil for none.
func program(files *zip.Reader, wanted []string, function string) (*doctor.Program, error) {
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
		content, err := begin(f)
		if err != nil {
			return nil, err
		}
		p := &doctor.Program{Name: name, Executable: f.Mode()&0o111 != 0, Function: function}
		switch whole := uint64(len(content)) == f.UncompressedSize64; {
		case bytes.HasPrefix(content, []byte(elf.ELFMAG)):
			header(p, content)
		case bytes.HasPrefix(content, []byte("#!")):
			line, _, _ := bytes.Cut(content[2:min(len(content), 256)], []byte("\n"))
			p.Interpreter = strings.TrimLeft(string(line), " ")
		case whole && utf8Text(content):
			source(p, files, string(content))
		}
		return p, nil
	}
	return nil, nil
}

func utf8Text(content []byte) bool { return !bytes.ContainsRune(content, 0) }

// begin reads the beginning of a file.
func begin(f *zip.File) ([]byte, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	return io.ReadAll(io.LimitReader(in, maxFile))
}

// glibc is a version of the GNU C library that a program asks for. Linkers put these names at its beginning.
var glibc = regexp.MustCompile(`GLIBC_2\.([0-9]+)`)

// header reads the beginning of an ELF file.
func header(p *doctor.Program, content []byte) {
	if len(content) < 64 {
		return
	}
	order := map[byte]func([]byte) uint64{1: little, 2: big}[content[elf.EI_DATA]]
	if order == nil {
		order = little
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

func little(b []byte) (n uint64) {
	for i := range b {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}

func big(b []byte) (n uint64) {
	for _, one := range b {
		n = n<<8 | uint64(one)
	}
	return n
}

var (
	// dynamic is how code may define names that it does not spell.
	dynamic = regexp.MustCompile(
		`import \*|\.\.\.|exports\[|globals\(|setattr|exec\(|export \*|__exportStar|Object\.assign\((module\.)?` +
			`exports|module\.exports\s*=\s*(require|await|[A-Za-z_$][\w$.]*\s*;?\s*$)|define_method`,
	)
	imports  = regexp.MustCompile(`(?m)^\s*(import\s+[\w{*'"]|export\s+(const|async|function|default|let|\{))`)
	requires = regexp.MustCompile(
		`(?m)^\s*(const|let|var)\s+[\w${},\s]+=\s*require\(|^\s*(module\.)?exports\b[\w.]*\s*=`,
	)
	creates  = regexp.MustCompile(`createRequire|import\s+\w+\s+from\s+['"]node:module`)
	isModule = regexp.MustCompile(`"type"\s*:\s*"module"`)
)

// source looks at the source of a handler: whether it names the function, and whether its modules are of one kind.
func source(p *doctor.Program, files *zip.Reader, text string) {
	for _, word := range doctor.Words {
		if strings.Contains(text, word) {
			p.Mentions = append(p.Mentions, word)
		}
	}
	if p.Function == "" || strings.HasSuffix(p.Name, ".json") {
		return
	}
	name := regexp.QuoteMeta(p.Function)
	p.Lacks = !regexp.MustCompile(`(^|[^\w$])`+name+`($|[^\w$])`).MatchString(text) && !dynamic.MatchString(text)
	extension := path.Ext(p.Name)
	if extension != ".js" && extension != ".mjs" && extension != ".cjs" {
		return
	}
	module := extension == ".mjs" || extension == ".js" && ofModule(files, p.Name)
	switch {
	case !module && imports.MatchString(text) && !requires.MatchString(text):
		p.Mixed = "import"
	case module && requires.MatchString(text) && !imports.MatchString(text) && !creates.MatchString(text):
		p.Mixed = "require"
	}
	p.Callback = regexp.MustCompile(`exports\.` + name +
		`\s*=\s*(function\s*\w*)?\s*\(\s*\w+\s*,\s*\w+\s*,\s*\w+\s*\)`).
		MatchString(text)
}

// ofModule reports whether the package.json that a file belongs to makes it an ES module.
func ofModule(files *zip.Reader, name string) bool {
	for folder := path.Dir(name); ; folder = path.Dir(folder) {
		for _, f := range files.File {
			if path.Clean(f.Name) == path.Join(folder, "package.json") {
				content, err := begin(f)
				return err == nil && isModule.Match(content)
			}
		}
		if folder == "." || folder == "/" {
			return false
		}
	}
}

// openZip opens a zip at a URL, of which it reads the parts that are asked for.
func openZip(ctx context.Context, location string) (*zip.Reader, error) {
	r := &remote{ctx: ctx, url: location, blocks: map[int64][]byte{}}
	if err := r.measure(); err != nil {
		return nil, err
	}
	return zip.NewReader(r, r.size)
}

// remote is a file at a URL that is read by ranges (RFC 9110, section 14).
type remote struct {
	ctx    context.Context
	url    string
	size   int64
	read   int64
	blocks map[int64][]byte
}

// measure reads the last block, and with it the size.
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

// errCode is why a zip is not read. The URL is not told: it is presigned.
var errCode = errors.New("the zip could not be fetched")

func (r *remote) get(ranges string) (content []byte, size int64, err error) {
	request, err := http.NewRequestWithContext(r.ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return nil, 0, errCode
	}
	request.Header.Set("Range", ranges)
	answer, err := http.DefaultClient.Do(request) // #nosec G704 -- where Lambda says
	if err != nil {
		return nil, 0, errCode
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		return nil, 0, fmt.Errorf("%w: %s", errCode, answer.Status)
	}
	content, err = io.ReadAll(io.LimitReader(answer.Body, maxZip))
	r.read += int64(len(content))
	size = int64(len(content))
	if _, total, ok := strings.Cut(answer.Header.Get("Content-Range"), "/"); ok {
		if size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, 0, errCode
		}
	}
	return content, size, err
}

// ReadAt reads blocks that were not read yet.
func (r *remote) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := off + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		block := r.blocks[at/zipBlock]
		if block == nil {
			if r.read > maxZip {
				return n, fmt.Errorf("%w: it takes more than %d bytes of it", errCode, maxZip)
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
