package report

import (
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/doctor"
)

// The parts of the Static Analysis Results Interchange Format, version 2.1.0, that a report has
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver struct {
				Name  string      `json:"name"`
				Rules []sarifRule `json:"rules"`
			} `json:"driver"`
		} `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifRule struct {
		ID   string    `json:"id"`
		Help sarifText `json:"help"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		Rule      string          `json:"ruleId"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region *sarifRegion `json:"region,omitempty"`
		} `json:"physicalLocation"`
		Logical []sarifName `json:"logicalLocations"`
	}
	sarifRegion struct {
		Line int `json:"startLine"`
	}
	sarifName struct {
		Name string `json:"fullyQualifiedName"`
	}
)

// levels are SARIF's names of levels.
var levels = map[doctor.Level]string{doctor.Fault: "error", doctor.Warning: "warning", doctor.Note: "note"}

// SARIF writes the findings about files in the Static Analysis Results Interchange Format, which code review reads. It
// leaves out what is not known before a deployment. It returns an error of the writer.
func SARIF(out io.Writer, all []doctor.Diagnosis) error {
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver.Name, run.Tool.Driver.Rules = "deploy doctor", []sarifRule{}
	for _, d := range all {
		for _, f := range d.Findings {
			rule := sarifRule{ID: f.Cause, Help: sarifText{f.Source}}
			if !slices.ContainsFunc(run.Tool.Driver.Rules, func(r sarifRule) bool { return r.ID == f.Cause }) {
				run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
			}
			run.Results = append(run.Results, resultOf(f))
		}
	}
	const schema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
	return JSON(out, sarifLog{Schema: schema, Version: "2.1.0", Runs: []sarifRun{run}})
}

// resultOf returns a finding as a result, with what to write into the file.
func resultOf(f doctor.Finding) sarifResult {
	r := sarifResult{Rule: f.Cause, Level: levels[f.Level], Message: sarifText{f.Summary},
		Locations: []sarifLocation{}}
	for _, e := range f.Evidence {
		if e.Expected != "" {
			r.Message.Text += "\n" + strings.Trim(e.Field+": "+e.Value, ": ") + "\nneeded: " + e.Expected
		}
	}
	if f.Change != "" {
		r.Message.Text += "\n\n" + f.Change
	} else if f.Level != doctor.Note {
		r.Message.Text += "\n\n" + f.Remedy
	}
	for _, p := range f.Places {
		at := sarifLocation{Logical: []sarifName{{p.Name}}}
		// A relative reference (RFC 3986).
		at.Physical.Artifact.URI = (&url.URL{Path: filepath.ToSlash(filepath.Clean(p.File))}).EscapedPath()
		if p.Line > 0 {
			at.Physical.Region = &sarifRegion{p.Line}
		}
		r.Locations = append(r.Locations, at)
	}
	return r
}
