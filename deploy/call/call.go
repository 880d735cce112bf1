// Package call treats an input struct of the AWS SDK as an AWS call. It derives the operation and the equivalent aws
// command, resolves references, and compares the input with AWS's answer. It makes no calls itself.
package call

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
)

// Operation returns the service and the operation of an input of the AWS SDK, such as iam and CreateRole.
func Operation(input any) (service, name string) {
	t := reflect.TypeOf(input).Elem()
	return t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:], strings.TrimSuffix(t.Name(), "Input")
}

// Command returns the aws CLI command, for versions 1 and 2, that is equivalent to an input of the AWS SDK. A reference
// ${name} in the input becomes a shell variable.
func Command(input any) string {
	service, operation := Operation(input)
	words := []string{"aws", strings.TrimPrefix(service, "cloudwatch"), kebab(operation)}
	v := reflect.ValueOf(input).Elem()
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		if !field.IsExported() || field.Name == "ResultMetadata" || value.IsZero() {
			continue
		}
		flag := "--" + kebab(field.Name)
		if value.Kind() == reflect.Pointer && value.Elem().Kind() != reflect.Struct {
			value = value.Elem()
		}
		switch value.Kind() {
		case reflect.Bool:
			if !value.Bool() {
				flag = "--no-" + kebab(field.Name)
			}
			words = append(words, flag)
		case reflect.String, reflect.Int32, reflect.Float64:
			words = append(words, flag, Quote(fmt.Sprint(value)))
		case reflect.Slice:
			switch value.Type().Elem().Kind() {
			case reflect.Uint8:
				words = append(words, flag, ZipFile)
			case reflect.String:
				words = append(words, flag)
				for i := range value.Len() {
					words = append(words, Quote(value.Index(i).String()))
				}
			default:
				words = append(words, flag, Quote(encode(value.Interface())))
			}
		default:
			if value.Kind() == reflect.Pointer && value.Elem().FieldByName("ZipFile").IsValid() {
				words = append(words, "--zip-file", ZipFile)
				continue
			}
			words = append(words, flag, Quote(encode(value.Interface())))
		}
	}
	return strings.Join(words, " ")
}

// ZipFile is the command-line argument for the function's zip, relative to the directory in which the command runs.
const ZipFile = "fileb://notes.zip"

// encode returns a parameter as JSON, without unset fields.
func encode(value any) string {
	text, err := json.Marshal(fields(value))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// Fields returns the fields of an input of the AWS SDK as JSON values, without null, empty strings and empty lists.
func Fields(input any) map[string]any { return fields(input).(map[string]any) }

func fields(value any) any {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // the SDK's own types always marshal
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		panic(err)
	}
	return prune(decoded)
}

// prune removes null, "" and empty lists.
func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if member = prune(member); member == nil || member == "" {
				delete(v, name)
			} else {
				v[name] = member
			}
		}
		return v
	case []any:
		if len(v) == 0 {
			return nil
		}
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return value
}

// reference matches ${name}, the id of something that an earlier call made or found.
var reference = regexp.MustCompile(`\$\{[a-z_0-9]+\}`)

// Quote quotes text as one word of a shell. References remain shell variables.
func Quote(text string) string {
	if !reference.MatchString(text) && (!strings.Contains(text, "'") || strings.ContainsAny(text, "$`\\\"!")) {
		return shellescape.Quote(text)
	}
	var out strings.Builder
	special := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`)
	end := 0
	for _, at := range reference.FindAllStringIndex(text, -1) {
		out.WriteString(special.Replace(text[end:at[0]]) + text[at[0]:at[1]])
		end = at[1]
	}
	return `"` + out.String() + special.Replace(text[end:]) + `"`
}

var capitals = []*regexp.Regexp{regexp.MustCompile(`([^-])([A-Z][a-z]+)`), regexp.MustCompile(`([a-z0-9])([A-Z])`)}

// kebab returns name as the aws CLI writes it: route-key for RouteKey.
func kebab(name string) string {
	for _, capital := range capitals {
		name = capital.ReplaceAllString(name, "$1-$2")
	}
	return strings.ToLower(name)
}

// Resolve returns a copy of input with each known reference ${name} replaced by its value.
func Resolve(input any, references map[string]string) any {
	return resolve(reflect.ValueOf(input), references).Interface()
}

func resolve(v reflect.Value, references map[string]string) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		out.SetString(reference.ReplaceAllStringFunc(v.String(), func(name string) string {
			if value, ok := references[name[2:len(name)-1]]; ok {
				return value
			}
			return name
		}))
		return out
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(resolve(v.Elem(), references))
			return out
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 && !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(resolve(v.Index(i), references))
			}
			return out
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
			for _, key := range v.MapKeys() {
				out.SetMapIndex(key, resolve(v.MapIndex(key), references))
			}
			return out
		}
	case reflect.Struct:
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && out.Field(i).CanSet() {
				out.Field(i).Set(resolve(v.Field(i), references))
			}
		}
		return out
	}
	return v
}

// Differences lists the fields of the input want in which got, AWS's answer as JSON, differs. It skips fields that
// read, the input of the reading call, has too: they identify the resource.
func Differences(want, read any, got any) (differences []string) {
	w, identity := reflect.ValueOf(want).Elem(), reflect.ValueOf(read).Elem()
	for i := range w.NumField() {
		name := w.Type().Field(i).Name
		if !w.Type().Field(i).IsExported() || identity.FieldByName(name).IsValid() ||
			name == "Tags" { // they identify the owner
			continue
		}
		object, _ := got.(map[string]any)
		if packed, ok := w.Field(i).Interface().([]byte); ok && packed != nil {
			sum := sha256.Sum256(packed)
			digest := reflect.ValueOf(base64.StdEncoding.EncodeToString(sum[:]))
			differences = append(differences, compare("CodeSha256", digest, member(object, "CodeSha256"))...)
			continue
		}
		differences = append(differences, compare(name, w.Field(i), member(object, name))...)
	}
	return differences
}

func compare(path string, want reflect.Value, got any) (differences []string) {
	pointed := want.Kind() == reflect.Pointer && !want.IsNil()
	if pointed {
		want = want.Elem()
	}
	switch want.Kind() {
	case reflect.Pointer: // nil: any value is fine
		return nil
	case reflect.Struct:
		object, _ := got.(map[string]any)
		for i := range want.NumField() {
			if field := want.Type().Field(i); field.IsExported() {
				inner := path + "." + field.Name
				differences = append(differences, compare(inner, want.Field(i), member(object, field.Name))...)
			}
		}
		return differences
	case reflect.Map:
		if want.IsNil() {
			return nil
		}
		return compareKeys(path, want, got)
	case reflect.Slice:
		if want.IsNil() {
			return nil
		}
		if want.Type().Elem().Kind() == reflect.String { // AWS keeps such lists as sets and omits empty ones
			want, got = reflect.ValueOf(sorted(want.Interface())), sorted(got)
		}
	case reflect.String:
		if want.String() == "" {
			return nil
		}
		want = reflect.ValueOf(want.String()) // converts an enumeration type
	case reflect.Bool:
		if !pointed && !want.Bool() {
			return nil
		}
	}
	w, g := canonical(want.Interface()), canonical(got)
	if w != g {
		differences = append(differences, path+" "+g+" -> "+w)
	}
	return differences
}

// sorted returns the elements of a list as sorted strings. The list may be absent.
func sorted(list any) []string {
	elements := []string{}
	if v := reflect.ValueOf(list); v.Kind() == reflect.Slice {
		for i := range v.Len() {
			elements = append(elements, fmt.Sprint(v.Index(i).Interface()))
		}
	}
	slices.Sort(elements)
	return elements
}

// compareKeys lists the keys of a map that differ, but not their values, which may be secrets.
func compareKeys(path string, want reflect.Value, got any) (differences []string) {
	object, _ := got.(map[string]any)
	changes := map[string]string{}
	for _, key := range want.MapKeys() {
		value, exists := object[key.String()]
		switch {
		case !exists:
			changes[key.String()] = " added"
		case canonical(value) != canonical(want.MapIndex(key).Interface()):
			changes[key.String()] = " changed"
		}
	}
	for key := range object {
		if !want.MapIndex(reflect.ValueOf(key)).IsValid() {
			changes[key] = " removed"
		}
	}
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		differences = append(differences, path+"."+key+changes[key])
	}
	return differences
}

// member returns a member of an answer. In CloudWatch Logs member names begin with a lower-case letter.
func member(object map[string]any, name string) any {
	if value, ok := object[name]; ok {
		return value
	}
	return object[strings.ToLower(name[:1])+name[1:]]
}

// canonical returns a value as a string to compare and print. A policy, which IAM percent-encodes, becomes JSON with
// sorted keys.
func canonical(value any) string {
	if text, ok := value.(string); ok {
		if decoded, err := url.PathUnescape(text); err == nil && strings.HasPrefix(decoded, "{") {
			text = decoded
		}
		var document any
		if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &document) != nil {
			return text
		}
		value = document
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // the value was JSON
	}
	return string(text)
}
