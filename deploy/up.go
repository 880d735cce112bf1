package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/portable-notes/app/jwt"
	"example.com/portable-notes/app/token"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/converge"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/pack"
	"example.com/portable-notes/deploy/report"
	"example.com/portable-notes/deploy/stack"
)

// stackFlags are those of the commands about a stack.
type stackFlags struct {
	stack.Stack
	zip           string
	check, strict bool
	json, verbose bool
	token         string // that the live check sends
}

// addIdentity adds what tells which stack a command is about.
func (f *stackFlags) addIdentity(flags *pflag.FlagSet) {
	flags.StringVar(&f.Name, "stack", "notes-dev", "name of the stack, its table, function and API")
	flags.StringVar(&f.Stage, "stage", "dev", "stage of the API")
}

// addSettings adds the settings of a stack. What a later command is not told stays as it is.
func (f *stackFlags) addSettings(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Architecture, "arch", "",
		"processor of the function: arm64 or x86_64 (a new function: arm64; in the sandbox this machine's)")
	flags.Var(optional[int32]{&f.Memory, number}, "memory", "memory of the function, MB (a new function: 256)")
	flags.Var(optional[string]{&f.BasePath, text}, "base-path", "base path of a custom domain, such as /api")
	flags.Var(optional[int32]{&f.Retention, number}, "retention", "days for which logs are kept (new log groups: 14)")
	flags.Var(optional[int32]{&f.Concurrency, number}, "concurrency", fmt.Sprintf(
		"reserved concurrency, which is also the function's maximum; 0 reserves none (a new function: %d)",
		stack.Burst))
	flags.StringVar(&f.Auth.Kind, "auth", "",
		"who may use the service: token, jwt or none (of a new stack it must be said)")
	flags.StringVar(&f.Auth.Tokens, "tokens", "",
		"with --auth token: OWNER read|write sha256:HEX [EXPIRES], with commas between them "+
			"(a new stack: one is made and shown)")
	flags.StringVar(&f.Auth.Issuer, "issuer", "", "with --auth jwt: the https URL of the OpenID Connect issuer")
	flags.StringVar(&f.Auth.Audience, "audience", "", "with --auth jwt: whom the issuer's tokens must be for")
	flags.StringVar(&f.Boundary, "boundary", "",
		"ARN of a managed policy that is the permissions boundary of the function's role")
	flags.StringVar(&f.Endpoint, "endpoint", "", "on opens the API's default endpoint, which somebody has closed")
	choices(cmd, "arch", "arm64", "x86_64")
	choices(cmd, "auth", "token", "jwt", "none")
	choices(cmd, "endpoint", "on")
}

// decide completes what is said with what is there, refuses what is not clear, and says what will change. made is a
// token that it made, or "".
func (f *stackFlags) decide(cmd *cobra.Command, c *converge.Converger) (made string, err error) {
	ctx := cmd.Context()
	exists, err := c.Exists(ctx, f.Function())
	if err != nil {
		return "", err
	}
	is, err := facts.Function(ctx, c.Cloud, f.Name)
	if err != nil {
		return "", err
	}
	said, before := f.Auth.Kind != "", stack.AuthOf(is.Environment)
	f.Kept = stack.KeptOf(is.Environment)
	if is.Architecture != "" && !cmd.Flags().Changed("arch") {
		f.Architecture = is.Architecture
	}
	if made, err = f.choose(cmd.Flags(), before); err != nil {
		return "", err
	}
	if !said {
		err = c.CheckAuth(ctx, f.Stack)
		if errors.Is(err, converge.ErrAuthMismatch) {
			err = fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if err == nil && f.Auth.Kind == "jwt" {
		err = checkIssuer(ctx, f.Auth.Issuer, f.Auth.Issuer == before.Issuer, c.Report)
	}
	if err == nil && exists {
		err = f.changes(ctx, c, is)
	}
	return made, err
}

// choose completes what is said of who may use the service with what is so already.
func (f *stackFlags) choose(flags *pflag.FlagSet, is stack.Auth) (made string, err error) {
	for _, name := range []string{"auth", "tokens", "issuer", "audience", "boundary"} {
		if flag := flags.Lookup(name); flag.Changed && flag.Value.String() == "" { // perhaps a variable that is not set
			return "", fmt.Errorf("%w: --%s is empty", errUsage, name)
		}
	}
	if f.Auth.Kind == "" {
		f.Auth.Kind = is.Kind
	}
	if f.Auth.Kind == is.Kind {
		f.Auth.Tokens = cmp.Or(f.Auth.Tokens, is.Tokens)
		f.Auth.Issuer, f.Auth.Audience = cmp.Or(f.Auth.Issuer, is.Issuer), cmp.Or(f.Auth.Audience, is.Audience)
	}
	if f.Auth.Kind == "token" && f.Auth.Tokens == "" {
		if made, f.Auth.Tokens, err = token.New("owner"); err != nil {
			return "", err
		}
		f.Auth.Made = true
	}
	if err := errors.Join(f.Auth.Check(), f.Auth.CheckComplete()); err != nil {
		return "", fmt.Errorf("%w: %w", errUsage, err)
	}
	f.token = cmp.Or(made, os.Getenv("NOTES_TOKEN"))
	return made, nil
}

// changes says which settings of a function that exists will change.
func (f *stackFlags) changes(ctx context.Context, c *converge.Converger, is facts.Deployed) error {
	changing := func(setting string, from, to any) {
		if from != to {
			c.Report.Done("setting "+setting, report.Changing, fmt.Sprintf("from %v to %v", from, to))
		}
	}
	changing("arch", is.Architecture, f.Architecture)
	if f.Memory != nil {
		changing("memory", is.Memory, *f.Memory)
	}
	if f.BasePath != nil {
		changing("base-path", cmp.Or(is.Environment[stack.BasePathVariable], "/"), cmp.Or(*f.BasePath, "/"))
	}
	if f.Boundary != "" {
		arn, err := facts.Boundary(ctx, c.Cloud, f.RoleName())
		if err != nil {
			return err
		}
		changing("boundary", cmp.Or(arn, "none"), f.Boundary)
	}
	if f.Retention != nil {
		for _, group := range []string{f.LogGroup(), f.AccessLogGroup()} {
			days, err := facts.Retention(ctx, c.Cloud, group)
			if err != nil {
				return err
			}
			changing("retention of "+group, told(days, "for ever"), fmt.Sprint(*f.Retention))
		}
	}
	if f.Concurrency != nil {
		reserved, err := facts.Concurrency(ctx, c.Cloud, f.Name)
		if err != nil {
			return err
		}
		to := f.Concurrency
		if *to == 0 {
			to = nil
		}
		changing("concurrency", told(reserved, "none"), told(to, "none"))
	}
	before := stack.AuthOf(is.Environment)
	changing("auth", cmp.Or(before.Kind, "none"), f.Auth.Kind)
	switch {
	case before.Kind == f.Auth.Kind:
		changing("issuer", before.Issuer, f.Auth.Issuer)
		changing("audience", before.Audience, f.Auth.Audience)
		if before.Tokens != f.Auth.Tokens {
			c.Report.Done("setting tokens", report.Changing, "those that are left out are forgotten")
		}
	case before.Kind == "token":
		c.Report.Done("setting tokens", report.Changing, "they are forgotten; the notes of their owners stay in the "+
			"table, "+
			"where nobody sees them but through tokens of the same names")
	}
	return nil
}

// told is a number as a text, and another text where there is none.
func told(number *int32, none string) string {
	if number == nil {
		return none
	}
	return fmt.Sprint(*number)
}

// open checks what is chosen and begins to call AWS.
func (f *stackFlags) open(cmd *cobra.Command, r *report.Report) (*converge.Converger, error) {
	chosen := f.Stack // before AWS's settings are read, which may lack a region, so that every mistake is told
	chosen.Architecture = cmp.Or(chosen.Architecture, "arm64")
	mistakes := chosen.Check()
	if chosen.Auth.Kind != "" { // else the kind is what is there
		mistakes = errors.Join(mistakes, chosen.Auth.Check())
	}
	if mistakes != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, mistakes)
	}
	c, cfg, err := cloud.Open(cmd.Context())
	if err != nil {
		return nil, err
	}
	if f.Architecture == "" {
		if f.Architecture = "arm64"; cloud.IsLocal(cfg.BaseEndpoint) && runtime.GOARCH == "amd64" {
			f.Architecture = "x86_64"
		}
	}
	f.Region = cfg.Region
	if f.Account, f.Partition, err = c.Identity(cmd.Context()); err != nil {
		return nil, err
	}
	tell(c, cmd, f.verbose)
	return converge.New(c, f.Name, r), nil
}

// build builds the function, or reads its zip.
func (f *stackFlags) build(ctx context.Context) (err error) {
	arch := stack.GOARCH(f.Architecture)
	if f.zip == "" {
		f.Zip, err = pack.Build(ctx, arch, f.Auth.Kind == "jwt")
		return err
	}
	if f.Zip, err = os.ReadFile(f.zip); err != nil {
		return fmt.Errorf("--zip: %w", err)
	}
	return pack.Check(f.Zip, arch)
}

// settle is the time after which up trusts that what it read exists. AWS tells of no time; within some seconds what was
// removed is not read any more.
var settle = 3 * time.Second

func upCommand() *cobra.Command {
	var f stackFlags
	var printPolicy bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "put the service on AWS, or bring what is there to what it must be",
		Long: `Puts the service on AWS: a DynamoDB table, an execution role with the rights that it needs and no
others, log groups, the function, an HTTP API, and the grants that let the API invoke the function. It reads what is
there and changes only what differs: run again it changes nothing, and after it was cut short it goes on. There is no
file of state; what belongs to a stack is known by its name and its tags. A setting that a later up is not told stays
as it is.

Who may use a new service must be said: --auth token makes a token and shows it, once; only its hash is kept, in the
function's environment. --auth jwt takes the tokens of an OpenID Connect issuer, which API Gateway judges first and
the service again. --auth none lets in anyone who knows the URL. The live check sends the token in NOTES_TOKEN, if
there is one.`,
		Example: "  deploy up --auth token\n  deploy up --stack notes-prod --stage prod --auth jwt " +
			"--issuer https://example.eu.auth0.com/ --audience notes",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json && !printPolicy)
			c, err := f.open(cmd, r)
			if err != nil {
				return r.End(err)
			}
			if printPolicy {
				// A boundary that cannot be read is not known.
				if there, err := facts.Boundary(cmd.Context(), c.Cloud, f.RoleName()); err == nil {
					f.Boundary = cmp.Or(f.Boundary, there)
				}
				return printOperatorPolicy(cmd, f.Stack)
			}
			made, err := f.decide(cmd, c)
			if err != nil {
				return r.End(err)
			}
			if made != "" {
				to := cmd.OutOrStdout()
				if f.json { // which comes at the end
					to = cmd.ErrOrStderr()
				}
				showToken(to, made)
			}
			if err := f.build(cmd.Context()); err != nil {
				return r.End(err)
			}
			r.Done("build for "+f.Architecture, report.OK, fmt.Sprintf("%d bytes", len(f.Zip)))
			options := converge.Options{Check: f.check, Strict: f.strict, Token: f.token, Settle: settle}
			return r.End(c.Up(cmd.Context(), f.Stack, options))
		},
	}
	f.addIdentity(cmd.Flags())
	f.addSettings(cmd)
	cmd.Flags().StringVar(&f.zip, "zip", "", "zip of the function (default: it is built)")
	cmd.Flags().BoolVar(&f.check, "check", false,
		"also try the API with a note that is made and removed, where nothing was changed")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail if the function's policy has statements that are not ours")
	cmd.Flags().BoolVar(&printPolicy, "print-policy", false,
		"print the rights that this takes, as an IAM policy, and do nothing")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// checkIssuer refuses an issuer of which API Gateway would take no token. One that does not answer may do so later, and
// one that is in use already may answer otherwise for a while.
func checkIssuer(ctx context.Context, issuer string, used bool, r *report.Report) error {
	serves, err := facts.ServesAuthorizer(ctx, issuer)
	switch {
	case errors.Is(err, jwt.ErrUnreachable) || err != nil && used:
		r.Note("The issuer could not be asked for its keys, so it is not known whether API Gateway takes its tokens: "+
			"%v",
			err)
		return nil
	case err == nil && !serves:
		err = errors.New("API Gateway takes tokens that are signed with RSA keys that have a kid, and the issuer " +
			"publishes " +
			"none: have it sign with RS256, or use --auth token")
	}
	if err != nil {
		return fmt.Errorf("%w: --issuer %s: %w", errUsage, issuer, err)
	}
	return nil
}

// printOperatorPolicy prints what whoever runs this needs to be allowed.
func printOperatorPolicy(cmd *cobra.Command, s stack.Stack) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	fmt.Fprintln(cmd.ErrOrStderr(), `This covers each call that up, down and permit make, as AWS's reference says. No
test without an account proves what AWS asks for behind the calls: the log delivery of the access log, the service's
role of the first API, and tags. APIs and stages can be changed and removed only where they have the stack's tag.
Routes, integrations and authorizers have no tags, so those of every HTTP API of the region are reached; whoever may
tag an API as it is made may tag others; and the log deliveries are the account's. These cannot be narrowed.`)
	if s.Boundary == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), `Whoever may write a role's policy and pass the role may do what a policy can
say. With --boundary ARN the role has a permissions boundary, and this policy is for a role that has it.`)
	}
	return e.Encode(s.OperatorPolicy())
}

// showToken shows a token that was made: before anything else can fail, because nobody can show it again.
func showToken(to io.Writer, token string) {
	fmt.Fprintf(to, "NOTES_TOKEN=%s\nThat is the token; it is shown only now.\n\n", token)
}
