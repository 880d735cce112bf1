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

// doctorFlags are those of the doctor.
type doctorFlags struct {
	facts.Ask
	region, facts, save, html, language string
	json, schema, policy, verbose       bool
	yes                                 bool
	fix                                 string // [safeFixes], or a cause
}

func doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor [URL]",
		Short: "tell why an HTTP API answers 500, 403, 404, 429 or 503, and what fixes it",
		Long: `Tells why an HTTP API in front of Lambda does not answer as it should, and prints the commands that fix
it.

With a URL it sends GET to it once, and explains what that client saw. After -- it takes a request as a curl command.
With --api alone it checks every route of every stage, and sends nothing. It changes nothing in AWS. A function is
invoked at most once, for a request that failed, and only for GET, HEAD and OPTIONS unless --invoke is given; so is a
Lambda authorizer.

It exits with 0 where nothing is wrong, 1 where something is, 2 for mistakes in the arguments, and 3 where nothing that
was seen explains the answer. What --save and --json write holds no values of variables and of the request, and no
secrets that are recognized; read it before you share it.`,
		Example: `  deploy doctor https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/dev/notes
  deploy doctor -- curl -X POST https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/dev/notes -d '{}'
  deploy doctor --api a1b2c3d4e5
  deploy doctor --facts case.json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.API, "api", "", "id of the HTTP API, where the URL does not tell it or there is none")
	flags.StringVar(&f.region, "region", "", "its region (default: that of the URL, or of the settings)")
	flags.StringVar(&f.Stage, "stage", "", "only this stage")
	flags.StringVar(&f.Route, "route", "", "only this route, as in 'GET /notes/{id}'")
	flags.StringVar(&f.facts, "facts", "", "judge the facts in this file instead: no AWS, no network")
	flags.StringVar(&f.save, "save", "", "write the facts to this file")
	flags.StringVar(&f.html, "html", "", "also write the report to this file, as a page for a browser")
	flags.StringVar(&f.language, "lang", "", "language: en or ja (default: that of LC_ALL or LANG)")
	flags.BoolVar(&f.json, "json", false, "say everything as JSON")
	flags.BoolVar(&f.schema, "schema", false, "print the JSON Schema of --json, and do nothing")
	flags.BoolVar(&f.policy, "print-policy", false,
		"print the rights that this takes, as an IAM policy, and do nothing")
	flags.StringVar(
		&f.fix,
		"fix",
		"",
		"also give the missing grants, or with --fix=CAUSE heal just that cause, and look "+
			"again; asks first",
	)
	flags.Lookup("fix").NoOptDefVal = safeFixes
	flags.BoolVar(&f.yes, "yes", false, "with --fix: do not ask")
	flags.BoolVar(&f.Changes, "changes", false, "also tell what was changed in the last day, as CloudTrail has it")
	flags.BoolVar(&f.NoSend, "no-send", false, "do not send the request")
	flags.BoolVar(&f.NoInvoke, "no-invoke", false, "do not invoke the function")
	flags.BoolVar(&f.Invoke, "invoke", false, "invoke the function also for a method that may change something")
	flags.DurationVar(&f.Timeout, "timeout", facts.DefaultTimeout, "how long to wait for an answer")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "also print each AWS call")
	cmd.MarkFlagsMutuallyExclusive("invoke", "no-invoke")
	choices(cmd, "lang", string(doctor.English), string(doctor.Japanese))
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
	if f.fix != "" && (f.json || f.facts != "") || f.yes && f.fix == "" {
		return fmt.Errorf("%w: --fix is for a live report for people, without --json and --facts; --yes is for --fix",
			errUsage)
	}
	language, err := chosenLanguage(f.language)
	if err != nil {
		return err
	}
	for _, path := range []string{f.save, f.html} { // before anything is sent
		if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
			return fmt.Errorf("%w: %s cannot be written: there is no folder %s", errUsage, path, filepath.Dir(path))
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
		if err := writeWhole(f.html, func(w io.Writer) error { return report.HTML(w, d, language) }); err != nil {
			return err
		}
	}
	if f.json {
		err = report.JSON(out, d)
	} else {
		report.Diagnosis(out, d, language)
	}
	if f.fix != "" && (d.Exit() != 0 || f.fix != safeFixes) {
		if done, err := f.heal(cmd, d); err != nil {
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

// gather reads the facts, from a file or from AWS.
func (f *doctorFlags) gather(cmd *cobra.Command, args []string) (c doctor.Case, err error) {
	if f.facts != "" {
		if len(args) > 0 || f.API != "" {
			return c, fmt.Errorf("%w: --facts has the request already; leave the URL and --api out", errUsage)
		}
		return readCase(f.facts)
	}
	switch {
	case len(args) > 0 && args[0] == "curl":
		err = f.Curl(args[1:])
	case len(args) == 1:
		f.Method = "GET"
		f.URL, f.Changed, err = facts.ParseURL(args[0])
	case len(args) > 1 && strings.HasPrefix(args[0], "curl"):
		err = errors.New("put -- before curl: deploy doctor -- curl …")
	case len(args) > 1:
		err = fmt.Errorf("it takes one URL, or -- curl …; put the URL in quotes if it holds & or spaces: %q", args)
	case f.API == "":
		err = errors.New("say a URL, or --api ID; aws apigatewayv2 get-apis lists the APIs")
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
	client, err := openCloud(cmd, f.Ask)
	if errors.Is(err, cloud.ErrNoCredentials) {
		return facts.GatherUnsigned(cmd.Context(), f.Ask), nil
	}
	if err != nil {
		return c, err
	}
	return facts.Gather(cmd.Context(), client, f.Ask), nil
}

// progress returns a function that shows on a terminal what is being done, in one line, and one that removes the line.
func progress(to io.Writer) (show func(command string), done func()) {
	file, ok := to.(*os.File)
	if !ok || !isatty.IsTerminal(file.Fd()) {
		return nil, func() {}
	}
	const most, erase = 78, "\r\x1b[K"
	return func(command string) {
		fmt.Fprint(to, erase, command[:min(len(command), most)])
	}, func() { fmt.Fprint(to, erase) }
}

// openCloud reads the settings of AWS. A region that the URL or --region tells need not be set.
func openCloud(cmd *cobra.Command, a facts.Ask) (*cloud.Cloud, error) {
	c, _, err := cloud.OpenIn(cmd.Context(), cmp.Or(a.Region, facts.RegionOf(a.URL)))
	return c, err
}

// programName is the command by which this program was run.
func programName() string {
	if name := os.Args[0]; strings.Contains(name, string(filepath.Separator)+"go-build") {
		return "go run ./deploy"
	} else if strings.ContainsRune(name, filepath.Separator) {
		return name
	}
	return "deploy"
}

// chosenLanguage is the language that was asked for, or that of the environment.
func chosenLanguage(told string) (doctor.Language, error) {
	switch {
	case told == "" && strings.HasPrefix(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LANG")), "ja"):
		return doctor.Japanese, nil
	case told == "":
		return doctor.English, nil
	case slices.Contains([]doctor.Language{doctor.English, doctor.Japanese}, doctor.Language(told)):
		return doctor.Language(told), nil
	}
	return "", fmt.Errorf("%w: --lang must be en or ja, is %q", errUsage, told)
}

// maxCase is the most bytes of a file of facts.
const maxCase = 64 << 20

// readCase reads facts that were saved.
func readCase(path string) (c doctor.Case, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return c, fmt.Errorf("%w: the facts cannot be read: %w", errUsage, err)
	}
	if info.Size() > maxCase {
		return c, fmt.Errorf("%w: %s has %d bytes, and is no file of facts", errUsage, path, info.Size())
	}
	text, err := os.ReadFile(path) // #nosec G304 -- the user's own
	if err != nil {
		return c, fmt.Errorf("%w: the facts cannot be read: %w", errUsage, err)
	}
	c, err = doctor.ParseCase(text)
	if err != nil {
		return c, fmt.Errorf("%w: %s: %w", errUsage, path, err)
	}
	c.Program = programName()
	return c, nil
}

// saveCase writes facts for others to judge.
func saveCase(path string, c doctor.Case) error {
	return writeWhole(path, func(w io.Writer) error { return report.JSON(w, c) })
}

// writeWhole writes a file that appears whole or not at all.
func writeWhole(path string, write func(w io.Writer) error) error {
	var content bytes.Buffer
	if err := write(&content); err != nil {
		return err
	}
	partial := fmt.Sprintf("%s.%d", path, time.Now().UnixNano())
	err := os.WriteFile(partial, content.Bytes(), 0o600)
	if err == nil {
		err = os.Rename(partial, path)
	}
	if err != nil {
		_ = os.Remove(partial) // what there is of it
		return fmt.Errorf("%s cannot be written: %w", path, err)
	}
	return nil
}
