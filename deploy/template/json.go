package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// readJSON reads JSON as the nodes of YAML.
func readJSON(text []byte) (*yaml.Node, error) {
	r := &jsonReader{text: text, Decoder: json.NewDecoder(bytes.NewReader(text))}
	r.UseNumber()
	root, err := r.value(0)
	if err == nil {
		if _, end := r.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("there is more text after the template")
		}
	}
	var mistake *Error
	if err != nil && !errors.As(err, &mistake) {
		at := r.InputOffset()
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = syntax.Offset
		}
		return nil, &Error{r.lineOf(at), describe(err)}
	}
	return root, err
}

type jsonReader struct {
	*json.Decoder
	text []byte

	counted, lines int // lines that end before an offset
}

// lineOf returns the line of an offset. Offsets increase, so that each line is counted once.
func (r *jsonReader) lineOf(offset int64) int {
	end := min(int(offset), len(r.text))
	if end < r.counted {
		return 1 + bytes.Count(r.text[:end], []byte("\n"))
	}
	r.lines += bytes.Count(r.text[r.counted:end], []byte("\n"))
	r.counted = end
	return 1 + r.lines
}

func (r *jsonReader) value(depth int) (*yaml.Node, error) {
	token, err := r.Token()
	if err != nil {
		return nil, err
	}
	n := &yaml.Node{Line: r.lineOf(r.InputOffset()), Column: int(r.InputOffset()), Kind: yaml.ScalarNode,
		Value: fmt.Sprint(token)}
	switch v := token.(type) {
	case json.Delim:
		if n.Value, n.Kind = "", yaml.SequenceNode; v == '{' {
			n.Kind = yaml.MappingNode
		}
		for r.More() {
			if depth > 2*maxDepth { // an object's member is two levels deep: check reports it
				return nil, mistake(n, "the values are nested too deep")
			}
			member, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, member)
		}
		_, err = r.Token() // the closing delimiter
	case string:
		n.Tag = "!!str"
	case json.Number:
		n.Tag = "!!float"
	case bool:
		n.Tag = "!!bool"
	default:
		n.Tag, n.Value = "!!null", ""
	}
	return n, err
}

// describe returns the message of an error of the decoder.
func describe(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the text ends too early"
	}
	return err.Error()
}
