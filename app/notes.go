package app

import (
	"bytes"
	"context"
	"encoding/json"
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

// noteJSON is a note on the wire.
type noteJSON struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	Content   string   `json:"content"`
	Tags      []string `json:"tags"`
	CreatedAt string   `json:"created_at"`
	UpdatedAt string   `json:"updated_at"`
	Version   int64    `json:"version"`
}

func toJSON(n notes.Note) noteJSON {
	const microseconds = "2006-01-02T15:04:05.000000Z" // RFC 3339
	return noteJSON{
		ID:        n.ID.String(),
		Title:     n.Title,
		Content:   n.Content,
		Tags:      append([]string{}, n.Tags...),
		CreatedAt: n.CreatedAt.UTC().Format(microseconds),
		UpdatedAt: n.UpdatedAt.UTC().Format(microseconds),
		Version:   n.Version,
	}
}

type pageJSON struct {
	Notes      []noteJSON `json:"notes"`
	NextCursor string     `json:"next_cursor,omitempty"`
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
	draft, err := draftOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := h.deadline(c)
	defer cancel()
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
	if _, err := readBody(c); err != nil {
		return err
	}
	id, ok := notes.ParseID(c.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.deadline(c)
	defer cancel()
	note, err := h.service.Get(ctx, callerOf(c).Owner, id)
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

func (h handlers) replace(c echo.Context) error {
	return h.change(c, func() (notes.Patch, error) {
		draft, err := draftOf(c)
		return draft.Patch(), err
	})
}

func (h handlers) patch(c echo.Context) error {
	return h.change(c, func() (notes.Patch, error) {
		body, err := readJSON(c, mediaPatch, mediaJSON)
		if err != nil {
			c.Response().Header().Set("Accept-Patch", mediaPatch+", "+mediaJSON) // RFC 5789, section 2.2
			return notes.Patch{}, err
		}
		return decodePatch(body)
	})
}

func (h handlers) change(c echo.Context, patchOf func() (notes.Patch, error)) error {
	pre, err := preconditionsOf(c.Request())
	if err != nil {
		return err
	}
	patch, err := patchOf()
	if err != nil {
		return err
	}
	id, ok := notes.ParseID(c.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.deadline(c)
	defer cancel()
	note, err := h.service.Change(ctx, callerOf(c).Owner, id, patch, pre.condition())
	if err != nil {
		return err
	}
	return respondNote(c, http.StatusOK, note)
}

func (h handlers) remove(c echo.Context) error {
	pre, err := preconditionsOf(c.Request())
	if err != nil {
		return err
	}
	if _, err := readBody(c); err != nil {
		return err
	}
	id, ok := notes.ParseID(c.Param("id"))
	if !ok {
		return notes.ErrNotFound
	}
	ctx, cancel := h.deadline(c)
	defer cancel()
	if err := h.service.Delete(ctx, callerOf(c).Owner, id, pre.condition()); err != nil {
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
	page, err := h.service.List(ctx, callerOf(c).Owner, query)
	if err != nil {
		return err
	}
	if _, err := readBody(c); err != nil { // after the cursor, which is a part of the query
		return err
	}
	answer := pageJSON{Notes: []noteJSON{}, NextCursor: page.Next}
	for _, note := range page.Notes {
		answer.Notes = append(answer.Notes, toJSON(note))
	}
	if page.Next != "" {
		params.Set("cursor", page.Next)
		c.Response().Header().Set(headerLink, "<"+Base(ctx)+"/notes?"+params.Encode()+`>; rel="next"`) // RFC 8288
	}
	return respond(c, http.StatusOK, mediaJSON, answer)
}

var decimal = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)

// listParameters reads the query of a listing and names all that is wrong with it.
func listParameters(r *http.Request) (url.Values, notes.Query, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, notes.Query{}, invalidQuery(notes.Mistakes{{Detail: "the query is not well-formed: check its percent signs, and use & between parameters"}})
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

// draftOf reads a body that is a whole note.
func draftOf(c echo.Context) (notes.Draft, error) {
	body, err := readJSON(c, mediaJSON)
	if err != nil {
		return notes.Draft{}, err
	}
	return decodeDraft(body)
}

func respondNote(c echo.Context, status int, note notes.Note) error {
	c.Response().Header().Set(headerETag, etag(note))
	return respond(c, status, mediaJSON, toJSON(note))
}

// JSON answers with a value, for a door's own routes.
func JSON(c echo.Context, status int, value any) error { return respond(c, status, mediaJSON, value) }

// respond writes a JSON answer, or for HEAD only its headers. Text is escaped no more than JSON demands.
func respond(c echo.Context, status int, mediaType string, value any) error {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	header := c.Response().Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	c.Response().WriteHeader(status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	_, err := c.Response().Write(body.Bytes())
	return err
}
