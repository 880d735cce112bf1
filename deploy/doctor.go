package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/report"
)

// doctorFlags are the flags of the doctor command.
type doctorFlags struct {
	facts.Inquiry
	region, facts, save, html, language string
	json, schema, policy, verbose       bool
	templates, parameters               []string
	format                              string
	yes                                 bool
	fix                                 string // "", [safeFixes] or a cause
}

func doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [URL | FILE ...]",
		Short: "explain why an HTTP API answers 500, 403, 404, 429 or 503, and how to fix it",
		Long: `Explains why an HTTP API in front of Lambda fails, and prints the commands that fix it.

With a URL it sends one GET request and explains the answer. A curl command after -- can describe any other request.
With --api alone it sends nothing and checks every route of every stage. It changes nothing in AWS. After a request that
failed it may invoke a function and a Lambda authorizer, each at most once, and only for GET, HEAD and OPTIONS unless
--invoke is given.

With --template it judges files before anything is deployed, without AWS. It names the line to change, or the address of
the Terraform resource. The templates of SAM need AWS's translator: pip install aws-sam-translator.

It exits with 0 if nothing is wrong, 1 if something is, 2 for mistakes in the arguments, and 3 if nothing it found
explains the answer. The output of --save and --json contains no values of variables or of the request, and no secrets
that the doctor recognizes; read it before you share it.`,
		Example: `  deploy doctor https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/dev/notes
  deploy doctor -- curl -X POST https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/dev/notes -d '{}'
  deploy doctor --api a1b2c3d4e5
  deploy doctor --facts case.json
  deploy doctor --template template.yaml --parameter Stage=prod`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.API, "api", "", "id of the HTTP API, if it is not in the URL")
	flags.StringVar(&f.region, "region", "", "region of the API (default: from the URL, or from the AWS settings)")
	flags.StringVar(&f.Stage, "stage", "", "only this stage")
	flags.StringVar(&f.Route, "route", "", "only this route, such as 'GET /notes/{id}'")
	flags.StringVar(&f.facts, "facts", "", "use the facts in this file; calls neither AWS nor the API")
	flags.StringVar(&f.save, "save", "", "write the facts to this file")
	flags.StringVar(&f.html, "html", "", "also write the report to this file as an HTML page")
	flags.StringVar(&f.language, "lang", "", "language: en or ja (default: from LC_ALL or LANG)")
	flags.StringArrayVar(&f.templates, "template", nil, "judge this file before it is deployed: a CloudFormation or "+
		"SAM template,\nan OpenAPI definition, or the JSON of a Terraform plan or state; may be repeated")
	flags.StringArrayVar(&f.parameters, "parameter", nil, "with --template: NAME=VALUE of a parameter; may be repeated")
	flags.BoolVar(&f.json, "json", false, "print the report as JSON")
	flags.StringVar(&f.format, "format", formatText, "text, json, or with --template sarif, for code review")
	flags.BoolVar(&f.schema, "schema", false, "print the JSON Schema of --json and exit")
	flags.BoolVar(&f.policy, "print-policy", false,
		"print the rights that the doctor needs as an IAM policy and exit")
	flags.StringVar(&f.fix, "fix", "",
		"make the missing grants, or with --fix=CAUSE fix that cause, and check again; asks first")
	flags.Lookup("fix").NoOptDefVal = safeFixes
	flags.BoolVar(&f.yes, "yes", false, "with --fix: do not ask")
	flags.BoolVar(&f.Changes, "changes", false, "also list the changes that CloudTrail recorded in the last day")
	flags.BoolVar(&f.NoSend, "no-send", false, "do not send the request")
	flags.BoolVar(&f.NoInvoke, "no-invoke", false, "do not invoke the function")
	flags.BoolVar(&f.Invoke, "invoke", false, "invoke the function even for methods that may change something")
	flags.DurationVar(&f.Timeout, "timeout", facts.DefaultTimeout, "how long to wait for an answer")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "also print each AWS call")
	cmd.MarkFlagsMutuallyExclusive("invoke", "no-invoke")
	cmd.MarkFlagsMutuallyExclusive("json", "format")
	registerChoices(cmd, "format", formatText, formatJSON, formatSARIF)
	registerChoices(cmd, "lang", string(doctor.English), string(doctor.Japanese))
	return cmd
}

func (f *doctorFlags) run(cmd *cobra.Command, args []string) error {
	out := cmd.OutOrStdout()
	if f.schema {
		_, err := fmt.Fprint(out, doctor.Schema)
		return err
	}
	if f.policy {
		return report.JSON(out, facts.PolicyOf(facts.Rights))
	}
	if f.json {
		f.format = formatJSON
	}
	switch f.json = f.format == formatJSON; {
	case f.format != formatText && f.format != formatJSON && f.format != formatSARIF:
		return fmt.Errorf("%w: --format must be text, json or sarif, not %q", errUsage, f.format)
	case len(f.templates) > 0:
		return f.judgeFiles(cmd, args)
	case f.format == formatSARIF:
		return fmt.Errorf("%w: --format sarif needs --template: it is about lines of files", errUsage)
	case len(f.parameters) > 0:
		return fmt.Errorf("%w: --parameter needs --template", errUsage)
	}
	if f.fix != "" && (f.json || f.facts != "") || f.yes && f.fix == "" {
		return fmt.Errorf("%w: --fix does not go with --json and --facts, and --yes needs --fix", errUsage)
	}
	language, err := chosenLanguage(f.language)
	if err != nil {
		return err
	}
	for _, path := range []string{f.save, f.html} { // check them before sending anything
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return fmt.Errorf("%w: %s cannot be written: the directory %s does not exist", errUsage, path,
				filepath.Dir(path))
		}
	}
	c, err := f.gather(cmd, args)
	if err != nil {
		return err
	}
	if f.save != "" {
		if err := saveCase(f.save, c); err != nil {
			return err
		}
	}
	if f.verbose {
		for _, line := range c.Traced {
			fmt.Fprintln(cmd.ErrOrStderr(), line)
		}
	}
	d := doctor.Judge(c, language)
	if f.html != "" {
		if err := writeAtomically(f.html, func(w io.Writer) error { return report.HTML(w, d, language) }); err != nil {
			return err
		}
	}
	if f.json {
		err = report.JSON(out, d)
	} else {
		report.Diagnosis(out, d, language)
	}
	if f.fix != "" && (d.Exit() != 0 || f.fix != safeFixes) {
		if done, err := f.applyFixes(cmd, d); err != nil {
			return err
		} else if done {
			if c, err = f.gather(cmd, args); err != nil {
				return err
			}
			fmt.Fprintln(out)
			d = doctor.Judge(c, language)
			report.Diagnosis(out, d, language)
		}
	}
	if code := d.Exit(); err == nil && code != 0 {
		return errExit{code}
	}
	return err
}

// gather reads the facts from a file or from AWS.
func (f *doctorFlags) gather(cmd *cobra.Command, args []string) (c doctor.Case, err error) {
	if f.facts != "" {
		if len(args) > 0 || f.API != "" {
			return c, fmt.Errorf("%w: --facts already contains the request: leave out the URL and --api", errUsage)
		}
		return readCase(f.facts)
	}
	switch {
	case len(args) > 0 && args[0] == "curl":
		err = f.Curl(args[1:])
	case len(args) == 1 && isFile(args[0]):
		err = fmt.Errorf("%s is a file: --template %[1]s judges it", args[0])
	case len(args) == 1:
		f.Method = "GET"
		f.URL, f.Changed, err = facts.ParseURL(args[0])
	case len(args) > 1 && strings.HasPrefix(args[0], "curl"):
		err = errors.New("put -- before curl: deploy doctor -- curl …")
	case len(args) > 1:
		err = fmt.Errorf("give one URL, or -- curl …; quote a URL that contains & or spaces: %q", args)
	case f.API == "":
		err = errors.New("give a URL, or --api ID; aws apigatewayv2 get-apis lists the APIs")
	}
	if err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	f.Region, f.Program = f.region, programName()
	var done func()
	f.Progress, done = progress(cmd.ErrOrStderr())
	defer done()
	if err := f.Check(); err != nil {
		return c, fmt.Errorf("%w: %w", errUsage, err)
	}
	client, err := openCloud(cmd, f.Inquiry)
	if errors.Is(err, cloud.ErrNoCredentials) {
		return facts.GatherUnsigned(cmd.Context(), f.Inquiry), nil
	}
	if err != nil {
		return c, err
	}
	return facts.Gather(cmd.Context(), client, f.Inquiry), nil
}

// isFile reports whether a name is that of a file.
func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && !info.IsDir()
}

// progress returns a function that shows the current command in one line of a terminal, and one that removes the line.
// If out is not a terminal, show is nil.
func progress(out io.Writer) (show func(command string), done func()) {
	file, ok := out.(*os.File)
	if !ok || !isatty.IsTerminal(file.Fd()) {
		return nil, func() {}
	}
	const columns, erase = 78, "\r\x1b[K"
	return func(command string) {
		fmt.Fprint(out, erase, command[:min(len(command), columns)])
	}, func() { fmt.Fprint(out, erase) }
}

// openCloud loads the AWS settings. They need no region if the URL or --region has one.
func openCloud(cmd *cobra.Command, a facts.Inquiry) (*cloud.Cloud, error) {
	c, _, err := cloud.OpenIn(cmd.Context(), cmp.Or(a.Region, facts.RegionOf(a.URL)))
	return c, err
}

// programName returns the command by which this program was run.
func programName() string {
	if name := os.Args[0]; strings.Contains(name, string(filepath.Separator)+"go-build") {
		return "go run ./deploy"
	} else if strings.ContainsRune(name, filepath.Separator) {
		return name
	}
	return "deploy"
}

// chosenLanguage returns the language of a flag, or if that is empty the environment's.
func chosenLanguage(flag string) (doctor.Language, error) {
	switch {
	case flag == "" && strings.HasPrefix(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LANG")), "ja"):
		return doctor.Japanese, nil
	case flag == "":
		return doctor.English, nil
	case slices.Contains([]doctor.Language{doctor.English, doctor.Japanese}, doctor.Language(flag)):
		return doctor.Language(flag), nil
	}
	return "", fmt.Errorf("%w: --lang must be en or ja, not %q", errUsage, flag)
}

// maxCase is the maximum size of a file of facts in bytes.
const maxCase = 64 << 20

// readCase reads saved facts.
func readCase(path string) (c doctor.Case, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return c, fmt.Errorf("%w: the facts cannot be read: %w", errUsage, err)
	}
	if info.Size() > maxCase {
		return c, fmt.Errorf("%w: %s is not a file of facts: it has %d bytes", errUsage, path, info.Size())
	}
	content, err := os.ReadFile(path) // #nosec G304 -- the user's own file
	if err != nil {
		return c, fmt.Errorf("%w: the facts cannot be read: %w", errUsage, err)
	}
	c, err = doctor.ParseCase(content)
	if err != nil {
		return c, fmt.Errorf("%w: %s: %w", errUsage, path, err)
	}
	c.Program = programName()
	return c, nil
}

// saveCase saves facts.
func saveCase(path string, c doctor.Case) error {
	return writeAtomically(path, func(w io.Writer) error { return report.JSON(w, c) })
}

// writeAtomically writes a file that appears complete or not at all.
func writeAtomically(path string, encode func(w io.Writer) error) error {
	var content bytes.Buffer
	if err := encode(&content); err != nil {
		return err
	}
	partial := fmt.Sprintf("%s.%d", path, time.Now().UnixNano())
	err := os.WriteFile(partial, content.Bytes(), 0o600)
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		_ = os.Remove(partial) // it may not exist
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return nil
}
