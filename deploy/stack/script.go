package stack

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/call"
	"example.com/portable-notes/deploy/gateway"
)

// Script is a stack as a shell script of aws commands, to be run with the function's zip beside it, again and again. It
// makes what is missing and sets what must be so; what is too much it leaves to the program. Variables of the function
// that nobody sets here stay as they are: it reads them where it runs.
func Script(s Stack, permitOnly bool) string {
	s.Kept = nil // it reads them
	var out strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	line("#!/bin/sh")
	line("# The notes service %s in %s, account %s.", s.Name, s.Region, s.Account)
	if !permitOnly {
		line("# It wants the function beside it: %s", s.zipCommand())
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
			line("%s=$(%s --query %s --output json); %s=$(bare \"$%s\")", step.Ref, call.Command(step.Find),
				call.Quote(step.Pick), step.Ref, step.Ref)
			if permitOnly {
				line(`[ "$%s" != null ] || { echo %s >&2; exit 1; }`, step.Ref, call.Quote("there is no "+step.What))
				break
			}
			line("[ \"$%s\" != null ] || %s=$(%s --query %s --output text)", step.Ref, step.Ref,
				call.Command(step.Create), created(step))
		case step.Pick != "" && step.Ref == "":
			line("found=$(%s --query %s --output json)", call.Command(step.Find), call.Quote(step.Pick))
			line("if [ \"$found\" = null ]; then %s; else ours %s %s; fi", create, call.Quote(step.What), ownTag(step))
		case step.TagsAt != "":
			line("if there %s; then ours %s %s; else %s; fi", call.Command(step.Find), call.Quote(step.What),
				ownTag(step), create)
		default:
			line("there %s || %s", call.Command(step.Find), create)
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
				line("%s", Granting(g))
			}
		}
	}
	if !permitOnly {
		path := "/" + s.Stage
		if s.Stage == "$default" {
			path = ""
		}
		line("\necho \"$(aws apigatewayv2 get-api --api-id \"$api\" --query ApiEndpoint --output text)%s/notes\"", path)
	}
	return out.String()
}

// setting is the lines that set what must be so.
func (s Stack) setting(of Setting) string {
	command, before := call.Command(of.Put), ""
	if put, ok := of.Put.(*lambda.UpdateFunctionConfigurationInput); ok {
		before = fmt.Sprintf("variables=$(%s --query %s --output json)\n", call.Command(of.Read),
			call.Quote(s.variables(put))) + keepInFile
		bare := *put
		bare.Environment = nil
		command = call.Command(&bare) + ` --environment "file://$environment"`
	}
	if of.Refused != "" {
		command = "tolerate " + call.Quote(of.Refused) + " " + call.Quote(of.Else) + " " + command
	} else {
		command = "again " + command
	}
	if of.Holds != "" {
		return fmt.Sprintf(`[ "$(%s --query %s --output text)" = True ] || %s`,
			call.Command(of.Read), call.Quote(of.Holds), command)
	}
	return before + command
}

// keepInFile puts the variables, which may hold a secret, where only their owner reads them: a command line is for all.
const keepInFile = `environment=$(mktemp); trap 'rm -f "$environment"' EXIT
printf '{"Variables":%s}' "$variables" >"$environment"
`

// variables is an expression for the variables that the function must have, in what reads it: those that are wanted,
// and of those that it has the ones that stay.
func (s Stack) variables(put *lambda.UpdateFunctionConfigurationInput) string {
	wanted, err := json.Marshal(put.Environment.Variables)
	if err != nil {
		panic(err) // of texts
	}
	expression := "Configuration.Environment.Variables | merge(`" + string(wanted) + "`"
	for _, name := range kept {
		if name == BasePathVariable && s.BasePath != nil {
			continue
		}
		expression += staying(name)
	}
	if s.Auth.Made {
		expression += staying(tokensVariable)
	}
	return expression + ")"
}

func staying(variable string) string {
	return fmt.Sprintf(", %[1]s && {%[1]s: %[1]s} || `{}`", variable)
}

// cliVersion is of 2023, when the aws CLI has all that the script uses.
const cliVersion = "the script needs the aws CLI of version 1.29 or 2.13, or a later one"

// helpers are the script's functions. What fails for another reason than that something is not there ends the script.
const helpers = `refusal=
again() { # IAM and Lambda take their time
  for pause in 1 2 4 8 16 32 0; do
    if said=$("$@" 2>&1); then return; fi
    if [ "$refusal" ]; then case $said in *"$refusal"*) echo "$meaning" >&2; return;; esac; fi
    case $said in
    *AccessDenied*|*ExpiredToken*|*UnrecognizedClient*|*ValidationException*) break;;
    *'Unknown options'*|*'nvalid choice'*|*'Unknown parameter'*)
      echo "$(aws --version 2>&1) is too old: ` + cliVersion + `" >&2; break;;
    esac
    sleep $pause
  done
  echo "$said" >&2; exit 1
}
tolerate() { # what is refused with the words $1 is no failure, but means $2
  refusal=$1 meaning=$2; shift 2
  again "$@"
  refusal=
}
there() {
  if said=$("$@" 2>&1); then return; fi
  case $said in *NotFound*|*NoSuchEntity*) return 1;; esac
  echo "$said" >&2; exit 1
}
ours() { [ "$2" = "$stack" ] || { echo "$1 is there, but not of the stack $stack" >&2; exit 1; }; }
bare() { bare=${1#\"}; echo "${bare%\"}"; }
sum256() { # the first 16 digits of the SHA-256 of what it reads
  if command -v sha256sum >/dev/null; then sum=$(sha256sum)
  elif command -v shasum >/dev/null; then sum=$(shasum -a 256)
  else sum=$(openssl dgst -sha256 -r) || sum=
  fi
  case $sum in ????????????????*) echo "$sum" | cut -c1-16;;
  *) echo "no sha256sum, shasum or openssl is there" >&2; return 1;; esac
}`

// ownTag reads the tag that tells whose a step's thing is.
func ownTag(s Step) string {
	read := s.Tags
	if read == nil {
		read = s.Find
	}
	at := s.TagsAt + `.\"` + StackTag + `\"`
	if service, _ := call.Operation(read); service == "iam" || service == "dynamodb" { // whose tags are lists
		at = s.TagsAt + "[?Key=='" + StackTag + "'].Value | [0]"
	}
	return `"$(` + call.Command(read) + ` --query "` + at + `" --output text)"`
}

// Granting is the command that makes a grant, unless it is there.
func Granting(g gateway.Grant) string {
	policy := "aws lambda get-policy --function-name " + call.Quote(g.Function)
	if g.Qualifier != "" {
		policy += " --qualifier " + call.Quote(g.Qualifier)
	}
	return fmt.Sprintf("%s --query Policy --output text 2>/dev/null | grep -q %s || %s >/dev/null", policy,
		call.Quote(g.StatementID), call.Command(g.Input()))
}

// created is the name of the id in what a step's call answers.
func created(s Step) string {
	_, operation := call.Operation(s.Create)
	return strings.TrimPrefix(operation, "Create") + "Id"
}

// zipCommand is the command that makes the function's zip.
func (s Stack) zipCommand() string {
	command := "deploy zip --arch " + GOARCH(s.Architecture)
	if s.Auth.Kind == "jwt" {
		command += " --jwt"
	}
	return command
}

// GOARCH is the name that Go has for a processor of Lambda.
func GOARCH(architecture string) string {
	return map[string]string{"arm64": "arm64", "x86_64": "amd64"}[architecture]
}
