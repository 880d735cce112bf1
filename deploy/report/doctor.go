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

// width is the most columns of a report for people. Commands and ARNs may be longer: they are to be pasted.
const width = 100

// marks are what begins the line of a check, by its state, and its colour on a terminal.
var marks = map[string]struct{ sign, colour string }{
	"ok": {"√", "32"}, "fault": {"×", "31"}, "warning": {"!", "33"}, "note": {"·", "36"}, "unseen": {"?", "33"},
	"skipped": {"–", "2"},
}

// painter writes with colours, where they are wanted.
type painter struct {
	out    io.Writer
	colour bool
}

func (p painter) paint(colour, text string) string {
	if !p.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Diagnosis writes a diagnosis for people. It has colours where out is a terminal and NO_COLOR is not set
// (https://no-color.org).
func Diagnosis(out io.Writer, d doctor.Diagnosis, l doctor.Language) {
	file, ok := out.(*os.File)
	p := painter{out, ok && isatty.IsTerminal(file.Fd()) && os.Getenv("NO_COLOR") == ""}
	for _, line := range d.Headline {
		p.wrapped("", "", line)
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
		p.wrapped(p.paint(mark.colour, mark.sign)+" ", "  ", text)
		if line.Finding >= 0 {
			p.finding(d, d.Findings[line.Finding], l)
		}
	}
	p.wrapped("", "", d.Closing)
}

// JSON writes a diagnosis for programs.
func JSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// printable is a text without control characters, which a function may have put into its errors.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) { // also what turns the direction of a text
			return ' '
		}
		return c
	}, text)
}

// wrapped writes a text in lines of at most so many columns. A word that is longer stays whole.
func (p painter) wrapped(first, rest, text string) {
	text = printable(text)
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

// chain draws the way of the request, with the link that is broken marked.
func (p painter) chain(all []doctor.LinkState) string {
	var out strings.Builder
	broken := false
	for _, link := range all {
		broken = broken || link.State == "fault"
		if link.Link == "permission" || link.Name == "" { // which is no place, but the way to the function
			continue
		}
		if out.Len() > 0 {
			edge := " ── "
			if broken {
				edge = " " + p.paint("31", "──╳──") + " "
			}
			out.WriteString(edge)
		}
		name := printable(link.Name)
		if link.State == "untouched" {
			name = p.paint("2", name)
		}
		out.WriteString(name)
		broken = false
	}
	return out.String()
}

// maxAlso is the most other routes that a finding names.
const maxAlso = 4

// finding writes what proves a finding, what else it affects, and what heals it.
func (p painter) finding(d doctor.Diagnosis, f doctor.Finding, l doctor.Language) {
	const in = "    "
	for _, e := range f.Evidence {
		line := strings.TrimSpace(e.Call + " " + e.Of)
		if e.Field != "" {
			line += " " + e.Field
		}
		if e.Value != "" {
			line += " → " + e.Value
		}
		fmt.Fprintln(p.out, in+printable(line))
		if e.Expected != "" {
			label := doctor.Label("needed", l, 0)
			fmt.Fprintln(p.out, in+label+" "+printable(e.Expected))
			if at := differs(e.Value, e.Expected); at >= 0 {
				fmt.Fprintln(p.out, in+strings.Repeat(" ", len([]rune(label))+1+at)+"^")
			}
		}
	}
	p.also(d, f, l)
	for i, fix := range f.Fix {
		label := doctor.Label("fix", l, 0)
		if i > 0 && f.Link == "permission" { // whose fixes are alternatives
			label = doctor.Label("or", l, 0)
		}
		p.wrapped(in, in, label+", "+fix.Does+":")
		fmt.Fprintln(p.out, in+"  "+p.paint("1", printable(fix.Command)))
	}
	if len(f.Fix) == 0 {
		label := "fix"
		if f.Level == doctor.Note { // there is nothing that must be mended
			label = "note"
		}
		p.wrapped(in, in, doctor.Label(label, l, 0)+": "+f.Remedy)
	}
}

// also names the other routes that suffer from a finding.
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
	p.wrapped("    ", "    ", doctor.Label("also", l, 0)+" "+strings.Join(others, ", "))
}

// differs is where an ARN stops being as it must be; -1 where the texts are no ARNs.
func differs(value, expected string) int {
	if !strings.HasPrefix(value, "arn:") || !strings.HasPrefix(expected, "arn:") {
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
