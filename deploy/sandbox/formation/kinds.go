package formation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/gateway"
)

// kind is how the sandbox creates, updates and deletes resources of one type. Its facts, such as the properties whose
// change replaces the resource, are those of the CloudFormation template reference.
type kind struct {
	named     string   // property that is the name; "" if AWS makes the ID
	limit     int      // of the name that CloudFormation makes up; 0 if named is required, or ""
	immutable []string // properties whose change needs a new resource
	tags      string   // list or map, the form of the property Tags; "" if the resource has none

	create func(x *work) error                        // sets x.id as soon as there is something to delete
	update func(x *work, before map[string]any) error // nil: every change needs a new resource
	remove func(x *work) error
}

// work is one resource, and the means to create, update or delete it.
type work struct {
	ctx        context.Context
	cloud      *cloud.Cloud
	key        string // access key ID of the calls
	host       Host
	region     string
	stack      string
	logical    string
	kind       string
	id         string         // value of Ref
	properties map[string]any // the wanted ones; on deletion, the current ones
	attributes map[string]any // values of Fn::GetAtt
}

// kinds are the types that the sandbox makes.
var kinds = map[string]*kind{}

// nothing are types that make no resource.
var nothing = []string{"AWS::CDK::Metadata", "AWS::CloudFormation::WaitConditionHandle"}

// Types returns the types of resources that a template may have.
func Types() []string {
	return slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Keys(kinds)), nothing)))
}

// kindOf returns the kind of a type; nil if the sandbox does not make it.
func kindOf(name string) *kind {
	switch {
	case kinds[name] != nil:
		return kinds[name]
	case slices.Contains(nothing, name):
		return &kind{create: func(x *work) error { x.id = x.generated(64); return nil },
			update: func(*work, map[string]any) error { return nil }, remove: func(*work) error { return nil }}
	}
	return nil
}

// mustReplace reports whether a change of properties needs a new resource.
func (k *kind) mustReplace(before, after map[string]any) bool {
	return k.update == nil || slices.ContainsFunc(k.immutable, func(name string) bool {
		return !reflect.DeepEqual(before[name], after[name])
	})
}

// differing returns the names of the properties that differ.
func differing(before, after map[string]any) (names []string) {
	all := maps.Clone(before)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, after)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !reflect.DeepEqual(before[name], after[name]) {
			names = append(names, name)
		}
	}
	return names
}

// tagged returns tags in the form of the kind's property Tags.
func (k *kind) tagged(tags map[string]string) any {
	if k.tags == "list" {
		return tagList(tags)
	}
	all := map[string]any{}
	for key, value := range tags {
		all[key] = value
	}
	return all
}

// tagsOfProperties returns the tags in properties.
func tagsOfProperties(properties map[string]any) map[string]string {
	tags := map[string]string{}
	switch all := properties["Tags"].(type) {
	case []any:
		for _, one := range all {
			tag, _ := one.(map[string]any)
			tags[asText(tag["Key"])] = asText(tag["Value"])
		}
	case map[string]any:
		for key, value := range all {
			tags[key] = asText(value)
		}
	}
	return tags
}

// changedTags returns the tags to set and the keys to remove.
func changedTags(before, after map[string]any) (set map[string]string, remove []string) {
	old, now := tagsOfProperties(before), tagsOfProperties(after)
	set = map[string]string{}
	for key, value := range now {
		if was, ok := old[key]; !ok || was != value {
			set[key] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		if _, ok := now[key]; !ok {
			remove = append(remove, key)
		}
	}
	return set, remove
}

// retag sets and removes tags so that a resource has those of its properties.
func (x *work) retag(before map[string]any, tag func(tags map[string]string) any, untag func(keys []string) any) error {
	set, remove := changedTags(before, x.properties)
	if len(set) > 0 {
		if _, err := x.do(tag(set)); err != nil {
			return err
		}
	}
	if remove == nil {
		return nil
	}
	_, err := x.do(untag(remove))
	return err
}

// generated returns a name that CloudFormation makes up: STACK-RESOURCE-RANDOM, with at most limit characters.
func (x *work) generated(limit int) string {
	name := x.stack + "-" + x.logical
	return name[:min(len(name), limit-13)] + "-" + suffix()
}

// name returns the resource's name: the given one, or else one that CloudFormation makes up.
func (x *work) name() string {
	k := kindOf(x.kind)
	if given := asText(x.properties[k.named]); given != "" {
		return given
	}
	return x.generated(k.limit)
}

// text returns a property as a string.
func (x *work) text(name string) string { return asText(x.properties[name]) }

// caller returns what makes calls with the rights of the work.
func (x *work) caller() caller { return caller{x.host.Endpoint, x.key, x.region} }

// partition returns the partition of the stack's region.
func (x *work) partition() string { return gateway.Partition(x.region) }

// arn returns an ARN in the stack's region and account.
func (x *work) arn(service, rest string) string {
	return "arn:" + x.partition() + ":" + service + ":" + x.region + ":" + x.host.Account + ":" + rest
}

// decode sets the fields of an SDK input from properties, which have the same names but for case: KmsKeyArn is
// KMSKeyArn in the SDK. It is an error if a property has no field, or another type.
func decode(properties map[string]any, input any) error {
	var found mapstructure.Metadata
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: input, Metadata: &found, DecodeHook: scalars})
	if err == nil {
		err = d.Decode(properties)
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
		return invalid("Properties validation failed: %s", lines[len(lines)-1])
	}
	if len(found.Unused) > 0 {
		slices.Sort(found.Unused)
		return invalid("Properties validation failed: extraneous key [%s] is not permitted, or not supported by the "+
			"sandbox", strings.Join(found.Unused, ", "))
	}
	return nil
}

// scalars is a hook of the decoder that allows what CloudFormation allows: numbers and booleans as strings, as the
// values of parameters are, and booleans for strings. A json.Number already is a string to the decoder.
func scalars(from, to reflect.Type, data any) (any, error) {
	switch {
	case from.Kind() == reflect.Bool && to.Kind() == reflect.String:
		return fmt.Sprint(data), nil
	case from.Kind() != reflect.String:
		return data, nil
	}
	switch to.Kind() {
	case reflect.Int32, reflect.Int64, reflect.Float64:
		return json.Number(fmt.Sprint(data)), nil
	case reflect.Bool:
		return strconv.ParseBool(fmt.Sprint(data))
	}
	return data, nil
}

// without returns properties without some of them.
func without(properties map[string]any, names ...string) map[string]any {
	rest := maps.Clone(properties)
	for _, name := range names {
		delete(rest, name)
	}
	return rest
}

// with returns properties with more of them.
func with(properties map[string]any, more map[string]any) map[string]any {
	all := maps.Clone(properties)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, more)
	return all
}

// do makes a call, and returns its answer.
func (x *work) do(input any) (map[string]any, error) {
	answer, err := x.cloud.Do(x.ctx, input)
	fields, _ := answer.(map[string]any)
	return fields, err
}

// doWith decodes properties into an SDK input and makes the call.
func (x *work) doWith(input any, properties map[string]any) (map[string]any, error) {
	if err := decode(properties, input); err != nil {
		return nil, err
	}
	return x.do(input)
}

// reset returns after with a value for each property that only before has, so that an update resets it: the default of
// the kind, or else the zero value of a string, boolean, list or mapping.
func reset(before, after, defaults map[string]any) map[string]any {
	all := with(after, nil)
	for name, value := range before {
		if _, ok := after[name]; ok {
			continue
		}
		if usual, ok := defaults[name]; ok {
			all[name] = usual
			continue
		}
		switch value.(type) {
		case []any:
			all[name] = []any{}
		case map[string]any:
			all[name] = map[string]any{}
		case string:
			all[name] = ""
		case bool:
			all[name] = false
		}
	}
	return all
}
