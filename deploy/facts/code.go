package facts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/code"
	"example.com/portable-notes/deploy/doctor"
)

// The limits of reading zips.
const (
	maxZip   = 2 << 20         // bytes fetched of one zip
	zipBlock = 64 << 10        // bytes fetched at a time
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
	describe := func(files fs.FS) (doctor.Code, error) { return code.Describe(files, c.Runtime, c.Handler) }
	if slices.ContainsFunc(c.Variables, func(v doctor.Variable) bool {
		return v.Name == "PYTHONPATH" || v.Name == "NODE_PATH"
	}) {
		describe = code.Top // these variables may put the file anywhere
	}
	described := doctor.Code{}
	files, err := openZip(ctx, location)
	if err == nil {
		described, err = describe(files)
	}
	for _, layer := range slices.Backward(c.Layers) { // later layers overwrite earlier ones
		if err != nil || described.Program != nil || described.Wanted == "" {
			break
		}
		described.Program, err = g.findInLayer(ctx, layer, c)
	}
	if err != nil {
		f.Code.Error = failureOf(err)
		return
	}
	f.Code.Value = &described
}

// findInLayer looks for the program of a function in a layer.
func (g *gatherer) findInLayer(ctx context.Context, arn string, c *doctor.Configuration) (*doctor.Program, error) {
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
	p, err := code.DescribeLayer(files, c.Runtime, c.Handler)
	if p != nil {
		p.Layer = arn
	}
	return p, err
}

// readError makes an error of the failure of a call.
type readError struct{ *doctor.Failure }

func (u readError) Error() string { return strings.TrimSpace(u.Code + " " + u.Message) }

// openZip opens the zip at a URL. It fetches only the parts that are read.
func openZip(ctx context.Context, location string) (fs.FS, error) {
	r := &remote{ctx: ctx, url: location, blocks: map[int64][]byte{}}
	if err := r.measure(); err != nil {
		return nil, err
	}
	return code.Zip(r, r.size)
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
