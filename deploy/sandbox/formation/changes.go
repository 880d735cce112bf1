package formation

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
)

// changeSet is a plan for a stack that was not carried out yet.
type changeSet struct {
	id, name, description     string
	isNew                     bool // the stack is to be created
	stack                     *stack
	plan                      plan
	created                   time.Time
	status, execution, reason string
	changes                   []change
	keepFailed                bool
}

// change is what a plan does to one resource.
type change struct {
	action, name, id, kind string
	replacement            string // True, False or Conditional
	properties             []string
}

// changes returns what the operation would do. The caller holds o.mu, so changes does not use the scope's functions,
// which lock it. A reference to a resource that does not exist yet has no value, so the property counts as changed. A
// reference to one that will be replaced keeps its old value; AWS would list it as Conditional.
func (o *operation) changes() (all []change) {
	scope := o.scope
	now := o.stack.resources
	scope.Ref = func(name string) (any, error) {
		if d := now[name]; d != nil {
			return d.id, nil
		}
		return "<" + name + ">", nil
	}
	scope.Attribute = func(name, attribute string) (any, error) {
		if d := now[name]; d != nil && d.attributes[attribute] != nil {
			return d.attributes[attribute], nil
		}
		return "<" + name + "." + attribute + ">", nil
	}
	scope.Import = func(name string) (any, error) {
		for _, exported := range o.exports(o.stack.region) {
			if exported.export == name {
				return exported.value, nil
			}
		}
		return nil, invalid("No export named %s found.", name)
	}
	planned := *o
	planned.scope = scope
	ordered, err := o.plan.template.Order(scope)
	if err != nil {
		return nil
	}
	kept := map[string]bool{}
	for _, r := range ordered {
		kept[r.Name] = true
		d := now[r.Name]
		if d == nil {
			all = append(all, change{action: "Add", name: r.Name, kind: r.Type})
			continue
		}
		properties, err := planned.properties(r)
		if err != nil || reflect.DeepEqual(properties, d.properties) {
			continue // the operation itself reports the error
		}
		c := change{action: "Modify", name: r.Name, id: d.id, kind: r.Type, replacement: "False"}
		c.properties = differing(d.properties, properties)
		if kindOf(r.Type).mustReplace(d.properties, properties) {
			c.replacement = "True"
		}
		all = append(all, c)
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if !kept[name] {
			all = append(all, change{action: "Remove", name: name, id: now[name].id, kind: now[name].kind})
		}
	}
	return all
}

// sameOutputs reports whether two plans have the same outputs, and the same parameters, to which outputs may refer.
func sameOutputs(a, b plan) bool {
	outputs := func(p plan) string {
		if p.template == nil {
			return ""
		}
		data, _ := p.template.Data().(map[string]any)
		return asJSON([]any{data["Outputs"], p.parameters})
	}
	return outputs(a) == outputs(b)
}

func (f *Formation) createChangeSet(ctx context.Context, r Request) (fields, error) {
	name, stackName := r.Form.Get("ChangeSetName"), r.Form.Get("StackName")
	if err := checkName(name, "changeSetName"); err != nil {
		return nil, err
	}
	isNew := r.Form.Get("ChangeSetType") == "CREATE"
	if r.Form.Get("ChangeSetType") == "IMPORT" {
		return nil, invalid("the sandbox does not import existing resources into stacks")
	}
	f.mu.Lock()
	s := f.find(r.Region, stackName)
	switch {
	case s == nil && !isNew:
		f.mu.Unlock()
		return nil, invalid("Stack [%s] does not exist", stackName)
	case s == nil:
		s = f.newStack(r, stackName)
		s.status = reviewing
	case isNew && s.status != reviewing:
		f.mu.Unlock()
		return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].",
			stackName, name)
	case !isNew:
		if err := s.checkUpdatable(); err != nil {
			f.mu.Unlock()
			return nil, err
		}
	}
	// The aws CLI names a change set after the second. The sandbox is so fast that the next deployment may reuse the
	// name, so a change set that failed or was executed is replaced.
	f.sets = slices.DeleteFunc(f.sets, func(c *changeSet) bool {
		return c.stack == s && c.name == name && (c.status == "FAILED" || c.execution == "EXECUTE_COMPLETE")
	})
	if slices.ContainsFunc(f.sets, func(c *changeSet) bool { return c.stack == s && c.name == name }) {
		f.mu.Unlock()
		return nil, &Refusal{
			Code:    "AlreadyExistsException",
			Message: "ChangeSet " + name + " already exists for stack " + s.id,
		}
	}
	before := s.plan
	f.mu.Unlock()
	if isNew {
		if err := checkName(s.name, "stackName"); err != nil {
			return nil, err
		}
	}
	p, err := f.asPlan(ctx, r, before)
	if err != nil {
		return nil, err
	}
	o, end, err := f.begin(ctx, r, s, p)
	if err != nil {
		return nil, err
	}
	end() // executing begins it again
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &changeSet{id: arn(r.Region, f.host.Account, "changeSet/"+name+"/"+uuid.NewString()), name: name,
		description: r.Form.Get("Description"), isNew: isNew, stack: s, plan: p, created: time.Now().UTC(),
		status: "CREATE_COMPLETE", execution: "AVAILABLE", changes: o.changes(),
		keepFailed: r.Form.Get("OnStackFailure") == "DO_NOTHING"}
	if !isNew && len(c.changes) == 0 && sameOutputs(before, p) {
		c.status, c.execution = "FAILED", "UNAVAILABLE"
		c.reason = "The submitted information didn't contain changes. Submit different information to create a " +
			"change set."
	}
	if isNew && !slices.Contains(f.stacks, s) {
		f.stacks = append(f.stacks, s)
		s.events = append(s.events, event{id: uuid.NewString(), at: c.created, logical: s.name, physical: s.id,
			kind: "AWS::CloudFormation::Stack", status: reviewing, reason: "User Initiated"})
	}
	f.sets = append(f.sets, c)
	return fields{"Id": c.id, "StackId": s.id}, nil
}

// findSet returns the change set of a call. The caller holds f.mu.
func (f *Formation) findSet(r Request) (*changeSet, error) {
	name, of := r.Form.Get("ChangeSetName"), r.Form.Get("StackName")
	for _, c := range f.sets {
		if c.id == name || c.name == name && c.stack.region == r.Region && (c.stack.name == of || c.stack.id == of) {
			return c, nil
		}
	}
	return nil, &Refusal{Code: "ChangeSetNotFound", Message: "ChangeSet [" + name + "] does not exist"}
}

func (f *Formation) describeChangeSet(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.findSet(r)
	if err != nil {
		return nil, err
	}
	changes := []any{}
	for _, one := range c.changes {
		details := []any{}
		for _, property := range one.properties {
			details = append(details, fields{"Target": fields{"Attribute": "Properties", "Name": property},
				"Evaluation": "Static", "ChangeSource": "DirectModification"})
		}
		resource := fields{"Action": one.action, "LogicalResourceId": one.name, "ResourceType": one.kind,
			"Details": details, "Scope": []any{}}
		if one.id != "" {
			resource["PhysicalResourceId"] = one.id
		}
		if one.replacement != "" {
			resource["Replacement"], resource["Scope"] = one.replacement, []any{"Properties"}
		}
		changes = append(changes, fields{"Type": "Resource", "ResourceChange": resource})
	}
	return fields{"ChangeSetName": c.name, "ChangeSetId": c.id, "StackId": c.stack.id, "StackName": c.stack.name,
		"Description": c.description, "Parameters": parameterList(c.plan), "CreationTime": at(c.created),
		"ExecutionStatus": c.execution, "Status": c.status, "StatusReason": c.reason, "Changes": changes,
		"Capabilities": anyList(c.plan.capabilities), "Tags": tagList(c.plan.tags),
		"NotificationARNs": anyList(c.plan.notifications), "IncludeNestedStacks": false}, nil
}

func (f *Formation) listChangeSets(_ context.Context, r Request) (fields, error) {
	return f.withStack(r, func(s *stack) (fields, error) {
		all := []any{}
		for _, c := range f.sets {
			if c.stack == s {
				all = append(
					all,
					fields{"ChangeSetName": c.name, "ChangeSetId": c.id, "StackId": s.id, "StackName": s.name,
						"ExecutionStatus": c.execution, "Status": c.status, "StatusReason": c.reason,
						"CreationTime": at(c.created), "Description": c.description},
				)
			}
		}
		return fields{"Summaries": all}, nil
	})
}

func (f *Formation) deleteChangeSet(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, err := f.findSet(r); err == nil { // deleting what does not exist succeeds
		f.sets = slices.DeleteFunc(f.sets, func(other *changeSet) bool { return other == c })
	}
	return fields{}, nil
}

func (f *Formation) executeChangeSet(ctx context.Context, r Request) (fields, error) {
	f.mu.Lock()
	c, err := f.findSet(r)
	if err == nil {
		err = c.checkExecutable()
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	o, end, err := f.begin(ctx, r, c.stack, c.plan)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if err := c.checkExecutable(); err != nil { // another call may have begun meanwhile
		f.mu.Unlock()
		end()
		return nil, err
	}
	verb := "UPDATE"
	if c.isNew {
		verb = "CREATE"
	}
	s := c.stack
	c.execution, s.status, s.changeSet = "EXECUTE_IN_PROGRESS", verb+"_IN_PROGRESS", c.id
	s.keepFailed = c.keepFailed || r.Form.Get("DisableRollback") == "true"
	f.sets = slices.DeleteFunc(f.sets, func(other *changeSet) bool { return other.stack == s && other != c })
	f.mu.Unlock()
	f.run(func(ctx context.Context) {
		defer end()
		status := o.deploy(ctx, verb)
		f.mu.Lock()
		defer f.mu.Unlock()
		if c.execution = "EXECUTE_FAILED"; status == verb+"_COMPLETE" {
			c.execution = "EXECUTE_COMPLETE"
		}
	})
	return fields{}, nil
}

// checkExecutable returns an error if a change set cannot be executed now.
func (c *changeSet) checkExecutable() error {
	if c.execution != "AVAILABLE" {
		return &Refusal{Code: "InvalidChangeSetStatus", Message: "ChangeSet [" + c.id + "] cannot be executed in its " +
			"current status of [" + c.status + "]"}
	}
	if c.isNew {
		return nil
	}
	return c.stack.checkUpdatable()
}
