// Package sam translates templates with the types of SAM to CloudFormation, by AWS's own translator, which is a library
// for Python (https://github.com/aws/serverless-application-model).
package sam

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed translate.py
var program string

// Task is a template to translate.
type Task struct {
	Template   json.RawMessage   `json:"template"`   // in JSON, with functions in their long form
	Parameters map[string]string `json:"parameters"` // values of the template's parameters, by name
	Region     string            `json:"region"`     // such as eu-central-1
	// IsLocal accepts code and definitions in files that were not uploaded.
	IsLocal bool `json:"local"`
	// Endpoint is that of AWS, from which the managed policies that the template names are read. If it is "", names of
	// policies stay as they are.
	Endpoint string `json:"endpoint"`
}

// Error is what is wrong with a template, in the translator's words.
type Error struct{ Messages []string }

func (e *Error) Error() string {
	return fmt.Sprintf("Invalid Serverless Application Specification document. Number of errors found: %d. %v",
		len(e.Messages), e.Messages)
}

// ErrMissing reports that no Python here has the translator.
var ErrMissing = errors.New("the types of SAM need AWS's translator: pip install aws-sam-translator, or give the " +
	"processed template (aws cloudformation get-template --template-stage Processed)")

// Translate translates a template with a Python, which is a command and its first arguments. The error is of type
// [*Error] if the template is wrong, [ErrMissing] if this Python does not have the translator, and another one if
// Python fails or ctx ends.
func Translate(ctx context.Context, python []string, t Task) ([]byte, error) {
	in, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	out, err := run(ctx, python, in)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Template json.RawMessage
		Errors   []string
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("SAM's translator answers %.200q", out)
	}
	if answer.Errors != nil {
		return nil, &Error{answer.Errors}
	}
	return answer.Template, nil
}

// run runs the program in translate.py.
func run(ctx context.Context, python []string, in []byte) ([]byte, error) {
	words := append(slices.Clone(python), "-c", program)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...) // #nosec G204 -- Python
	cmd.Stdin = bytes.NewReader(in)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "AWS_") })
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	lines := strings.Split(strings.TrimSpace(failure.String()), "\n")
	if errors.Is(err, exec.ErrNotFound) || strings.HasPrefix(lines[len(lines)-1], "ModuleNotFoundError") {
		return nil, ErrMissing
	}
	return nil, fmt.Errorf("%w: %s", err, lines[len(lines)-1])
}

// TranslateHere is like Translate with the first Python of this machine that has the translator: python3, or that of
// the SAM CLI.
func TranslateHere(ctx context.Context, t Task) ([]byte, error) {
	pythons := []string{"python3"}
	if path, err := exec.LookPath("sam"); err == nil {
		pythons = append(pythons, Interpreter(path))
	}
	for _, python := range pythons {
		if out, err := Translate(ctx, []string{python}, t); !errors.Is(err, ErrMissing) {
			return out, err
		}
	}
	return nil, ErrMissing
}

// Interpreter returns the Python in the first line of a program that pip installed. The wrappers of pyenv are shell
// scripts; for them, and for any other program, it returns python3.
func Interpreter(program string) string {
	file, err := os.Open(program) // #nosec G304 -- a program in PATH
	if err != nil {
		return "python3"
	}
	defer func() { _ = file.Close() }()
	first, _, _ := bufio.NewReader(file).ReadLine()
	path, isScript := strings.CutPrefix(string(first), "#!")
	if !isScript || !strings.Contains(filepath.Base(path), "python") || strings.Contains(path, " ") {
		return "python3"
	}
	return path
}
