package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/planned"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/sam"
)

// The formats of the doctor's report.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatSARIF = "sarif"
)

// judgeFiles judges files before they are deployed. The arguments are further files.
func (f *doctorFlags) judgeFiles(cmd *cobra.Command, args []string) error {
	if f.API != "" || f.facts != "" || f.fix != "" || f.save != "" || f.html != "" {
		return fmt.Errorf("%w: --template goes only with --parameter, --format, --json and --lang", errUsage)
	}
	language, err := chosenLanguage(f.language)
	if err != nil {
		return err
	}
	options := planned.Options{Parameters: map[string]string{}}
	options.Translate = func(template []byte, parameters map[string]string) ([]byte, error) {
		return sam.TranslateHere(cmd.Context(), sam.Task{Template: template, Parameters: parameters,
			Region: cmp.Or(parameters["AWS::Region"], "us-east-1")})
	}
	for _, one := range f.parameters {
		name, value, found := strings.Cut(one, "=")
		if !found || name == "" {
			return fmt.Errorf("%w: --parameter needs NAME=VALUE, not %q", errUsage, one)
		}
		options.Parameters[name] = value
	}
	var all []doctor.Diagnosis
	var notes []string
	var failed error
	for _, path := range append(f.templates, args...) {
		r, err := readPlanned(path, options)
		if err != nil { // judges the other files
			failed = errors.Join(failed, fmt.Errorf("%w: %s: %w", errUsage, path, err))
			continue
		}
		notes = append(notes, r.Notes...)
		for _, c := range r.Cases {
			c.Program = programName()
			all = append(all, doctor.Judge(c, language))
		}
	}
	if err := f.printAll(cmd, all, notes, language); err != nil || failed != nil {
		return errors.Join(err, failed)
	}
	code := 0
	for _, d := range all {
		switch d.Exit() {
		case 1:
			code = 1
		case 3:
			if code == 0 {
				code = 3
			}
		}
	}
	if code != 0 {
		return errExit{code}
	}
	return nil
}

// readPlanned reads a file.
func readPlanned(path string, o planned.Options) (r planned.Result, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return r, err
	}
	if info.Size() > planned.MaxSize {
		return r, fmt.Errorf("the file has %d bytes, but at most %d are read", info.Size(), planned.MaxSize)
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the user's own file
	if err != nil {
		return r, err
	}
	o.Files = os.DirFS(filepath.Dir(path))
	return planned.Read(path, text, o)
}

// printAll prints the diagnoses of files.
func (f *doctorFlags) printAll(cmd *cobra.Command, all []doctor.Diagnosis, notes []string,
	language doctor.Language) error {
	out := cmd.OutOrStdout()
	switch {
	case f.json || f.format == formatJSON:
		return report.JSON(out, all)
	case f.format == formatText:
		for i, d := range all {
			if i > 0 {
				fmt.Fprintln(out)
			}
			report.Diagnosis(out, d, language)
		}
		for _, note := range notes {
			fmt.Fprintln(out, note)
		}
		return nil
	}
	return fmt.Errorf("%w: --format must be text, json or sarif, not %q", errUsage, f.format)
}
