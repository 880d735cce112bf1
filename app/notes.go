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

// deadline is the context of the calls that one request makes.
func (h handlers) deadline(c echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request().Context(), h.timeout)
}

func (h handlers) create(c echo.Context) error {
	key, err := idempotencyKey(c.Request())
	if err != nil {
		return err
	}
	var draft notes.Draft
	take := func(body []byte) (err error) { draft, err = decodeDraft(body); return err }
	if err := readJSON(c, take, mediaJSON); err != nil {
		return err
	}
	ctx, cancel := h.deadline(c)
	defer cancel()
	if err := holdOf(c).resize(ctx, encodedSize(draft.Patch().Apply(notes.Note{}))); err != nil {
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
	ctx, cancel := h.deadline(c)
	defer cancel()
	note, err := h.note(ctx, holdOf(c), callerOf(c).Owner, id)
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

// note reads a note when there is room for its answer. Where there is none, it is read again later: a note that waited
// in memory would not be counted.
func (h handlers) note(ctx context.Context, hold *hold, owner string, id notes.ID) (notes.Note, error) {
	for {
		note, err := h.service.Get(ctx, owner, id)
		if err != nil {
			return notes.Note{}, err
		}
		size := encodedSize(note)
		if hold.grow(size) {
			return note, nil
		}
		note = notes.Note{}
		if err := hold.resize(ctx, size); err != nil {
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
	var asked change
	take := func(body []byte) (err error) { asked, err = decode(body, c.Param("id")); return err }
	if err := readJSON(c, take, mediaTypes...); err != nil {
		return err
	}
	id, ok := notes.ParseID(c.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.deadline(c)
	defer cancel()
	hold, owner := holdOf(c), callerOf(c).Owner
	if err := h.reserve(ctx, hold, owner, id, asked.Patch); err != nil {
		return err
	}
	note, err := h.service.Change(ctx, owner, id, asked.Patch, pre.condition(asked.version))
	if err != nil {
		return err
	}
	if err := hold.resize(ctx, encodedSize(note)); err != nil { // another change has made the note larger meanwhile
		why := cmp.Or(context.Cause(c.Request().Context()), context.DeadlineExceeded)
		return fmt.Errorf("%w: the note was changed, but there is no room for the answer: %w",
			notes.ErrUnavailable, why)
	}
	return respondNote(c, http.StatusOK, note)
}

// reserve makes room for the answer to a change before the change is made. What a patch leaves as it is counts as the
// most that it can be; where there is no room for that, the note is read to learn its size.
func (h handlers) reserve(ctx context.Context, hold *hold, owner string, id notes.ID, patch notes.Patch) error {
	const longest = 6 // bytes of a character in JSON
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
	if hold.grow(most) {
		return nil
	}
	note, err := h.service.Get(ctx, owner, id)
	if err != nil {
		return err
	}
	size := encodedSize(patch.Apply(note))
	note = notes.Note{} // it must not wait in memory
	return hold.resize(ctx, size)
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
	ctx, cancel := h.deadline(c)
	defer cancel()
	if err := h.service.Delete(ctx, callerOf(c).Owner, id, pre.condition(0)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (h handlers) list(c echo.Context) error {
	params, query, err := listParameters(c.Request())
	if err != nil {
		return err
	}
	ctx, cancel := h.deadline(c)
	defer cancel()
	page, size, err := h.page(ctx, holdOf(c), callerOf(c).Owner, query)
	if err != nil {
		return err
	}
	if err := skipBody(c); err != nil { // after the cursor, which is a part of the query
		return err
	}
	if page.Next != "" {
		params.Set("cursor", page.Next)
		c.Response().Header().Set(headerLink, "<"+Base(ctx)+"/notes?"+params.Encode()+`>; rel="next"`) // RFC 8288
	}
	return Send(c, http.StatusOK, mediaJSON, appendPage(make([]byte, 0, size), page))
}

// page reads a page when there is room for its answer, and returns the most bytes that the answer may have. Where the
// answer is larger than was thought, the page is read again when there is room for all of it: requests that waited for
// more while they hold some could wait for each other.
func (h handlers) page(ctx context.Context, hold *hold, owner string, query notes.Query) (notes.Page, int, error) {
	for size := listRoom; ; {
		if err := hold.resize(ctx, size); err != nil {
			return notes.Page{}, 0, err
		}
		page, err := h.service.List(ctx, owner, query)
		if err != nil {
			return notes.Page{}, 0, err
		}
		needed := encodedPageSize(page)
		if needed <= size || hold.grow(needed) {
			return page, needed, hold.resize(ctx, needed)
		}
		size = needed
		_ = hold.resize(ctx, 0) // which only gives back
	}
}

var decimal = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)

// listParameters reads the query of a listing and names all that is wrong with it.
func listParameters(r *http.Request) (url.Values, notes.Query, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, notes.Query{}, invalidQuery(notes.Mistakes{
			{Detail: "the query is not well-formed: check its percent signs, and use & between parameters"}})
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
			mistakes.Add(name, "is no parameter; the nearest is %q", nearest(name, known))
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
		return nil, notes.Query{}, invalidQuery(mistakes)
	}
	if params.Has("cursor") && query.Cursor == "" {
		return nil, notes.Query{}, notes.ErrInvalidCursor
	}
	return params, query, nil
}

// idempotencyKey is the key of a create, "" for none.
func idempotencyKey(r *http.Request) (string, error) {
	if _, present := r.Header[headerIdempotencyKey]; !present {
		return "", nil
	}
	key := r.Header.Get(headerIdempotencyKey)
	if !visible(key, 255) {
		return "", invalidHeader(headerIdempotencyKey, "must be 1 to 255 visible ASCII characters")
	}
	return key, nil
}

// respondNote answers with a note, for which there is room.
func respondNote(c echo.Context, status int, note notes.Note) error {
	c.Response().Header().Set(headerETag, etag(note))
	body := appendNote(make([]byte, 0, encodedSize(note)), note)
	return Send(c, status, mediaJSON, append(body, '\n'))
}

// JSON answers with a value, for an adapter's own routes.
func JSON(c echo.Context, status int, value any) error { return respond(c, status, mediaJSON, value) }

// respond answers with a value as JSON.
func respond(c echo.Context, status int, mediaType string, value any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return Send(c, status, mediaType, body.Bytes())
}

// Send sends an answer, for HEAD only its headers.
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
