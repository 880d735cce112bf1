package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"example.com/portable-notes/notes"
)

// maxBody is the largest request body, in bytes.
const maxBody = 1 << 20

// bodyOf returns the body of a request. If Content-Length is too large, it fails without reading. If the body turns
// out to be too large, reading it fails, and net/http closes the connection instead of reading the rest.
func bodyOf(c echo.Context) (io.Reader, error) {
	r := c.Request()
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	if r.Body == nil || r.Body == http.NoBody {
		return http.NoBody, nil
	}
	return http.MaxBytesReader(c.Response().Writer, r.Body, maxBody), nil
}

// bodyError converts an error from reading a body to a problem.
func bodyError(err error) error {
	if err == nil {
		return nil
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return tooLarge()
	}
	return malformed("the body is incomplete or did not arrive in time")
}

// skipBody reads and discards the body of a request that needs none.
func skipBody(c echo.Context) error {
	body, err := bodyOf(c)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return bodyError(err)
}

// responseOverhead is how much longer than its body, in bytes, the response to a POST or PUT may be. It is reserved
// with the body, so that no request waits for memory while it holds some.
const responseOverhead = 512

// readBody reserves memory for the body of a request and reads it.
func readBody(r *request) ([]byte, error) {
	from, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	size := r.Request().ContentLength
	if size < 0 { // unknown
		size = maxBody
	}
	if err := r.reserved.resize(r.Request().Context(), int(size)+responseOverhead); err != nil {
		return nil, err
	}
	body := bytes.NewBuffer(make([]byte, 0, max(r.Request().ContentLength, 0)+bytes.MinRead))
	_, err = body.ReadFrom(from)
	return body.Bytes(), bodyError(err)
}

// readJSON reads the body of a request, checks that Content-Type is one of mediaTypes, and decodes the body.
func readJSON(r *request, decode func(body []byte) error, mediaTypes ...string) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	header := r.Request().Header
	declared := header.Get("Content-Type")
	mediaType, params, err := mime.ParseMediaType(declared)
	charset, hasCharset := params["charset"]
	switch {
	case declared == "":
		return unsupported("the request has no Content-Type: send Content-Type: " + mediaTypes[0])
	case err != nil || !slices.Contains(mediaTypes, mediaType):
		return unsupported("Content-Type must be " + strings.Join(mediaTypes, " or "))
	case hasCharset && !strings.EqualFold(charset, "utf-8"):
		return unsupported("JSON is UTF-8 (RFC 8259): omit the charset or set it to utf-8")
	}
	if coding := header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		r.Response().Header().Set("Accept-Encoding", "identity") // RFC 9110, section 15.5.16
		return unsupported("the body must be sent without a Content-Encoding")
	}
	return r.reserved.decode(r.Request().Context(), len(body), func() error { return decode(body) })
}

// decodeDraft decodes the body of a POST. A field that is null or absent takes its default.
func decodeDraft(body []byte) (notes.Draft, error) {
	f, err := decodeFields(body, nil)
	if err != nil {
		return notes.Draft{}, err
	}
	return f.draft()
}

// A change is the body of a PUT or PATCH.
type change struct {
	notes.Patch
	version int64 // the version that the note must have; 0 for any
}

// decodeReplacement decodes the body of a PUT of the note id. A field that is null or absent takes its default.
func decodeReplacement(body []byte, id string) (change, error) {
	f, err := decodeFields(body, &id)
	if err != nil {
		return change{}, err
	}
	draft, err := f.draft()
	return change{draft.Patch(), f.version}, err
}

// decodePatch decodes a JSON Merge Patch (RFC 7396) of the note id. Null resets a field to its default.
func decodePatch(body []byte, id string) (change, error) {
	f, err := decodeFields(body, &id)
	if err != nil {
		return change{}, err
	}
	for _, field := range f.null {
		switch field {
		case "title":
			f.mistakes.Add("/title", "must have 1 to %d characters; it has no default to reset to", notes.MaxTitle)
		case "content":
			f.Content = new(string)
		case "tags":
			f.Tags = new([]string)
		}
	}
	patch, mistakes := f.Normalize()
	return change{patch, f.version}, f.invalid(mistakes)
}

// fields are the decoded fields of a body.
type fields struct {
	notes.Patch
	null     []string       // names of the fields that are null
	version  int64          // 0 if absent
	mistakes notes.Mistakes // mistakes in the shape of the body; values are checked later
}

// draft returns the note with these fields and defaults for the others.
func (f fields) draft() (notes.Draft, error) {
	var draft notes.Draft
	if f.Title != nil {
		draft.Title = *f.Title
	}
	if f.Content != nil {
		draft.Content = *f.Content
	}
	if f.Tags != nil {
		draft.Tags = *f.Tags
	}
	draft, mistakes := draft.Normalize()
	return draft, f.invalid(mistakes)
}

// invalid joins the mistakes in the shape of the body and in its values. For a field with both, it keeps the former.
func (f fields) invalid(values notes.Mistakes) error {
	all := f.mistakes
	for _, m := range values {
		if !slices.ContainsFunc(f.mistakes, func(shape notes.Mistake) bool { return shape.Field == m.Field }) {
			all.Add(m.Field, "%s", m.Detail)
		}
	}
	return all.Err(notes.ErrInvalidNote)
}

// The fields that clients set, and those that only the service sets.
var (
	clientFields  = []string{"title", "content", "tags"}
	serviceFields = []string{"id", "created_at", "updated_at", "version"}
	allFields     = slices.Concat(clientFields, serviceFields)
)

// decodeFields decodes a JSON object strictly: it refuses duplicate keys, invalid UTF-8 and trailing data. For a change
// to an existing note, id is the one in the URL; the body may then have the service's fields too, so that clients can
// send back the note that they read.
func decodeFields(body []byte, id *string) (f fields, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := d.ReadValue(); err != nil {
		return f, syntaxProblem(err, "the body is empty; it must be a JSON object")
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return f, malformed("the body holds more than one JSON value")
	}

	d = jsontext.NewDecoder(bytes.NewBuffer(body)) // the syntax has been checked, so this one cannot fail
	if kind := d.PeekKind(); kind != '{' {
		f.mistakes.Add("", "must be a JSON object, is %s", kindName(kind))
		return f, f.invalid(nil)
	}
	nextToken(d)
	for d.PeekKind() != '}' {
		name := nextToken(d).String()
		pointer := "/" + pointerEscape.Replace(name)
		kind := d.PeekKind()
		switch {
		case id != nil && kind == 'n' && slices.Contains(serviceFields, name): // ignored, as if absent
		case id != nil && slices.Contains(serviceFields, name):
			f.addServiceField(name, pointer, kind, d, *id)
			continue
		case !slices.Contains(clientFields, name):
			known := clientFields
			if id != nil {
				known = allFields
			}
			addUnknownField(&f.mistakes, name, pointer, known)
		case kind == 'n':
			f.null = append(f.null, name)
		case name == "tags" && kind == '[':
			tags := decodeTags(d, &f.mistakes)
			f.Tags = &tags
			continue
		case name == "tags":
			f.mistakes.Add(pointer, "must be an array of strings, is %s", kindName(kind))
		case kind != '"':
			f.mistakes.Add(pointer, "must be a string, is %s", kindName(kind))
		default:
			value := nextToken(d).String()
			if name == "title" {
				f.Title = &value
			} else {
				f.Content = &value
			}
			continue
		}
		_ = d.SkipValue()
	}
	return f, nil
}

// addServiceField decodes the value of a field that only the service sets, and checks it.
func (f *fields) addServiceField(name, pointer string, kind jsontext.Kind, d *jsontext.Decoder, id string) {
	raw, _ := d.ReadValue() // cannot fail: see decodeFields
	text := ""
	if kind == '"' {
		unquoted, _ := jsontext.AppendUnquote(nil, raw)
		text = string(unquoted)
	}
	switch name {
	case "id":
		if kind != '"' || text != id {
			f.mistakes.Add(pointer, "must be the id in the URL, or be omitted")
		}
	case "version":
		if f.version = wholeNumber(kind, raw); f.version < 1 {
			f.version = 0
			f.mistakes.Add(pointer, "must be a whole number of at least 1, or be omitted")
		}
	default:
		if kind != '"' || !isTime(text) {
			f.mistakes.Add(pointer, "must be an RFC 3339 time, or be omitted")
		}
	}
}

// isTime reports whether text is a date-time of RFC 3339, section 5.6: T and Z may be lower case, and a leap second
// must be the last second of a UTC day.
func isTime(text string) bool {
	text = strings.ToUpper(text)
	const minute = len("2006-01-02T15:04")
	leap := len(text) > minute && strings.HasPrefix(text[minute:], ":60")
	if leap {
		text = text[:minute] + ":59" + text[minute+len(":60"):]
	}
	var t time.Time
	err := t.UnmarshalText([]byte(text))
	return err == nil && (!leap || t.UTC().Format(time.TimeOnly) == "23:59:59")
}

// wholeNumber returns the value of a JSON number that is whole and not negative, in any notation, and 0 for every other
// value. A number above math.MaxInt64 becomes math.MaxInt64, a version that no note has.
func wholeNumber(kind jsontext.Kind, raw jsontext.Value) int64 {
	if kind != '0' || raw[0] == '-' {
		return 0
	}
	mantissa, power, _ := strings.Cut(strings.ToLower(string(raw)), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	// ParseInt clamps the exponent to 24 bits, which is more than a body has digits.
	exponent, _ := strconv.ParseInt(power, 10, 24)
	digits := strings.TrimLeft(whole+fraction, "0")
	zeros := int(exponent) - len(fraction) + len(digits)
	digits = strings.TrimRight(digits, "0")
	zeros -= len(digits) // the zeros after the remaining digits
	switch {
	case digits == "" || zeros < 0:
		return 0
	case len(digits)+zeros > 19: // 1e19 > math.MaxInt64
		return math.MaxInt64
	}
	n, _ := strconv.ParseInt(digits+strings.Repeat("0", zeros), 10, 64) // math.MaxInt64 if out of range
	return n
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901, section 3

// decodeTags decodes the array of tags. An element that is not a string becomes "", so that the others keep their
// index.
func decodeTags(d *jsontext.Decoder, mistakes *notes.Mistakes) []string {
	tags := []string{}
	nextToken(d)
	for d.PeekKind() != ']' {
		tag := ""
		if kind := d.PeekKind(); kind == '"' {
			tag = nextToken(d).String()
		} else {
			mistakes.Add("/tags/"+strconv.Itoa(len(tags)), "must be a string, is %s", kindName(kind))
			_ = d.SkipValue()
		}
		tags = append(tags, tag)
	}
	nextToken(d)
	return tags
}

// nextToken reads the next token. It cannot fail: see decodeFields.
func nextToken(d *jsontext.Decoder) jsontext.Token {
	t, _ := d.ReadToken()
	return t
}

func addUnknownField(mistakes *notes.Mistakes, name, pointer string, known []string) {
	const longest = 100
	switch {
	case len(*mistakes) > notes.MaxMistakes: // further mistakes are not reported
	case slices.Contains(serviceFields, name):
		mistakes.Add(pointer, "is set by the service and must be omitted")
	case len(name) > longest:
		mistakes.Add("", "has an unknown field whose name has %d bytes; the fields are %s",
			len(name), strings.Join(known, ", "))
	default:
		mistakes.Add(pointer, "is not a field of a note; the nearest is %q", nearest(name, known))
	}
}

// syntaxProblem converts a JSON syntax error to a problem. Empty is the detail for an empty body.
func syntaxProblem(err error, empty string) *problem {
	var syntax *jsontext.SyntacticError
	switch {
	case err == io.EOF:
		return malformed(empty)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return malformed("the body ends in the middle of its JSON")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return malformed(fmt.Sprintf("the body is not valid JSON: duplicate key at byte %d", syntax.ByteOffset))
	case errors.As(err, &syntax):
		return malformed(fmt.Sprintf("the body is not valid JSON at byte %d: %.200s", syntax.ByteOffset,
			strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")))
	}
	return malformed("the body is not valid JSON")
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	default:
		return "an object"
	}
}

// nearest returns the known name that is most similar to word.
func nearest(word string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int {
		distance := func(name string) int { return levenshtein.Distance(strings.ToLower(word), name, nil) }
		return distance(a) - distance(b)
	})
}
