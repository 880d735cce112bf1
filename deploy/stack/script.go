package stack

import (
	"fmt"
	"strings"
)

// Script is a stack as a shell script of aws commands, to be run with the function's zip beside it, again and again. It
// makes what is missing and sets what must be so; what is too much it leaves to the program.
func Script(s Stack, permitOnly bool) string {
	var out strings.Builder
	line := func(format string, values ...any) { fmt.Fprintf(&out, format+"\n", values...) }
	line("#!/bin/sh")
	line("# The notes service %s in %s, account %s.", s.Name, s.Region, s.Account)
	line("set -eu")
	line("export AWS_REGION=%s AWS_DEFAULT_REGION=%s AWS_PAGER=", s.Region, s.Region)
	line(`again() { for pause in 1 2 4 8 16 32 0; do "$@" && return; sleep $pause; done; return 1; } # IAM and Lambda take their time`)
	line("quiet() { \"$@\" >/dev/null; }")
	for _, step := range s.Steps() {
		if permitOnly && step.Ref != "api" {
			continue
		}
		line("\n# %s", step.What)
		create := "again quiet " + Command(step.Create)
		switch {
		case permitOnly:
			line("%s=$(%s)", step.Ref, picked(step))
		case step.Ref != "":
			line("%s=$(%s)", step.Ref, picked(step))
			line("[ \"$%s\" != null ] || %s=$(%s --query %s --output text)", step.Ref, step.Ref, Command(step.Create), created(step))
		case step.Pick != "":
			line("[ \"$(%s)\" != null ] || %s", picked(step), create)
		default:
			line("%s >/dev/null 2>&1 || %s", Command(step.Find), create)
		}
		if step.Wait != "" && !permitOnly {
			line("%s", step.Wait)
		}
		for _, setting := range step.Settings {
			if permitOnly {
				break
			}
			command := "again quiet " + Command(setting.Put)
			if setting.Holds != "" {
				line("[ \"$(%s --query %s --output text)\" = True ] || %s", Command(setting.Read), quote(setting.Holds), command)
			} else {
				line("%s", command)
			}
			if step.Wait != "" {
				line("%s", step.Wait)
			}
		}
		if step.Ref == "api" {
			for _, g := range s.Grants("${api}") {
				line("\n# grant for %s", g.For)
				line("sid=%s$(printf '%%s\\n%%s\\n%%s\\n%%s' %s '' %s %s | sha256sum | cut -c1-16)", statementPrefix, quote(g.Function), quote(g.SourceARN), g.Account)
				g.StatementID = "${sid}"
				line("aws lambda get-policy --function-name %s --query Policy --output text 2>/dev/null | grep -q \"$sid\" || quiet %s", quote(g.Function), Command(g.Input()))
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

// picked finds the id of a step's thing in all pages: as text, the aws CLI would search each page by itself.
func picked(s Step) string {
	return fmt.Sprintf("%s --query %s --output json | tr -d '\"'", Command(s.Find), quote(s.Pick))
}

// created is the name of the id in what a step's call answers.
func created(s Step) string {
	_, operation := Operation(s.Create)
	return strings.TrimPrefix(operation, "Create") + "Id"
}
