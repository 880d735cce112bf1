package stack

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// forCloudFormation changes d to the properties of CloudFormation where they differ from the parameters of the API.
func (d *description) forCloudFormation() {
	d.Role["PermissionsBoundary"] = fields{"Fn::If": []any{"HasBoundary", "${Boundary}", "${AWS::NoValue}"}}
	for _, group := range []fields{d.FunctionLogs, d.AccessLogs} {
		group["RetentionInDays"], group["Tags"] = "${Retention}", tagList(group["Tags"].(fields))
	}
	d.Function["MemorySize"] = "${Memory}"
	d.Function["ReservedConcurrentExecutions"] = fields{"Fn::If": []any{"HasConcurrency", "${Concurrency}",
		"${AWS::NoValue}"}}
	delete(d.Function, "Code")
	delete(d.Function, "Publish")
	for _, route := range d.Routes {
		route.Grant["FunctionName"] = "${Function}"
	}
	if d.SAM {
		d.Function["CodeUri"] = "notes.zip"
	} else {
		d.Function["Code"] = fields{"S3Bucket": "${CodeBucket}", "S3Key": "${CodeKey}"}
		d.Function["Tags"] = tagList(d.Function["Tags"].(fields))
	}
}

// tagList returns tags as most types of CloudFormation have them.
func tagList(tags fields) (list []any) {
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, fields{"Key": key, "Value": tags[key]})
	}
	return list
}

// properties returns the properties of a resource as YAML.
func properties(of fields) (string, error) {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(yamlNode(of)); err != nil {
		return "", err
	}
	const indent = "      "
	return indent + strings.ReplaceAll(strings.TrimSpace(out.String()), "\n", "\n"+indent), nil
}

var (
	ref    = regexp.MustCompile(`^\$\{([A-Za-z0-9:]+)\}$`)
	getAtt = regexp.MustCompile(`^\$\{([A-Za-z0-9]+\.[A-Za-z0-9.]+)\}$`)
)

// yamlNode returns a value as YAML, with the references in its strings as CloudFormation's functions.
func yamlNode(value any) *yaml.Node {
	tagged := func(tag, text string) *yaml.Node {
		return &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.TaggedStyle, Tag: tag, Value: text}
	}
	node := &yaml.Node{}
	switch v := value.(type) {
	case string:
		switch {
		case ref.MatchString(v):
			return tagged("!Ref", ref.FindStringSubmatch(v)[1])
		case getAtt.MatchString(v):
			return tagged("!GetAtt", getAtt.FindStringSubmatch(v)[1])
		case strings.Contains(v, "${"):
			return tagged("!Sub", v)
		}
		node.SetString(v)
	case fields:
		if arguments, ok := v["Fn::If"].([]any); ok {
			node = yamlNode(arguments)
			node.Tag, node.Style = "!If", yaml.TaggedStyle|yaml.FlowStyle
			return node
		}
		node.Kind = yaml.MappingNode
		for _, name := range slices.Sorted(maps.Keys(v)) {
			node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, yamlNode(v[name]))
		}
	case []any:
		node.Kind = yaml.SequenceNode
		for _, member := range v {
			node.Content = append(node.Content, yamlNode(member))
		}
	default:
		_ = node.Encode(value) // numbers and booleans always encode
	}
	return node
}

// yamlString returns text as a scalar of YAML on one line.
func yamlString(text string) (string, error) {
	node := &yaml.Node{}
	node.SetString(text)
	if node.Style == yaml.LiteralStyle {
		node.Style = yaml.DoubleQuotedStyle
	}
	scalar, err := yaml.Marshal(node)
	return strings.TrimSpace(string(scalar)), err
}
