package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// value is what an expression of API Gateway stands for in a request, such as $request.header.Authorization; "" for
// nothing ("Transform API requests and responses for HTTP APIs").
func (x *exchange) value(expression string) string {
	of := func(prefix string) (string, bool) { return strings.CutPrefix(expression, prefix) }
	if name, ok := of("$request.header."); ok {
		return strings.Join(x.r.Header.Values(name), ",")
	}
	if name, ok := of("$request.querystring."); ok {
		return strings.Join(x.r.URL.Query()[name], ",")
	}
	if name, ok := of("$request.path."); ok {
		return x.values[name]
	}
	if path, ok := of("$request.body."); ok {
		return member(x.body, path)
	}
	if name, ok := of("$stageVariables."); ok {
		return x.stage.StageVariables[name]
	}
	if name, ok := of("$context."); ok {
		return x.contextValue(name)
	}
	if expression == "$request.path" {
		return x.path
	}
	return ""
}

// contextValue is a $context variable.
func (x *exchange) contextValue(name string) string {
	if path, ok := strings.CutPrefix(name, "authorizer."); ok && x.log[name] == "" {
		for kind, says := range x.context {
			path = strings.TrimPrefix(path, kind+".")
			return member(jsonAnswer(0, says).body, path)
		}
	}
	x.remember()
	return x.log[name]
}

// member is a member of a JSON text, by names with dots between them; "" for none.
func member(text []byte, path string) string {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return ""
	}
	for _, name := range strings.Split(path, ".") {
		fields, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = fields[name]
	}
	if value == nil {
		return ""
	}
	if text, ok := value.(string); ok {
		return text
	}
	return string(jsonAnswer(0, value).body)
}

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

// mapped is the value of a parameter mapping: an expression, or a text that may hold some as ${…}.
func mapped(text string, value func(string) string) string {
	if strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "${") {
		return value(text)
	}
	return placeholder.ReplaceAllStringFunc(text, func(one string) string { return value("$" + one[2:len(one)-1]) })
}

// transform changes the request as the integration's parameter mapping says.
func (x *exchange) transform(parameters map[string]string) {
	if len(parameters) == 0 {
		return
	}
	values := map[string]string{}
	for key, text := range parameters {
		values[key] = mapped(text, x.value)
	}
	r := x.r.Clone(x.r.Context())
	query := r.URL.Query()
	for _, key := range sortedKeys(values) {
		action, target, _ := strings.Cut(key, ":")
		where, name, _ := strings.Cut(target, ".")
		switch {
		case where == "path":
			x.path, x.mappedPath = values[key], values[key]
		case where == "header":
			change(action, name, values[key], r.Header.Set, r.Header.Add, r.Header.Del)
		case where == "querystring":
			change(action, name, values[key], query.Set, query.Add, query.Del)
			r.URL.RawQuery = query.Encode()
		}
	}
	x.r = r
}

func change(action, name, value string, set, add func(string, string), remove func(string)) {
	switch action {
	case "overwrite":
		set(name, value)
	case "append":
		add(name, value)
	case "remove":
		remove(name)
	}
}

// transformAnswer changes an answer as the integration's response parameters for its status say.
func (x *exchange) transformAnswer(a *http.Response, content []byte, parameters map[string]map[string]string) {
	values := map[string]string{}
	for key, text := range parameters[fmt.Sprint(a.StatusCode)] {
		values[key] = mapped(text, func(expression string) string {
			if name, ok := strings.CutPrefix(expression, "$response.header."); ok {
				return strings.Join(a.Header.Values(name), ",")
			}
			if path, ok := strings.CutPrefix(expression, "$response.body."); ok {
				return member(content, path)
			}
			return x.value(expression)
		})
	}
	for _, key := range sortedKeys(values) {
		action, target, _ := strings.Cut(key, ":")
		if target == "statuscode" {
			if status, err := strconv.Atoi(values[key]); err == nil && status >= 200 && status <= 599 {
				a.StatusCode = status
			}
		} else if name, ok := strings.CutPrefix(target, "header."); ok {
			change(action, name, values[key], a.Header.Set, a.Header.Add, a.Header.Del)
		}
	}
}

// proxyURL is where an HTTP integration sends a request: its URI with the path's variables and the stage's in it.
func (x *exchange) proxyURL(uri string) (string, error) {
	for name, value := range x.stage.StageVariables {
		uri = strings.ReplaceAll(uri, "${stageVariables."+name+"}", value)
	}
	for name, value := range x.values {
		segments := strings.Split(value, "/")
		for i, segment := range segments {
			if segments[i] = url.PathEscape(segment); segment == "." || segment == ".." {
				segments[i] = strings.ReplaceAll(segment, ".", "%2E")
			}
		}
		value = strings.Join(segments, "/")
		uri = strings.NewReplacer("{"+name+"}", value, "{"+name+"+}", value).Replace(uri)
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("the integration's URI %q is none", uri)
	}
	if x.mappedPath != "" {
		u.Path, u.RawPath = x.mappedPath, ""
	}
	if x.r.URL.RawQuery != "" {
		u.RawQuery = strings.Trim(u.RawQuery+"&"+x.r.URL.RawQuery, "&")
	}
	return u.String(), nil
}
