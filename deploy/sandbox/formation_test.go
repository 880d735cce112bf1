package sandbox

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"
)

//go:embed testdata/everything.yaml
var everything string

// stacks is a test's view of CloudFormation.
type stacks struct {
	*world
	*cloudformation.Client
}

func openStacks(t testing.TB) *stacks {
	w := open(t)
	return &stacks{w, cloudformation.NewFromConfig(w.configOf("a"))}
}

// configOf returns settings with an access key.
func (w *world) configOf(key string) aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: &w.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, "b", "")}
}

// anyCapability acknowledges all that a template may do.
var anyCapability = []types.Capability{types.CapabilityCapabilityNamedIam, types.CapabilityCapabilityAutoExpand}

func parameters(values map[string]string) (all []types.Parameter) {
	for _, key := range sortedKeys(values) {
		all = append(all, types.Parameter{ParameterKey: &key, ParameterValue: aws.String(values[key])})
	}
	return all
}

// create creates the test's stack, and returns its status.
func (s *stacks) create(template string, values map[string]string) types.StackStatus {
	s.t.Helper()
	did[*cloudformation.CreateStackOutput](s.t)(s.CreateStack(s.t.Context(), &cloudformation.CreateStackInput{
		StackName: &s.name, TemplateBody: &template, Parameters: parameters(values), Capabilities: anyCapability}))
	return s.describe().StackStatus
}

// update updates the test's stack, and returns its status.
func (s *stacks) update(template string, values map[string]string) types.StackStatus {
	s.t.Helper()
	did[*cloudformation.UpdateStackOutput](s.t)(s.UpdateStack(s.t.Context(), &cloudformation.UpdateStackInput{
		StackName: &s.name, TemplateBody: &template, Parameters: parameters(values), Capabilities: anyCapability}))
	return s.describe().StackStatus
}

// describe returns the stack when its operation has ended.
func (s *stacks) describe() types.Stack {
	s.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		all := did[*cloudformation.DescribeStacksOutput](s.t)(s.DescribeStacks(s.t.Context(),
			&cloudformation.DescribeStacksInput{StackName: &s.name}))
		one := all.Stacks[0]
		status := string(one.StackStatus)
		if !strings.HasSuffix(status, "_IN_PROGRESS") || status == "REVIEW_IN_PROGRESS" {
			return one
		} else if time.Now().After(end) {
			s.t.Fatalf("the stack is still %s: %v", status, s.history(s.name))
		}
	}
}

// delete deletes the stack with an ID, and waits for the end.
func (s *stacks) delete(id string) types.StackStatus {
	s.t.Helper()
	did[*cloudformation.DeleteStackOutput](s.t)(s.DeleteStack(s.t.Context(), &cloudformation.DeleteStackInput{
		StackName: &s.name}))
	name := s.name
	defer func() { s.name = name }()
	s.name = id // by which a deleted stack is found
	return s.describe().StackStatus
}

// history returns the events of the stack, the oldest first, as NAME STATUS lines, or as NAME STATUS: REASON.
func (s *stacks) history(name string) (all []string) {
	s.t.Helper()
	events := did[*cloudformation.DescribeStackEventsOutput](s.t)(s.DescribeStackEvents(s.t.Context(),
		&cloudformation.DescribeStackEventsInput{StackName: &name}))
	for _, e := range slices.Backward(events.StackEvents) {
		line := *e.LogicalResourceId + " " + string(e.ResourceStatus)
		if reason := aws.ToString(e.ResourceStatusReason); reason != "" {
			line += ": " + reason
		}
		all = append(all, line)
	}
	return all
}

// output returns an output of the stack.
func (s *stacks) output(name string) string {
	s.t.Helper()
	for _, o := range s.describe().Outputs {
		if *o.OutputKey == name {
			return *o.OutputValue
		}
	}
	return ""
}

// get requests a URL, and returns the status and the body.
func (s *stacks) get(url string, header ...string) string {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprint(a.StatusCode, " ", string(body))
}

// left returns what services still have whose name or tag has the name of the stack.
func (s *stacks) left() (all []string) {
	s.t.Helper()
	ctx := s.t.Context()
	functions := did[*lambda.ListFunctionsOutput](s.t)(s.functions.ListFunctions(ctx, nil))
	for _, f := range functions.Functions {
		all = append(all, *f.FunctionName)
	}
	roles := did[*iam.ListRolesOutput](s.t)(s.roles.ListRoles(ctx, nil))
	for _, r := range roles.Roles {
		all = append(all, *r.RoleName)
	}
	policies := did[*iam.ListPoliciesOutput](s.t)(s.roles.ListPolicies(ctx, &iam.ListPoliciesInput{Scope: "Local"}))
	for _, p := range policies.Policies {
		all = append(all, *p.PolicyName)
	}
	apis, err := s.gateway.GetApis(ctx, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, a := range apis.Items {
		all = append(all, *a.Name)
	}
	tables, err := s.tables.ListTables(ctx, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	groups, err := s.groups.DescribeLogGroups(ctx, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range groups.LogGroups {
		all = append(all, *g.LogGroupName)
	}
	return slices.DeleteFunc(append(all, tables.TableNames...), func(name string) bool {
		return !strings.Contains(strings.ToLower(name), s.name) || strings.HasPrefix(name, "/aws/lambda/") // Lambda's
	})
}

// TestStackLifeCycle creates a stack with every type, changes each of its resources, and deletes it.
func TestStackLifeCycle(t *testing.T) {
	s := openStacks(t)
	if status := s.create(everything, nil); status != "CREATE_COMPLETE" {
		t.Fatalf("%s: %v", status, strings.Join(s.history(s.name), "\n"))
	}
	history := s.history(s.name)
	for _, name := range regexp.MustCompile(`(?m)^  ([A-Za-z]+):\n    Type: `).FindAllStringSubmatch(everything, -1) {
		begins := slices.Index(history, name[1]+" CREATE_IN_PROGRESS")
		if begins < 0 || slices.Index(history, name[1]+" CREATE_COMPLETE") < begins {
			t.Errorf("there are no events of %s: %v", name[1], history)
		}
	}
	if history[0] != s.name+" CREATE_IN_PROGRESS: User Initiated" || history[len(history)-1] != s.name+
		" CREATE_COMPLETE" {
		t.Errorf("the events are %v", history)
	}
	about := s.describe()
	for _, p := range about.Parameters {
		if *p.ParameterKey == "Secret" && *p.ParameterValue != "****" {
			t.Errorf("the secret is shown as %s", *p.ParameterValue)
		}
	}
	check := func(when, greeting, closed string) {
		t.Helper()
		closedURL := strings.Replace(s.output("Open"), "/open", "/closed", 1)
		for url, want := range map[string]string{s.output("Open"): "200 " + greeting,
			s.output("Url"): "200 " + greeting,
			closedURL:       closed} {
			if got := s.get(url); got != want {
				t.Errorf("%s: %s answers %s, want %s", when, url, got, want)
			}
		}
		if got := s.get(closedURL, "key", "open"); got != "200 "+greeting {
			t.Errorf("%s, with a key: %s", when, got)
		}
	}
	check("created", "hello", `401 {"message":"Unauthorized"}`)
	if s.output("Parameter") != "hello" {
		t.Errorf("the parameter is %q", s.output("Parameter"))
	}
	values := map[string]string{"Memory": "256", "Greeting": "bye", "WithExtra": "no"}
	changed := strings.Replace(everything, "  Version:\n", "  Version2:\n", 1)
	bucket := s.output("Bucket")
	changed = strings.Replace(changed, "{Status: Enabled}", "{Status: Suspended}", 1)
	changed = strings.Replace(changed, "!GetAtt Version.Version", "!GetAtt Version2.Version", 1)
	if status := s.update(changed, values); status != "UPDATE_COMPLETE" {
		t.Fatalf("%s: %v", status, strings.Join(s.history(s.name)[len(history):], "\n"))
	}
	check("updated", "bye", "200 bye")
	if s.output("Bucket") != bucket {
		t.Errorf("the bucket was %s, and is %s", bucket, s.output("Bucket"))
	}
	f := did[*lambda.GetFunctionOutput](t)(s.functions.GetFunction(t.Context(), &lambda.GetFunctionInput{
		FunctionName: aws.String(s.physical("Function"))}))
	if *f.Configuration.MemorySize != 256 || f.Tags["greeting"] != "bye" ||
		f.Tags["aws:cloudformation:stack-name"] != s.name {
		t.Errorf("the function is %d MB, with the tags %v", *f.Configuration.MemorySize, f.Tags)
	}
	if s.output("Parameter") != "" {
		t.Errorf("the parameter is still there")
	}
	if _, err := s.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{StackName: &s.name, TemplateBody: &changed,
		Parameters: parameters(values), Capabilities: anyCapability}); err == nil ||
		!strings.Contains(err.Error(), "No updates are to be performed.") {
		t.Errorf("the same update again: %v", err)
	}
	s.remove(*about.StackId)
}

// physical returns the physical ID of a resource of the stack.
func (s *stacks) physical(logical string) string {
	s.t.Helper()
	r := did[*cloudformation.DescribeStackResourceOutput](s.t)(s.DescribeStackResource(s.t.Context(),
		&cloudformation.DescribeStackResourceInput{StackName: &s.name, LogicalResourceId: &logical}))
	return *r.StackResourceDetail.PhysicalResourceId
}

// remove deletes the stack, and checks that nothing is left.
func (s *stacks) remove(id string) {
	s.t.Helper()
	s.delete(id)
	history := s.history(id)
	if last := history[len(history)-1]; last != s.name+" DELETE_COMPLETE" {
		s.t.Errorf("after the deletion: %s", strings.Join(history, "\n"))
	}
	if left := s.left(); len(left) > 0 {
		s.t.Errorf("after the deletion there are %v", left)
	}
	var refused smithy.APIError
	_, err := s.DescribeStacks(s.t.Context(), &cloudformation.DescribeStacksInput{StackName: &s.name})
	if !errors.As(err, &refused) || refused.ErrorMessage() != "Stack with id "+s.name+" does not exist" {
		s.t.Errorf("the deleted stack: %v", err)
	}
}

// failing is a template whose function cannot be created, after two other resources.
const failing = `
Parameters: {Memory: {Type: Number, Default: 64}}
Resources:
  First: {Type: "AWS::Logs::LogGroup", Properties: {LogGroupName: !Sub "${AWS::StackName}-first"}}
  Role:
    Type: AWS::IAM::Role
    DependsOn: First
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: "sts:AssumeRole"}]
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Role: !GetAtt Role.Arn
      MemorySize: !Ref Memory
      Code: {ZipFile: "handler = None"}
  Last: {Type: "AWS::Logs::LogGroup", DependsOn: Function}
`

// TestStackRollback checks that a failed creation leaves nothing behind, that a failed update restores what was there,
// and that both say why.
func TestStackRollback(t *testing.T) {
	s := openStacks(t)
	if status := s.create(failing, nil); status != "ROLLBACK_COMPLETE" {
		t.Errorf("the status is %s", status)
	}
	if left := s.left(); len(left) > 0 {
		t.Errorf("after the rollback there are %v", left)
	}
	history := strings.Join(s.history(s.name), "\n")
	for _, want := range []string{"\nFunction CREATE_FAILED: Resource handler returned message: ",
		"ROLLBACK_IN_PROGRESS: The following resource(s) failed to create: [Function]. Rollback requested by user.",
		"\nRole DELETE_COMPLETE\nFirst DELETE_IN_PROGRESS\nFirst DELETE_COMPLETE\n" + s.name + " ROLLBACK_COMPLETE"} {
		if !strings.Contains(history, want) {
			t.Errorf("the events lack %q:\n%s", want, history)
		}
	}
	if strings.Contains(history, "Last") {
		t.Errorf("the rollback has touched Last, which was never created:\n%s", history)
	}
	if _, err := s.UpdateStack(t.Context(), &cloudformation.UpdateStackInput{StackName: &s.name,
		TemplateBody: aws.String(failing), Capabilities: anyCapability}); err == nil ||
		!strings.Contains(err.Error(), "is in ROLLBACK_COMPLETE state and can not be updated") {
		t.Errorf("an update after the rollback: %v", err)
	}
	failed := did[*cloudformation.GetTemplateOutput](t)(s.GetTemplate(t.Context(), &cloudformation.GetTemplateInput{
		StackName: &s.name}))
	if *failed.TemplateBody != failing {
		t.Errorf("the template of the failed stack is %s", *failed.TemplateBody)
	}
	s.remove(*s.describe().StackId)

	good := map[string]string{"Memory": "128"}
	if status := s.create(failing, good); status != "CREATE_COMPLETE" {
		t.Fatalf("%s: %v", status, s.history(s.name))
	}
	before := s.left()
	changed := strings.Replace(failing, `Properties: {LogGroupName: !Sub "${AWS::StackName}-first"}}`,
		`Properties: {LogGroupName: !Sub "${AWS::StackName}-second", RetentionInDays: 7}}`, 1)
	if status := s.update(changed, map[string]string{"Memory": "64"}); status != "UPDATE_ROLLBACK_COMPLETE" {
		t.Errorf("the status is %s: %s", status, strings.Join(s.history(s.name), "\n"))
	}
	if after := s.left(); !slices.Equal(after, before) {
		t.Errorf("after the rollback there are %v, before %v", after, before)
	}
	if got := s.physical("First"); got != s.name+"-first" {
		t.Errorf("First is %s", got)
	}
	if status := s.update(changed, good); status != "UPDATE_COMPLETE" {
		t.Errorf("an update after the rollback: %s", status)
	}
	if got := s.physical("First"); got != s.name+"-second" || slices.Contains(s.left(), s.name+"-first") {
		t.Errorf("after the replacement First is %s, and there are %v", got, s.left())
	}
	s.remove(*s.describe().StackId)
}

// TestStackPolicies checks deletion policies, OnFailure, and termination protection.
func TestStackPolicies(t *testing.T) {
	s := openStacks(t)
	kept := strings.Replace(failing, "First: {", "First: {DeletionPolicy: Retain, ", 1)
	for _, c := range []struct {
		onFailure types.OnFailure
		status    types.StackStatus
		left      int
	}{{types.OnFailureDoNothing, "CREATE_FAILED", 2}, {types.OnFailureDelete, "DELETE_COMPLETE", 0}} {
		t.Run(string(c.onFailure), func(t *testing.T) {
			s := openStacks(t)
			in := &cloudformation.CreateStackInput{StackName: &s.name, TemplateBody: aws.String(failing),
				Capabilities: anyCapability, OnFailure: c.onFailure}
			made := did[*cloudformation.CreateStackOutput](t)(s.CreateStack(t.Context(), in))
			name := s.name
			s.name = *made.StackId
			status := s.describe().StackStatus
			s.name = name
			if left := s.left(); status != c.status || len(left) != c.left {
				t.Errorf("%s, and there are %v", status, left)
			}
		})
	}
	s.create(kept, map[string]string{"Memory": "128"})
	id := s.describe().StackId
	protect := func(on bool) {
		did[*cloudformation.UpdateTerminationProtectionOutput](t)(s.UpdateTerminationProtection(t.Context(),
			&cloudformation.UpdateTerminationProtectionInput{StackName: &s.name, EnableTerminationProtection: &on}))
	}
	protect(true)
	if _, err := s.DeleteStack(t.Context(), &cloudformation.DeleteStackInput{StackName: &s.name}); err == nil ||
		!strings.Contains(err.Error(), "TerminationProtection is enabled") {
		t.Errorf("deleting a protected stack: %v", err)
	}
	protect(false)
	s.delete(*id)
	if left := s.left(); len(left) != 1 || left[0] != s.name+"-first" ||
		!slices.Contains(s.history(*id), "First DELETE_SKIPPED") {
		t.Errorf("after the deletion there are %v: %v", left, s.history(*id))
	}
}

// TestChangeSets checks what change sets say, and what executing them does.
func TestChangeSets(t *testing.T) {
	s := openStacks(t)
	text := failing
	propose := func(name string, kind types.ChangeSetType, memory string) *cloudformation.DescribeChangeSetOutput {
		t.Helper()
		in := &cloudformation.CreateChangeSetInput{StackName: &s.name, ChangeSetName: &name, ChangeSetType: kind,
			TemplateBody: &text, Capabilities: anyCapability,
			Parameters: parameters(map[string]string{"Memory": memory})}
		did[*cloudformation.CreateChangeSetOutput](t)(s.CreateChangeSet(t.Context(), in))
		return did[*cloudformation.DescribeChangeSetOutput](t)(s.DescribeChangeSet(t.Context(),
			&cloudformation.DescribeChangeSetInput{StackName: &s.name, ChangeSetName: &name}))
	}
	execute := func(name string) error {
		_, err := s.ExecuteChangeSet(t.Context(), &cloudformation.ExecuteChangeSetInput{StackName: &s.name,
			ChangeSetName: &name})
		return err
	}
	shown := func(c *cloudformation.DescribeChangeSetOutput) (all []string) {
		for _, one := range c.Changes {
			r := one.ResourceChange
			all = append(all, strings.TrimSpace(fmt.Sprint(r.Action, " ", *r.LogicalResourceId, " ", r.Replacement)))
		}
		return all
	}
	first := propose("first", types.ChangeSetTypeCreate, "128")
	if got := shown(first); !slices.Equal(got, []string{"Add First", "Add Role", "Add Function", "Add Last"}) ||
		first.ExecutionStatus != "AVAILABLE" || s.describe().StackStatus != "REVIEW_IN_PROGRESS" {
		t.Errorf("the first change set is %v, %s", got, first.ExecutionStatus)
	}
	if err := execute("first"); err != nil || s.describe().StackStatus != "CREATE_COMPLETE" {
		t.Fatalf("%v, %v", err, s.history(s.name))
	}
	none := propose("none", types.ChangeSetTypeUpdate, "128")
	if none.Status != "FAILED" || !strings.Contains(*none.StatusReason, "didn't contain changes") {
		t.Errorf("no changes: %s, %s", none.Status, *none.StatusReason)
	}
	if err := execute("none"); err == nil || !strings.Contains(err.Error(), "InvalidChangeSetStatus") {
		t.Errorf("executing no changes: %v", err)
	}
	text = strings.Replace(failing, `{LogGroupName: !Sub "${AWS::StackName}-first"}`, `{LogGroupName: other}`, 1)
	text = strings.Replace(text, `  Last: {Type: "AWS::Logs::LogGroup", DependsOn: Function}`, "", 1)
	second := propose("second", types.ChangeSetTypeUpdate, "256")
	if got := shown(second); !slices.Equal(
		got,
		[]string{"Modify First True", "Modify Function False", "Remove Last"},
	) {
		t.Errorf("the second change set is %v", got)
	}
	if got := *second.Changes[1].ResourceChange.Details[0].Target.Name; got != "MemorySize" {
		t.Errorf("the changed property is %s", got)
	}
	did[*cloudformation.DeleteChangeSetOutput](t)(s.DeleteChangeSet(t.Context(), &cloudformation.DeleteChangeSetInput{
		StackName: &s.name, ChangeSetName: aws.String("second")}))
	if err := execute("second"); err == nil || !strings.Contains(err.Error(), "ChangeSetNotFound") {
		t.Errorf("executing a deleted change set: %v", err)
	}
	s.remove(*s.describe().StackId)
}

// TestStackMistakes checks the answers to bad input. None leaves a stack behind.
func TestStackMistakes(t *testing.T) {
	s := openStacks(t)
	const group = "Resources: {G: {Type: \"AWS::Logs::LogGroup\"}}\n"
	for _, c := range []struct {
		name, stack, template, code, says string
		parameters                        map[string]string
		capabilities                      []types.Capability
	}{
		{name: "a syntax error", template: "Resources:\n  A:\n    Type: [\n", says: "Template format error: line 3: "},
		{name: "an unknown type", template: "Resources:\n  A:\n    Type: AWS::EC2::Instance\n",
			says: "does not create resources of these types: AWS::EC2::Instance (A, line 2)"},
		{name: "an unknown function", template: "Resources:\n  A:\n    Type: AWS::Logs::LogGroup\n    Properties:\n" +
			"      LogGroupName: !Foo x\n", says: "Template format error: line 5: there is no function Fn::Foo"},
		{name: "a cycle", template: "Resources:\n  A: {Type: \"AWS::Logs::LogGroup\", DependsOn: B}\n" +
			"  B: {Type: \"AWS::Logs::LogGroup\", DependsOn: A}\n",
			says: "circular dependency between resources: [A, B]"},
		{name: "an unknown macro", template: "Transform: Mine\n" + group, says: "No transform named Mine found"},
		{name: "a role without capabilities", template: failing, code: "InsufficientCapabilitiesException",
			says: "Requires capabilities : [CAPABILITY_IAM]", capabilities: []types.Capability{}},
		{name: "a missing parameter", template: "Parameters: {P: {Type: String}}\n" + group,
			says: "Parameters: [P] must have values"},
		{name: "an unknown parameter", template: group, parameters: map[string]string{"Q": "x"},
			says: "Parameters: [Q] do not exist in the template"},
		{name: "a bad parameter", template: "Parameters: {P: {Type: Number}}\n" + group,
			parameters: map[string]string{"P": "x"}, says: `the parameter P must be a number, not "x"`},
		{name: "a bad name", stack: "a_b", template: group, says: "failed to satisfy constraint"},
		{name: "no template", says: "Either Template URL or Template Body must be specified"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := s.name
			if c.stack != "" {
				name = c.stack
			}
			capabilities := anyCapability
			if c.capabilities != nil {
				capabilities = c.capabilities
			}
			in := &cloudformation.CreateStackInput{StackName: &name, Parameters: parameters(c.parameters),
				Capabilities: capabilities}
			if c.template != "" {
				in.TemplateBody = &c.template
			}
			_, err := s.CreateStack(t.Context(), in)
			var refused smithy.APIError
			code := "ValidationError"
			if c.code != "" {
				code = c.code
			}
			if !errors.As(err, &refused) || refused.ErrorCode() != code ||
				!strings.Contains(refused.ErrorMessage(), c.says) {
				t.Errorf("%v, want %s %q", err, code, c.says)
			}
			if _, err := s.DescribeStacks(t.Context(),
				&cloudformation.DescribeStacksInput{StackName: &name}); err == nil {
				t.Error("a stack is there")
			}
		})
	}
	for _, c := range []struct{ name, properties, says string }{
		{"an unknown property", "{LogGroupNames: x}", "extraneous key [LogGroupNames] is not permitted"},
		{"a property of the wrong type", "{RetentionInDays: many}", "'RetentionInDays' cannot parse"},
		{"a string for a list", "{Tags: x}", "Properties validation failed"},
		{"an unknown attribute", "{LogGroupName: !GetAtt B.Nothing}",
			"resource B does not support attribute type Nothing in Fn::GetAtt"},
		{"a refused value", "{RetentionInDays: 8}", "Error Code: InvalidParameterException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openStacks(t)
			status := s.create("Resources:\n  A: {Type: \"AWS::Logs::LogGroup\", Properties: "+c.properties+"}\n"+
				"  B: {Type: \"AWS::Logs::LogGroup\"}\n", nil)
			history := strings.Join(s.history(s.name), "\n")
			if status != "ROLLBACK_COMPLETE" || !strings.Contains(history, c.says) || len(s.left()) > 0 {
				t.Errorf("%s, left %v, events\n%s", status, s.left(), history)
			}
		})
	}
}

// TestExports checks that a value that another stack imports cannot go away.
func TestExports(t *testing.T) {
	exporter, importer := openStacks(t), openStacks(t)
	exporter.create("Resources: {G: {Type: \"AWS::Logs::LogGroup\"}}\nOutputs: {G: {Value: !Ref G, Export: {Name: "+
		exporter.name+"}}}\n", nil)
	importer.create(
		"Resources: {G: {Type: \"AWS::Logs::LogGroup\", Properties: {LogGroupName: !Sub [\"${E}-x\", {E: "+
			"!ImportValue "+exporter.name+"}]}}}\n",
		nil,
	)
	if got := importer.physical("G"); got != exporter.physical("G")+"-x" {
		t.Errorf("the group is %s", got)
	}
	imports := did[*cloudformation.ListImportsOutput](t)(exporter.ListImports(t.Context(),
		&cloudformation.ListImportsInput{ExportName: &exporter.name}))
	if !slices.Equal(imports.Imports, []string{importer.name}) {
		t.Errorf("the imports are %v", imports.Imports)
	}
	remove := &cloudformation.DeleteStackInput{StackName: &exporter.name}
	if _, err := exporter.DeleteStack(t.Context(), remove); err == nil || !strings.Contains(err.Error(),
		"cannot be deleted as it is in use by "+importer.name) {
		t.Errorf("deleting the exporter: %v", err)
	}
	importer.remove(*importer.describe().StackId)
	exporter.remove(*exporter.describe().StackId)
}

// TestStackRights checks that CloudFormation acts with the rights of the caller, or of the stack's role.
func TestStackRights(t *testing.T) {
	s := openStacks(t)
	const group = "Resources: {G: {Type: \"AWS::Logs::LogGroup\"}}\n"
	who := s.role(s.name+"-caller", "ec2.amazonaws.com", `{"Effect":"Allow","Action":"cloudformation:*",`+
		`"Resource":"*"}`)
	s.setSigner(s.name, &principal{arn: who, owner: who})
	s.Client = cloudformation.NewFromConfig(s.configOf(s.name))
	if status := s.create(group, nil); status != "ROLLBACK_COMPLETE" ||
		!strings.Contains(
			strings.Join(s.history(s.name), "\n"),
			"is not authorized to perform: logs:CreateLogGroup",
		) {
		t.Errorf("without the right: %s, %v", status, s.history(s.name))
	}
	s.delete(*s.describe().StackId)
	role := s.role(s.name+"-formation", "cloudformation.amazonaws.com", allowLogs)
	_, err := s.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &s.name,
		TemplateBody: aws.String(group), RoleARN: &role})
	if err == nil || !strings.Contains(err.Error(), "iam:PassRole") {
		t.Errorf("without the right to pass the role: %v", err)
	}
	s.allow(s.name+"-caller", `{"Effect":"Allow","Action":["cloudformation:*","iam:PassRole"],"Resource":"*"}`)
	did[*cloudformation.CreateStackOutput](t)(s.CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: &s.name, TemplateBody: aws.String(group), RoleARN: &role}))
	if status := s.describe().StackStatus; status != "CREATE_COMPLETE" {
		t.Errorf("with a role: %s, %v", status, s.history(s.name))
	}
	_, err = s.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String(s.name + "-2"),
		TemplateBody: aws.String(group), RoleARN: &who})
	if err == nil || !strings.Contains(err.Error(), "cannot be assumed") {
		t.Errorf("with a role for another service: %v", err)
	}
}

// TestServerless checks that SAM's types are translated, and that mistakes in them are reported.
func TestServerless(t *testing.T) {
	s := openStacks(t)
	const text = `
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: python3.12, Timeout: 5}}
Parameters: {Greeting: {Type: String, Default: hello}}
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Handler: index.handler
      InlineCode: |
        import os
        def handler(event, context):
            return {"statusCode": 200, "body": os.environ["GREETING"] + " " + event["routeKey"]}
      Environment: {Variables: {GREETING: !Ref Greeting}}
      Policies: [AWSLambdaBasicExecutionRole]
      Events:
        List: {Type: HttpApi, Properties: {Path: /items, Method: get}}
        Rest: {Type: HttpApi, Properties: {Path: "/files/{proxy+}", Method: any}}
        Default: {Type: HttpApi}
Outputs: {Url: {Value: !Sub "${ServerlessHttpApi.ApiEndpoint}"}}
`
	if status := s.create(text, nil); status != "CREATE_COMPLETE" {
		t.Fatalf("%s: %s", status, strings.Join(s.history(s.name), "\n"))
	}
	for path, want := range map[string]string{"/items": "200 hello GET /items",
		"/files/a/b": "200 hello ANY /files/{proxy+}", "/other": "200 hello $default"} {
		if got := s.get(s.output("Url") + path); got != want {
			t.Errorf("%s answers %s, want %s", path, got, want)
		}
	}
	processed := did[*cloudformation.GetTemplateOutput](t)(s.GetTemplate(t.Context(), &cloudformation.GetTemplateInput{
		StackName: &s.name, TemplateStage: "Processed"}))
	if !strings.Contains(*processed.TemplateBody, "AWS::Lambda::Permission") {
		t.Errorf("the processed template is %s", *processed.TemplateBody)
	}
	s.remove(*s.describe().StackId)
	_, err := s.CreateStack(
		t.Context(),
		&cloudformation.CreateStackInput{StackName: &s.name, Capabilities: anyCapability,
			TemplateBody: aws.String("Transform: AWS::Serverless-2016-10-31\nResources:\n  F:\n    Type: " +
				"AWS::Serverless::Function\n    Properties: {Handler: 5, Events: {E: {Type: Nothing}}}\n")},
	)
	if err == nil || !strings.Contains(err.Error(), "Invalid Serverless Application Specification document") {
		t.Errorf("a mistake: %v", err)
	}
}

// TestStackResets checks that removing properties resets them, by an update and by a rollback.
func TestStackResets(t *testing.T) {
	s := openStacks(t)
	const text = `
Parameters: {Rich: {Type: String}, Days: {Type: Number, Default: 7}}
Conditions: {Rich: !Equals [!Ref Rich, "yes"]}
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: "sts:AssumeRole"}]
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      TimeToLiveSpecification: !If [Rich, {AttributeName: e, Enabled: True}, !Ref "AWS::NoValue"]
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Role: !GetAtt Role.Arn
      Code: {ZipFile: "handler = None"}
      Environment: !If [Rich, {Variables: {A: b}}, !Ref "AWS::NoValue"]
      MemorySize: !If [Rich, 1024, !Ref "AWS::NoValue"]
      Timeout: !If [Rich, 20, !Ref "AWS::NoValue"]
  Api:
    Type: AWS::ApiGatewayV2::Api
    Properties:
      Name: !Ref AWS::StackName
      ProtocolType: HTTP
      DisableExecuteApiEndpoint: !If [Rich, true, !Ref "AWS::NoValue"]
  Integration:
    Type: AWS::ApiGatewayV2::Integration
    Properties:
      ApiId: !Ref Api
      IntegrationType: AWS_PROXY
      IntegrationUri: !GetAtt Function.Arn
      PayloadFormatVersion: "2.0"
      TimeoutInMillis: !If [Rich, 1000, !Ref "AWS::NoValue"]
  Route:
    Type: AWS::ApiGatewayV2::Route
    Properties:
      ApiId: !Ref Api
      RouteKey: GET /
      Target: !Sub integrations/${Integration}
      AuthorizationType: !If [Rich, AWS_IAM, !Ref "AWS::NoValue"]
  Logs:
    Type: AWS::Logs::LogGroup
    DependsOn: [Route, Table]
    Properties: {RetentionInDays: !Ref Days}
`
	snapshot := func() string {
		t.Helper()
		ctx, api := t.Context(), aws.String(s.physical("Api"))
		f := did[*lambda.GetFunctionConfigurationOutput](t)(s.functions.GetFunctionConfiguration(ctx,
			&lambda.GetFunctionConfigurationInput{FunctionName: aws.String(s.physical("Function"))}))
		a, err := s.gateway.GetApi(ctx, &apigatewayv2.GetApiInput{ApiId: api})
		i, err2 := s.gateway.GetIntegration(ctx, &apigatewayv2.GetIntegrationInput{ApiId: api,
			IntegrationId: aws.String(s.physical("Integration"))})
		r, err3 := s.gateway.GetRoute(ctx, &apigatewayv2.GetRouteInput{ApiId: api,
			RouteId: aws.String(s.physical("Route"))})
		ttl, err4 := s.tables.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{
			TableName: aws.String(s.physical("Table"))})
		if err := errors.Join(err, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		variables := 0
		if f.Environment != nil {
			variables = len(f.Environment.Variables)
		}
		timeout := int32(30_000)
		if i.TimeoutInMillis != nil {
			timeout = *i.TimeoutInMillis
		}
		return fmt.Sprint(variables, " variables, ", *f.MemorySize, " MB, ", *f.Timeout, " s, closed ",
			aws.ToBool(a.DisableExecuteApiEndpoint), ", ", timeout, " ms, ", r.AuthorizationType, ", ",
			ttl.TimeToLiveDescription.TimeToLiveStatus)
	}
	const plain, rich = "0 variables, 128 MB, 3 s, closed false, 30000 ms, NONE, DISABLED",
		"1 variables, 1024 MB, 20 s, closed true, 1000 ms, AWS_IAM, ENABLED"
	check := func(status, want types.StackStatus, settings string) {
		t.Helper()
		if got := snapshot(); status != want || got != settings {
			t.Errorf("%s with %s, want %s with %s", status, got, want, settings)
		}
	}
	check(s.create(text, map[string]string{"Rich": "no"}), "CREATE_COMPLETE", plain)
	check(s.update(text, map[string]string{"Rich": "yes", "Days": "8"}), "UPDATE_ROLLBACK_COMPLETE", plain)
	check(s.update(text, map[string]string{"Rich": "yes"}), "UPDATE_COMPLETE", rich)
	check(s.update(text, map[string]string{"Rich": "no", "Days": "8"}), "UPDATE_ROLLBACK_COMPLETE", rich)
	check(s.update(text, map[string]string{"Rich": "no"}), "UPDATE_COMPLETE", plain)
}

// TestStackRefusals checks failures of updates and deletions that would leave something wrong behind.
func TestStackRefusals(t *testing.T) {
	t.Run("a bucket that is not empty", func(t *testing.T) {
		s := openStacks(t)
		s.create("Resources: {B: {Type: \"AWS::S3::Bucket\"}}", nil)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/"+s.physical("B")+"/a",
			strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, "+
			"SignedHeaders=host, Signature=0")
		if a := s.send(r); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		s.delete(*s.describe().StackId)
		if about := s.describe(); about.StackStatus != "DELETE_FAILED" ||
			!strings.Contains(*about.StackStatusReason, "failed to delete: [B]") {
			t.Errorf("%s", about.StackStatus)
		}
	})
	t.Run("a version of an unchanged function", func(t *testing.T) {
		s := openStacks(t)
		text := failing + "  V: {Type: \"AWS::Lambda::Version\", Properties: {FunctionName: !Ref Function, " +
			"Description: one}}\n"
		s.create(text, map[string]string{"Memory": "128"})
		status := s.update(strings.Replace(text, "Description: one", "Description: two", 1),
			map[string]string{"Memory": "128"})
		if status != "UPDATE_ROLLBACK_COMPLETE" || !strings.Contains(strings.Join(s.history(s.name), "\n"),
			"A version for this Lambda function exists ( 1 )") {
			t.Errorf("%s: %v", status, s.history(s.name))
		}
	})
	t.Run("an export in use", func(t *testing.T) {
		exporter, importer := openStacks(t), openStacks(t)
		text := "Resources: {G: {Type: \"AWS::Logs::LogGroup\"}}\nOutputs: {G: {Value: a, Export: {Name: " +
			exporter.name + "}}}\n"
		exporter.create(text, nil)
		importer.create("Resources: {G: {Type: \"AWS::Logs::LogGroup\", Properties: {LogGroupName: !Sub [\"x-${E}-"+
			importer.name+"\", {E: !ImportValue "+exporter.name+"}]}}}\n", nil)
		if status := exporter.update(strings.Replace(text, "Value: a", "Value: b", 1), nil); status !=
			"UPDATE_ROLLBACK_COMPLETE" || !strings.Contains(strings.Join(exporter.history(exporter.name), "\n"),
			"as it is in use by "+importer.name) {
			t.Errorf("%s: %v", status, exporter.history(exporter.name))
		}
	})
}
