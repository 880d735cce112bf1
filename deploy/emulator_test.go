package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"example.com/portable-notes/notes/storetest"
)

// emulator is AWS's runtime interface emulator.
const emulator = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@" +
	"v0.0.0-20261030222936-bef5c4ba774d"

// emulatorStory invokes the function with each event, in the sandbox and in the emulator.
const emulatorStory = `
$DEPLOY table notes >/dev/null
aws iam create-role --role-name notes \
  --assume-role-policy-document '{"Version":"2012-10-17","Statement":{
    "Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}' >/dev/null
aws iam put-role-policy --role-name notes --policy-name notes \
  --policy-document '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
aws lambda create-function --function-name notes --runtime provided.al2023 --handler bootstrap \
  --architectures $ARCH --zip-file fileb://$ZIP --role arn:aws:iam::123456789012:role/notes \
  --environment 'Variables={NOTES_STORE=dynamodb:notes,NOTES_AUTH=none}' >/dev/null
NOTES_AUTH=none NOTES_STORE=dynamodb:notes env -u AWS_CA_BUNDLE $EMULATOR --log-level error \
  --runtime-interface-emulator-address $ADDRESS $BOOTSTRAP >/dev/null 2>&1 &
emulator=$!
until curl -s -o /dev/null $ADDRESS/; do :; done
out=$(mktemp)
while read -r event; do
  printf '%s' "$event" >$out.event
  aws lambda invoke --function-name notes --payload fileb://$out.event $out >/dev/null
  printf 'sandbox %s\n' "$(cat $out)"
  printf 'emulator %s\n' "$(curl -s $ADDRESS/2015-03-31/functions/function/invocations --data-binary @$out.event)"
done <$EVENTS
kill $emulator
rm $out $out.event
`

// TestProofAsTheEmulator checks that the function answers events in the sandbox as under AWS's runtime interface
// emulator.
func TestProofAsTheEmulator(t *testing.T) {
	storetest.Programs(t, "python3")
	t.Parallel()
	tools := t.TempDir()
	install := exec.Command("go", "install", emulator)
	install.Env = append(os.Environ(), "GOBIN="+tools)
	if output, err := install.CombinedOutput(); err != nil {
		storetest.Lacks(t, "AWS's runtime emulator", fmt.Errorf("%w: %s", err, output))
	}
	zip := zipFunction(t)
	events := []string{
		`{"version":"2.0","rawPath":"/notes","headers":{},"requestContext":{"stage":"$default","requestId":"r1",` +
			`"http":{"method":"GET","sourceIp":"192.0.2.1"}}}`,
		`{"version":"2.0","rawPath":"/dev/notes/0190a4c8-0000-7000-8000-000000000000","headers":{},` +
			`"requestContext":{"stage":"dev","requestId":"r2","http":{"method":"GET","sourceIp":"192.0.2.1"}}}`,
		`{"version":"2.0","rawPath":"/notes","headers":{"content-type":"application/json"},"body":"{\"title\":5}",` +
			`"requestContext":{"stage":"$default","requestId":"r3","http":{"method":"POST","sourceIp":"192.0.2.1"}}}`,
		`{"version":"2.0","rawPath":"/notes","headers":{"content-type":"application/json"},"body":"***",` +
			`"isBase64Encoded":true,"requestContext":{"stage":"$default","requestId":"r4","http":{"method":"POST",` +
			`"sourceIp":"192.0.2.1"}}}`,
		`{"version":"2.0","rawPath":"/nothing","headers":{},"requestContext":{"stage":"$default","requestId":"r5",` +
			`"http":{"method":"PUT","sourceIp":"192.0.2.1"}}}`,
		`{"warmer":true}`, `[]`, `"x"`,
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	folder := t.TempDir()
	if output, err := exec.Command("python3", "-m", "zipfile", "-e", zip, folder).CombinedOutput(); err != nil {
		t.Fatal(err, string(output))
	}
	if err := errors.Join(os.Chmod(filepath.Join(folder, "bootstrap"), 0o755), os.WriteFile(filepath.Join(folder,
		"events"), []byte(strings.Join(events, "\n")+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	out, log, err := runInSandbox(t, emulatorStory, "DEPLOY="+buildProgram(t), "ZIP="+zip, "ADDRESS="+address,
		"EMULATOR="+filepath.Join(tools, "aws-lambda-rie"), "BOOTSTRAP="+filepath.Join(folder, "bootstrap"),
		"EVENTS="+filepath.Join(folder, "events"),
		"ARCH="+map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH])
	if err != nil {
		t.Fatalf("%v; %s; %s", err, out, log)
	}
	lines := strings.Split(strings.TrimSpace(regexp.MustCompile(
		`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`).ReplaceAllString(out, "ID")), "\n")
	if len(lines) != 2*len(events) {
		t.Fatalf("printed %d lines: %s", len(lines), out)
	}
	for i := 0; i < len(lines); i += 2 {
		got, _ := strings.CutPrefix(lines[i], "sandbox ")
		want, _ := strings.CutPrefix(lines[i+1], "emulator ")
		if got != want || !strings.Contains(got, "statusCode") {
			t.Errorf("%s\nthe sandbox:  %s\nthe emulator: %s", events[i/2], got, want)
		}
	}
}
