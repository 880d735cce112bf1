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

// maxBody is the most bytes that a request's body may have.
const maxBody = 1 << 20

// bodyOf returns the body of a request, and refuses one that is declared too large without reading any of it. Of one
// that turns out to be too large nothing more is read: net/http is told so through its own writer.
func bodyOf(c echo.Context) (io.Reader, error) {
	r := c.Request()
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	if r.Body == nil {
		return http.NoBody, nil
	}
	return http.MaxBytesReader(c.Response().Writer, r.Body, maxBody), nil
}

// unreadable words an error of reading a body.
func unreadable(err error) error {
	var over *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &over):
		return tooLarge()
	}
	return malformed("the body is cut short, or did not come in time")
}

// skipBody reads the body of a request that needs none, to its end.
func skipBody(c echo.Context) error {
	body, err := bodyOf(c)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return unreadable(err)
}

// answerRoom is the most bytes that the answer to a POST or PUT may have beyond its body: who has room for a body has
// it for the answer, and does not wait for more while it holds some.
const answerRoom = 512

// readBody reads the body of a request, when there is room for it.
func readBody(c echo.Context) ([]byte, error) {
	from, err := bodyOf(c)
	if err != nil {
		return nil, err
	}
	size := c.Request().ContentLength
	if size < 0 { // not known before its end
		size = maxBody
	}
	if err := holdOf(c).resize(c.Request().Context(), int(size)+answerRoom); err != nil {
		return nil, err
	}
	body := bytes.NewBuffer(make([]byte, 0, max(c.Request().ContentLength, 0)+bytes.MinRead))
	_, err = body.ReadFrom(from)
	return body.Bytes(), unreadable(err)
}

// readJSON reads a body that must be declared as one of the media types, and has it decoded.
func readJSON(c echo.Context, decode func(body []byte) error, mediaTypes ...string) error {
	body, err := readBody(c)
	if err != nil {
		return err
	}
	r := c.Request()
	declared := r.Header.Get("Content-Type")
	mediaType, params, err := mime.ParseMediaType(declared)
	charset, hasCharset := params["charset"]
	switch {
	case declared == "":
		return unsupported("the request has no Content-Type: send Content-Type: " + mediaTypes[0])
	case err != nil || !slices.Contains(mediaTypes, mediaType):
		return unsupported("Content-Type must be " + strings.Join(mediaTypes, " or "))
	case hasCharset && !strings.EqualFold(charset, "utf-8"):
		return unsupported("JSON is UTF-8 (RFC 8259): leave the charset out, or say utf-8")
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		c.Response().Header().Set("Accept-Encoding", "identity") // RFC 9110, section 15.5.16
		return unsupported("the body must be sent as it is, without a Content-Encoding")
	}
	return holdOf(c).decode(r.Context(), len(body), func() error { return decode(body) })
}

// decodeDraft reads the body of a POST: a field that is null or absent takes its default.
func decodeDraft(body []byte) (notes.Draft, error) {
	f, err := decode(body, nil)
	if err != nil {
		return notes.Draft{}, err
	}
	return f.draft()
}

// change is what a PUT or PATCH asks for.
type change struct {
	notes.Patch
	version int64 // that the note must be at; 0 for any
}

// decodeReplacement reads the body of a PUT of the note with an id: a field that is null or absent takes its default.
func decodeReplacement(body []byte, id string) (change, error) {
	f, err := decode(body, &id)
	if err != nil {
		return change{}, err
	}
	draft, err := f.draft()
	return change{draft.Patch(), f.version}, err
}

// decodePatch reads a JSON Merge Patch (RFC 7396) of the note with an id: null resets a field to its default.
func decodePatch(body []byte, id string) (change, error) {
	f, err := decode(body, &id)
	if err != nil {
		return change{}, err
	}
	for _, field := range f.null {
		switch field {
		case "title":
			f.mistakes.Add("/title", "must have 1 to %d characters: it has no default to be reset to", notes.MaxTitle)
		case "content":
			f.Content = new(string)
		case "tags":
			f.Tags = new([]string)
		}
	}
	patch, mistakes := f.Normalize()
	return change{patch, f.version}, f.invalid(mistakes)
}

// fields is what a body says of a note: the fields that have a value, those that are null, and what is wrong besides
// the values.
type fields struct {
	notes.Patch
	null     []string
	version  int64 // 0 where there is none
	mistakes notes.Mistakes
}

// draft is the whole note that the fields make.
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

// invalid joins what is wrong with the body's shape and with its values; of a field, its shape comes first.
func (f fields) invalid(values notes.Mistakes) error {
	all := f.mistakes
	for _, m := range values {
		if !slices.ContainsFunc(f.mistakes, func(shape notes.Mistake) bool { return shape.Field == m.Field }) {
			all.Add(m.Field, "%s", m.Detail)
		}
	}
	return all.Err(notes.ErrInvalidNote)
}

// The fields that a client sets, and those that it must leave to the service.
var (
	clientFields  = []string{"title", "content", "tags"}
	serviceFields = []string{"id", "created_at", "updated_at", "version"}
	allFields     = slices.Concat(clientFields, serviceFields)
)

// decode reads one JSON value, strictly: no doubled key, no invalid UTF-8, nothing behind it. Where the note exists, id
// names it, and the fields of the service may be there, so that a note that was read can be sent back.
func decode(body []byte, id *string) (f fields, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := d.ReadValue(); err != nil {
		return f, notJSON(err, "the body is empty; it must be a JSON object")
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return f, malformed("the body holds more than one JSON value")
	}

	d = jsontext.NewDecoder(bytes.NewBuffer(body)) // the same again: it cannot fail
	if kind := d.PeekKind(); kind != '{' {
		f.mistakes.Add("", "must be a JSON object, is %s", nameOf(kind))
		return f, f.invalid(nil)
	}
	token(d)
	for d.PeekKind() != '}' {
		name := token(d).String()
		pointer := "/" + pointerEscape.Replace(name)
		kind := d.PeekKind()
		switch {
		case id != nil && kind == 'n' && slices.Contains(serviceFields, name): // as if it were not there
		case id != nil && slices.Contains(serviceFields, name):
			f.serviceField(name, pointer, kind, d, *id)
			continue
		case !slices.Contains(clientFields, name):
			known := clientFields
			if id != nil {
				known = allFields
			}
			unknownField(&f.mistakes, name, pointer, known)
		case kind == 'n':
			f.null = append(f.null, name)
		case name == "tags" && kind == '[':
			tags := decodeTags(d, &f.mistakes)
			f.Tags = &tags
			continue
		case name == "tags":
			f.mistakes.Add(pointer, "must be an array of strings, is %s", nameOf(kind))
		case kind != '"':
			f.mistakes.Add(pointer, "must be a string, is %s", nameOf(kind))
		default:
			value := token(d).String()
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

// serviceField takes the value of a field that the service sets. It must fit the note with the id.
func (f *fields) serviceField(name, pointer string, kind jsontext.Kind, d *jsontext.Decoder, id string) {
	raw, _ := d.ReadValue() // of a value that was read before
	text := ""
	if kind == '"' {
		unquoted, _ := jsontext.AppendUnquote(nil, raw)
		text = string(unquoted)
	}
	switch name {
	case "id":
		if kind != '"' || text != id {
			f.mistakes.Add(pointer, "must be the id in the URL, or be left out")
		}
	case "version":
		if f.version = wholeNumber(kind, raw); f.version < 1 {
			f.version = 0
			f.mistakes.Add(pointer, "must be a whole number of at least 1, or be left out")
		}
	default:
		if kind != '"' || !isTime(text) {
			f.mistakes.Add(pointer, "must be a time as in RFC 3339, or be left out")
		}
	}
}

// isTime reports whether a text is a time as in RFC 3339, section 5.6: the case of T and Z does not matter, and a leap
// second is the last of a day of UTC.
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

// wholeNumber returns the value of a JSON number that is whole, in whatever notation, and 0 for every other value. One
// that an int64 cannot hold becomes the largest: no note is at that version.
func wholeNumber(kind jsontext.Kind, raw jsontext.Value) int64 {
	if kind != '0' || raw[0] == '-' {
		return 0
	}
	mantissa, power, _ := strings.Cut(strings.ToLower(string(raw)), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	// where it is out of range the nearest, which is more than a body has
	exponent, _ := strconv.ParseInt(power, 10, 24)
	digits := strings.TrimLeft(whole+fraction, "0")
	zeros := int(exponent) - len(fraction) + len(digits)
	digits = strings.TrimRight(digits, "0")
	zeros -= len(digits) // behind the digits that are left
	switch {
	case digits == "" || zeros < 0:
		return 0
	case len(digits)+zeros > 19: // 1e19 is above the largest
		return math.MaxInt64
	}
	n, _ := strconv.ParseInt(digits+strings.Repeat("0", zeros), 10, 64) // the largest, where it is out of range
	return n
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901, section 3

// decodeTags reads an array. What is no string stays in its place as "", so that the others keep their numbers.
func decodeTags(d *jsontext.Decoder, mistakes *notes.Mistakes) []string {
	tags := []string{}
	token(d)
	for d.PeekKind() != ']' {
		tag := ""
		if kind := d.PeekKind(); kind == '"' {
			tag = token(d).String()
		} else {
			mistakes.Add("/tags/"+strconv.Itoa(len(tags)), "must be a string, is %s", nameOf(kind))
			_ = d.SkipValue()
		}
		tags = append(tags, tag)
	}
	token(d)
	return tags
}

// token takes the next token of a value that was read before.
func token(d *jsontext.Decoder) jsontext.Token {
	t, _ := d.ReadToken()
	return t
}

func unknownField(mistakes *notes.Mistakes, name, pointer string, known []string) {
	const longest = 100
	switch {
	case len(*mistakes) > notes.MaxMistakes: // no more are told
	case slices.Contains(serviceFields, name):
		mistakes.Add(pointer, "is set by the service and cannot be sent")
	case len(name) > longest:
		mistakes.Add("", "has an unknown field whose name has %d bytes; the fields are %s",
			len(name), strings.Join(known, ", "))
	default:
		mistakes.Add(pointer, "is no field of a note; the nearest is %q", nearest(name, known))
	}
}

// notJSON words a syntax error.
func notJSON(err error, empty string) *problem {
	var syntax *jsontext.SyntacticError
	switch {
	case err == io.EOF:
		return malformed(empty)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return malformed("the body ends in the middle of its JSON")
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return malformed(fmt.Sprintf("the body is not valid JSON: a key is there twice, the second time at byte %d",
			syntax.ByteOffset))
	case errors.As(err, &syntax):
		return malformed(fmt.Sprintf("the body is not valid JSON at byte %d: %.200s", syntax.ByteOffset,
			strings.TrimPrefix(syntax.Err.Error(), "jsontext: ")))
	}
	return malformed("the body is not valid JSON")
}

func nameOf(kind jsontext.Kind) string {
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

// nearest is the known name that is most like a word.
func nearest(word string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int {
		distance := func(name string) int { return levenshtein.Distance(strings.ToLower(word), name, nil) }
		return distance(a) - distance(b)
	})
}
