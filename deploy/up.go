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

	"github.com/aws/aws-sdk-go-v2/aws"
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

// stackFlags are the flags of the commands about a stack.
type stackFlags struct {
	stack.Stack
	zip           string
	check, strict bool
	json, verbose bool
	token         string // bearer token of the live check
}

// addIdentity adds the flags that identify a stack.
func (f *stackFlags) addIdentity(flags *pflag.FlagSet) {
	flags.StringVar(&f.Name, "stack", "notes-dev", "name of the stack, its table, function and API")
	flags.StringVar(&f.Stage, "stage", "dev", "stage of the API")
}

// addSettings adds the flags for the settings of a stack. Settings that are not given stay unchanged.
func (f *stackFlags) addSettings(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var((*archFlag)(&f.Architecture), "arch",
		"architecture of the function: arm64 or x86_64 (default for a new one: arm64; in the sandbox this machine's)")
	flags.Var(optional[int32]{&f.Memory, parseInt32}, "memory",
		"memory of the function in MB (default for a new one: 256)")
	flags.Var(optional[string]{&f.BasePath, parseString}, "base-path", "base path of a custom domain, such as /api")
	flags.Var(optional[int32]{&f.Retention, parseInt32}, "retention",
		"retention of logs in days (default for new log groups: 14)")
	flags.Var(optional[int32]{&f.Concurrency, parseInt32}, "concurrency", fmt.Sprintf(
		"reserved concurrency, which is also the function's maximum; 0 reserves none (default for a new one: %d)",
		stack.Burst))
	flags.StringVar(&f.Auth.Kind, "auth", "",
		"who may use the service: token, jwt or none (required for a new stack)")
	flags.StringVar(&f.Auth.Tokens, "tokens", "",
		"with --auth token: OWNER read|write sha256:HEX [EXPIRES], separated by commas "+
			"(default for a new stack: a new token, which is shown)")
	flags.StringVar(&f.Auth.Issuer, "issuer", "", "with --auth jwt: the https URL of the OpenID Connect issuer")
	flags.StringVar(&f.Auth.Audience, "audience", "",
		"with --auth jwt: the audience that the issuer's tokens must have")
	flags.BoolVar(&f.Page, "page", false,
		"put the notes page at the root of the API: notes in a browser; --page=false removes it")
	flags.StringVar(&f.Boundary, "boundary", "",
		"ARN of a managed policy to set as the permissions boundary of the function's role")
	flags.StringVar(&f.Endpoint, "endpoint", "", "on opens the API's default endpoint if it was closed")
	registerChoices(cmd, "arch", pack.Architectures...)
	registerChoices(cmd, "auth", "token", "jwt", "none")
	registerChoices(cmd, "endpoint", "on")
}

// complete fills in settings that were not given from the existing function, reports what will change, and returns an
// error if it is unclear who may use the service. If it made a token, it returns the token.
func (f *stackFlags) complete(cmd *cobra.Command, c *converge.Converger) (made string, err error) {
	ctx := cmd.Context()
	exists, err := c.Exists(ctx, f.Function())
	if err != nil {
		return "", err
	}
	function, err := facts.Function(ctx, c.Cloud, f.Name)
	if err != nil {
		return "", err
	}
	isAuthGiven, before := f.Auth.Kind != "", stack.AuthOf(function.Environment)
	f.Kept = stack.KeptOf(function.Environment)
	if function.Architecture != "" && !cmd.Flags().Changed("arch") {
		f.Architecture = function.Architecture
	}
	if !cmd.Flags().Changed("page") {
		f.Page = function.Environment[stack.PageVariable] == "on"
	}
	if made, err = f.chooseAuth(cmd.Flags(), before); err != nil {
		return "", err
	}
	if !isAuthGiven {
		err = c.CheckAuth(ctx, f.Stack)
		if errors.Is(err, converge.ErrAuthMismatch) {
			err = fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if err == nil && f.Auth.Kind == "jwt" {
		err = checkIssuer(ctx, f.Auth.Issuer, f.Auth.Issuer == before.Issuer, c.Report)
	}
	if err == nil && exists {
		err = f.reportChanges(ctx, c, function)
	}
	return made, err
}

// chooseAuth completes the authentication from the existing one. If it made a token, it returns the token.
func (f *stackFlags) chooseAuth(flags *pflag.FlagSet, existing stack.Auth) (made string, err error) {
	for _, name := range []string{"auth", "tokens", "issuer", "audience", "boundary"} {
		if flag := flags.Lookup(name); flag.Changed && flag.Value.String() == "" { // perhaps an unset shell variable
			return "", fmt.Errorf("%w: --%s is empty", errUsage, name)
		}
	}
	if f.Auth.Kind == "" {
		f.Auth.Kind = existing.Kind
	}
	if f.Auth.Kind == existing.Kind {
		f.Auth.Tokens = cmp.Or(f.Auth.Tokens, existing.Tokens)
		f.Auth.Issuer = cmp.Or(f.Auth.Issuer, existing.Issuer)
		f.Auth.Audience = cmp.Or(f.Auth.Audience, existing.Audience)
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

// reportChanges reports which settings of an existing stack will change.
func (f *stackFlags) reportChanges(ctx context.Context, c *converge.Converger, function facts.Deployed) error {
	reportChange := func(setting string, from, to any) {
		if from != to {
			c.Report.Done("setting "+setting, report.Changing, fmt.Sprintf("from %v to %v", from, to))
		}
	}
	reportChange("arch", function.Architecture, f.Architecture)
	if f.Memory != nil {
		reportChange("memory", function.Memory, *f.Memory)
	}
	if f.BasePath != nil {
		reportChange("base-path", cmp.Or(function.Environment[stack.BasePathVariable], "/"), cmp.Or(*f.BasePath, "/"))
	}
	reportChange("page", cmp.Or(function.Environment[stack.PageVariable], "off"), map[bool]string{true: "on",
		false: "off"}[f.Page])
	if f.Boundary != "" {
		arn, err := facts.Boundary(ctx, c.Cloud, f.RoleName())
		if err != nil {
			return err
		}
		reportChange("boundary", cmp.Or(arn, "none"), f.Boundary)
	}
	if f.Retention != nil {
		for _, group := range []string{f.LogGroup(), f.AccessLogGroup()} {
			days, err := facts.Retention(ctx, c.Cloud, group)
			if err != nil {
				return err
			}
			reportChange("retention of "+group, orDefault(days, "for ever"), fmt.Sprint(*f.Retention))
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
		reportChange("concurrency", orDefault(reserved, "none"), orDefault(to, "none"))
	}
	before := stack.AuthOf(function.Environment)
	reportChange("auth", cmp.Or(before.Kind, "none"), f.Auth.Kind)
	switch {
	case before.Kind == f.Auth.Kind:
		reportChange("issuer", before.Issuer, f.Auth.Issuer)
		reportChange("audience", before.Audience, f.Auth.Audience)
		if before.Tokens != f.Auth.Tokens {
			c.Report.Done("setting tokens", report.Changing, "tokens that are not in the new list are revoked")
		}
	case before.Kind == "token":
		c.Report.Done("setting tokens", report.Changing, "they are revoked; their owners' notes stay in the table, "+
			"where only tokens with the same owner names can read them")
	}
	return nil
}

// orDefault formats a number, or returns none if there is no number.
func orDefault(n *int32, none string) string {
	if n == nil {
		return none
	}
	return fmt.Sprint(*n)
}

// checkFlags returns an error for invalid settings.
func (f *stackFlags) checkFlags() error {
	chosen := f.Stack
	chosen.Architecture = cmp.Or(chosen.Architecture, "arm64")
	mistakes := chosen.Check()
	if chosen.Auth.Kind != "" { // otherwise the kind is that of the existing function
		mistakes = errors.Join(mistakes, chosen.Auth.Check())
	}
	if mistakes != nil {
		return fmt.Errorf("%w: %w", errUsage, mistakes)
	}
	return nil
}

// chooseArchitecture sets the architecture of a new function, if it was not given.
func (f *stackFlags) chooseArchitecture(cfg aws.Config) {
	if f.Architecture == "" {
		if f.Architecture = "arm64"; cloud.IsLocal(cfg.BaseEndpoint) && runtime.GOARCH == "amd64" {
			f.Architecture = "x86_64"
		}
	}
}

// open checks the flags, loads the AWS settings, and returns a Converger for the stack.
func (f *stackFlags) open(cmd *cobra.Command, r *report.Report) (*converge.Converger, error) {
	if err := f.checkFlags(); err != nil { // before the AWS settings, whose errors would hide mistakes in the flags
		return nil, err
	}
	c, cfg, err := cloud.Open(cmd.Context())
	if err != nil {
		return nil, err
	}
	f.chooseArchitecture(cfg)
	f.Region = cfg.Region
	if f.Account, f.Partition, err = c.Identity(cmd.Context()); err != nil {
		return nil, err
	}
	logWrites(c, cmd, f.verbose)
	return converge.New(c, f.Name, r), nil
}

// build builds the function, or reads its zip.
func (f *stackFlags) build(cmd *cobra.Command) (err error) {
	if f.zip == "" {
		defer showBuild(cmd.ErrOrStderr(), f.Architecture)()
		f.Zip, err = pack.Build(cmd.Context(), f.Architecture, pack.Parts{JWT: f.Auth.Kind == "jwt", Page: f.Page})
		return err
	}
	if f.Zip, err = os.ReadFile(f.zip); err != nil {
		return fmt.Errorf("--zip: %w", err)
	}
	return pack.Check(f.Zip, f.Architecture)
}

// settle is the value of [converge.Options].Settle. AWS documents no limit, but stops returning removed resources
// within a few seconds.
var settle = 3 * time.Second

func upCommand() *cobra.Command {
	var f stackFlags
	var printPolicy bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "deploy the service to AWS, or update it",
		Long: `Deploys the service to AWS: a DynamoDB table, an execution role with the least rights, log groups, the
function, an HTTP API, and the grants that let the API invoke the function. It reads what exists and changes only what
differs. So it changes nothing when it is run again, and continues after an interruption. There is no state file: the
resources of a stack are identified by their names and tags. Settings that are not given stay unchanged. What others
added to the stack is removed, and reported: policies of the role, routes, unknown variables of the function.

A new stack needs --auth. With token it makes a token and shows it once; only the token's hash is stored, in the
function's environment. With jwt it accepts the tokens of an OpenID Connect issuer, which API Gateway and then the
service check. With none anyone who knows the URL has access. The live check sends the token in NOTES_TOKEN, if set.`,
		Example: "  deploy up --auth token\n  deploy up --stack notes-prod --stage prod --auth jwt " +
			"--issuer https://example.eu.auth0.com/ --audience notes",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json && !printPolicy)
			c, err := f.open(cmd, r)
			if printPolicy && err != nil && !errors.Is(err, errUsage) {
				return f.printPolicyTemplate(cmd, err)
			}
			if err != nil {
				return r.End(err)
			}
			if printPolicy {
				// If the boundary cannot be read, print the policy for a role without one.
				if existing, err := facts.Boundary(cmd.Context(), c.Cloud, f.RoleName()); err == nil {
					f.Boundary = cmp.Or(f.Boundary, existing)
				}
				return printOperatorPolicy(cmd, f.Stack)
			}
			made, err := f.complete(cmd, c)
			if err != nil {
				return r.End(err)
			}
			if made != "" {
				out := cmd.OutOrStdout()
				if f.json { // keep standard output pure JSON
					out = cmd.ErrOrStderr()
				}
				showToken(out, made)
			}
			if err := f.build(cmd); err != nil {
				return r.End(err)
			}
			r.Done("build for "+f.Architecture, report.OK, fmt.Sprintf("%d bytes", len(f.Zip)))
			options := converge.Options{Check: f.check, Strict: f.strict, Token: f.token, Settle: settle}
			return r.End(c.Up(cmd.Context(), f.Stack, options))
		},
	}
	f.addIdentity(cmd.Flags())
	f.addSettings(cmd)
	cmd.Flags().StringVar(&f.zip, "zip", "", "zip of the function (default: build it)")
	cmd.Flags().BoolVar(&f.check, "check", false,
		"check the API by creating and deleting a note even if nothing was changed")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail if the function's policy has statements that up did not make")
	cmd.Flags().BoolVar(&printPolicy, "print-policy", false,
		"print the rights that up, down and permit need as an IAM policy and exit")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// checkIssuer returns an error if API Gateway would accept no token of an issuer. It only notes that an issuer does not
// answer, or that one already in use fails, because that may pass.
func checkIssuer(ctx context.Context, issuer string, used bool, r *report.Report) error {
	serves, err := facts.ServesAuthorizer(ctx, issuer)
	switch {
	case errors.Is(err, jwt.ErrUnreachable) || err != nil && used:
		r.Note("The issuer's keys could not be read, so it is unknown whether API Gateway accepts its tokens: %v", err)
		return nil
	case err == nil && !serves:
		err = errors.New("API Gateway needs tokens signed with an RSA key that has a kid, but the issuer has no such " +
			"key: have it sign with RS256, or use --auth token")
	}
	if err != nil {
		return fmt.Errorf("%w: --issuer %s: %w", errUsage, issuer, err)
	}
	return nil
}

// printPolicyTemplate prints the policy for an account that cannot be asked for its number, because of err.
func (f *stackFlags) printPolicyTemplate(cmd *cobra.Command, err error) error {
	fmt.Fprintf(cmd.ErrOrStderr(), "The account is not known: %v.\n"+
		"Replace ACCOUNT by its number, and REGION by the region, if it stands there.\n\n", err)
	f.Partition, f.Account, f.Region = "aws", "ACCOUNT", cmp.Or(f.Region, os.Getenv("AWS_REGION"), "REGION")
	return printOperatorPolicy(cmd, f.Stack)
}

// printOperatorPolicy prints the policy of the operator on standard output, and its limits on standard error.
func printOperatorPolicy(cmd *cobra.Command, s stack.Stack) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	fmt.Fprintln(cmd.ErrOrStderr(), `This policy allows every call of up, down and permit, according to AWS's reference.
It was not tested on AWS for what AWS does behind these calls: the log delivery of the access log, the service-linked
role of an account's first API, and tags. It allows changing and removing only APIs and stages with the stack's tag.
Three rights cannot be narrowed further. Routes, integrations and authorizers have no tags, so it allows changing those
of every HTTP API in the region. It allows tagging every API, because a new one is tagged when it is created. It allows
changing all log deliveries of the account.`)
	if s.Boundary == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), `Whoever may write a role's policy and pass the role can gain any right. With
--boundary ARN the role has a permissions boundary, and this policy covers only a role with that boundary.`)
	}
	return e.Encode(s.OperatorPolicy())
}

// showToken prints a new token. Call it before anything else can fail, because only the token's hash is stored.
func showToken(out io.Writer, secret string) {
	fmt.Fprintf(out, "NOTES_TOKEN=%s\nThat is the token; it is shown only now.\n\n", secret)
}
