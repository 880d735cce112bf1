package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/natefinch/atomic"

	"example.com/portable-notes/app"
	"example.com/portable-notes/app/token"
)

const tokenUsage = `server token makes, lists and revokes the bearer tokens of a server with NOTES_AUTH=token.

  server token new OWNER [--read] [--expires WHEN] [--append FILE]
      print a new token, and add its hash to FILE or print the line that makes a server accept it
  server token list FILE
      list the tokens of NOTES_TOKENS_FILE: owner, scope, first digits of the hash, expiry
  server token revoke FILE OWNER [HASH]
      remove all tokens of an owner, or the one whose hash begins with HASH

A running server reads its file again at the next request, at most once a second.
The file is replaced as a whole, and its comments stay.

Flags:
`

// runToken runs the command server token.
func runToken(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	readOnly := flags.Bool("read", false, "let the token only read")
	expires := flags.String("expires", "", "`WHEN` the token expires: a time from now, such as 90d or 12h, or a "+
		"date: 2027-01-31")
	file := flags.String("append", "", "add the token to this `FILE`, which is created if it does not exist")
	var words []string // flags may stand before, between and behind them
	for err := flags.Parse(args); ; err = flags.Parse(flags.Args()[1:]) {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, tokenUsage)
			flags.SetOutput(stdout)
			flags.PrintDefaults()
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		if flags.NArg() == 0 {
			break
		}
		words = append(words, flags.Arg(0))
	}
	command := ""
	if len(words) > 0 {
		command = words[0]
	}
	if command != "new" && flags.NFlag() > 0 {
		return fmt.Errorf("%w: only token new has flags", errUsage)
	}
	switch {
	case command == "new" && len(words) == 2:
		scope := app.Write
		if *readOnly {
			scope = app.Read
		}
		until, err := parseExpiry(*expires, time.Now())
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		return createToken(words[1], scope, until, *file, stdout)
	case command == "list" && len(words) == 2:
		return listTokens(words[1], time.Now(), stdout)
	case command == "revoke" && (len(words) == 3 || len(words) == 4):
		return revokeTokens(words[1], words[2], strings.Join(words[3:], ""), stdout)
	}
	return fmt.Errorf("%w: expected token new OWNER, token list FILE or token revoke FILE OWNER [HASH]", errUsage)
}

// parseExpiry returns the end of a duration that begins now, or a time, or the beginning of a date in UTC. It returns
// the zero time for an empty text.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, err := strconv.Atoi(strings.TrimSuffix(text, "d")); err == nil && strings.HasSuffix(text, "d") {
		text = (time.Duration(days) * 24 * time.Hour).String()
	}
	var at time.Time
	if after, err := time.ParseDuration(text); err == nil {
		at = now.Add(after)
	} else if at, err = time.Parse(time.DateOnly, text); err != nil {
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return at, fmt.Errorf("--expires must be such as 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z, not %q",
				text)
		}
	}
	if !at.After(now) {
		return at, fmt.Errorf("--expires %s is past", at.UTC().Format(time.RFC3339))
	}
	return at, nil
}

// createToken prints a new token, and adds it to a file unless the file's name is empty.
func createToken(owner string, scope app.Scope, expires time.Time, file string, stdout io.Writer) error {
	secret, t, err := token.Make(owner, scope, expires)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if file == "" {
		fmt.Fprintf(stdout, "%s\n\nThis is the token; it is shown only once. A server accepts it with "+
			"NOTES_AUTH=token and\nNOTES_TOKENS='%s'\nor with that line in NOTES_TOKENS_FILE.\n", secret, t)
		return nil
	}
	err = editTokens(file, true, func(text string) (string, error) {
		if _, err := token.List(text); err != nil {
			return "", err
		}
		return token.Append(text, t), nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s\n\nThis is the token; it is shown only once. Its hash was added to %s.\n", secret, file)
	return nil
}

// listTokens prints the tokens of a file.
func listTokens(file string, now time.Time, stdout io.Writer) error {
	text, err := token.ReadFile(file)
	if err != nil {
		return err
	}
	tokens, err := token.List(text)
	if err != nil {
		return fmt.Errorf("%s:\n%w", file, err)
	}
	printTokens(stdout, tokens, now)
	return nil
}

// printTokens prints a table of tokens.
func printTokens(w io.Writer, tokens []token.Token, now time.Time) {
	width := len("OWNER")
	for _, t := range tokens {
		width = max(width, len(t.Owner))
	}
	fmt.Fprintf(w, "%-*s  SCOPE  HASH          EXPIRES\n", width, "OWNER")
	for _, t := range tokens {
		expires := "never"
		if !t.Expires.IsZero() {
			expires = t.Expires.UTC().Format(time.RFC3339)
			if !t.Expires.After(now) {
				expires += " (expired)"
			}
		}
		scope := "write"
		if t.Scope == app.Read {
			scope = "read"
		}
		fmt.Fprintf(w, "%-*s  %-5s  %s  %s\n", width, t.Owner, scope, t.Digits()[:12], expires)
	}
}

// revokeTokens removes tokens from a file and prints them.
func revokeTokens(file, owner, hash string, stdout io.Writer) error {
	var removed []token.Token
	err := editTokens(file, false, func(text string) (rest string, err error) {
		rest, removed, err = token.Revoke(text, owner, hash)
		return rest, err
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "revoked:")
	printTokens(stdout, removed, time.Now())
	return nil
}

// editTokens replaces a file of tokens by its edited text. With create the file need not exist. A reader finds the old
// text or the new one, and the file keeps its permissions and its owner.
func editTokens(file string, create bool, edit func(text string) (string, error)) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target // replace the file, not the link to it
	}
	text, err := token.ReadFile(file)
	isNew := create && errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return err
	}
	edited, err := edit(text)
	if err != nil {
		return fmt.Errorf("%s:\n%w", file, err)
	}
	info, _ := os.Stat(file)
	if err := atomic.WriteFile(file, strings.NewReader(edited)); err != nil {
		return fmt.Errorf("%s was not changed: %w", file, err)
	}
	if info != nil {
		return keepOwner(file, info)
	}
	return nil
}
