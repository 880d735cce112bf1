// Package planned reads what a tool is going to deploy, and returns its HTTP APIs as the facts that the doctor judges:
// CloudFormation templates, OpenAPI definitions, and the plans and states of Terraform. It makes no calls.
package planned

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/template"
)

// Options are what a reader may need besides a file.
type Options struct {
	Parameters map[string]string // values of parameters and pseudo parameters, by name
	// Translate translates the types of SAM in a template, which is JSON, to those of CloudFormation.
	Translate func(template []byte, parameters map[string]string) ([]byte, error)
	// Open reads a file that the template names, by its path from the template's folder. If nil, none is read.
	Open func(path string) ([]byte, error)
}

// Result is what a file contains.
type Result struct {
	Cases []doctor.Case // one for each HTTP API
	Notes []string      // what was not judged, and why
}

// ErrFormat reports a file that is none of the formats that this package reads.
var ErrFormat = errors.New("this is not a CloudFormation template, an OpenAPI definition, or the JSON of a Terraform " +
	"plan or state (terraform show -json)")

// MaxSize is the maximum size of a file in bytes. Templates are limited to template.MaxSize.
const MaxSize = 64 << 20

// Read reads a file. The name is only for messages.
func Read(name string, text []byte, o Options) (r Result, err error) {
	if len(text) > MaxSize {
		return r, fmt.Errorf("the file has %d bytes, but at most %d are read", len(text), MaxSize)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // an editor may add a byte order mark
	switch formatOf(text) {
	case doctor.Terraform:
		return readTerraform(name, text)
	case doctor.OpenAPI:
		return readOpenAPI(name, text)
	case doctor.CloudFormation:
		return readTemplate(name, text, o)
	}
	return r, ErrFormat
}

// formatOf returns the format of a file by the keys at its top, "" for none of ours.
func formatOf(text []byte) doctor.Format {
	var keys map[string]any
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		var members map[string]json.RawMessage
		if json.Unmarshal(text, &members) == nil {
			keys = map[string]any{}
			for name := range members {
				keys[name] = nil
			}
		}
	}
	if keys == nil && len(text) <= template.MaxSize {
		keys = topKeys(text)
	}
	has := func(name string) bool { _, ok := keys[name]; return ok }
	switch {
	case has("terraform_version") || has("planned_values"):
		return doctor.Terraform
	case has("openapi") || has("swagger"):
		return doctor.OpenAPI
	case has("Resources") || has("AWSTemplateFormatVersion"):
		return doctor.CloudFormation
	}
	return ""
}

// topKeys returns the keys at the top of a YAML text. A text with a mistake further down has those before it.
func topKeys(text []byte) map[string]any {
	keys := map[string]any{}
	var document yaml.Node
	if yaml.Unmarshal(text, &document) == nil {
		if len(document.Content) > 0 {
			for key := range template.Members(document.Content[0]) {
				keys[key.Value] = nil
			}
		}
		return keys
	}
	for line := range strings.Lines(string(text)) {
		if name, _, found := strings.Cut(line, ":"); found {
			keys[strings.Trim(name, `"' `)] = nil
		}
	}
	return keys
}
