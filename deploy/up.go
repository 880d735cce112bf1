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
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"example.com/portable-notes/app/token"
	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
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

func (f *stackFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.Name, "stack", "notes-dev", "name of the stack, its table, function and API")
	flags.StringVar(&f.Stage, "stage", "dev", "stage of the API")
	flags.StringVar(&f.Architecture, "arch", "", "processor of the function: arm64 or x86_64 (default arm64; on this machine's sandbox, this machine's)")
	flags.Int32Var(&f.Memory, "memory", 256, "memory of the function, MB")
	flags.StringVar(&f.BasePath, "base-path", "", "base path of a custom domain, such as /api")
	flags.Int32Var(&f.Retention, "retention", 14, "days for which logs are kept")
	flags.StringVar(&f.zip, "zip", "", "zip of the function (default: it is built)")
}

// addAuth are the flags of the commands that make a stack.
func (f *stackFlags) addAuth(flags *pflag.FlagSet) {
	flags.StringVar(&f.Auth.Kind, "auth", "", "who may use the service: token, jwt or none (default: as it is; of a new stack it must be said)")
	flags.StringVar(&f.Auth.Tokens, "tokens", "", "with --auth token: OWNER read|write sha256:HEX [EXPIRES], with commas between them (default: as they are; of a new stack one is made and shown)")
	flags.StringVar(&f.Auth.Issuer, "issuer", "", "with --auth jwt: the https URL of the OpenID Connect issuer")
	flags.StringVar(&f.Auth.Audience, "audience", "", "with --auth jwt: whom the issuer's tokens must be for")
	flags.Int32Var(&f.Concurrency, "concurrency", stack.Burst, "requests at once that are kept for the function of the account's, and its most; 0 for neither")
}

// choose completes what is said of who may use the service with what is so already.
func (f *stackFlags) choose(flags *pflag.FlagSet, is stack.Auth) (made string, err error) {
	for _, name := range []string{"auth", "tokens", "issuer", "audience"} {
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
	}
	if err := errors.Join(f.Auth.Check(), f.Auth.Complete()); err != nil {
		return "", fmt.Errorf("%w: %w", errUsage, err)
	}
	f.token = cmp.Or(made, os.Getenv("NOTES_TOKEN"))
	return made, nil
}

// environment are the variables of the function that is there.
func (c *converger) environment(ctx context.Context, s stack.Stack) (variables map[string]string, err error) {
	there, _, function, err := c.find(ctx, s.Function())
	if err != nil || !there {
		return nil, err
	}
	return variables, cloud.Decode(cloud.Search("Configuration.Environment.Variables || `{}`", function), &variables)
}

// decide completes what is said with what is there, and refuses what is not clear. It returns a token that was made.
func (f *stackFlags) decide(cmd *cobra.Command, c *converger) (made string, err error) {
	is, err := c.environment(cmd.Context(), f.Stack)
	if err != nil {
		return "", err
	}
	said, before := f.Auth.Kind != "", stack.AuthOf(is)
	f.Kept = stack.KeptOf(is)
	if made, err = f.choose(cmd.Flags(), before); err != nil {
		return "", err
	}
	if !said {
		return made, c.agreed(cmd.Context(), f.Stack)
	}
	if before.Kind == "token" && f.Auth.Kind != "token" {
		c.report.Note("The former tokens are forgotten. The notes of their owners stay in the table, where nobody sees them but through tokens of the same names.")
	}
	return made, nil
}

// agreed tells whether the API's routes ask for what the function does. Where they do not, somebody has changed one of them, or
// a change was cut short; and what is meant has to be said.
func (c *converger) agreed(ctx context.Context, s stack.Stack) error {
	steps := s.Steps()
	api := steps[slices.IndexFunc(steps, func(step stack.Step) bool { return step.Ref == "api" })]
	there, id, _, err := c.find(ctx, api)
	if err != nil || !there {
		return err
	}
	answer, err := c.Do(ctx, &apigatewayv2.GetRoutesInput{ApiId: &id})
	if err != nil {
		return err
	}
	others, have := "Items[?AuthorizationType!=`null` && AuthorizationType!='NONE'].RouteKey", "an authorizer"
	if s.Auth.Kind == "jwt" {
		others, have = "Items[?AuthorizationType!='JWT' && starts_with(RouteKey, 'ANY ')].RouteKey", "no authorizer for it"
	}
	if keys := cloud.Texts(others, answer); len(keys) > 0 {
		return fmt.Errorf("%w: the function's NOTES_AUTH is %s, but the route %s has %s: say with --auth who may use the service", errUsage, s.Auth.Kind, keys[0], have)
	}
	return nil
}

// open checks what is chosen and begins to call AWS.
func (f *stackFlags) open(cmd *cobra.Command) (*converger, error) {
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
	return &converger{Cloud: c, refs: map[string]string{"stack": f.Name}, report: report.New(cmd.OutOrStdout(), cmd.ErrOrStderr(), f.json)}, nil
}

// pack builds the function, or reads its zip.
func (f *stackFlags) pack(ctx context.Context) (err error) {
	arch := stack.GOARCH(f.Architecture)
	if f.zip == "" {
		f.Zip, err = buildZip(ctx, arch, f.Auth.Kind == "jwt")
		return err
	}
	if f.Zip, err = os.ReadFile(f.zip); err != nil {
		return fmt.Errorf("--zip: %w", err)
	}
	return checkZip(f.Zip, arch)
}

func upCommand() *cobra.Command {
	var f stackFlags
	var printPolicy bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "put the service on AWS, or bring what is there to what it must be",
		Long: `Puts the service on AWS: a DynamoDB table, an execution role with the rights that it needs and no others, log groups, the
function, an HTTP API, and the grants that let the API invoke the function. It reads what is there and changes only what
differs: run again it changes nothing, and after it was cut short it goes on. There is no file of state; what belongs to a
stack is known by its name and its tags.

Who may use a new service must be said: --auth token makes a token and shows it, once; only its hash is kept, in the function's
environment. --auth jwt takes the tokens of an OpenID Connect issuer, which API Gateway judges first and the service again.
--auth none lets in anyone who knows the URL. The live check sends the token in NOTES_TOKEN, if there is one.`,
		Example: "  deploy up --auth token\n  deploy up --stack notes-prod --stage prod --auth jwt --issuer https://example.eu.auth0.com/ --audience notes",
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.open(cmd)
			if err != nil {
				return err
			}
			if printPolicy {
				return printOperatorPolicy(cmd, f.Stack)
			}
			made, err := f.decide(cmd, c)
			if err != nil {
				return err
			}
			if made != "" {
				to := cmd.OutOrStdout()
				if f.json { // which comes at the end, or never
					to = cmd.ErrOrStderr()
				}
				showToken(to, made)
			}
			err = up(cmd.Context(), c, &f)
			return errors.Join(c.report.End(), err)
		},
	}
	f.add(cmd.Flags())
	f.addAuth(cmd.Flags())
	cmd.Flags().BoolVar(&f.check, "check", false, "also try the API with a note that is made and removed, where nothing was changed")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "fail if the function's policy has statements that are not ours")
	cmd.Flags().BoolVar(&printPolicy, "print-policy", false, "print the rights that this takes, as an IAM policy, and do nothing")
	outputFlags(cmd, &f.json, &f.verbose)
	return cmd
}

// printOperatorPolicy prints what whoever runs this needs to be allowed.
func printOperatorPolicy(cmd *cobra.Command, s stack.Stack) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	fmt.Fprintln(cmd.ErrOrStderr(), `This covers each call that up, down and permit make, as AWS's reference says. No test without an account proves what AWS
asks for behind the calls: the log delivery of the access log, the service's role of the first API, and tags.`)
	return e.Encode(s.OperatorPolicy())
}

// up makes a stack what it must be.
func up(ctx context.Context, c *converger, f *stackFlags) error {
	if err := f.pack(ctx); err != nil {
		return err
	}
	c.report.Done("build for "+f.Architecture, fmt.Sprintf("%d bytes", len(f.Zip)))
	s := f.Stack
	p := &permitter{Cloud: c.Cloud, stages: []string{s.Stage}, report: c.report, strict: f.strict}
	var grants []gateway.Grant
	var before string // the deployment that the stage serves
	for _, step := range s.Steps() {
		if step.What == s.Function().What {
			if err := c.rebind(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", step.What, err)
			}
		}
		state, err := c.step(ctx, step)
		if err != nil {
			return fmt.Errorf("%s: %w", step.What, err)
		}
		c.report.Done(step.What, state)
		if step.Ref == "api" { // the grants, before there is a route that needs them
			if before, _, err = c.deployment(ctx, s); err != nil {
				return err
			}
			p.api = gateway.API{Partition: s.Partition, Region: s.Region, Account: s.Account, ID: c.refs["api"]}
			grants = s.Grants(c.refs["api"])
			if _, err := p.add(ctx, grants); err != nil {
				return err
			}
		}
	}
	if err := c.tidy(ctx, s); err != nil {
		return err
	}
	if err := p.prune(ctx, s.Name, "", grants); err != nil {
		return err
	}
	if err := c.deployed(ctx, s, before); err != nil {
		return err
	}
	answer, err := c.Do(ctx, &apigatewayv2.GetApiInput{ApiId: aws.String(c.refs["api"])})
	if err != nil {
		return err
	}
	endpoint, _ := cloud.Search("ApiEndpoint", answer).(string)
	c.report.URL = endpoint
	if s.Stage != "$default" {
		c.report.URL += "/" + s.Stage
	}
	if err := probe(ctx, c.report, c.report.URL, f.Auth.Kind, f.token, c.Writes() > 0 || f.check); err != nil {
		return err
	}
	bearer, who := " -H \"Authorization: Bearer $NOTES_TOKEN\"", map[string]string{ // #nosec G101 -- a place for one
		"token": "Whoever has a token can read or write its owner's notes.",
		"jwt":   "Whoever has a token of " + f.Auth.Issuer + " for " + f.Auth.Audience + " with the scope notes:read or notes:write can read or write notes of its own.",
		"none":  "Anyone who knows this URL can read and write the notes.",
	}[f.Auth.Kind]
	if f.Auth.Kind == "none" {
		bearer = ""
	}
	c.report.Note("\n%s/notes\ncurl -s %s/notes%s\n%s", c.report.URL, c.report.URL, bearer, who)
	return nil
}

// rebind heals a function whose role was deleted and made again: Lambda still holds on to the former role, and lets go of it
// only for another one (Lambda developer guide, execution role). Which role it was given, a tag of the function tells.
func (c *converger) rebind(ctx context.Context, s stack.Stack) error {
	step := s.Function()
	there, _, function, err := c.find(ctx, step)
	if err != nil || !there {
		return err
	}
	if err := c.ours(ctx, step, function); err != nil {
		return err
	}
	if tagsOf(cloud.Search(step.TagsAt, function))[stack.RoleTag] == c.refs["role_id"] {
		return nil
	}
	other, otherARN := s.OtherRole()
	if _, err := c.step(ctx, other); err != nil {
		return err
	}
	for _, arn := range []string{otherARN, s.RoleARN()} {
		if err := c.settled(ctx, step); err != nil {
			return err
		}
		if _, err := c.Do(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &s.Name, Role: &arn}); err != nil {
			return err
		}
	}
	if err := c.settled(ctx, step); err != nil {
		return err
	}
	if _, err := c.Do(ctx, other.Remove[0]); err != nil && !cloud.IsNotFound(err) {
		return err
	}
	if _, err := c.Do(ctx, &lambda.TagResourceInput{Resource: aws.String(s.FunctionARN()), Tags: map[string]string{stack.RoleTag: c.refs["role_id"]}}); err != nil {
		return err
	}
	c.report.Done(step.What, "updated: its role was deleted and made again")
	return nil
}

// tidy removes routes that are not the service's, and twins.
func (c *converger) tidy(ctx context.Context, s stack.Stack) error {
	api := aws.String(c.refs["api"])
	answer, err := c.Do(ctx, &apigatewayv2.GetRoutesInput{ApiId: api})
	if err != nil {
		return err
	}
	var routes []types.Route
	if err := cloud.Decode(cloud.Search("Items", answer), &routes); err != nil {
		return err
	}
	for _, route := range routes {
		if !slices.Contains(s.Routes(), *route.RouteKey) {
			if _, err := c.Do(ctx, &apigatewayv2.DeleteRouteInput{ApiId: api, RouteId: route.RouteId}); err != nil && !cloud.IsNotFound(err) {
				return err
			}
			c.report.Done("route "+*route.RouteKey, "removed: it is not the service's")
		}
	}
	for _, removal := range c.twins {
		if _, err := c.Do(ctx, removal); err != nil && !cloud.IsNotFound(err) {
			return err
		}
		_, operation := call.Operation(removal)
		c.report.Done(operation, "done: a lost answer had left one too many")
	}
	return nil
}

// deployment is the id of the deployment that the stage serves, "" for none, and what API Gateway says of the last one.
func (c *converger) deployment(ctx context.Context, s stack.Stack) (id, message string, err error) {
	answer, err := c.Do(ctx, &apigatewayv2.GetStageInput{ApiId: aws.String(c.refs["api"]), StageName: &s.Stage})
	if err != nil && !cloud.IsNotFound(err) {
		return "", "", err
	}
	message, _ = cloud.Search("LastDeploymentStatusMessage", answer).(string)
	id, _ = cloud.Search("DeploymentId", answer).(string)
	return id, message, nil
}

// deployed waits until the stage serves what was made: another deployment than before, if something of the API was.
func (c *converger) deployed(ctx context.Context, s stack.Stack, before string) error {
	if c.Deploys() == 0 {
		return nil
	}
	return cloud.Retry(ctx, cloud.Patience, func() error {
		c.Forget()
		id, message, err := c.deployment(ctx, s)
		if err != nil || id != "" && id != before {
			return err
		}
		c.report.Waits("the stage's deployment")
		return cloud.Later(fmt.Errorf("the stage %s still serves its former deployment %q after %v; API Gateway says %q. Run this again", s.Stage, before, cloud.Patience, message))
	})
}

// showToken shows a token that was made: before anything else can fail, because nobody can show it again.
func showToken(to io.Writer, token string) {
	fmt.Fprintf(to, "NOTES_TOKEN=%s\nThat is the token; it is shown only now.\n\n", token)
}
