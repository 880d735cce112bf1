// Package planned reads what a tool is going to deploy, and returns its HTTP APIs as the facts that the doctor judges:
// CloudFormation templates, OpenAPI definitions, and the plans and states of Terraform. It makes no calls.
package planned

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/template"
)

// Options are what a reader may need besides a file.
type Options struct {
	// Parameters are values of parameters and pseudo parameters, by name. Only templates have others than AWS::Region,
	// AWS::AccountId and AWS::Partition.
	Parameters map[string]string
	// Translate is called for a template with types of SAM, in JSON, and returns it with those of CloudFormation. If it
	// is nil, Read returns an error for such a template.
	Translate func(template []byte, parameters map[string]string) ([]byte, error)
	// NotesActions are the actions that the notes service needs on its table.
	NotesActions []string
	// Files is the folder of the file, for what the file names: definitions of APIs, code, and the configuration of a
	// plan of Terraform. If nil, none is read.
	Files fs.FS
}

// open returns the content of a file that the file names, nil if it cannot be read.
func (o Options) open(name string) []byte {
	if o.Files == nil || !fs.ValidPath(path.Clean(name)) {
		return nil
	}
	if info, err := fs.Stat(o.Files, path.Clean(name)); err != nil || !info.Mode().IsRegular() { // not a pipe
		return nil
	}
	file, err := o.Files.Open(path.Clean(name))
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, template.MaxSize))
	if err != nil {
		return nil
	}
	return text
}

// glob returns the files that match a pattern.
func (o Options) glob(pattern string) []string {
	if o.Files == nil {
		return nil
	}
	names, err := fs.Glob(o.Files, pattern)
	if err != nil {
		return nil
	}
	return names
}

// Result is what a file contains.
type Result struct {
	Cases []doctor.Case // one for each HTTP API
	Notes []string      // what was not judged, and why
	// Parameters are the names of a template's parameters.
	Parameters []string
}

// ErrFormat reports a file that is none of the formats that this package reads.
var ErrFormat = errors.New("this is not a CloudFormation template, an OpenAPI definition, or the JSON of a Terraform " +
	"plan or state")

// sources are files from which tools make what this package reads.
var sources = []struct {
	is  func(name string, text []byte, has func(key string) bool) bool
	say string
}{
	{func(_ string, text []byte, _ func(string) bool) bool { return bytes.HasPrefix(text, []byte("PK")) },
		"if it is a plan of Terraform, give the output of terraform show -json"},
	{func(name string, _ []byte, _ func(string) bool) bool { return strings.HasSuffix(name, ".tf") },
		"give the output of terraform show -json for a plan (terraform plan -out FILE) or the state"},
	{func(_ string, _ []byte, has func(string) bool) bool { return has("service") && has("provider") },
		"the Serverless Framework writes a template: serverless package, then " +
			".serverless/cloudformation-template-update-stack.json"},
	{func(_ string, _ []byte, has func(string) bool) bool { return has("artifacts") || has("app") },
		"CDK writes a template: cdk synth, then cdk.out/STACK.template.json"},
}

// MaxSize is the maximum size of a file in bytes. Templates and definitions are limited to template.MaxSize.
const MaxSize = 64 << 20

// Read returns the HTTP APIs of a file. The name of the file appears in places and messages. The error is [ErrFormat]
// for a file of another kind, a [template.Error] with the line of a mistake, or that of Options.Translate.
func Read(name string, text []byte, o Options) (r Result, err error) {
	if len(text) > MaxSize {
		return r, fmt.Errorf("the file has %d bytes, but at most %d are read", len(text), MaxSize)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // an editor may add a byte order mark
	text = mark.ReplaceAll(text, []byte("|"))
	keys := topKeys(text)
	has := func(key string) bool { return slices.Contains(keys, key) }
	switch formatOf(has) {
	case doctor.Terraform:
		return readTerraform(name, text, o)
	case doctor.OpenAPI:
		return readOpenAPI(name, text, o)
	case doctor.CloudFormation:
		return readTemplate(name, text, o)
	}
	for _, source := range sources {
		if source.is(name, text, has) {
			return r, fmt.Errorf("%w: %s", ErrFormat, source.say)
		}
	}
	return r, ErrFormat
}

// mark matches the marks of placeholders. A file must not have them: somebody may have pasted them from a report.
var mark = regexp.MustCompile(`[‹›«»]|(?i:\\u00ab|\\u00bb|\\u2039|\\u203a)`)

// formatOf returns the format of a file by the keys at its top, "" for none of ours.
func formatOf(has func(key string) bool) doctor.Format {
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

// topKey matches a key at the beginning of a line.
var topKey = regexp.MustCompile(`(?m)^["']?([A-Za-z]\w*)["']?\s*:`)

// topKeys returns the keys at the top of a text in JSON or YAML. A text with a mistake has them too, so that the error
// is about the mistake.
func topKeys(text []byte) (keys []string) {
	if d := json.NewDecoder(bytes.NewReader(text)); bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		_, err := d.Token()
		for err == nil && d.More() {
			var key json.Token
			if key, err = d.Token(); err == nil {
				keys = append(keys, fmt.Sprint(key))
				err = d.Decode(new(json.RawMessage))
			}
		}
		if len(keys) > 0 {
			return keys
		}
	}
	for _, m := range topKey.FindAllSubmatch(text, -1) {
		keys = append(keys, string(m[1]))
	}
	var n yaml.Node
	if len(keys) == 0 && len(text) <= template.MaxSize && yaml.Unmarshal(text, &n) == nil { // indented, or in braces
		for _, root := range n.Content {
			for key := range template.Members(root) {
				keys = append(keys, key.Value)
			}
		}
	}
	return keys
}
