package main

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// setProgram gives the function a custom runtime, with one file in its zip.
func (p *patient) setProgram(name string, executable bool, content []byte) {
	p.t.Helper()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	if h.SetMode(0o644); executable {
		h.SetMode(0o755)
	}
	file, err := w.CreateHeader(h)
	p.must(err)
	_, err = file.Write(content)
	p.must(err)
	p.must(w.Close())
	_, err = p.functions().UpdateFunctionCode(p.t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: &p.name,
		ZipFile: packed.Bytes()})
	p.must(err)
	p.awaitUpdate()
	p.configure(lambda.UpdateFunctionConfigurationInput{Runtime: lambdatypes.RuntimeProvidedal2,
		Handler: aws.String("bootstrap")})
}

// elfFor returns the header of a program that needs a loader and a version of the GNU C library.
func elfFor(machine elf.Machine, loader, needs string) []byte {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: 1, Phoff: 64, Ehsize: 64,
		Phentsize: 56, Phnum: 1}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	segment := elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(loader) + 1)}
	if loader == "" {
		segment.Type = uint32(elf.PT_LOAD)
	}
	_ = binary.Write(&b, binary.LittleEndian, h)
	_ = binary.Write(&b, binary.LittleEndian, segment)
	b.WriteString(loader + "\x00" + needs)
	return b.Bytes()
}

// postItem is a request after which the doctor does not invoke the function, so that it must read the zip.
const postItem = "POST /dev/items/7"

// restorePython restores the working function in Python.
func restorePython(p *patient) {
	p.setCode(map[string]string{"app.py": workingCode})
	p.configure(lambda.UpdateFunctionConfigurationInput{Runtime: lambdatypes.RuntimePython312,
		Handler: aws.String("app.handler")})
}

// codeFaults are faults of code that the function's zip proves.
var codeFaults = []stagedFault{
	{cause: "code.bootstrap", path: postItem, inject: func(p *patient) {
		p.setProgram("main", true, elfFor(elf.EM_X86_64, "", ""))
	}, repair: restorePython},
	{cause: "code.architecture", usual: true, path: postItem, inject: func(p *patient) {
		p.setProgram("bootstrap", true, elfFor(elf.EM_S390, "", ""))
	}, repair: restorePython},
	{cause: "code.not-executable", path: postItem, inject: func(p *patient) {
		p.setProgram("bootstrap", false, elfFor(elf.EM_X86_64, "", ""))
	}, repair: restorePython},
	{cause: "code.dynamic-link", path: postItem, inject: func(p *patient) {
		p.setProgram("bootstrap", true, elfFor(elf.EM_X86_64, "/lib64/ld-linux-x86-64.so.2", "GLIBC_2.34"))
	}, repair: restorePython},
	{cause: "code.handler", path: postItem, inject: func(p *patient) {
		p.setCode(map[string]string{"src/app.py": workingCode})
	}, repair: restorePython},
	{cause: "code.import", path: postItem, inject: func(p *patient) {
		p.setCode(map[string]string{"index.js": "import fs from 'fs'\nexport const handler = async () => ({})\n"})
		p.configure(lambda.UpdateFunctionConfigurationInput{Runtime: lambdatypes.RuntimeNodejs22x,
			Handler: aws.String("index.handler")})
	}, repair: restorePython},
	{cause: "code.callback", path: postItem, inject: func(p *patient) {
		p.setCode(map[string]string{
			"index.js": "exports.handler = (event, context, callback) => callback(null, {statusCode: 200})\n"})
		p.configure(
			lambda.UpdateFunctionConfigurationInput{Runtime: "nodejs24.x", Handler: aws.String("index.handler")},
		)
	}, repair: restorePython},
}

// TestDoctorLayer checks that the doctor finds a handler in a layer.
func TestDoctorLayer(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	layer, err := p.functions().PublishLayerVersion(t.Context(), &lambda.PublishLayerVersionInput{LayerName: &p.name,
		Content: &lambdatypes.LayerVersionContentInput{
			ZipFile: p.zipOf(map[string]string{"python/app.py": workingCode})}})
	p.must(err)
	p.setCode(map[string]string{"other.py": "x = 1\n"})
	for _, c := range []struct {
		name   string
		layers []string
		want   string
	}{
		{name: "without it", want: "code.handler"},
		{name: "with it", layers: []string{*layer.LayerVersionArn}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.configure(lambda.UpdateFunctionConfigurationInput{Layers: c.layers})
			d, _ := p.diagnose("--api", p.id)
			if got := faults(d); got != c.want || len(d.Unseen) > 0 {
				t.Errorf("found %q, want %q; unseen %+v", got, c.want, d.Unseen)
			}
		})
	}
}

// TestDoctorBody checks that the doctor recognizes a body that the function receives as base64, because the request
// does not declare it as JSON.
func TestDoctorBody(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.setPython("import json\n\n\ndef handler(event, context):\n    json.loads(event['body'])\n" +
		"    return {\"statusCode\": 200}\n")
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{name: "as curl sends it", args: []string{"-d", `{"a":1}`}, want: "request.base64-body"},
		{name: "as JSON", args: []string{"-d", `{"a":1}`, "-H", "Content-Type: application/json"}},
		{name: "as malformed JSON", args: []string{"-d", `{"a"`, "-H", "Content-Type: application/json"},
			want: "code.error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, _ := p.diagnose(append([]string{"--", "curl", p.url("/dev/items/7")}, c.args...)...)
			if d.Verdict.Cause != c.want || strings.TrimPrefix(faults(d), c.want) != "" {
				t.Errorf("the cause is %q; %+v", d.Verdict.Cause, d.Findings)
			}
		})
	}
}

// TestDoctorNoLog checks that the doctor reports a role that may not write the log, and after the fix the error in the
// log.
func TestDoctorNoLog(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	_, err := p.roles().DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{RoleName: &p.name,
		PolicyArn: aws.String("arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole")})
	p.must(err)
	p.setPython("def handler(event, context):\n    return 1 / 0\n")
	d, code := p.diagnose("--", "curl", "-X", "POST", p.url("/dev/items/7"))
	if code != 3 || len(d.Findings) < 1 || d.Findings[0].Cause != "role.logs" {
		t.Fatalf("exit %d, %+v", code, d.Findings)
	}
	p.runFix(d, "role.logs")
	if d, _ = p.diagnose("--", "curl", "-X", "POST", p.url("/dev/items/7")); d.Verdict.Cause != "code.error" {
		t.Errorf("the cause is %q; %+v, unseen %+v", d.Verdict.Cause, d.Findings, d.Unseen)
	}
}
