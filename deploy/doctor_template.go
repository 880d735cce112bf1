package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/planned"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/sam"
	"example.com/portable-notes/deploy/stack"
)

// The formats of the doctor's report.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatSARIF = "sarif"
)

// fileFlags are the flags that go with --template.
var fileFlags = []string{"template", "parameter", "format", "json", "lang", "region", "stage", "route"}

// judgeFiles judges files before they are deployed. The arguments are further files. It returns when the command is
// interrupted, and after a minute for each file, because a file may be made to take very long.
func (f *doctorFlags) judgeFiles(cmd *cobra.Command, args []string) error {
	limit := time.Duration(len(f.templates)+len(args)) * time.Minute
	ctx, cancel := context.WithTimeout(cmd.Context(), limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.judgeAll(ctx, cmd, args) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if cmd.Context().Err() != nil {
			return cmd.Context().Err()
		}
		return fmt.Errorf("%w: the files take more than %v: judge them one by one to see which does", errUsage, limit)
	}
}

// judgeAll judges files and prints what it finds.
func (f *doctorFlags) judgeAll(ctx context.Context, cmd *cobra.Command, args []string) error {
	var other string
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		if !slices.Contains(fileFlags, flag.Name) {
			other = flag.Name
		}
	})
	if other != "" {
		return fmt.Errorf("%w: --%s does not go with --template, which sends nothing and reads nothing from AWS",
			errUsage, other)
	}
	language, err := chosenLanguage(f.language)
	if err != nil {
		return err
	}
	options := plannedOptions(ctx, map[string]string{})
	for _, one := range f.parameters {
		name, value, found := strings.Cut(one, "=")
		if !found || name == "" {
			return fmt.Errorf("%w: --parameter needs NAME=VALUE, not %q", errUsage, one)
		}
		options.Parameters[name] = value
	}
	if f.region != "" {
		options.Parameters["AWS::Region"] = f.region
	}
	all := []doctor.Diagnosis{}
	var notes, parameters, keys []string
	var failed error
	for _, path := range append(f.templates, args...) {
		r, err := readPlanned(path, options)
		if err != nil { // judges the other files
			failed = errors.Join(failed, fmt.Errorf("%w: %s: %w", errUsage, path, err))
			continue
		}
		notes, parameters = append(notes, r.Notes...), append(parameters, r.Parameters...)
		for _, c := range r.Cases {
			c.Program, c.Asked.Stage, c.Asked.Route = programName(), f.Stage, f.Route
			c.At = time.Now().UTC().Truncate(time.Second)
			keys = append(keys, routeKeys(c)...)
			all = append(all, doctor.Judge(c, language))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(options.Parameters)) {
		if failed == nil && !strings.HasPrefix(name, "AWS::") && !slices.Contains(parameters, name) {
			return fmt.Errorf("%w: no file has the parameter %s", errUsage, name)
		}
	}
	if failed == nil && f.Route != "" && !slices.Contains(keys, f.Route) {
		return fmt.Errorf("%w: no API has the route %q; there are %q", errUsage, f.Route, keys)
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

// routeKeys returns the keys of the routes of an API.
func routeKeys(c doctor.Case) (keys []string) {
	for _, r := range c.Routes.Or() {
		keys = append(keys, r.Key)
	}
	return keys
}

// plannedOptions returns what reading files needs.
func plannedOptions(ctx context.Context, parameters map[string]string) planned.Options {
	translate := func(template []byte, parameters map[string]string) ([]byte, error) {
		return sam.TranslateHere(ctx, sam.Task{Template: template, Parameters: parameters, IsLocal: true,
			Region: cmp.Or(parameters["AWS::Region"], "us-east-1")})
	}
	return planned.Options{Parameters: parameters, NotesActions: stack.Actions, Translate: translate}
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
	file, err := os.Open(path) // #nosec G304 -- the user's own file
	if err != nil {
		return r, err
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, planned.MaxSize+1)) // a pipe or device has no size
	if err != nil {
		return r, err
	}
	folder, err := os.OpenRoot(filepath.Dir(path)) // its links must not lead elsewhere
	if err != nil {
		return r, err
	}
	defer func() { _ = folder.Close() }()
	o.Files = folder.FS()
	return planned.Read(path, text, o)
}

// printAll prints the diagnoses of files.
func (f *doctorFlags) printAll(cmd *cobra.Command, all []doctor.Diagnosis, notes []string,
	language doctor.Language) error {
	out, beside := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if f.format == formatText {
		beside = out
	}
	for i, d := range all {
		if i > 0 && f.format == formatText {
			fmt.Fprintln(out)
		}
		if f.format == formatText {
			report.Diagnosis(out, d, language)
		}
	}
	for _, note := range notes {
		fmt.Fprintln(beside, report.Printable(note))
	}
	switch f.format {
	case formatJSON:
		return report.JSON(out, all)
	case formatSARIF:
		return report.SARIF(out, all)
	}
	return nil
}
