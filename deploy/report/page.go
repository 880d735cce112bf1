package report

import (
	_ "embed"
	"html/template"
	"io"
	"strings"

	"example.com/portable-notes/deploy/doctor"
)

//go:embed page.html
var pageText string

// node is a link of the chain as it is drawn, below the one before.
type node struct {
	doctor.LinkState
	Y      int
	Broken bool // the edge to it is broken
	First  bool
}

// nodeHeight is the distance between links, in pixels.
const nodeHeight = 44

// nodes lays out the links of a chain.
func nodes(chain []doctor.LinkState) (all []node) {
	broken := false
	for _, link := range chain {
		broken = broken || link.State == "fault"
		if link.Link == "permission" || link.Name == "" {
			continue
		}
		all = append(all, node{LinkState: link, Y: nodeHeight*len(all) + 22, Broken: broken, First: len(all) == 0})
		broken = false
	}
	return all
}

// HTML writes a diagnosis as a self-contained page.
func HTML(out io.Writer, d doctor.Diagnosis, l doctor.Language) error {
	page, err := template.New("page").Funcs(template.FuncMap{
		"label":     func(key string) string { return strings.TrimRight(doctor.Label(key, l, 0), " :") },
		"printable": Printable,
		"sign":      func(state string) string { return marks[state].sign },
		"sub":       func(a, b int) int { return a - b },
		"finding":   func(i int) doctor.Finding { return d.Findings[i] },
		"also": func(f doctor.Finding) (others []string) {
			for _, r := range f.Routes {
				if r.Stage != d.Target.Stage || r.Route != d.Target.Route {
					others = append(others, r.Stage+" "+r.Route)
				}
			}
			return others
		},
	}).Parse(pageText)
	if err != nil {
		return err
	}
	chain := nodes(d.Chain)
	return page.Execute(out, struct {
		doctor.Diagnosis
		Language doctor.Language
		Nodes    []node
		Height   int
	}{Diagnosis: d,
		Language: l, Nodes: chain, Height: nodeHeight * len(chain)})
}
