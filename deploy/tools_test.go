package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	apitypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/facts"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox"
	"example.com/portable-notes/notes/storetest"
)

// builder is a tool with which people make APIs, and its files for a typical API in docs/building.
type builder struct {
	name   string
	file   string       // with the settings of the function
	setUp  func(o tool) // what deploy needs once; nil for nothing
	deploy func(o tool) (out string, err error)
	remove func(o tool)
	fails  string // part of what the tool prints when a deployment fails
	// template is the file that the doctor reads before the deployment. If it is "", deploy writes state.json.
	template string
}

// builders are the tools. Their APIs have the same routes: three plain ones, one with an authorizer, a greedy one and
// $default.
func builders() []builder {
	return []builder{
		{
			name: "CloudFormation", file: "cloudformation.yaml", fails: "Failed to create/update the stack",
			template: "packaged.yaml",
			setUp:    func(o tool) { o.run("aws", "s3", "mb", "s3://"+o.name) },
			deploy: func(o tool) (string, error) {
				o.run("aws", "cloudformation", "package", "--template-file", "cloudformation.yaml", "--s3-bucket",
					o.name, "--output-template-file", "packaged.yaml")
				return o.try("aws", "cloudformation", "deploy", "--template-file", "packaged.yaml", "--stack-name",
					o.name, "--capabilities", "CAPABILITY_IAM")
			},
			remove: func(o tool) { o.deleteStack(o.name) },
		},
		{
			name: "SAM", file: "sam.yaml", fails: "UPDATE_ROLLBACK_COMPLETE", template: "sam.yaml",
			deploy: func(o tool) (string, error) {
				return o.try("sam", "deploy", "--template-file", "sam.yaml", "--stack-name", o.name,
					"--resolve-s3", "--capabilities", "CAPABILITY_IAM")
			},
			remove: func(o tool) {
				o.run("sam", "delete", "--stack-name", o.name, "--no-prompts", "--region", "us-east-1")
			},
		},
		{
			name: "CDK", file: "cdk.js", fails: "failed to deploy", template: "cdk.out/NAME.template.json",
			setUp: func(o tool) { o.withCDK().run("cdk", "bootstrap", "--app", "node cdk.js") },
			deploy: func(o tool) (string, error) {
				return o.withCDK().try("cdk", "deploy", "--app", "node cdk.js", "--require-approval",
					"never", "--ci")
			},
			remove: func(o tool) {
				o.withCDK().run("cdk", "destroy", "--app", "node cdk.js", "--force", "--ci")
			},
		},
		{
			name: "Serverless Framework", file: "src/serverless.yml", fails: "failed to deploy",
			template: "src/.serverless/cloudformation-template-update-stack.json",
			deploy:   func(o tool) (string, error) { return o.in(o.t, "src").try("osls", "deploy") },
			remove:   func(o tool) { o.in(o.t, "src").run("osls", "remove") },
		},
		{
			name: "Terraform", file: "main.tf", fails: "UnreservedConcurrentExecution", setUp: tool.initTerraform,
			deploy: func(o tool) (string, error) {
				if _, err := os.Stat(filepath.Join(o.folder, "first.tfplan")); err != nil {
					o.run("terraform", "plan", "-input=false", "-var=name="+o.name, "-out=first.tfplan")
				}
				return o.try("terraform", "apply", "-auto-approve", "-input=false", "-var=name="+o.name)
			},
			remove: func(o tool) {
				o.run("terraform", "destroy", "-auto-approve", "-input=false", "-var=name="+o.name)
			},
		},
		{name: "OpenAPI", template: "openapi.json",
			deploy: func(o tool) (string, error) { return o.try("sh", "openapi.sh") }},
	}
}

// TestProofTools makes a typical API with each tool, and checks that it works, that the doctor finds nothing wrong,
// that a change that fails is rolled back, that the tool changes the API, and that it removes it. Before that, it
// stages faults in the API: a few, or with NOTES_TEST_LONG=1 all of stagedInTools.
func TestProofTools(t *testing.T) {
	t.Parallel()
	for _, b := range builders() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o := tool{t: t, name: w.name, folder: t.TempDir(), environ: w.environ("NAME="+w.name, "NODE_NO_WARNINGS=1")}
			o.copyTools()
			if b.setUp != nil {
				b.setUp(o)
			}
			if out, err := b.deploy(o); err != nil {
				t.Fatal(err, out)
			}
			p := adopt(w)
			b.checkTemplate(o, p)
			p.checkHealthy()
			for _, s := range stagedInTools() {
				if !s.usual && os.Getenv("NOTES_TEST_LONG") == "" {
					continue
				}
				if !t.Run(s.cause, func(t *testing.T) {
					world := *w
					world.t = t
					one := *p
					one.world = &world
					restore := one.saveWiring()
					s.stageOn(&one)
					restore()
				}) {
					return // the next would find this one too
				}
			}
			if b.remove == nil {
				p.reimport(o)
				return
			}
			o.edit(b.file, "128", "256", "emory")
			o.edit(b.file, " 10", " 5000", "oncurren") // more than the account has
			if out, err := b.deploy(o); err == nil || !strings.Contains(out, b.fails) {
				t.Errorf("a deployment that must fail: %v\n%s", err, out)
			}
			if b.name != "Terraform" { // which does not roll back
				p.checkMemory(128)
			}
			o.edit(b.file, " 5000", " 10")
			if out, err := b.deploy(o); err != nil {
				t.Fatal(err, out)
			}
			p.checkMemory(256)
			p.checkHealthy()
			b.remove(o)
			if _, err := p.gateway().GetApi(t.Context(), &apigatewayv2.GetApiInput{ApiId: &p.id}); err == nil {
				t.Error("the API is still there")
			}
		})
	}
}

// checkTemplate checks that the doctor finds nothing wrong with what the tool has written, and reads the same grants in
// it as the functions have.
func (b builder) checkTemplate(o tool, p *patient) {
	o.t.Helper()
	file := strings.ReplaceAll(b.template, "NAME", o.name)
	if file == "" {
		for name, args := range map[string][]string{"state.json": {"show", "-json"}, "plan.json": {"show", "-json",
			"first.tfplan"}} {
			o.write(name, o.run("terraform", args...))
			p.compareGrants(filepath.Join(o.folder, name))
			if d := o.judgeFile(name); len(d.Findings) > 0 || len(d.Unseen) > 0 {
				o.t.Errorf("%s: %+v, unseen %+v", name, d.Findings, d.Unseen)
			}
		}
		return
	}
	p.compareGrants(filepath.Join(o.folder, file))
	d := o.judgeFile(file)
	if len(d.Findings) > 0 || len(d.Unseen) > 0 && b.name != "OpenAPI" { // which has no grants
		o.t.Errorf("%s: %+v, unseen %+v", file, d.Findings, d.Unseen)
	}
}

// compareGrants compares the source ARNs of the grants in a file with those of the functions, but for IDs.
func (p *patient) compareGrants(file string) {
	p.t.Helper()
	r, err := readPlanned(file, plannedOptions(p.t.Context(), nil))
	p.must(err)
	ids := regexp.MustCompile(`^.*?/(authorizers/[^*]+$)?`) // up to the API's ID, and the ID of an authorizer
	short := func(document policy.Document) (all []string) {
		for _, s := range document.Statement {
			all = append(all, ids.ReplaceAllString(s.Condition["ArnLike"]["AWS:SourceArn"][0], ""))
		}
		slices.Sort(all)
		return all
	}
	for _, f := range r.Cases[0].Functions {
		name := p.name
		if strings.HasSuffix(f.Target.Function, "-auth") {
			name += "-auth"
		}
		live, _, err := facts.Policy(p.t.Context(), cloud.New(p.cfg), name, "")
		p.must(err)
		if got, want := short(f.Policy.Or()), short(live); f.Policy.Seen() && !slices.Equal(got, want) {
			p.t.Errorf("%s: in %s the grants are %q, and on the function %q", name, file, got, want)
		}
	}
}

// reimport changes an imported API by another import, checks that an import that fails changes nothing, and deletes the
// API.
func (p *patient) reimport(o tool) {
	p.t.Helper()
	const before = `    "/items": {`
	o.edit("openapi.json", before, `    "/more": {"get": {"x-amazon-apigateway-integration": {`+
		`"$ref": "#/components/x-amazon-apigateway-integrations/app"}}},`+"\n"+before)
	o.run("aws", "apigatewayv2", "reimport-api", "--api-id", p.id, "--body", "file://openapi.json")
	// The import makes the authorizer anew, with another ID, for which the doctor's fix has no grant.
	o.run("aws", "lambda", "add-permission", "--function-name", p.name+"-auth", "--statement-id", "again", "--action",
		"lambda:InvokeFunction", "--principal", "apigateway.amazonaws.com", "--source-arn",
		"arn:aws:execute-api:us-east-1:"+sandbox.Account+":"+p.id+"/authorizers/*")
	keys := func() (all []string) {
		for _, r := range p.routes() {
			all = append(all, *r.RouteKey)
		}
		slices.Sort(all)
		return all
	}
	want := []string{"$default", "ANY /files/{proxy+}", "GET /items", "GET /items/{id}", "GET /more", "POST /items"}
	if got := keys(); !slices.Equal(got, want) {
		p.t.Errorf("after the import the routes are %v", got)
	}
	p.checkHealthy()
	o.write("broken.json", `{"openapi": "3.0.1", "paths": {"/x": {`)
	out, err := o.try("aws", "apigatewayv2", "reimport-api", "--api-id", p.id, "--body", "file://broken.json")
	if err == nil || !strings.Contains(out, "Unable to parse the OpenAPI definition") {
		p.t.Errorf("a broken definition: %v, %s", err, out)
	}
	if got := keys(); !slices.Equal(got, want) {
		p.t.Errorf("after the import that failed the routes are %v", got)
	}
	o.run("aws", "apigatewayv2", "delete-api", "--api-id", p.id)
	if _, err := p.gateway().GetApi(p.t.Context(), &apigatewayv2.GetApiInput{ApiId: &p.id}); err == nil {
		p.t.Error("the API is still there")
	}
}

// copyTools copies docs/building to the tool's folder, and makes app.zip there.
func (o tool) copyTools() {
	o.t.Helper()
	if err := os.CopyFS(o.folder, os.DirFS("../docs/building")); err != nil {
		o.t.Fatal(err)
	}
	o.run("python3", "-m", "zipfile", "-c", "app.zip", "src/app.py")
}

// withCDK returns o for cdk.js, whose library is installed beside the program cdk.
func (o tool) withCDK() tool {
	o.t.Helper()
	path, err := exec.LookPath("cdk")
	if err == nil {
		path, err = filepath.EvalSymlinks(path) // node_modules/aws-cdk/bin/cdk
	}
	if err != nil {
		storetest.Lacks(o.t, "cdk", err)
	}
	o.environ = append(o.environ, "NODE_PATH="+filepath.Join(path, "../../.."), "CDK_DISABLE_VERSION_CHECK=1",
		"CDK_DISABLE_CLI_TELEMETRY=true")
	return o
}

// edit replaces a text in a file, in the lines that have all of the words.
func (o tool) edit(name, from, to string, words ...string) {
	o.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.folder, name))
	if err != nil {
		o.t.Fatal(err)
	}
	lines, changed := strings.Split(string(text), "\n"), 0
	for i, line := range lines {
		isMeant := !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
		if isMeant && strings.Contains(line, from) {
			lines[i] = strings.Replace(line, from, to, 1)
			changed++
		}
	}
	if changed != 1 {
		o.t.Fatalf("%s has %q in %d lines", name, from, changed)
	}
	o.write(name, strings.Join(lines, "\n"))
}

// adopt returns a tool's API as a patient. Its function has the name of the test.
func adopt(w *world) *patient {
	w.t.Helper()
	p := &patient{world: w, id: w.api(), stage: "$default"}
	for _, r := range p.routes() {
		switch *r.RouteKey {
		case "GET /items":
			_, p.integration, _ = strings.Cut(*r.Target, "/")
		case "GET /items/{id}":
			p.authorizer = aws.ToString(r.AuthorizerId)
		}
	}
	f, err := p.functions().GetFunctionConfiguration(w.t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &w.name})
	p.must(err)
	p.role = *f.Role
	return p
}

// routes returns all routes of the API.
func (p *patient) routes() (all []apitypes.Route) {
	p.t.Helper()
	in := &apigatewayv2.GetRoutesInput{ApiId: &p.id}
	for {
		page, err := p.gateway().GetRoutes(p.t.Context(), in)
		p.must(err)
		all = append(all, page.Items...)
		if in.NextToken = page.NextToken; in.NextToken == nil {
			return all
		}
	}
}

// checkHealthy checks the answer of each kind of route, and that the doctor finds nothing wrong with the API.
func (p *patient) checkHealthy() {
	p.t.Helper()
	for _, c := range []struct {
		path string
		args []string
	}{
		{path: "/items"}, {path: "/items", args: []string{"-X", "POST"}}, {path: "/files/a/b"}, {path: "/other"},
		{path: "/items/3", args: []string{"-H", "Authorization: open"}},
	} {
		d, code := p.diagnose(slices.Concat([]string{"--", "curl"}, c.args, []string{p.url(c.path)})...)
		if code != 0 || !d.Verdict.Healthy || faults(d) != "" {
			p.t.Errorf("%v %s: exit %d, %+v, faults %q", c.args, c.path, code, d.Answer, faults(d))
		}
	}
	if status := p.status("GET", "/items/3"); status != 401 {
		p.t.Errorf("without a key the status is %d", status)
	}
	if d, code := p.diagnose("--api", p.id); code != 0 || faults(d) != "" {
		p.t.Errorf("the API: exit %d, faults %q, %+v", code, faults(d), d.Findings)
	}
}

// checkMemory checks the function's memory, which the changes are about.
func (p *patient) checkMemory(want int32) {
	p.t.Helper()
	f, err := p.functions().GetFunctionConfiguration(p.t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: &p.name})
	p.must(err)
	if *f.MemorySize != want {
		p.t.Errorf("the function has %d MB, want %d", *f.MemorySize, want)
	}
}

// saveWiring returns a function that restores the policy of the function and the integration.
func (p *patient) saveWiring() (restore func()) {
	p.t.Helper()
	statements := p.statements()
	i, err := p.gateway().GetIntegration(p.t.Context(), &apigatewayv2.GetIntegrationInput{ApiId: &p.id,
		IntegrationId: &p.integration})
	p.must(err)
	return func() {
		p.t.Helper()
		p.revoke()
		for _, s := range statements {
			in := &lambda.AddPermissionInput{FunctionName: &p.name, StatementId: &s.Sid,
				Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("apigateway.amazonaws.com"),
				SourceArn: aws.String(s.Condition["ArnLike"]["AWS:SourceArn"][0])}
			_, err := p.functions().AddPermission(p.t.Context(), in)
			p.must(err)
		}
		_, err := p.gateway().UpdateIntegration(p.t.Context(), &apigatewayv2.UpdateIntegrationInput{ApiId: &p.id,
			IntegrationId: &p.integration, IntegrationUri: i.IntegrationUri})
		p.must(err)
	}
}

// stagedInTools are faults to stage in the APIs of tools.
func stagedInTools() (all []stagedCase) {
	usual := []string{"permission.none", "integration.function-missing"}
	for _, cause := range []string{"permission.none", "permission.deleted-api", "permission.stage", "permission.path",
		"permission.method", "permission.account", "permission.region", "permission.no-apigateway",
		"integration.function-missing", "integration.qualifier-missing", "stage.throttled", "endpoint.disabled",
		"function.concurrency-zero", "function.failed", "function.inactive", "code.import", "code.handler",
		"code.error", "code.timeout", "permission.qualifier"} {
		i := slices.IndexFunc(basicFaults, func(f stagedFault) bool { return f.cause == cause })
		one := stagedCase{stagedFault: basicFaults[i], others: true}
		one.usual = slices.Contains(usual, cause)
		all = append(all, one)
	}
	withKey := func(p *patient) []string { return []string{"-H", "Authorization: open", p.url(p.items() + "/3")} }
	return append(all, stagedCase{request: withKey, stagedFault: stagedFault{cause: "authorizer.not-callable",
		usual: true, inject: func(p *patient) {
			authorizer := *p
			w := *p.world
			authorizer.world, w.name = &w, p.name+"-auth"
			authorizer.revoke()
		}}})
}
