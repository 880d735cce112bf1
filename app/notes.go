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
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"example.com/portable-notes/notes"
)

const (
	headerETag           = "ETag"
	headerLink           = "Link"
	headerIdempotencyKey = "Idempotency-Key"
	headerReplayed       = "Idempotency-Replayed"

	mediaJSON  = "application/json"
	mediaPatch = "application/merge-patch+json" // RFC 7396
)

type handlers struct {
	service *notes.Service
	timeout time.Duration
}

// storeContext returns the context for the store calls of a request.
func (h handlers) storeContext(c echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request().Context(), h.timeout)
}

func (h handlers) create(c echo.Context) error {
	key, err := idempotencyKey(c.Request())
	if err != nil {
		return err
	}
	var draft notes.Draft
	decode := func(body []byte) (err error) { draft, err = decodeDraft(body); return err }
	if err := readJSON(c, decode, mediaJSON); err != nil {
		return err
	}
	ctx, cancel := h.storeContext(c)
	defer cancel()
	if err := reservationOf(c).resize(ctx, encodedSize(draft.Patch().Apply(notes.Note{}))); err != nil {
		return err
	}
	note, replayed, err := h.service.Create(ctx, callerOf(c).Owner, draft, key)
	if err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set("Location", Base(ctx)+"/notes/"+note.ID.String())
	if replayed {
		header.Set(headerReplayed, "true")
	}
	return respondNote(c, http.StatusCreated, note)
}

func (h handlers) get(c echo.Context) error {
	pre, err := preconditionsOf(c.Request())
	if err != nil {
		return err
	}
	if err := skipBody(c); err != nil {
		return err
	}
	id, ok := notes.ParseID(c.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.storeContext(c)
	defer cancel()
	note, err := h.note(ctx, reservationOf(c), callerOf(c).Owner, id)
	if err != nil {
		return err
	}
	current, err := pre.read(note)
	if err != nil {
		return err
	}
	if current {
		c.Response().Header().Set(headerETag, etag(note))
		return c.NoContent(http.StatusNotModified)
	}
	return respondNote(c, http.StatusOK, note)
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

func (h handlers) replace(c echo.Context) error {
	return h.change(c, decodeReplacement, mediaJSON)
}

func (h handlers) patch(c echo.Context) error {
	err := h.change(c, decodePatch, mediaPatch, mediaJSON)
	var p *problem
	if errors.As(err, &p) && p.Status == http.StatusUnsupportedMediaType {
		c.Response().Header().Set("Accept-Patch", mediaPatch+", "+mediaJSON) // RFC 5789, section 2.2
	}
	return err
}

func (h handlers) change(
	c echo.Context, decode func(body []byte, id string) (change, error), mediaTypes ...string,
) error {
	pre, err := preconditionsOf(c.Request())
	if err != nil {
		return err
	}
	var requested change
	decodeBody := func(body []byte) (err error) { requested, err = decode(body, c.Param("id")); return err }
	if err := readJSON(c, decodeBody, mediaTypes...); err != nil {
		return err
	}
	id, ok := notes.ParseID(c.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.storeContext(c)
	defer cancel()
	reserved, owner := reservationOf(c), callerOf(c).Owner
	if err := h.reserve(ctx, reserved, owner, id, requested.Patch); err != nil {
		return err
	}
	note, err := h.service.Change(ctx, owner, id, requested.Patch, pre.condition(requested.version))
	if err != nil {
		return err
	}
	// Only if another change has made the note larger in the meantime does this have to wait.
	if err := reserved.resize(ctx, encodedSize(note)); err != nil {
		why := cmp.Or(context.Cause(c.Request().Context()), context.DeadlineExceeded)
		return fmt.Errorf("%w: the note was changed, but there is no memory for the response: %w",
			notes.ErrUnavailable, why)
	}
	return respondNote(c, http.StatusOK, note)
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

func (h handlers) remove(c echo.Context) error {
	pre, err := preconditionsOf(c.Request())
	if err != nil {
		return err
	}
	if err := skipBody(c); err != nil {
		return err
	}
	id, ok := notes.ParseID(c.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.storeContext(c)
	defer cancel()
	if err := h.service.Delete(ctx, callerOf(c).Owner, id, pre.condition(0)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (h handlers) list(c echo.Context) error {
	params, query, err := listParameters(c.Request(), callerOf(c).Owner)
	if err != nil {
		return err
	}
	ctx, cancel := h.storeContext(c)
	defer cancel()
	page, size, err := h.page(ctx, reservationOf(c), callerOf(c).Owner, query)
	if err != nil {
		return err
	}
	if err := skipBody(c); err != nil { // last, so that mistakes in the query are reported first
		return err
	}
	if page.Next != "" {
		params.Set("cursor", page.Next)
		c.Response().Header().Set(headerLink, "<"+Base(ctx)+"/notes?"+params.Encode()+`>; rel="next"`) // RFC 8288
	}
	return sendJSON(c, http.StatusOK, size, func(b []byte) []byte { return appendPage(b, page) })
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

var decimal = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)

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
		case name == "limit" && !decimal.MatchString(params.Get(name)):
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

// idleBodies keeps buffers of at most keptBody bytes for reuse, so that they need no garbage collection.
var idleBodies = sync.Pool{New: func() any { return new([]byte) }}

const keptBody = 16 << 10

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
