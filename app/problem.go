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

// problem is an error as a client is told of it (RFC 9457). It never holds the text of an error that another package
// made: what a client may know is said here.
type problem struct {
	Type      string    `json:"type"`
	Title     string    `json:"title"`
	Status    int       `json:"status"`
	Code      string    `json:"code"`
	Detail    string    `json:"detail"`
	RequestID string    `json:"request_id"`
	Errors    []mistake `json:"errors,omitempty"`
}

// mistake says where in the request something is wrong: in the body, the query or the headers.
type mistake struct {
	Pointer   *string `json:"pointer,omitempty"` // JSON pointer (RFC 6901); "" is the whole body
	Parameter *string `json:"parameter,omitempty"`
	Header    string  `json:"header,omitempty"`
	Detail    string  `json:"detail"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

// The problems, one for each code.

func malformed(detail string) *problem {
	return &problem{Status: 400, Code: "malformed_request", Title: "The request is malformed", Detail: detail}
}

func invalidParameter(mistakes ...mistake) *problem {
	return &problem{Status: 400, Code: "invalid_parameter", Title: "A parameter is not valid",
		Detail: "the query or a header is not as it must be; errors says where", Errors: mistakes}
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

func notFound(detail string) *problem {
	return &problem{Status: 404, Code: "not_found", Title: "Not found", Detail: detail}
}

func tooLarge() *problem {
	return &problem{Status: 413, Code: "too_large", Title: "The body is too large",
		Detail: "a body may have at most " + strconv.Itoa(maxBody) + " bytes"}
}

// noRoom is a request that was not carried out: it found no room before the cause ended its wait.
func noRoom(cause error) error {
	return fmt.Errorf("%w: %w", &problem{Status: 503, Code: "unavailable", Title: "The service is unavailable for now",
		Detail: "too many bodies and answers are in memory at once; nothing was changed; try again"}, cause)
}

// The problems of an adapter's own routes, and of requests that it does not admit.

// Misdirected is a request that this server is not for (RFC 9110, section 15.5.20).
func Misdirected(detail string) error {
	return &problem{Status: 421, Code: "misdirected_request", Title: "The request is not for this server",
		Detail: detail}
}

// HeadersTooLarge is a request whose headers are larger than they may be (RFC 6585, section 5).
func HeadersTooLarge(limit int) error {
	return &problem{Status: 431, Code: "headers_too_large", Title: "The headers are too large",
		Detail: fmt.Sprintf("the request line and headers may have at most %d bytes", limit)}
}

// Unauthenticated is a request whose caller is not known; an answer to it has WWW-Authenticate.
func Unauthenticated(detail string) error {
	return &problem{Status: 401, Code: "unauthenticated", Title: "The caller is not known", Detail: detail}
}

// Forbidden is a request that nobody may make like this.
func Forbidden(detail string) error {
	return &problem{Status: 403, Code: "forbidden", Title: "This is not allowed", Detail: detail}
}

// NotFound is a request for what does not exist here.
func NotFound(detail string) error { return notFound(detail) }

// Conflict is a request that cannot be carried out beside another.
func Conflict(detail string) error {
	return &problem{Status: 409, Code: "conflict", Title: "Another request is in the way", Detail: detail}
}

func unsupported(detail string) *problem {
	return &problem{Status: 415, Code: "unsupported_media_type", Title: "The body is not declared as JSON",
		Detail: detail}
}

// problemOf tells the kinds of error apart. What is none of them is a fault of ours, of which the client learns
// nothing.
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
			Detail: "the cursor is not one that this listing gave: send next_cursor as it came, with the same q " +
				"and tag",
			Errors: []mistake{{Parameter: &cursorParameter, Detail: "is not a cursor of this listing"}}}
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
	case errors.Is(err, ErrCannotTell):
		return problem{Status: 503, Code: "unavailable", Title: "The service is unavailable for now",
			Detail: "tokens cannot be checked for now; nothing was changed; try again"}
	case errors.Is(err, notes.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return problem{Status: 503, Code: "unavailable", Title: "The service is unavailable for now",
			Detail: "the notes cannot be reached or written for now; a change may or may not have taken place; try " +
				"again"}
	case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
		return *notFound("there is nothing at this path")
	case errors.As(err, &routing) && routing.Code == http.StatusMethodNotAllowed:
		return problem{Status: 405, Code: "method_not_allowed", Title: "The method is not allowed here",
			Detail: "the header Allow names the methods that this path has"}
	}
	return problem{Status: 500, Code: "internal", Title: "The service failed",
		Detail: "this is a fault of the service; it is logged under the request id"}
}

// answerError is Echo's error handler.
func answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return // too late to say anything else
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
	_ = respond(c, p.Status, "application/problem+json", p) // fails only where the client is gone
}

// Unavailable marks an error of an adapter's own route, to be answered with 503.
func Unavailable(err error) error { return fmt.Errorf("%w: %w", notes.ErrUnavailable, err) }
