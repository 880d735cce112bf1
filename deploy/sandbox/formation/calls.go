package formation

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
)

var stackName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

func checkName(name, what string) error {
	if !stackName.MatchString(name) {
		return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must "+
			"satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name, what)
	}
	return nil
}

func (f *Formation) createStack(ctx context.Context, r Request) (fields, error) {
	name := r.Form.Get("StackName")
	if err := checkName(name, "stackName"); err != nil {
		return nil, err
	}
	p, err := f.asPlan(ctx, r, plan{})
	if err != nil {
		return nil, err
	}
	s := f.newStack(r, name)
	onFailure := r.Form.Get("OnFailure")
	s.keepFailed = r.Form.Get("DisableRollback") == "true" || onFailure == "DO_NOTHING"
	s.isProtected = r.Form.Get("EnableTerminationProtection") == "true"
	s.status = "CREATE_IN_PROGRESS"
	o, end, err := f.begin(ctx, r, s, p)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if f.find(r.Region, name) != nil {
		f.mu.Unlock()
		end()
		return nil, &Refusal{Code: "AlreadyExistsException", Message: "Stack [" + name + "] already exists"}
	}
	f.stacks = append(f.stacks, s)
	f.mu.Unlock()
	f.run(func(ctx context.Context) {
		defer end()
		if status := o.deploy(ctx, "CREATE"); status == "ROLLBACK_COMPLETE" && onFailure == "DELETE" {
			o.delete(ctx, nil)
		}
	})
	return fields{"StackId": s.id}, nil
}

// checkUpdatable returns an error if a stack cannot be updated now.
func (s *stack) checkUpdatable() error {
	if s.isBusy() || s.status == reviewing || s.status == "ROLLBACK_COMPLETE" || s.status == "ROLLBACK_FAILED" ||
		s.status == "UPDATE_ROLLBACK_FAILED" || s.status == "DELETE_FAILED" || !s.deleted.IsZero() {
		return invalid("Stack:%s is in %s state and can not be updated.", s.id, s.status)
	}
	return nil
}

func (f *Formation) updateStack(ctx context.Context, r Request) (fields, error) {
	f.mu.Lock()
	s, err := f.stackOf(r)
	var before plan
	if err == nil {
		err, before = s.checkUpdatable(), s.plan
	}
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p, err := f.asPlan(ctx, r, before)
	if err != nil {
		return nil, err
	}
	o, end, err := f.begin(ctx, r, s, p)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if err := s.checkUpdatable(); err != nil { // another call may have begun meanwhile
		f.mu.Unlock()
		end()
		return nil, err
	}
	if changes := o.changes(); len(changes) == 0 && sameOutputs(s.plan, p) {
		f.mu.Unlock()
		end()
		return nil, invalid("No updates are to be performed.")
	}
	f.dropChangeSets(s)
	s.status, s.keepFailed = "UPDATE_IN_PROGRESS", r.Form.Get("DisableRollback") == "true"
	f.mu.Unlock()
	f.run(func(ctx context.Context) {
		defer end()
		o.deploy(ctx, "UPDATE")
	})
	return fields{"StackId": s.id}, nil
}

func (f *Formation) deleteStack(ctx context.Context, r Request) (fields, error) {
	f.mu.Lock()
	s := f.find(r.Region, r.Form.Get("StackName"))
	if s == nil || !s.deleted.IsZero() { // deleting what does not exist succeeds
		f.mu.Unlock()
		return fields{}, nil
	}
	err, p := f.checkDeletable(s), s.plan
	f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p.role = cmp.Or(r.Form.Get("RoleARN"), p.role)
	c, key, end, err := f.clients(ctx, r, p.role)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	if err := f.checkDeletable(s); err != nil { // another call may have begun meanwhile
		f.mu.Unlock()
		end()
		return nil, err
	}
	s.status = "DELETE_IN_PROGRESS"
	f.dropChangeSets(s)
	f.mu.Unlock()
	o := &operation{Formation: f, stack: s, plan: p, cloud: c, key: key}
	f.run(func(ctx context.Context) {
		defer end()
		o.delete(ctx, list(r.Form, "RetainResources"))
	})
	return fields{}, nil
}

// checkDeletable returns an error if a stack cannot be deleted now. The caller holds f.mu.
func (f *Formation) checkDeletable(s *stack) error {
	switch {
	case s.isProtected:
		return invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", s.name)
	case s.isBusy():
		return invalid("Stack [%s] cannot be deleted while in status %s", s.name, s.status)
	}
	for _, o := range s.outputs {
		if importers := f.importers(s.region, o.export); o.export != "" && importers != nil {
			return invalid("Export %s cannot be deleted as it is in use by %s", o.export, strings.Join(importers, ", "))
		}
	}
	return nil
}

// dropChangeSets removes the change sets of a stack, which are obsolete when it changes. The caller holds f.mu.
func (f *Formation) dropChangeSets(s *stack) {
	f.sets = slices.DeleteFunc(f.sets, func(c *changeSet) bool { return c.stack == s })
}

// importers returns the names of the stacks that import a value. The caller holds f.mu.
func (f *Formation) importers(region, export string) (names []string) {
	for _, s := range f.stacks {
		if s.region == region && s.deleted.IsZero() && slices.Contains(s.imports, export) {
			names = append(names, s.name)
		}
	}
	return names
}

func (f *Formation) updateTerminationProtection(_ context.Context, r Request) (fields, error) {
	return f.withStack(r, func(s *stack) (fields, error) {
		s.isProtected = r.Form.Get("EnableTerminationProtection") == "true"
		return fields{"StackId": s.id}, nil
	})
}

// setStackPolicy and getStackPolicy keep a policy, which is not enforced.
func (f *Formation) setStackPolicy(_ context.Context, r Request) (fields, error) {
	return f.withStack(r, func(s *stack) (fields, error) {
		s.policy = r.Form.Get("StackPolicyBody")
		return fields{}, nil
	})
}

func (f *Formation) getStackPolicy(_ context.Context, r Request) (fields, error) {
	return f.withStack(r, func(s *stack) (fields, error) {
		return fields{"StackPolicyBody": s.policy}, nil
	})
}
