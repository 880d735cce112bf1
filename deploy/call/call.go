// Package call has an AWS call as a value: an input of the AWS SDK. It tells the operation and the aws command that
// equals it, puts references in, and compares what the input asks for with what AWS answers. Nothing here calls AWS.
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

// Operation is the service and the name of the operation that an input of the AWS SDK is for: iam, CreateRole.
func Operation(input any) (service, name string) {
	t := reflect.TypeOf(input).Elem()
	return t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:], strings.TrimSuffix(t.Name(), "Input")
}

// Command is the call of the aws CLI, version 1 or 2, that does what an input of the AWS SDK asks for. What the input
// holds of the form ${name} becomes a variable of the shell.
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
				words = append(words, flag, Quote(shown(value.Interface())))
			}
		default:
			if value.Kind() == reflect.Pointer && value.Elem().FieldByName("ZipFile").IsValid() {
				words = append(words, "--zip-file", ZipFile)
				continue
			}
			words = append(words, flag, Quote(shown(value.Interface())))
		}
	}
	return strings.Join(words, " ")
}

// ZipFile is the parameter of a command for the function's zip, which must lie where the command runs.
const ZipFile = "fileb://notes.zip"

// shown is a parameter that is no text, as JSON without what is not set.
func shown(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // of the SDK's own types
	}
	var fields any
	if err := json.Unmarshal(text, &fields); err != nil {
		panic(err)
	}
	text, err = json.Marshal(pruned(fields))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// pruned leaves out null, "" and empty lists.
func pruned(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, one := range v {
			if one = pruned(one); one == nil || one == "" {
				delete(v, name)
			} else {
				v[name] = one
			}
		}
		return v
	case []any:
		if len(v) == 0 {
			return nil
		}
		for i := range v {
			v[i] = pruned(v[i])
		}
	}
	return value
}

// reference is an id that an earlier call tells.
var reference = regexp.MustCompile(`\$\{[a-z_0-9]+\}`)

// Quote makes a text one word of a shell. References stay variables.
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

var humps = []*regexp.Regexp{regexp.MustCompile(`([^-])([A-Z][a-z]+)`), regexp.MustCompile(`([a-z0-9])([A-Z])`)}

// kebab is a name as the aws CLI writes it: RouteKey is route-key.
func kebab(name string) string {
	for _, hump := range humps {
		name = hump.ReplaceAllString(name, "$1-$2")
	}
	return strings.ToLower(name)
}

// Resolve returns an input with the values of references in place of ${name}.
func Resolve(input any, references map[string]string) any {
	return resolved(reflect.ValueOf(input), references).Interface()
}

func resolved(v reflect.Value, references map[string]string) reflect.Value {
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
			out.Elem().Set(resolved(v.Elem(), references))
			return out
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 && !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(resolved(v.Index(i), references))
			}
			return out
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
			for _, key := range v.MapKeys() {
				out.SetMapIndex(key, resolved(v.MapIndex(key), references))
			}
			return out
		}
	case reflect.Struct:
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && out.Field(i).CanSet() {
				out.Field(i).Set(resolved(v.Field(i), references))
			}
		}
		return out
	}
	return v
}

// Differences names in what an answer of AWS, as JSON, is not as an input says: each field of the input, but for those
// that say what it is about, which the input of the reading call has too.
func Differences(want, read any, got any) (differences []string) {
	w, about := reflect.ValueOf(want).Elem(), reflect.ValueOf(read).Elem()
	for i := range w.NumField() {
		name := w.Type().Field(i).Name
		if !w.Type().Field(i).IsExported() || about.FieldByName(name).IsValid() ||
			name == "Tags" { // which tell whose a thing is
			continue
		}
		given, _ := got.(map[string]any)
		if packed, ok := w.Field(i).Interface().([]byte); ok && packed != nil {
			sum := sha256.Sum256(packed)
			digest := reflect.ValueOf(base64.StdEncoding.EncodeToString(sum[:]))
			differences = append(differences, differ("CodeSha256", digest, member(given, "CodeSha256"))...)
			continue
		}
		differences = append(differences, differ(name, w.Field(i), member(given, name))...)
	}
	return differences
}

func differ(path string, want reflect.Value, got any) (differences []string) {
	pointed := want.Kind() == reflect.Pointer && !want.IsNil()
	if pointed {
		want = want.Elem()
	}
	switch want.Kind() {
	case reflect.Pointer: // nil: nothing is wanted
		return nil
	case reflect.Struct: // only what is set is wanted
		given, _ := got.(map[string]any)
		for i := range want.NumField() {
			if field := want.Type().Field(i); field.IsExported() {
				of := path + "." + field.Name
				differences = append(differences, differ(of, want.Field(i), member(given, field.Name))...)
			}
		}
		return differences
	case reflect.Map: // of which the values may be secrets
		if want.IsNil() {
			return nil
		}
		return changed(path, want, got)
	case reflect.Slice:
		if want.IsNil() {
			return nil
		}
		if want.Type().Elem().Kind() == reflect.String { // AWS keeps such lists as sets, and leaves an empty one out
			want, got = reflect.ValueOf(sorted(want.Interface())), sorted(got)
		}
	case reflect.String:
		if want.String() == "" {
			return nil
		}
		want = reflect.ValueOf(want.String()) // of an enumeration
	case reflect.Bool:
		if !pointed && !want.Bool() {
			return nil
		}
	}
	w, g := normal(want.Interface()), normal(got)
	if w != g {
		differences = append(differences, path+" "+g+" -> "+w)
	}
	return differences
}

// sorted returns the texts of a list in order; the list may be absent.
func sorted(list any) []string {
	texts := []string{}
	if v := reflect.ValueOf(list); v.Kind() == reflect.Slice {
		for i := range v.Len() {
			texts = append(texts, fmt.Sprint(v.Index(i).Interface()))
		}
	}
	slices.Sort(texts)
	return texts
}

// changed names the keys of a map that are not as they are wanted, and no values.
func changed(path string, want reflect.Value, got any) (differences []string) {
	given, _ := got.(map[string]any)
	names := map[string]string{}
	for _, key := range want.MapKeys() {
		value, there := given[key.String()]
		switch {
		case !there:
			names[key.String()] = " added"
		case normal(value) != normal(want.MapIndex(key).Interface()):
			names[key.String()] = " changed"
		}
	}
	for key := range given {
		if !want.MapIndex(reflect.ValueOf(key)).IsValid() {
			names[key] = " removed"
		}
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		differences = append(differences, path+"."+key+names[key])
	}
	return differences
}

// member is a member of an answer. CloudWatch Logs begins names with a small letter.
func member(of map[string]any, name string) any {
	if value, ok := of[name]; ok {
		return value
	}
	return of[strings.ToLower(name[:1])+name[1:]]
}

// normal is a value in a form that can be compared and shown; a policy, which IAM gives percent-encoded, as JSON in
// order.
func normal(value any) string {
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
		panic(err) // of values that were JSON
	}
	return string(text)
}
