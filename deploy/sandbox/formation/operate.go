package formation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/template"
)

// operation carries out a plan for a stack, or deletes the stack.
type operation struct {
	*Formation
	stack *stack
	plan  plan
	scope template.Scope
	cloud *cloud.Cloud
	key   string // access key ID with which it acts

	imports  []string                          // names of the values that the plan imports
	undo     []func(ctx context.Context) error // in order; a rollback runs them backwards
	obsolete []*deployed                       // to be removed when all else has succeeded
}

// begin checks a plan for a stack, and returns the operation that carries it out.
func (f *Formation) begin(ctx context.Context, r Request, s *stack, p plan) (o *operation, end func(), err error) {
	c, key, end, err := f.clients(ctx, r, p.role)
	if err != nil {
		return nil, nil, err
	}
	scope, err := f.scope(ctx, s, p, caller{f.host.Endpoint, key, r.Region})
	if err == nil {
		err = p.template.CheckRules(scope)
	}
	var ordered []template.Resource
	if err == nil {
		ordered, err = p.template.Order(scope)
	}
	if err == nil {
		err = checkTypes(ordered)
	}
	if err != nil {
		end()
		return nil, nil, invalid("Template format error: %v", err)
	}
	o = &operation{Formation: f, stack: s, plan: p, scope: scope, cloud: c, key: key}
	o.scope.Import = func(name string) (any, error) {
		value, err := scope.Import(name)
		if err == nil && !slices.Contains(o.imports, name) {
			o.imports = append(o.imports, name)
		}
		return value, err
	}
	return o, end, nil
}

// deploy creates or updates the stack, as verb says, and rolls it back if that fails. It returns the stack's status.
func (o *operation) deploy(ctx context.Context, verb string) (status string) {
	s := o.stack
	o.record(s, nil, verb+"_IN_PROGRESS", "User Initiated")
	if verb == "CREATE" {
		o.mu.Lock()
		s.plan = o.plan // a failed stack has a template too
		o.mu.Unlock()
	}
	outputs, err := o.apply(ctx, verb)
	o.mu.Lock()
	keep := s.keepFailed
	o.mu.Unlock()
	switch {
	case err == nil:
		o.mu.Lock()
		s.plan, s.outputs, s.imports = o.plan, outputs, o.imports
		if verb == "UPDATE" {
			s.updated = time.Now().UTC()
		}
		o.mu.Unlock()
		if o.obsolete != nil {
			o.record(s, nil, verb+"_COMPLETE_CLEANUP_IN_PROGRESS", "")
			_ = o.removeAll(ctx, o.obsolete, true) // a failure leaves the resource behind, as on AWS
		}
		return o.record(s, nil, verb+"_COMPLETE", "")
	case keep:
		return o.record(s, nil, verb+"_FAILED", err.Error())
	}
	rollback, why := "ROLLBACK", err.Error()+" Rollback requested by user."
	if verb == "UPDATE" {
		rollback, why = "UPDATE_ROLLBACK", err.Error()
	}
	o.record(s, nil, rollback+"_IN_PROGRESS", why)
	if err := o.rollBack(ctx); err != nil {
		return o.record(s, nil, rollback+"_FAILED", err.Error())
	}
	return o.record(s, nil, rollback+"_COMPLETE", "")
}

// rollBack undoes what the operation did so far.
func (o *operation) rollBack(ctx context.Context) error {
	var failed []error
	for _, undo := range slices.Backward(o.undo) {
		failed = append(failed, undo(ctx))
	}
	return errors.Join(failed...)
}

// apply creates and updates the resources of the plan, and returns the outputs.
func (o *operation) apply(ctx context.Context, verb string) ([]output, error) {
	ordered, err := o.plan.template.Order(o.scope)
	if err != nil {
		return nil, err
	}
	kept := map[string]bool{}
	for _, r := range ordered {
		kept[r.Name] = true
		if err := o.applyResource(ctx, r); err != nil {
			return nil, invalid("The following resource(s) failed to %s: [%s].", strings.ToLower(verb), r.Name)
		}
	}
	outputs, err := o.readOutputs(o.stack, o.plan, o.scope)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, was := range o.stack.outputs {
		isKept := slices.ContainsFunc(outputs, func(now output) bool {
			return now.export == was.export && now.value == was.value
		})
		if by := o.importers(o.stack.region, was.export); was.export != "" && by != nil && !isKept {
			return nil, invalid("Export %s cannot be updated or deleted as it is in use by %s", was.export,
				strings.Join(by, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.stack.resources)) {
		if !kept[name] {
			o.obsolete = append(o.obsolete, o.stack.resources[name])
		}
	}
	return outputs, nil
}

// applyResource creates or updates one resource as planned. A failure is recorded.
func (o *operation) applyResource(ctx context.Context, r template.Resource) error {
	o.mu.Lock()
	old := o.stack.resources[r.Name]
	if old != nil && old.id == "" { // it failed, and the stack was not rolled back
		old = nil
	}
	o.mu.Unlock()
	fresh := &deployed{name: r.Name, kind: r.Type, deletion: r.DeletionPolicy, replacing: r.UpdateReplacePolicy}
	properties, err := o.properties(r)
	k := kindOf(r.Type)
	switch {
	case err != nil:
		return o.fail(old, fresh, err)
	case old == nil:
		fresh.properties = properties
		return o.create(ctx, k, fresh, nil)
	case old.kind != r.Type:
		return o.fail(old, fresh, invalid("Update of resource type is not permitted."))
	case reflect.DeepEqual(old.properties, properties):
		o.mu.Lock()
		old.deletion, old.replacing = r.DeletionPolicy, r.UpdateReplacePolicy
		o.mu.Unlock()
		return nil
	case k.mustReplace(old.properties, properties):
		if k.named != "" && k.update != nil && properties[k.named] != nil &&
			properties[k.named] == old.properties[k.named] {
			return o.fail(old, fresh, invalid("CloudFormation cannot update a stack when a custom-named resource "+
				"requires replacing. Rename %s and update the stack again.", properties[k.named]))
		}
		fresh.properties = properties
		return o.create(ctx, k, fresh, old)
	}
	return o.update(ctx, k, old, properties)
}

// fail records that a resource could not be created or updated.
func (o *operation) fail(old, fresh *deployed, err error) error {
	d, verb := fresh, "CREATE"
	if old != nil {
		d, verb = old, "UPDATE"
	} else {
		o.mu.Lock()
		o.stack.resources[fresh.name] = fresh
		o.mu.Unlock()
		o.undo = append(o.undo, func(context.Context) error { o.forget(fresh, nil); return nil })
	}
	o.record(o.stack, d, verb+"_FAILED", reason(err))
	return err
}

// properties returns the evaluated properties of a resource, with the stack's tags.
func (o *operation) properties(r template.Resource) (map[string]any, error) {
	value, err := o.plan.template.Evaluate(r.Properties, o.scope)
	if err != nil {
		return nil, err
	}
	properties, _ := value.(map[string]any)
	k := kindOf(r.Type)
	if k.tags == "" {
		return properties, nil
	}
	tags := maps.Clone(o.plan.tags)
	if tags == nil {
		tags = map[string]string{}
	}
	if _, isList := properties["Tags"].([]any); properties["Tags"] != nil && isList != (k.tags == "list") {
		return nil, invalid("Properties validation failed: Tags must be a %s", k.tags)
	}
	maps.Copy(tags, tagsOfProperties(properties))
	tags["aws:cloudformation:stack-name"], tags["aws:cloudformation:stack-id"] = o.stack.name, o.stack.id
	tags["aws:cloudformation:logical-id"] = r.Name
	properties["Tags"] = k.tagged(tags)
	return properties, nil
}

// work returns the arguments for the functions of d's kind.
func (o *operation) work(ctx context.Context, d *deployed) *work {
	return &work{
		ctx:        ctx,
		cloud:      o.cloud,
		key:        o.key,
		host:       o.host,
		region:     o.stack.region,
		stack:      o.stack.name,
		logical:    d.name,
		id:         d.id,
		properties: d.properties,
		attributes: d.attributes,
		kind:       d.kind,
	}
}

// create creates a resource, in place of an old one if there is one.
func (o *operation) create(ctx context.Context, k *kind, fresh, old *deployed) error {
	verb, why := "CREATE", ""
	if old != nil {
		verb = "UPDATE"
		why = "Requested update requires the creation of a new physical resource; hence creating one."
	}
	o.mu.Lock()
	o.stack.serial++
	fresh.serial = o.stack.serial
	o.stack.resources[fresh.name] = fresh
	o.mu.Unlock()
	o.record(o.stack, fresh, verb+"_IN_PROGRESS", why)
	x := o.work(ctx, fresh)
	x.attributes = map[string]any{}
	err := k.create(x)
	o.mu.Lock()
	fresh.id, fresh.attributes = x.id, x.attributes
	o.mu.Unlock()
	o.undo = append(o.undo, func(ctx context.Context) error {
		if old == nil && fresh.deletion == "Retain" && err == nil { // what failed is deleted all the same
			o.record(o.stack, fresh, "DELETE_SKIPPED", "")
			o.forget(fresh, nil)
			return nil
		}
		if fresh.id == "" {
			o.forget(fresh, old)
			return nil
		}
		return o.remove(ctx, fresh, func() { o.forget(fresh, old) })
	})
	if err != nil {
		o.record(o.stack, fresh, verb+"_FAILED", reason(err))
		return err
	}
	if old != nil {
		o.obsolete = append(o.obsolete, old)
	}
	o.record(o.stack, fresh, verb+"_COMPLETE", "")
	return nil
}

// forget drops a resource from the stack, and puts the old one, if any, in its place.
func (o *operation) forget(d, old *deployed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stack.resources[d.name] != d {
		return
	}
	delete(o.stack.resources, d.name)
	if old != nil {
		o.stack.resources[d.name] = old
	}
}

// update changes a resource to other properties.
func (o *operation) update(ctx context.Context, k *kind, d *deployed, properties map[string]any) error {
	before := d.properties
	change := func(ctx context.Context, from, to map[string]any) error {
		o.record(o.stack, d, "UPDATE_IN_PROGRESS", "")
		x := o.work(ctx, d)
		x.properties = to
		if err := k.update(x, from); err != nil {
			o.record(o.stack, d, "UPDATE_FAILED", reason(err))
			return err
		}
		o.mu.Lock()
		d.properties, d.attributes = to, x.attributes
		o.mu.Unlock()
		o.record(o.stack, d, "UPDATE_COMPLETE", "")
		return nil
	}
	o.undo = append(o.undo, func(ctx context.Context) error { return change(ctx, properties, before) })
	return change(ctx, before, properties)
}

// removeAll deletes resources, the newest first, and returns the names of those that remain. isCleanup says that an
// update has dropped or replaced them: a replaced resource, which is no longer the stack's one of its name, follows its
// UpdateReplacePolicy, and the others their DeletionPolicy.
func (o *operation) removeAll(ctx context.Context, all []*deployed, isCleanup bool) (failed []string) {
	slices.SortFunc(all, func(a, b *deployed) int { return b.serial - a.serial })
	for _, d := range all {
		o.mu.Lock()
		isReplaced := o.stack.resources[d.name] != d
		o.mu.Unlock()
		policy := d.deletion
		if isCleanup && isReplaced {
			policy = d.replacing
		}
		if policy == "Retain" || policy == "RetainExceptOnCreate" {
			o.record(o.stack, d, "DELETE_SKIPPED", "")
			o.forget(d, nil)
			continue
		}
		if err := o.remove(ctx, d, func() { o.forget(d, nil) }); err != nil {
			failed = append(failed, d.name)
		}
	}
	return failed
}

// remove removes a resource, and calls done if that succeeds.
func (o *operation) remove(ctx context.Context, d *deployed, done func()) error {
	o.record(o.stack, d, "DELETE_IN_PROGRESS", "")
	if d.id != "" {
		if err := kindOf(d.kind).remove(o.work(ctx, d)); err != nil && !isGone(err) {
			o.record(o.stack, d, "DELETE_FAILED", reason(err))
			return err
		}
	}
	done()
	o.record(o.stack, d, "DELETE_COMPLETE", "")
	return nil
}

// delete removes the stack.
func (o *operation) delete(ctx context.Context, retain []string) {
	s := o.stack
	o.record(s, nil, "DELETE_IN_PROGRESS", "User Initiated")
	o.mu.Lock()
	all := slices.Collect(maps.Values(s.resources))
	for _, d := range all {
		if slices.Contains(retain, d.name) {
			d.deletion = "Retain"
		}
	}
	o.mu.Unlock()
	if failed := o.removeAll(ctx, all, false); failed != nil {
		o.record(
			s,
			nil,
			"DELETE_FAILED",
			"The following resource(s) failed to delete: ["+strings.Join(failed, ", ")+"].",
		)
		return
	}
	o.mu.Lock()
	s.deleted, s.outputs = time.Now().UTC(), nil
	o.mu.Unlock()
	o.record(s, nil, "DELETE_COMPLETE", "")
}

// reason returns the reason of a failure as the events of AWS have it: the message of the service, and its code.
func reason(err error) string {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return err.Error()
	}
	var operation *smithy.OperationError
	service := ""
	if errors.As(err, &operation) {
		service = "Service: " + operation.ServiceID + ", "
	}
	return fmt.Sprintf("Resource handler returned message: %q (%sError Code: %s)", refused.ErrorMessage(), service,
		refused.ErrorCode())
}
