// Package formation is the CloudFormation of the sandbox. It keeps stacks in memory, and makes their resources by calls
// of the sandbox, with the rights of the caller or of the stack's role.
package formation

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/uuid"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/template"
)

// Host is what the sandbox gives to CloudFormation.
type Host struct {
	Endpoint string // URL of the sandbox, which serves all services
	Account  string // 12 digits

	// Assume returns the access key ID of a session under a role, and a function that revokes it.
	Assume func(ctx context.Context, region, role string) (key string, end func(), err error)
	// Translate returns a template with SAM's types as one with CloudFormation's. Both are JSON.
	Translate func(ctx context.Context, region string, template []byte, parameters map[string]string) ([]byte, error)
}

// Formation has the stacks of a sandbox. It is safe for concurrent use.
type Formation struct {
	host Host
	ctx  context.Context // ends with the sandbox
	end  context.CancelFunc
	runs sync.WaitGroup

	mu     sync.Mutex // guards all below, and the contents of the stacks
	stacks []*stack   // also deleted ones
	sets   []*changeSet
}

// New returns a Formation without stacks. The caller must close it.
func New(h Host) *Formation {
	f := &Formation{host: h}
	f.ctx, f.end = context.WithCancel(context.Background())
	return f
}

// Close cancels the running operations and waits for them.
func (f *Formation) Close() {
	f.end()
	f.runs.Wait()
}

// Request is a call of an operation of CloudFormation.
type Request struct {
	Operation string
	Region    string
	Key       string // access key ID of the caller
	Form      url.Values
}

// Refusal is an error answer: an error code of the CloudFormation API reference, and its message.
type Refusal struct{ Code, Message string }

func (r *Refusal) Error() string { return r.Message }

// invalid returns a ValidationError. Its text is AWS's where AWS has one, because tools look for it.
func invalid(format string, values ...any) error {
	return &Refusal{Code: "ValidationError", Message: fmt.Sprintf(format, values...)}
}

// fields are the members of an answer.
type fields = map[string]any

// operations answer the calls. Their names are those of the CloudFormation API reference.
var operations = map[string]func(*Formation, context.Context, Request) (fields, error){
	"CreateStack": (*Formation).createStack, "UpdateStack": (*Formation).updateStack,
	"DeleteStack": (*Formation).deleteStack, "CreateChangeSet": (*Formation).createChangeSet,
	"DescribeChangeSet": (*Formation).describeChangeSet, "ExecuteChangeSet": (*Formation).executeChangeSet,
	"DeleteChangeSet": (*Formation).deleteChangeSet, "ListChangeSets": (*Formation).listChangeSets,
	"DescribeStacks": (*Formation).describeStacks, "ListStacks": (*Formation).listStacks,
	"DescribeStackEvents":    (*Formation).describeStackEvents,
	"DescribeStackResource":  (*Formation).describeStackResource,
	"DescribeStackResources": (*Formation).describeStackResources,
	"ListStackResources":     (*Formation).listStackResources, "GetTemplate": (*Formation).getTemplate,
	"GetTemplateSummary": (*Formation).getTemplateSummary, "ValidateTemplate": (*Formation).getTemplateSummary,
	"ListExports": (*Formation).listExports, "ListImports": (*Formation).listImports,
	"UpdateTerminationProtection": (*Formation).updateTerminationProtection,
	"GetStackPolicy":              (*Formation).getStackPolicy, "SetStackPolicy": (*Formation).setStackPolicy,
}

// Answer answers a call with the XML of its result. Its errors are of type [*Refusal].
func (f *Formation) Answer(ctx context.Context, r Request) (string, error) {
	do := operations[r.Operation]
	if do == nil {
		return "", &Refusal{Code: "NotImplementedException",
			Message: "the sandbox's CloudFormation does not have the operation " + r.Operation}
	}
	result, err := do(f, ctx, r)
	if err != nil {
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			err = invalid("%v", err)
		}
		return "", err
	}
	return answerXML(r.Operation, result), nil
}

// stack is a stack, or one that was deleted.
type stack struct {
	id, name, region string
	status, reason   string
	created, updated time.Time
	deleted          time.Time
	plan             plan // what is deployed
	resources        map[string]*deployed
	outputs          []output
	events           []event
	imports          []string // names of values that other stacks export
	changeSet        string   // ID of the one executed last
	keepFailed       bool     // a failed stack is not rolled back
	isProtected      bool     // from deletion
	policy           string
	serial           int // of the resource created last
}

// output is the value of an output of a stack.
type output struct{ name, value, description, export string }

// event tells what happened to a resource of a stack, or to the stack.
type event struct {
	id                                      string
	at                                      time.Time
	logical, physical, kind, status, reason string
	properties                              string // JSON
}

// deployed is a resource of a stack.
type deployed struct {
	name, kind string
	id         string // value of Ref
	properties map[string]any
	attributes map[string]any // values of Fn::GetAtt
	status     string
	reason     string
	at         time.Time
	serial     int    // in the order of creation
	deletion   string // DeletionPolicy
	replacing  string // UpdateReplacePolicy
}

// plan is what a stack is to become.
type plan struct {
	text, processed string
	template        *template.Template
	parameters      map[string]string
	tags            map[string]string
	role            string
	capabilities    []string
	notifications   []string
}

// find returns the stack with a name or an ID. A deleted stack is found by its ID only.
func (f *Formation) find(region, nameOrID string) *stack {
	for _, s := range slices.Backward(f.stacks) {
		if s.region == region && (s.id == nameOrID || s.name == nameOrID && s.deleted.IsZero()) {
			return s
		}
	}
	return nil
}

// stackOf returns the stack of a call, or an error if there is none. The caller holds f.mu.
func (f *Formation) stackOf(r Request) (*stack, error) {
	name := r.Form.Get("StackName")
	if name == "" {
		return nil, invalid("1 validation error detected: Value null at 'stackName' failed to satisfy constraint: " +
			"Member must not be null")
	}
	if s := f.find(r.Region, name); s != nil {
		return s, nil
	}
	return nil, invalid("Stack with id %s does not exist", name)
}

// withStack calls do with the stack of a call, while f.mu is held.
func (f *Formation) withStack(r Request, do func(s *stack) (fields, error)) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.stackOf(r)
	if err != nil {
		return nil, err
	}
	return do(s)
}

func (s *stack) isBusy() bool {
	return strings.HasSuffix(s.status, "_IN_PROGRESS") && s.status != reviewing
}

// reviewing is the status of a stack that has only a change set.
const reviewing = "REVIEW_IN_PROGRESS"

// newStack returns a stack that does not exist yet.
func (f *Formation) newStack(r Request, name string) *stack {
	now := time.Now().UTC()
	return &stack{id: arn(r.Region, f.host.Account, "stack/"+name+"/"+uuid.NewString()), name: name, region: r.Region,
		created: now, resources: map[string]*deployed{}}
}

func arn(region, account, rest string) string {
	return "arn:" + gateway.Partition(region) + ":cloudformation:" + region + ":" + account + ":" + rest
}

// clients returns the clients with which an operation acts.
func (f *Formation) clients(ctx context.Context, r Request, role string) (c *cloud.Cloud, key string, end func(),
	err error) {
	key, end = r.Key, func() {}
	if role != "" {
		if key, end, err = f.host.Assume(ctx, r.Region, role); err != nil {
			return nil, "", nil, invalid("Role %s is invalid or cannot be assumed: %v", role, err)
		}
	}
	return cloud.New(aws.Config{Region: r.Region, BaseEndpoint: &f.host.Endpoint,
		Credentials: credentials.NewStaticCredentialsProvider(key, "sandbox", "")}), key, end, nil
}

// answerWithin is how long a call waits for the end of its operation. Tools poll in steps of seconds, and so find it
// finished at their first look.
const answerWithin = 20 * time.Second

// run runs an operation on a stack, and waits for its end for a while.
func (f *Formation) run(do func(ctx context.Context)) {
	done := make(chan struct{})
	f.runs.Go(func() {
		defer close(done)
		do(f.ctx)
	})
	select {
	case <-done:
	case <-time.After(answerWithin):
	}
}

// record changes the status of a resource, or of the stack if d is nil, adds the event, and returns the status.
func (f *Formation) record(s *stack, d *deployed, status, reason string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := event{id: uuid.NewString(), at: time.Now().UTC(), status: status, reason: reason}
	if d == nil {
		s.status, s.reason = status, reason
		e.logical, e.physical, e.kind = s.name, s.id, "AWS::CloudFormation::Stack"
	} else {
		d.status, d.reason, d.at = status, reason, e.at
		e.logical, e.physical, e.kind, e.properties = d.name, d.id, d.kind, asJSON(d.properties)
	}
	s.events = append(s.events, e)
	return status
}

// suffix returns the random end of a generated name.
func suffix() string { return rand.Text()[:12] }

// list returns the members of a list in a form: PREFIX.member.1 and so on.
func list(form url.Values, prefix string) (all []string) {
	for i := 1; form.Has(fmt.Sprintf("%s.member.%d", prefix, i)); i++ {
		all = append(all, form.Get(fmt.Sprintf("%s.member.%d", prefix, i)))
	}
	return all
}

// structures returns the members of a list of structures in a form.
func structures(form url.Values, prefix string) (all []map[string]string) {
	for i := 1; ; i++ {
		one := map[string]string{}
		start := fmt.Sprintf("%s.member.%d.", prefix, i)
		for key := range form {
			if name, ok := strings.CutPrefix(key, start); ok {
				one[name] = form.Get(key)
			}
		}
		if len(one) == 0 {
			return all
		}
		all = append(all, one)
	}
}

// tagsOf returns the tags of a call; the ones before if it has none.
func tagsOf(form url.Values, before map[string]string) map[string]string {
	given := structures(form, "Tags")
	if given == nil {
		return before
	}
	tags := map[string]string{}
	for _, one := range given {
		tags[one["Key"]] = one["Value"]
	}
	return tags
}

// asPlan reads the template and the parameters of a call. The plan before is that of the existing stack.
func (f *Formation) asPlan(ctx context.Context, r Request, before plan) (p plan, err error) {
	p = plan{tags: tagsOf(r.Form, before.tags), role: cmp.Or(r.Form.Get("RoleARN"), before.role),
		capabilities: list(r.Form, "Capabilities"), notifications: list(r.Form, "NotificationARNs")}
	if p.notifications == nil {
		p.notifications = before.notifications
	}
	if p.text, err = f.templateText(ctx, r, before.text); err != nil {
		return p, err
	}
	given := map[string]string{}
	for _, one := range structures(r.Form, "Parameters") {
		value := one["ParameterValue"]
		if one["UsePreviousValue"] == "true" {
			previous, ok := before.parameters[one["ParameterKey"]]
			if !ok {
				return p, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true for a "+
					"parameter key not in the previous template", one["ParameterKey"])
			}
			value = previous
		}
		given[one["ParameterKey"]] = value
	}
	return p, f.process(ctx, r.Region, &p, given)
}

// maxBody is the maximum size in bytes of a template in a call ("CloudFormation quotas").
const maxBody = 51_200

// templateText returns the template of a call.
func (f *Formation) templateText(ctx context.Context, r Request, previous string) (string, error) {
	body, from := r.Form.Get("TemplateBody"), r.Form.Get("TemplateURL")
	switch {
	case body != "" && from != "":
		return "", invalid("You must specify either a Template URL or a Template Body, not both.")
	case len(body) > maxBody:
		return "", invalid("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member "+
			"must have length less than or equal to %d", maxBody)
	case body != "":
		return body, nil
	case from != "":
		text, err := f.object(ctx, r.Key, r.Region, from)
		return string(text), err
	case r.Form.Get("UsePreviousTemplate") == "true" && previous != "":
		return previous, nil
	}
	return "", invalid("Either Template URL or Template Body must be specified.")
}

// bucketHost matches a host of S3 that begins with the bucket.
var bucketHost = regexp.MustCompile(`^(.+)\.s3([.-][a-z0-9.-]+)?\.amazonaws\.com(\.cn)?$`)

// object reads an object of S3 by its URL, whose bucket is in the host or in the path.
func (f *Formation) object(ctx context.Context, key, region, from string) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return nil, invalid("TemplateURL must be a supported URL, not %q.", from)
	}
	path := u.EscapedPath()
	if found := bucketHost.FindStringSubmatch(u.Hostname()); found != nil {
		path = "/" + found[1] + path
	}
	if version := u.Query().Get("versionId"); version != "" {
		path += "?versionId=" + url.QueryEscape(version)
	}
	text, err := caller{f.host.Endpoint, key, region}.askS3(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, invalid("S3 error: the template %s cannot be read: %v", from, err)
	}
	return text, nil
}
