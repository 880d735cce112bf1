package stack

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/gateway"
)

// Script returns a shell script of aws commands that makes a stack. It runs in the directory of the function's zip, and
// can be run again. It creates what is missing and changes what differs, but removes nothing. It keeps the function's
// kept variables, which it reads when it runs. With permitOnly it only makes the grants.
func Script(s Stack, permitOnly bool) string {
	s.Kept = nil // the script reads them
	var out strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	line("#!/bin/sh")
	line("# The notes service %s in %s, account %s.", s.Name, s.Region, s.Account)
	if !permitOnly {
		line("# It needs the function's zip in the current directory: %s", s.zipCommand())
	}
	line("# It needs the aws CLI, 1.29 or 2.13 or later, and sha256sum, shasum or openssl.")
	line("set -eu")
	line("stack=%s", s.Name)
	line("export AWS_REGION=%s AWS_DEFAULT_REGION=%s AWS_PAGER=", s.Region, s.Region)
	line("%s", helpers)
	line(`[ "$(aws sts get-caller-identity --query Account --output text)" = %s ] || { echo "these credentials are `+
		`not of account %s" >&2; exit 1; }`, s.Account, s.Account)
	for _, step := range s.Steps() {
		if permitOnly && step.Ref != "api" {
			continue
		}
		line("\n# %s", step.What)
		create := "again " + call.Command(step.Create)
		switch {
		case step.Pick != "" && step.Ref != "" && step.ID == "":
			line("%s=$(%s --query %s --output json); %s=$(unquote \"$%s\")", step.Ref, call.Command(step.Find),
				call.Quote(step.Pick), step.Ref, step.Ref)
			if permitOnly {
				line(`[ "$%s" != null ] || { echo %s >&2; exit 1; }`, step.Ref, call.Quote("there is no "+step.What))
				break
			}
			line("[ \"$%s\" != null ] || %s=$(%s --query %s --output text)", step.Ref, step.Ref,
				call.Command(step.Create), createdID(step))
		case step.Pick != "" && step.Ref == "":
			line("found=$(%s --query %s --output json)", call.Command(step.Find), call.Quote(step.Pick))
			line("if [ \"$found\" = null ]; then %s; else owned %s %s; fi", create, call.Quote(step.What), ownTag(step))
		case step.TagsAt != "":
			line("if exists %s; then owned %s %s; else %s; fi", call.Command(step.Find), call.Quote(step.What),
				ownTag(step), create)
		default:
			line("exists %s || %s", call.Command(step.Find), create)
		}
		if step.ID != "" {
			line("%s=$(%s --query %s --output text)", step.Ref, call.Command(step.Find), call.Quote(step.Pick))
		}
		if step.Wait != "" && !permitOnly {
			line("%s", step.Wait)
		}
		if !permitOnly {
			for _, setting := range step.Settings {
				line("%s", s.setting(setting))
				if step.Wait != "" {
					line("%s", step.Wait)
				}
			}
		}
		if step.Ref == "api" {
			for _, g := range s.Grants("${api}") {
				line("\n# grant for %s", g.For)
				line("sid=%s$(printf '%%s\\n%%s\\n%%s\\n%%s' %s '' %s %s | sum256)", gateway.StatementPrefix,
					call.Quote(g.Function), call.Quote(g.SourceARN), g.Account)
				g.StatementID = "${sid}"
				line("%s", GrantCommand(g))
			}
		}
	}
	if !permitOnly {
		line("\necho \"$(aws apigatewayv2 get-api --api-id \"$api\" --query ApiEndpoint --output text)%s/notes\"",
			s.stagePath())
	}
	return out.String()
}

// setting returns the script's lines for a setting.
func (s Stack) setting(setting Setting) string {
	command, before := call.Command(setting.Put), ""
	if put, ok := setting.Put.(*lambda.UpdateFunctionConfigurationInput); ok {
		before = fmt.Sprintf("variables=$(%s --query %s --output json)\n", call.Command(setting.Read),
			call.Quote(s.variables(put))) + environmentFile
		bare := *put
		bare.Environment = nil
		command = call.Command(&bare) + ` --environment "file://$environment"`
	}
	if setting.Refused != "" {
		command = "tolerate " + call.Quote(setting.Refused) + " " + call.Quote(setting.RefusedNote) + " " + command
	} else {
		command = "again " + command
	}
	if setting.Holds != "" {
		return fmt.Sprintf(`[ "$(%s --query %s --output text)" = True ] || %s`,
			call.Command(setting.Read), call.Quote(setting.Holds), command)
	}
	return before + command
}

// environmentFile writes the variables, which may hold a secret, to a private file: all users can see command lines.
const environmentFile = `environment=$(mktemp); trap 'rm -f "$environment"' EXIT
printf '{"Variables":%s}' "$variables" >"$environment"
`

// variables returns a JMESPath expression for the function's new variables: those in put, and the kept ones that the
// function has.
func (s Stack) variables(put *lambda.UpdateFunctionConfigurationInput) string {
	variables, err := json.Marshal(put.Environment.Variables)
	if err != nil {
		panic(err) // strings always marshal
	}
	expression := "Configuration.Environment.Variables | merge(`" + string(variables) + "`"
	for _, name := range kept {
		if name == BasePathVariable && s.BasePath != nil {
			continue
		}
		expression += keepExpression(name)
	}
	if s.Auth.Made {
		expression += keepExpression(tokensVariable)
	}
	return expression + ")"
}

// keepExpression returns an argument of merge that keeps a variable.
func keepExpression(variable string) string {
	return fmt.Sprintf(", %[1]s && {%[1]s: %[1]s} || `{}`", variable)
}

// cliVersion names the versions, of 2023, in which the aws CLI has all options that the script uses.
const cliVersion = "the script needs the aws CLI 1.29 or 2.13, or a later version"

// helpers are the script's functions. The script ends on every failure, except where a resource may be missing.
const helpers = `refusal=
again() { # retries: changes of IAM and Lambda take a while to be visible
  for pause in 1 2 4 8 16 32 0; do
    if output=$("$@" 2>&1); then return; fi
    if [ "$refusal" ]; then case $output in *"$refusal"*) echo "$note" >&2; return;; esac; fi
    case $output in
    *AccessDenied*|*ExpiredToken*|*UnrecognizedClient*|*ValidationException*) break;;
    *'Unknown options'*|*'nvalid choice'*|*'Unknown parameter'*)
      echo "$(aws --version 2>&1) is too old: ` + cliVersion + `" >&2; break;;
    esac
    sleep $pause
  done
  echo "$output" >&2; exit 1
}
tolerate() { # if the call is refused with the words $1, prints $2 and goes on
  refusal=$1 note=$2; shift 2
  again "$@"
  refusal=
}
exists() {
  if output=$("$@" 2>&1); then return; fi
  case $output in *NotFound*|*NoSuchEntity*) return 1;; esac
  echo "$output" >&2; exit 1
}
owned() { [ "$2" = "$stack" ] || { echo "$1 exists, but does not belong to the stack $stack" >&2; exit 1; }; }
unquote() { unquoted=${1#\"}; echo "${unquoted%\"}"; }
sum256() { # prints the first 16 digits of the SHA-256 of its input
  if command -v sha256sum >/dev/null; then sum=$(sha256sum)
  elif command -v shasum >/dev/null; then sum=$(shasum -a 256)
  else sum=$(openssl dgst -sha256 -r) || sum=
  fi
  case $sum in ????????????????*) echo "$sum" | cut -c1-16;;
  *) echo "sha256sum, shasum and openssl are missing: install one of them" >&2; return 1;; esac
}`

// ownTag returns a shell expression for the tag with the name of the resource's stack.
func ownTag(s Step) string {
	read := s.Tags
	if read == nil {
		read = s.Find
	}
	at := s.TagsAt + `.\"` + StackTag + `\"`
	if service, _ := call.Operation(read); service == "iam" || service == "dynamodb" { // their tags are lists
		at = s.TagsAt + "[?Key=='" + StackTag + "'].Value | [0]"
	}
	return `"$(` + call.Command(read) + ` --query "` + at + `" --output text)"`
}

// GrantCommand returns the shell command that makes a grant unless it exists.
func GrantCommand(g gateway.Grant) string {
	read := "aws lambda get-policy --function-name " + call.Quote(g.Function)
	if g.Qualifier != "" {
		read += " --qualifier " + call.Quote(g.Qualifier)
	}
	return fmt.Sprintf("%s --query Policy --output text 2>/dev/null | grep -q %s || %s >/dev/null", read,
		call.Quote(g.StatementID), call.Command(g.Input()))
}

// stagePath returns the part of the API's URL that selects the stage.
func (s Stack) stagePath() string {
	if s.Stage == "$default" {
		return ""
	}
	return "/" + s.Stage
}

// createdID returns the name of the id in the answer of a step's Create.
func createdID(s Step) string {
	_, operation := call.Operation(s.Create)
	return strings.TrimPrefix(operation, "Create") + "Id"
}

// zipCommand returns the command that makes the function's zip.
func (s Stack) zipCommand() string {
	command := "deploy zip --arch " + s.Architecture
	if s.Auth.Kind == "jwt" {
		command += " --jwt"
	}
	if s.Page {
		command += " --page"
	}
	return command
}
