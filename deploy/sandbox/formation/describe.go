package formation

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/portable-notes/deploy/template"
)

// at returns a time as in answers.
func at(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func anyList[T any](of []T) []any {
	all := []any{}
	for _, one := range of {
		all = append(all, one)
	}
	return all
}

func tagList(tags map[string]string) []any {
	all := []any{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, fields{"Key": key, "Value": tags[key]})
	}
	return all
}

// parameterList returns the parameters of a plan, without secrets.
func parameterList(p plan) []any {
	all := []any{}
	if p.template == nil {
		return all
	}
	for _, parameter := range p.template.Parameters {
		value := p.parameters[parameter.Name]
		if parameter.NoEcho {
			value = "****"
		}
		all = append(all, fields{"ParameterKey": parameter.Name, "ParameterValue": value})
	}
	return all
}

func (s *stack) describe() fields {
	outputs := []any{}
	for _, o := range s.outputs {
		one := fields{"OutputKey": o.name, "OutputValue": o.value}
		if o.description != "" {
			one["Description"] = o.description
		}
		if o.export != "" {
			one["ExportName"] = o.export
		}
		outputs = append(outputs, one)
	}
	all := fields{"StackId": s.id, "StackName": s.name, "CreationTime": at(s.created), "StackStatus": s.status,
		"DisableRollback": s.keepFailed, "Parameters": parameterList(s.plan), "Outputs": outputs,
		"Tags": tagList(s.plan.tags), "Capabilities": anyList(s.plan.capabilities),
		"NotificationARNs":            anyList(s.plan.notifications),
		"EnableTerminationProtection": s.isProtected, "RollbackConfiguration": fields{},
		"DriftInformation": fields{"StackDriftStatus": "NOT_CHECKED"}}
	if s.reason != "" {
		all["StackStatusReason"] = s.reason
	}
	if s.plan.template != nil && s.plan.template.Description != "" {
		all["Description"] = s.plan.template.Description
	}
	if s.plan.role != "" {
		all["RoleARN"] = s.plan.role
	}
	if s.changeSet != "" {
		all["ChangeSetId"] = s.changeSet
	}
	if !s.updated.IsZero() {
		all["LastUpdatedTime"] = at(s.updated)
	}
	if !s.deleted.IsZero() {
		all["DeletionTime"] = at(s.deleted)
	}
	return all
}

func (f *Formation) describeStacks(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []any{}
	if r.Form.Get("StackName") != "" {
		s, err := f.stackOf(r)
		if err != nil {
			return nil, err
		}
		return fields{"Stacks": append(all, s.describe())}, nil
	}
	for _, s := range slices.Backward(f.stacks) {
		if s.region == r.Region && s.deleted.IsZero() {
			all = append(all, s.describe())
		}
	}
	return fields{"Stacks": all}, nil
}

func (f *Formation) listStacks(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	filter := list(r.Form, "StackStatusFilter")
	all := []any{}
	for _, s := range slices.Backward(f.stacks) {
		if s.region != r.Region || filter != nil && !slices.Contains(filter, s.status) {
			continue
		}
		one := s.describe()
		for _, name := range []string{"Parameters", "Outputs", "Tags", "Capabilities", "NotificationARNs",
			"DisableRollback", "EnableTerminationProtection", "RollbackConfiguration", "RoleARN", "ChangeSetId"} {
			delete(one, name)
		}
		if description, ok := one["Description"]; ok {
			one["TemplateDescription"] = description
			delete(one, "Description")
		}
		all = append(all, one)
	}
	return fields{"StackSummaries": all}, nil
}

func (f *Formation) describeStackEvents(_ context.Context, r Request) (fields, error) {
	return f.withStack(r, func(s *stack) (fields, error) {
		all := []any{}
		for _, e := range slices.Backward(s.events) {
			one := fields{"StackId": s.id, "StackName": s.name, "EventId": e.id, "LogicalResourceId": e.logical,
				"PhysicalResourceId": e.physical, "ResourceType": e.kind, "Timestamp": at(e.at),
				"ResourceStatus": e.status}
			if e.reason != "" {
				one["ResourceStatusReason"] = e.reason
			}
			if e.properties != "" {
				one["ResourceProperties"] = e.properties
			}
			all = append(all, one)
		}
		return fields{"StackEvents": all}, nil
	})
}

// resourceList returns the resources of a stack in the order of their creation. Times have the given name.
func (s *stack) resourceList(timeName string) (all []fields) {
	ordered := slices.SortedFunc(maps.Values(s.resources), func(a, b *deployed) int { return a.serial - b.serial })
	for _, d := range ordered {
		one := fields{"LogicalResourceId": d.name, "PhysicalResourceId": d.id, "ResourceType": d.kind,
			"ResourceStatus": d.status, timeName: at(d.at), "DriftInformation": fields{
				"StackResourceDriftStatus": "NOT_CHECKED"}}
		if d.reason != "" {
			one["ResourceStatusReason"] = d.reason
		}
		all = append(all, one)
	}
	return all
}

func (f *Formation) describeStackResources(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []any{}
	physical, logical := r.Form.Get("PhysicalResourceId"), r.Form.Get("LogicalResourceId")
	for _, s := range f.stacks {
		if s.region != r.Region || !s.deleted.IsZero() && s.id != r.Form.Get("StackName") {
			continue
		}
		for _, one := range s.resourceList("Timestamp") {
			one["StackId"], one["StackName"] = s.id, s.name
			isAsked := physical != "" && one["PhysicalResourceId"] == physical ||
				physical == "" && (s.name == r.Form.Get("StackName") || s.id == r.Form.Get("StackName"))
			if isAsked && (logical == "" || one["LogicalResourceId"] == logical) {
				all = append(all, one)
			}
		}
	}
	if len(all) == 0 {
		if _, err := f.stackOf(r); physical != "" || err != nil {
			return nil, invalid("Stack for %s does not exist", physical+r.Form.Get("StackName"))
		}
	}
	return fields{"StackResources": all}, nil
}

func (f *Formation) describeStackResource(_ context.Context, r Request) (fields, error) {
	return f.withStack(r, func(s *stack) (fields, error) {
		for _, one := range s.resourceList("LastUpdatedTimestamp") {
			if one["LogicalResourceId"] == r.Form.Get("LogicalResourceId") {
				one["StackId"], one["StackName"], one["Metadata"] = s.id, s.name, "{}"
				return fields{"StackResourceDetail": one}, nil
			}
		}
		return nil, invalid("Resource %s does not exist for stack %s", r.Form.Get("LogicalResourceId"), s.name)
	})
}

func (f *Formation) listStackResources(_ context.Context, r Request) (fields, error) {
	return f.withStack(r, func(s *stack) (fields, error) {
		return fields{"StackResourceSummaries": anyList(s.resourceList("LastUpdatedTimestamp"))}, nil
	})
}

func (f *Formation) getTemplate(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := plan{}
	if r.Form.Get("ChangeSetName") != "" {
		c, err := f.findSet(r)
		if err != nil {
			return nil, err
		}
		p = c.plan
	} else {
		s, err := f.stackOf(r)
		if err != nil {
			return nil, err
		}
		p = s.plan
	}
	body := p.text
	if r.Form.Get("TemplateStage") == "Processed" {
		body = p.processed
	}
	return fields{"TemplateBody": body, "StagesAvailable": []any{"Original", "Processed"}}, nil
}

// getTemplateSummary describes a template, or that of a stack.
func (f *Formation) getTemplateSummary(ctx context.Context, r Request) (fields, error) {
	var text string
	var err error
	if r.Form.Get("StackName") != "" {
		f.mu.Lock()
		s, e := f.stackOf(r)
		if e == nil {
			text = s.plan.text
		}
		f.mu.Unlock()
		err = e
	} else {
		text, err = f.templateText(ctx, r, "")
	}
	if err != nil {
		return nil, err
	}
	t, err := template.Parse([]byte(text))
	if err != nil {
		return nil, invalid("Template format error: %v", err)
	}
	parameters := []any{}
	for _, p := range t.Parameters {
		one := fields{"ParameterKey": p.Name, "ParameterType": p.Type, "NoEcho": p.NoEcho, "Description": p.Description,
			"ParameterConstraints": fields{"AllowedValues": anyList(p.AllowedValues)}}
		if p.Default != nil {
			one["DefaultValue"] = *p.Default
		}
		parameters = append(parameters, one)
	}
	var types []string
	for _, resource := range t.Resources {
		if !slices.Contains(types, resource.Type) {
			types = append(types, resource.Type)
		}
	}
	capabilities := []any{}
	if need := (&plan{template: t}).needsCapability(); need != "" {
		capabilities = append(capabilities, need)
	}
	all := fields{"Parameters": parameters, "Description": t.Description, "ResourceTypes": anyList(types),
		"DeclaredTransforms": anyList(t.Transforms), "Capabilities": capabilities,
		"Version": "2010-09-09"}
	return all, nil
}

func (f *Formation) listExports(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []any{}
	for _, s := range f.stacks {
		for _, o := range s.outputs {
			if s.region == r.Region && o.export != "" {
				all = append(all, fields{"ExportingStackId": s.id, "Name": o.export, "Value": o.value})
			}
		}
	}
	return fields{"Exports": all}, nil
}

func (f *Formation) listImports(_ context.Context, r Request) (fields, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.Form.Get("ExportName")
	names := f.importers(r.Region, name)
	if names == nil {
		return nil, invalid("Export '%s' is not imported by any stack.", name)
	}
	return fields{"Imports": anyList(names)}, nil
}

// answerXML returns the XML of an answer in the Query protocol.
func answerXML(operation string, result fields) string {
	var out strings.Builder
	fmt.Fprintf(&out, `<%[1]sResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">`, operation)
	writeXML(&out, operation+"Result", result)
	fmt.Fprintf(&out, "<ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata></%sResponse>", operation)
	return out.String()
}

func writeXML(out *strings.Builder, name string, value any) {
	fmt.Fprintf(out, "<%s>", name)
	switch v := value.(type) {
	case fields:
		for _, member := range slices.Sorted(maps.Keys(v)) {
			if v[member] != "" && v[member] != nil {
				writeXML(out, member, v[member])
			}
		}
	case []any:
		for _, member := range v {
			writeXML(out, "member", member)
		}
	default:
		_ = xml.EscapeText(out, []byte(fmt.Sprint(v))) // a builder cannot fail
	}
	fmt.Fprintf(out, "</%s>", name)
}
