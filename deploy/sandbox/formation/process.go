package formation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/template"
)

// Transforms of AWS that the sandbox knows.
const (
	serverless = "AWS::Serverless-2016-10-31"
	extensions = "AWS::LanguageExtensions"
)

// process parses a plan's template, carries out its transforms, and completes and checks its parameters.
func (f *Formation) process(ctx context.Context, region string, p *plan, given map[string]string) (err error) {
	p.processed = p.text
	if p.template, err = template.Parse([]byte(p.text)); err != nil {
		return invalid("Template format error: %v", err)
	}
	if err := p.complete(given); err != nil {
		return err
	}
	for _, transform := range p.template.Transforms {
		switch transform {
		case extensions: // its functions are always there
		case serverless:
			text, err := f.host.Translate(ctx, region, []byte(asJSON(p.template.Data())), p.parameters)
			if err != nil {
				return invalid("Transform %s failed with: %v", transform, err)
			}
			p.processed = string(text)
			if p.template, err = template.Parse(text); err != nil {
				return invalid("the template that SAM makes is invalid: %v", err)
			}
		default:
			return invalid("No transform named %s found: the sandbox has only %s and %s", transform, serverless,
				extensions)
		}
	}
	return p.checkCapabilities()
}

// checkTypes returns an error for types that the sandbox does not have. It is not called for resources whose condition
// does not hold: a template is often for more than the sandbox has.
func checkTypes(ordered []template.Resource) error {
	var unknown []string
	for _, r := range ordered {
		if kindOf(r.Type) == nil {
			unknown = append(unknown, fmt.Sprintf("%s (%s, line %d)", r.Type, r.Name, r.Line))
		}
	}
	if unknown == nil {
		return nil
	}
	return invalid("the sandbox does not create resources of these types: %s", strings.Join(unknown, ", "))
}

// complete sets the parameters from the given values and the defaults.
func (p *plan) complete(given map[string]string) error {
	p.parameters = map[string]string{}
	var missing []string
	for _, parameter := range p.template.Parameters {
		value, ok := given[parameter.Name]
		switch {
		case ok:
		case parameter.Default != nil:
			value = *parameter.Default
		default:
			missing = append(missing, parameter.Name)
		}
		p.parameters[parameter.Name] = value
	}
	if missing != nil {
		return invalid("Parameters: [%s] must have values", strings.Join(missing, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, ok := p.parameters[name]; !ok {
			return invalid("Parameters: [%s] do not exist in the template", name)
		}
	}
	for _, parameter := range p.template.Parameters {
		if err := parameter.Check(p.parameters[parameter.Name]); err != nil && !parameter.IsFromSSM() {
			return invalid("%v", err)
		}
	}
	return nil
}

// checkCapabilities returns an error unless the caller acknowledged what the template does ("Acknowledging IAM
// resources in CloudFormation templates").
func (p *plan) checkCapabilities() error {
	need := p.needsCapability()
	if need == "" || slices.Contains(p.capabilities, need) || slices.Contains(p.capabilities, namedIAM) {
		return nil
	}
	return &Refusal{Code: "InsufficientCapabilitiesException", Message: "Requires capabilities : [" + need + "]"}
}

// namedIAM acknowledges resources of IAM with names.
const namedIAM = "CAPABILITY_NAMED_IAM"

// needsCapability returns the capability that the template needs, or "". The sandbox asks for none for macros.
func (p *plan) needsCapability() (need string) {
	for _, r := range p.template.Resources {
		if !strings.HasPrefix(r.Type, "AWS::IAM::") {
			continue
		}
		if slices.ContainsFunc([]string{"RoleName", "ManagedPolicyName", "UserName", "GroupName"}, r.Has) {
			return namedIAM
		}
		need = "CAPABILITY_IAM"
	}
	return need
}

// parameterOfSSM reads a parameter of Systems Manager, NAME or NAME:VERSION.
func (c caller) parameterOfSSM(ctx context.Context, name string) (string, error) {
	answer, err := c.askJSON(ctx, "ssm", "AmazonSSM.GetParameter", map[string]any{"Name": name})
	if err != nil {
		return "", invalid("Unable to fetch parameters [%s] from parameter store for this account: %s", name,
			reason(err))
	}
	parameter, _ := answer["Parameter"].(map[string]any)
	if parameter["Type"] == "SecureString" {
		return "", invalid("the parameter %s is a SecureString, which templates cannot read", name)
	}
	return asText(parameter["Value"]), nil
}

// scope returns the values that a template refers to, with the resources of a stack so far.
func (f *Formation) scope(ctx context.Context, s *stack, p plan, c caller) (template.Scope, error) {
	notifications := make([]any, len(p.notifications))
	for i, one := range p.notifications {
		notifications[i] = one
	}
	suffix := "amazonaws.com"
	if gateway.Partition(s.region) == "aws-cn" {
		suffix += ".cn"
	}
	values := map[string]any{"AWS::AccountId": f.host.Account, "AWS::Region": s.region, "AWS::StackName": s.name,
		"AWS::StackId": s.id, "AWS::Partition": gateway.Partition(s.region), "AWS::URLSuffix": suffix,
		"AWS::NotificationARNs": notifications}
	for _, parameter := range p.template.Parameters {
		value := p.parameters[parameter.Name]
		if parameter.IsFromSSM() {
			var err error
			if value, err = c.parameterOfSSM(ctx, value); err != nil {
				return template.Scope{}, err
			}
		}
		values[parameter.Name] = parameter.Value(value)
	}
	get := func(name string) (*deployed, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if d := s.resources[name]; d != nil {
			return d, nil
		}
		return nil, invalid("Unresolved resource dependencies [%s]", name)
	}
	return template.Scope{
		Values: values,
		Ref: func(name string) (any, error) {
			d, err := get(name)
			if err != nil {
				return nil, err
			}
			return d.id, nil
		},
		Attribute: func(name, attribute string) (any, error) {
			d, err := get(name)
			if err != nil {
				return nil, err
			}
			value, ok := d.attributes[attribute]
			if !ok {
				return nil, invalid("Template error: resource %s does not support attribute type %s in Fn::GetAtt, "+
					"or the sandbox does not",
					name, attribute)
			}
			return value, nil
		},
		Import: func(name string) (any, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			for _, o := range f.exports(s.region) {
				if o.export == name {
					return o.value, nil
				}
			}
			return nil, invalid("No export named %s found.", name)
		},
		Resolve: func(service, name string) (string, error) {
			if service != "ssm" {
				return "", invalid("the sandbox resolves references to ssm only")
			}
			return c.parameterOfSSM(ctx, name)
		},
	}, nil
}

// exports returns the outputs that the stacks of a region export. The caller holds f.mu.
func (f *Formation) exports(region string) (all []output) {
	for _, s := range f.stacks {
		if s.region != region || !s.deleted.IsZero() {
			continue
		}
		for _, o := range s.outputs {
			if o.export != "" {
				all = append(all, o)
			}
		}
	}
	return all
}

// readOutputs evaluates the outputs of a stack.
func (f *Formation) readOutputs(s *stack, p plan, scope template.Scope) (all []output, err error) {
	for _, o := range p.template.Outputs {
		holds, err := p.template.Holds(o.Condition, scope)
		if err != nil {
			return nil, err
		}
		if !holds {
			continue
		}
		value, err := p.template.Evaluate(o.Value, scope)
		if err != nil {
			return nil, err
		}
		made := output{name: o.Name, value: asText(value), description: o.Description}
		if o.Export != nil {
			name, err := p.template.Evaluate(o.Export, scope)
			if err != nil {
				return nil, err
			}
			made.export = asText(name)
			f.mu.Lock()
			taken := slices.ContainsFunc(f.stacks, func(other *stack) bool {
				return other != s && other.region == s.region && other.deleted.IsZero() &&
					slices.ContainsFunc(other.outputs, func(o output) bool { return o.export == made.export })
			})
			f.mu.Unlock()
			if taken {
				return nil, invalid("Export with name %s is already exported by another stack", made.export)
			}
		}
		all = append(all, made)
	}
	return all, nil
}

// asJSON returns a value as JSON.
func asJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}

// asText returns a scalar as text, and anything else as JSON.
func asText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case nil:
		return ""
	}
	return strings.Trim(asJSON(value), `"`)
}
