package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"example.com/portable-notes/notes"
)

// A problem is an error response (RFC 9457). It never has the text of another package's error, which could reveal
// internals.
type problem struct {
	Type      string    `json:"type"`
	Title     string    `json:"title"`
	Status    int       `json:"status"`
	Code      string    `json:"code"`
	Detail    string    `json:"detail"`
	RequestID string    `json:"request_id"`
	Errors    []mistake `json:"errors,omitempty"`
}

// A mistake is one thing wrong with the body, a parameter or a header of a request.
type mistake struct {
	Pointer   *string `json:"pointer,omitempty"` // JSON Pointer (RFC 6901); "" is the whole body
	Parameter *string `json:"parameter,omitempty"`
	Header    string  `json:"header,omitempty"`
	Detail    string  `json:"detail"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

// The constructors of problems, one for each code.

func malformed(detail string) *problem {
	return &problem{Status: 400, Code: "malformed_request", Title: "The request is malformed", Detail: detail}
}

func invalidParameter(mistakes ...mistake) *problem {
	return &problem{Status: 400, Code: "invalid_parameter", Title: "A parameter is not valid",
		Detail: "the query or a header is not valid; errors says where", Errors: mistakes}
}

func invalidHeader(name, detail string) *problem {
	return invalidParameter(mistake{Header: name, Detail: detail})
}

func invalidNote(mistakes notes.Mistakes) *problem {
	p := &problem{Status: 422, Code: "invalid_note", Title: "The note is not valid",
		Detail: "the body is JSON, but not a valid note; errors says where"}
	for _, m := range mistakes {
		p.Errors = append(p.Errors, mistake{Pointer: &m.Field, Detail: m.Detail})
	}
	return p
}

func invalidQuery(mistakes notes.Mistakes) *problem {
	p := invalidParameter()
	for _, m := range mistakes {
		p.Errors = append(p.Errors, mistake{Parameter: &m.Field, Detail: m.Detail})
	}
	return p
}

var cursorParameter = "cursor"

const notACursor = "is not a cursor of this listing"

func notFound(detail string) *problem {
	return &problem{Status: 404, Code: "not_found", Title: "Not found", Detail: detail}
}

func tooLarge() *problem {
	return &problem{Status: 413, Code: "too_large", Title: "The body is too large",
		Detail: "a body may have at most " + strconv.Itoa(maxBody) + " bytes"}
}

// overBudget returns the problem for a request that was not carried out because it got no memory until cause ended its
// wait.
func overBudget(cause error) error {
	return fmt.Errorf("%w: %w", &problem{Status: 503, Code: "unavailable", Title: "The service is unavailable for now",
		Detail: "too many requests are in memory; nothing was changed; try again"}, cause)
}

// The problems that adapters return.

// Misdirected returns a 421 problem: the request is for another server (RFC 9110, section 15.5.20).
func Misdirected(detail string) error {
	return &problem{Status: 421, Code: "misdirected_request", Title: "The request is not for this server",
		Detail: detail}
}

// HeadersTooLarge returns a 431 problem: the request line and headers exceed limit bytes (RFC 6585, section 5).
func HeadersTooLarge(limit int) error {
	return &problem{Status: 431, Code: "headers_too_large", Title: "The headers are too large",
		Detail: fmt.Sprintf("the request line and headers may have at most %d bytes", limit)}
}

// Unauthenticated returns a 401 problem: the caller is unknown. The response must have the header WWW-Authenticate.
func Unauthenticated(detail string) error {
	return &problem{Status: 401, Code: "unauthenticated", Title: "The caller is unknown", Detail: detail}
}

// Forbidden returns a 403 problem: the request is not allowed.
func Forbidden(detail string) error {
	return &problem{Status: 403, Code: "forbidden", Title: "This is not allowed", Detail: detail}
}

// NotFound returns a 404 problem.
func NotFound(detail string) error { return notFound(detail) }

// Conflict returns a 409 problem: the request cannot run at the same time as another.
func Conflict(detail string) error {
	return &problem{Status: 409, Code: "conflict", Title: "The request conflicts with another", Detail: detail}
}

func unsupported(detail string) *problem {
	return &problem{Status: 415, Code: "unsupported_media_type", Title: "The body is not declared as JSON",
		Detail: detail}
}

// problemOf returns the problem for an error. For an unexpected one, which is a fault of the service, the problem
// reveals nothing.
func problemOf(err error) problem {
	var p *problem
	var invalid *notes.InvalidError
	var refused *notes.PreconditionError
	var routing *echo.HTTPError
	switch {
	case errors.As(err, &p):
		return *p
	case errors.Is(err, notes.ErrInvalidNote) && errors.As(err, &invalid):
		return *invalidNote(invalid.Mistakes)
	case errors.Is(err, notes.ErrInvalidQuery) && errors.As(err, &invalid):
		return *invalidQuery(invalid.Mistakes)
	case errors.Is(err, notes.ErrInvalidCursor):
		return problem{Status: 400, Code: "invalid_cursor", Title: "The cursor is not valid",
			Detail: "the cursor does not belong to this listing: send next_cursor unchanged, with the same q and tag",
			Errors: []mistake{{Parameter: &cursorParameter, Detail: notACursor}}}
	case errors.Is(err, notes.ErrNotFound):
		return *notFound("there is no such note")
	case errors.As(err, &refused):
		return problem{Status: 412, Code: "precondition_failed", Title: "The precondition does not hold",
			Detail: "the note has changed, or the condition excludes it; it is now at version " +
				strconv.FormatInt(refused.Current.Version, 10)}
	case errors.Is(err, notes.ErrKeyReused):
		return problem{Status: 422, Code: "idempotency_key_reused",
			Title:  "The idempotency key was used for another note",
			Detail: "a retry must send the same note; a new note needs a new key",
			Errors: []mistake{{Header: headerIdempotencyKey,
				Detail: "was used for another note within the last 24 hours"}}}
	case errors.Is(err, ErrCannotVerify):
		return problem{Status: 503, Code: "unavailable", Title: "The service is unavailable for now",
			Detail: "tokens cannot be verified for now; nothing was changed; try again"}
	case errors.Is(err, notes.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return problem{Status: 503, Code: "unavailable", Title: "The service is unavailable for now",
			Detail: "the notes cannot be read or written for now; a change may or may not have been made; try again"}
	case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
		return *notFound("there is nothing at this path")
	case errors.As(err, &routing) && routing.Code == http.StatusMethodNotAllowed:
		return problem{Status: 405, Code: "method_not_allowed", Title: "The method is not allowed here",
			Detail: "the header Allow lists the methods of this path"}
	}
	return problem{Status: 500, Code: "internal", Title: "The service failed",
		Detail: "this is a fault of the service; it is logged under the request id"}
}

// answerError is Echo's error handler.
func answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return // the status has been sent
	}
	p := problemOf(err)
	p.Type = "urn:notes:problem:" + p.Code
	p.RequestID = c.Response().Header().Get(echo.HeaderXRequestID)
	header := c.Response().Header()
	if p.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "1")
	}
	var refused *notes.PreconditionError
	if errors.As(err, &refused) {
		header.Set(headerETag, etag(refused.Current))
	}
	_ = respond(c, p.Status, "application/problem+json", p) // fails only if the client has disconnected
}

// Unavailable wraps an error of an adapter's own route so that the response is 503.
func Unavailable(err error) error { return fmt.Errorf("%w: %w", notes.ErrUnavailable, err) }
