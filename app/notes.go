package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"example.com/portable-notes/notes"
)

const (
	headerETag           = "Etag" // the canonical form, which net/http need not convert
	headerLink           = "Link"
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"

	mediaJSON  = "application/json"
	mediaPatch = "application/merge-patch+json" // RFC 7396
)

type handlers struct {
	service       *notes.Service
	timeout       time.Duration
	budget        *budget // nil if memory is not bounded
	authenticates bool    // callers are authenticated
}

// handle returns a handler that sets the owner of the request, gives the request a reservation, and calls do. The
// reservation is released when do returns. It counts against the share of the caller, or of the client's network where
// callers are not authenticated.
func (h handlers) handle(do func(*request) error) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.(*request)
		var caller string
		switch {
		case !h.authenticates:
			r.owner, caller = LocalOwner, network(r.RealIP())
		case r.owner == "":
			return errors.New("the caller was not identified")
		default:
			caller = r.owner
		}
		if h.budget != nil {
			r.reserved = h.budget.reservation(caller)
			defer r.reserved.release()
		}
		return do(r)
	}
}

// storeContext returns the context for the store calls of a request.
func (h handlers) storeContext(c echo.Context) (context.Context, func()) {
	return withLazyTimeout(c.Request().Context(), h.timeout)
}

func (h handlers) create(r *request) error {
	key, err := idempotencyKey(r.Request())
	if err != nil {
		return err
	}
	var draft notes.Draft
	decode := func(body []byte) (err error) { draft, err = decodeDraft(body); return err }
	if err := readJSON(r, decode, mediaJSON); err != nil {
		return err
	}
	ctx, cancel := h.storeContext(r)
	defer cancel()
	if err := r.reserved.resize(ctx, encodedSize(draft.Patch().Apply(notes.Note{}))); err != nil {
		return err
	}
	note, replayed, err := h.service.Create(ctx, r.owner, draft, key)
	if err != nil {
		return err
	}
	header := r.Response().Header()
	header.Set("Location", Base(ctx)+"/notes/"+note.ID.String())
	if replayed {
		header.Set(headerReplayed, "true")
	}
	return respondNote(r, http.StatusCreated, note)
}

func (h handlers) get(r *request) error {
	pre, err := preconditionsOf(r.Request())
	if err != nil {
		return err
	}
	if err := skipBody(r); err != nil {
		return err
	}
	id, ok := notes.ParseID(r.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.storeContext(r)
	defer cancel()
	note, err := h.note(ctx, r.reserved, r.owner, id)
	if err != nil {
		return err
	}
	current, err := pre.read(note)
	if err != nil {
		return err
	}
	if current {
		r.Response().Header().Set(headerETag, etag(note))
		return r.NoContent(http.StatusNotModified)
	}
	return respondNote(r, http.StatusOK, note)
}

// note reads a note and reserves memory for the response. If it has to wait for the memory, it reads the note again
// afterwards, because a note that waits in memory would not be counted.
func (h handlers) note(ctx context.Context, reserved *reservation, owner string, id notes.ID) (notes.Note, error) {
	for {
		note, err := h.service.Get(ctx, owner, id)
		if err != nil {
			return notes.Note{}, err
		}
		size := encodedSize(note)
		if reserved.tryGrow(size) {
			return note, nil
		}
		note = notes.Note{}
		if err := reserved.resize(ctx, size); err != nil {
			return note, err
		}
	}
}

func (h handlers) replace(r *request) error {
	return h.change(r, decodeReplacement, mediaJSON)
}

func (h handlers) patch(r *request) error {
	err := h.change(r, decodePatch, mediaPatch, mediaJSON)
	var p *problem
	if errors.As(err, &p) && p.Status == http.StatusUnsupportedMediaType {
		r.Response().Header().Set("Accept-Patch", mediaPatch+", "+mediaJSON) // RFC 5789, section 2.2
	}
	return err
}

func (h handlers) change(
	r *request, decode func(body []byte, id string) (change, error), mediaTypes ...string,
) error {
	pre, err := preconditionsOf(r.Request())
	if err != nil {
		return err
	}
	var requested change
	decodeBody := func(body []byte) (err error) { requested, err = decode(body, r.Param("id")); return err }
	if err := readJSON(r, decodeBody, mediaTypes...); err != nil {
		return err
	}
	id, ok := notes.ParseID(r.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.storeContext(r)
	defer cancel()
	reserved, owner := r.reserved, r.owner
	if err := h.reserve(ctx, reserved, owner, id, requested.Patch); err != nil {
		return err
	}
	note, err := h.service.Change(ctx, owner, id, requested.Patch, pre.condition(requested.version))
	if err != nil {
		return err
	}
	// Only if another change has made the note larger in the meantime does this have to wait.
	if err := reserved.resize(ctx, encodedSize(note)); err != nil {
		why := cmp.Or(context.Cause(r.Request().Context()), context.DeadlineExceeded)
		return fmt.Errorf("%w: the note was changed, but there is no memory for the response: %w",
			notes.ErrUnavailable, why)
	}
	return respondNote(r, http.StatusOK, note)
}

// reserve reserves memory for the response to a change before the change is made. It assumes the largest value for each
// field that the patch does not set. If there is not enough memory for that, it reads the note to learn its size.
func (h handlers) reserve(
	ctx context.Context, reserved *reservation, owner string, id notes.ID, patch notes.Patch,
) error {
	const longest = 6 // bytes of a character in JSON: \u0000
	most := encodedSize(patch.Apply(notes.Note{}))
	if patch.Title == nil {
		most += longest * notes.MaxTitle
	}
	if patch.Content == nil {
		most += longest * notes.MaxContent
	}
	if patch.Tags == nil {
		most += notes.MaxTags * (longest*notes.MaxTag + len(`"",`))
	}
	if reserved.tryGrow(most) {
		return nil
	}
	note, err := h.service.Get(ctx, owner, id)
	if err != nil {
		return err
	}
	size := encodedSize(patch.Apply(note))
	note = notes.Note{} // a note that waits in memory would not be counted
	return reserved.resize(ctx, size)
}

func (h handlers) remove(r *request) error {
	pre, err := preconditionsOf(r.Request())
	if err != nil {
		return err
	}
	if err := skipBody(r); err != nil {
		return err
	}
	id, ok := notes.ParseID(r.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.storeContext(r)
	defer cancel()
	if err := h.service.Delete(ctx, r.owner, id, pre.condition(0)); err != nil {
		return err
	}
	return r.NoContent(http.StatusNoContent)
}

func (h handlers) list(r *request) error {
	params, query, err := listParameters(r.Request(), r.owner)
	if err != nil {
		return err
	}
	ctx, cancel := h.storeContext(r)
	defer cancel()
	page, size, err := h.page(ctx, r.reserved, r.owner, query)
	if err != nil {
		return err
	}
	if err := skipBody(r); err != nil { // last, so that mistakes in the query are reported first
		return err
	}
	if page.Next != "" {
		params.Set("cursor", page.Next)
		r.Response().Header().Set(headerLink, "<"+Base(ctx)+"/notes?"+params.Encode()+`>; rel="next"`) // RFC 8288
	}
	return sendJSON(r, http.StatusOK, size, func(b []byte) []byte { return appendPage(b, page) })
}

// page reads a page, reserves memory for the response, and returns the largest size of the response. If the response
// needs more than was reserved, page releases everything, waits for the whole size, and reads the page again: requests
// that wait for more memory while they hold some could deadlock.
func (h handlers) page(
	ctx context.Context, reserved *reservation, owner string, query notes.Query,
) (notes.Page, int, error) {
	for size := pageReserve; ; {
		if err := reserved.resize(ctx, size); err != nil {
			return notes.Page{}, 0, err
		}
		page, err := h.service.List(ctx, owner, query)
		if err != nil {
			return notes.Page{}, 0, err
		}
		needed := encodedPageSize(page)
		if needed <= size || reserved.tryGrow(needed) {
			return page, needed, reserved.resize(ctx, needed)
		}
		size = needed
		_ = reserved.resize(ctx, 0) // shrinking never fails
	}
}

// isCount reports whether s is a positive decimal number of at most 9 digits, without a sign or leading zeros.
func isCount(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && len(s) <= 9 && strconv.Itoa(n) == s
}

// listParameters parses the query of a listing. The error names all mistakes.
func listParameters(r *http.Request, owner string) (url.Values, notes.Query, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, notes.Query{}, invalidQuery(notes.Mistakes{
			{Detail: "the query is malformed: check the percent-encoding, and separate parameters with &"}})
	}
	known := []string{"limit", "cursor", "tag", "q"}
	var mistakes notes.Mistakes
	names := make([]string, 0, len(params))
	for name := range params {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case !slices.Contains(known, name):
			mistakes.Add(name, "is not a parameter; the nearest is %q", nearest(name, known))
		case len(params[name]) > 1 && name != "tag":
			mistakes.Add(name, "must be given once, is given %d times", len(params[name]))
		case name == "limit" && !isCount(params.Get(name)):
			mistakes.Add(name, "must be a whole number from 1 to %d", notes.MaxLimit)
		case name == "q" && params.Get(name) == "":
			mistakes.Add(name, "must have 1 to %d characters, has 0", notes.MaxSearch)
		}
	}
	query := notes.Query{Tags: params["tag"], Search: params.Get("q"), Cursor: params.Get("cursor")}
	query.Limit, _ = strconv.Atoi(params.Get("limit"))
	shape := slices.Clone(mistakes)
	for _, m := range query.Validate() {
		if !slices.ContainsFunc(shape, func(named notes.Mistake) bool { return named.Field == m.Field }) {
			mistakes.Add(m.Field, "%s", m.Detail)
		}
	}
	if len(mistakes) > 0 {
		// A wrong filter has no cursor, so one that is given cannot be judged.
		filter := slices.ContainsFunc(
			mistakes,
			func(m notes.Mistake) bool { return m.Field == "tag" || m.Field == "q" },
		)
		if params.Has("cursor") && !filter && !query.HasCursorOf(owner) {
			mistakes.Add("cursor", "%s", notACursor)
		}
		return nil, notes.Query{}, invalidQuery(mistakes)
	}
	if params.Has("cursor") && query.Cursor == "" {
		return nil, notes.Query{}, notes.ErrInvalidCursor
	}
	return params, query, nil
}

// idempotencyKey returns the idempotency key of a request, or "".
func idempotencyKey(r *http.Request) (string, error) {
	if _, present := r.Header[headerIdempotencyKey]; !present {
		return "", nil
	}
	key := r.Header.Get(headerIdempotencyKey)
	if !isVisible(key, 255) {
		return "", invalidHeader(headerIdempotencyKey, "must be 1 to 255 visible ASCII characters")
	}
	return key, nil
}

// respondNote sends a note. The caller has reserved memory for it.
func respondNote(c echo.Context, status int, note notes.Note) error {
	c.Response().Header().Set(headerETag, etag(note))
	return sendJSON(c, status, encodedSize(note), func(b []byte) []byte { return append(appendNote(b, note), '\n') })
}

// idleBodies keeps buffers for reuse, so that small responses leave no garbage.
var idleBodies = sync.Pool{New: func() any { return new([]byte) }}

const keptBody = 16 << 10 // bytes of the largest response whose buffer is kept

// sendJSON sends JSON of at most size bytes, which encode appends to a buffer.
func sendJSON(c echo.Context, status, size int, encode func([]byte) []byte) error {
	if size > keptBody {
		return Send(c, status, mediaJSON, encode(make([]byte, 0, size)))
	}
	body := idleBodies.Get().(*[]byte)
	defer idleBodies.Put(body)
	*body = encode(slices.Grow((*body)[:0], size))
	return Send(c, status, mediaJSON, *body)
}

// JSON sends a value as JSON, for an adapter's own routes.
func JSON(c echo.Context, status int, value any) error { return respond(c, status, mediaJSON, value) }

// respond sends a value as JSON of the given media type.
func respond(c echo.Context, status int, mediaType string, value any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return Send(c, status, mediaType, body.Bytes())
}

// Send sends a response, without the body for HEAD.
func Send(c echo.Context, status int, mediaType string, body []byte) error {
	header := c.Response().Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	c.Response().WriteHeader(status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	_, err := c.Response().Write(body)
	return err
}
