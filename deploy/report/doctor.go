package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/mattn/go-isatty"

	"example.com/portable-notes/deploy/doctor"
)

// width is the maximum number of columns of a report. Commands and ARNs may be longer, so that they can be pasted.
const width = 100

// marks are the signs at the beginning of a check's line and their colors, by the state of the check.
var marks = map[string]struct{ sign, color string }{
	"ok": {"√", "32"}, "fault": {"×", "31"}, "warning": {"!", "33"}, "note": {"·", "36"}, "unseen": {"?", "33"},
	"skipped": {"–", "2"},
}

// painter writes text, with or without colors.
type painter struct {
	out   io.Writer
	color bool
}

func (p painter) paint(color, text string) string {
	if !p.color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// Diagnosis writes a diagnosis for people, in color if out is a terminal and NO_COLOR is not set
// (https://no-color.org).
func Diagnosis(out io.Writer, d doctor.Diagnosis, l doctor.Language) {
	file, ok := out.(*os.File)
	p := painter{out, ok && isatty.IsTerminal(file.Fd()) && os.Getenv("NO_COLOR") == ""}
	for _, line := range d.Headline {
		p.wrap("", "", line)
	}
	if drawn := p.chain(d.Chain); d.Target.Route != "" || d.Answer != nil {
		fmt.Fprintf(out, "\n%s\n", drawn)
	}
	fmt.Fprintln(out)
	for _, line := range d.Lines {
		mark := marks[line.State]
		text := line.Text
		if line.Finding >= 0 {
			if d.Findings[line.Finding].Certainty == doctor.Likely {
				text = doctor.Label("likely", l, 0) + text
			}
			text += "  [" + d.Findings[line.Finding].Cause + "]"
		}
		p.wrap(p.paint(mark.color, mark.sign)+" ", "  ", text)
		if line.Finding >= 0 {
			p.finding(d, d.Findings[line.Finding], l)
		}
	}
	p.wrap("", "", d.Closing)
}

// JSON writes a value as indented JSON, without escaping for HTML.
func JSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// Printable replaces control characters, which a function's errors and files may contain, by spaces.
func Printable(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) { // Cf includes changes of text direction
			return ' '
		}
		return c
	}, text)
}

// wrap writes a text in lines of at most width columns. It does not break words. The first line begins with first, the
// others with rest.
func (p painter) wrap(first, rest, text string) {
	text = Printable(text)
	line, columns := first, len([]rune(rest))
	begin := true
	for _, word := range strings.Fields(text) {
		n := len([]rune(word))
		switch {
		case begin:
			line, columns = line+word, columns+n
		case columns+1+n > width:
			fmt.Fprintln(p.out, line)
			line, columns = rest+word, len([]rune(rest))+n
		default:
			line, columns = line+" "+word, columns+1+n
		}
		begin = false
	}
	fmt.Fprintln(p.out, line)
}

// chain draws the path of the request, and marks the broken link.
func (p painter) chain(all []doctor.LinkState) string {
	var out strings.Builder
	broken := false
	for _, link := range all {
		broken = broken || link.State == "fault"
		if link.Link == "permission" || link.Name == "" { // a permission is an edge, not a node
			continue
		}
		if out.Len() > 0 {
			edge := " ── "
			if broken {
				edge = " " + p.paint("31", "──╳──") + " "
			}
			out.WriteString(edge)
		}
		name := Printable(link.Name)
		if link.State == "untouched" {
			name = p.paint("2", name)
		}
		out.WriteString(name)
		broken = false
	}
	return out.String()
}

// maxAlso is the maximum number of other routes listed for a finding.
const maxAlso = 4

// finding writes the evidence of a finding, the other routes it affects, and the fixes.
func (p painter) finding(d doctor.Diagnosis, f doctor.Finding, l doctor.Language) {
	const indent = "    "
	for _, place := range f.Places {
		fmt.Fprintln(p.out, indent+doctor.Label("at", l, 0)+" "+Printable(place.String()))
	}
	for _, e := range f.Evidence {
		line := strings.TrimSpace(e.Call + " " + e.Of)
		if e.Field != "" {
			line += " " + e.Field
		}
		if e.Value != "" {
			line += " → " + e.Value
		}
		fmt.Fprintln(p.out, indent+Printable(line))
		if e.Expected != "" {
			label := doctor.Label("needed", l, 0)
			fmt.Fprintln(p.out, indent+label+" "+Printable(e.Expected))
			if at := differs(e.Value, e.Expected); at >= 0 {
				fmt.Fprintln(p.out, indent+strings.Repeat(" ", len([]rune(label))+1+at)+"^")
			}
		}
	}
	p.also(d, f, l)
	for i, fix := range f.Fix {
		label := doctor.Label("fix", l, 0)
		if i > 0 && f.Link == "permission" { // its fixes are alternatives
			label = doctor.Label("or", l, 0)
		}
		p.wrap(indent, indent, label+", "+fix.Does+":")
		fmt.Fprintln(p.out, indent+"  "+p.paint("1", Printable(fix.Command)))
	}
	if f.Change != "" {
		fmt.Fprintln(p.out, indent+doctor.Label("change", l, 0))
		for line := range strings.Lines(f.Change) {
			fmt.Fprintln(p.out, indent+"  "+p.paint("1", Printable(strings.TrimRight(line, "\n"))))
		}
	}
	if len(f.Fix) == 0 && f.Change == "" {
		label := "fix"
		if f.Level == doctor.Note { // nothing needs fixing
			label = "note"
		}
		p.wrap(indent, indent, doctor.Label(label, l, 0)+": "+f.Remedy)
	}
}

// also lists the other routes that a finding affects.
func (p painter) also(d doctor.Diagnosis, f doctor.Finding, l doctor.Language) {
	var others []string
	for _, r := range f.Routes {
		if name := r.Stage + " " + r.Route; r.Stage != d.Target.Stage || r.Route != d.Target.Route {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return
	}
	if more := len(others) - maxAlso; more > 1 {
		others = append(others[:maxAlso], doctor.Label("more", l, more))
	}
	label := "also"
	if d.Target.Route == "" {
		label = "affected"
	}
	p.wrap("    ", "    ", doctor.Label(label, l, 0)+" "+strings.Join(others, ", "))
}

// differs returns the index of the first part of an ARN that differs from the expected one. It returns -1 if they are
// equal or one is not an ARN.
func differs(value, expected string) int {
	if value == expected || !strings.HasPrefix(value, "arn:") || !strings.HasPrefix(expected, "arn:") {
		return -1
	}
	at := 0
	for i := range min(len(value), len(expected)) {
		if value[i] != expected[i] {
			return at
		}
		if value[i] == ':' || value[i] == '/' {
			at = i + 1
		}
	}
	return at
}
