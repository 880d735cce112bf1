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

// value returns what an expression of a parameter mapping, such as $request.header.Authorization, selects in the
// request; "" for nothing ("Transform API requests and responses for HTTP APIs").
func (x *exchange) value(expression string) string {
	after := func(prefix string) (string, bool) { return strings.CutPrefix(expression, prefix) }
	if name, ok := after("$request.header."); ok {
		return strings.Join(x.r.Header.Values(name), ",")
	}
	if name, ok := after("$request.querystring."); ok {
		return strings.Join(x.r.URL.Query()[name], ",")
	}
	if name, ok := after("$request.path."); ok {
		return x.pathValues[name]
	}
	if path, ok := after("$request.body."); ok {
		return jsonMember(x.body, path)
	}
	if name, ok := after("$stageVariables."); ok {
		return x.stage.StageVariables[name]
	}
	if name, ok := after("$context."); ok {
		return x.contextValue(name)
	}
	if expression == "$request.path" {
		return x.path
	}
	return ""
}

// contextValue returns the value of a $context variable; "" for none.
func (x *exchange) contextValue(name string) string {
	if path, ok := strings.CutPrefix(name, "authorizer."); ok && x.log[name] == "" {
		for kind, values := range x.authorizerContext {
			path = strings.TrimPrefix(path, kind+".")
			return jsonMember(jsonAnswer(0, values).body, path)
		}
	}
	x.setContextVariables()
	return x.log[name]
}

// jsonMember returns the member of a JSON text that path names, such as a.b.c; "" for none.
func jsonMember(text []byte, path string) string {
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

// mapValue evaluates the value of a parameter mapping: an expression, or a text with expressions as ${…}.
func mapValue(text string, value func(string) string) string {
	if strings.HasPrefix(text, "$") && !strings.HasPrefix(text, "${") {
		return value(text)
	}
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		return value("$" +
			match[2:len(match)-1])
	})
}

// transform changes the request by the integration's parameter mapping.
func (x *exchange) transform(parameters map[string]string) {
	if len(parameters) == 0 {
		return
	}
	values := map[string]string{}
	for key, text := range parameters {
		values[key] = mapValue(text, x.value)
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
			applyMapping(action, name, values[key], r.Header.Set, r.Header.Add, r.Header.Del)
		case where == "querystring":
			applyMapping(action, name, values[key], query.Set, query.Add, query.Del)
			r.URL.RawQuery = query.Encode()
		}
	}
	x.r = r
}

func applyMapping(action, name, value string, set, add func(string, string), remove func(string)) {
	switch action {
	case "overwrite":
		set(name, value)
	case "append":
		add(name, value)
	case "remove":
		remove(name)
	}
}

// transformAnswer changes an answer by the integration's response parameters for its status.
func (x *exchange) transformAnswer(a *http.Response, content []byte, parameters map[string]map[string]string) {
	values := map[string]string{}
	for key, text := range parameters[fmt.Sprint(a.StatusCode)] {
		values[key] = mapValue(text, func(expression string) string {
			if name, ok := strings.CutPrefix(expression, "$response.header."); ok {
				return strings.Join(a.Header.Values(name), ",")
			}
			if path, ok := strings.CutPrefix(expression, "$response.body."); ok {
				return jsonMember(content, path)
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
			applyMapping(action, name, values[key], a.Header.Set, a.Header.Add, a.Header.Del)
		}
	}
}

// proxyURL returns the URL that an HTTP integration sends a request to: the integration's URI with its path and stage
// variables filled in.
func (x *exchange) proxyURL(uri string) (string, error) {
	for name, value := range x.stage.StageVariables {
		uri = strings.ReplaceAll(uri, "${stageVariables."+name+"}", value)
	}
	for name, value := range x.pathValues {
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
		return "", fmt.Errorf("the integration's URI %q is not a URL", uri)
	}
	if x.mappedPath != "" {
		u.Path, u.RawPath = x.mappedPath, ""
	}
	if x.r.URL.RawQuery != "" {
		u.RawQuery = strings.Trim(u.RawQuery+"&"+x.r.URL.RawQuery, "&")
	}
	return u.String(), nil
}
