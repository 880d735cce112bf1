package facts

import (
	"context"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/cloud"
	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/gateway"
)

func sortedTimes(m map[int64]float64) []int64 { return slices.Sorted(maps.Keys(m)) }

// logCall records an AWS call and reports it as progress.
func (g *gatherer) logCall(command string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.c.Traced = append(g.c.Traced, command)
	if g.inquiry.Progress != nil {
		g.inquiry.Progress(command)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// readREST reads a REST API.
func (g *gatherer) readREST(id string) (f doctor.Fact[doctor.RESTAPI]) {
	f.Call, f.Of = "apigateway:GetRestApi", id
	g.logCall("aws apigateway get-rest-api --rest-api-id " + id)
	answer, err := g.cloud.Get(g.ctx, "apigateway", "/restapis/"+url.PathEscape(id))
	if err != nil {
		f.Error = failureOf(err)
		return f
	}
	f.Value = &doctor.RESTAPI{ID: id}
	f.Value.Name, _ = cloud.Search("name", answer).(string)
	return f
}

var stageVariable = regexp.MustCompile(`\$\{stageVariables\.([A-Za-z0-9_]+)\}`)

// redact removes from the case what must not be shared: stage variables that no integration or authorizer uses, and the
// values in the path and the query.
func (g *gatherer) redact() {
	c := &g.c
	used := map[string]bool{}
	for _, i := range g.allIntegrations() {
		for _, m := range stageVariable.FindAllStringSubmatch(i.URI+i.Credentials, -1) {
			used[m[1]] = true
		}
	}
	for _, a := range c.Authorizers.Or() {
		for _, m := range stageVariable.FindAllStringSubmatch(a.URI+a.Credentials, -1) {
			used[m[1]] = true
		}
	}
	g.scrub()
	for i := range c.Stages.Or() {
		variables := (*c.Stages.Value)[i].Variables
		for name := range variables {
			if !used[name] && variables[name] != "" {
				variables[name] = masked
			}
		}
	}
	if u := g.inquiry.URL; u != nil {
		_, _, path := locate(u)
		prefix := strings.TrimSuffix(u.EscapedPath(), path)
		if c.Asked.Domain != "" {
			_, path = splitDomain(u)
			m, _, _ := c.Domain.Or().Map(path)
			prefix = strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), path)+"/"+m.Key, "/")
		}
		c.Asked.URL = u.Scheme + "://" + u.Host + prefix + c.Asked.Path
	}
	slices.Sort(c.Asked.Headers)
	if g.ctx.Err() != nil && context.Cause(g.ctx) != nil {
		c.Asked.Interrupted = true
	}
}

// allIntegrations returns the integrations of the API and those of its deployed definitions.
func (g *gatherer) allIntegrations() (all []*doctor.Integration) {
	for n := range g.c.Integrations.Or() {
		all = append(all, &(*g.c.Integrations.Value)[n])
	}
	for _, d := range append([]doctor.Named[doctor.Definition]{{Fact: g.c.Latest}}, g.c.Deployed...) {
		for _, lead := range d.Fact.Or().Leads {
			if lead.Integration != nil {
				all = append(all, lead.Integration)
			}
		}
	}
	return all
}

// harmlessHeaders are headers whose values reveal nothing about a person.
var harmlessHeaders = []string{"Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "Host", "Origin",
	"Referer",
	"User-Agent"}

// requestValues returns the values in the request, longest first: of path variables, the query, headers and the body.
func (g *gatherer) requestValues() (all []string) {
	u := g.inquiry.URL
	if u == nil {
		return nil
	}
	kept := strings.Split(g.c.Asked.Path, "/")
	for _, part := range strings.Split(u.Path, "/") {
		if !slices.Contains(kept, part) {
			all = append(all, part)
		}
	}
	for _, values := range u.Query() {
		all = append(all, values...)
	}
	for name, values := range g.inquiry.Headers {
		if !slices.Contains(harmlessHeaders, name) {
			for _, value := range values {
				all = append(append(all, value), strings.FieldsFunc(value, func(c rune) bool {
					return strings.ContainsRune(" ;=,", c)
				})...)
			}
		}
	}
	all = append(append(all, string(g.inquiry.Body)), strings.FieldsFunc(string(g.inquiry.Body), func(c rune) bool {
		return strings.ContainsRune("{}[]\":,&= \n\t", c)
	})...)
	all = slices.DeleteFunc(all, func(v string) bool { return len(v) < 4 })
	// longest first, so that no value is masked in part
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// secretName matches the name of an environment variable that looks secret.
var secretName = regexp.MustCompile(`(?i)pass|pw|secret|token|key|cred|auth|dsn|database_url`)

// isSecret reports whether the value of an environment variable must not be shared: its name looks secret, or it is a
// URL with a key, a connection string or a long key. Plain names, such as that of a table, are not secret.
func isSecret(name, value string) bool {
	digits := strings.Count(strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' {
			return '0'
		}
		return c
	}, value), "0")
	switch {
	case len(value) < 4 || strings.HasPrefix(value, "arn:") || isLocal(value):
		return false
	case secretName.MatchString(name):
		return true
	}
	return len(value) >= 8 && strings.ContainsAny(value, "/=@?&; ") || len(value) >= 20 && digits >= 4
}

// decodeConfiguration parses the answer of GetFunction, and remembers the location of the code and the secret values.
func (g *gatherer) decodeConfiguration(of string, answer any) (doctor.Configuration, error) {
	variables, _ := cloud.Search("Configuration.Environment.Variables", answer).(map[string]any)
	g.mu.Lock()
	g.locations[of], _ = cloud.Search("Code.Location", answer).(string)
	for name, value := range variables {
		if text, ok := value.(string); ok && isSecret(name, text) {
			g.secrets = append(g.secrets, text)
		}
	}
	g.mu.Unlock()
	return parseConfiguration(answer)
}

// scrub removes the request's own values from what the function and the app returned, and secrets from integrations.
func (g *gatherer) scrub() {
	c := &g.c
	c.Asked.Path = g.reducedPath()
	values := append(g.requestValues(), g.secrets...)
	clean := func(texts ...*string) {
		for _, text := range texts {
			for _, value := range values {
				*text = strings.ReplaceAll(*text, value, masked)
			}
		}
	}
	if a := c.Answer.Value; a != nil && !doctor.IsGatewayBody(a.Body) {
		clean(&a.Body)
	}
	for _, i := range []*doctor.Invocation{c.Invocation.Value, c.AuthorizerInvocation.Value} {
		if i != nil {
			clean(&i.Message, &i.Trace, &i.Shape.Body)
			for n := range i.Log {
				clean(&i.Log[n])
			}
		}
	}
	for n := range c.Lines.Or() {
		clean(&(*c.Lines.Value)[n])
	}
	if id := c.Caller.Value; id != nil {
		id.ARN = secretPatterns[emailPattern].ReplaceAllString(id.ARN, masked)
	}
	for _, i := range g.allIntegrations() {
		for name := range i.Parameters {
			if name != "overwrite:path" {
				i.Parameters[name] = masked
			}
		}
		if u, err := url.Parse(i.URI); err == nil && (u.User != nil || u.RawQuery != "") {
			u.User, u.RawQuery = nil, ""
			i.URI = u.String()
		}
	}
}

// stageName matches what most stage names, but few values in paths, look like.
var stageName = regexp.MustCompile(`^[A-Za-z_-]{1,20}[0-9]{0,2}$`)

// reducedPath returns the path of the request with the names of path variables in place of their values. If no route is
// selected, it keeps segments that resemble a stage or a literal segment of a route, and replaces others with {…}.
func (g *gatherer) reducedPath() string {
	c := &g.c
	asked := c.Asked
	if decoded, err := url.PathUnescape(asked.Path); err == nil {
		asked.Path = decoded
	}
	stage, path := doctor.SplitStage(c.Stages.Or(), asked)
	var keys []string
	known := []string{}
	for _, s := range c.Stages.Or() {
		known = append(known, s.Name)
	}
	for _, r := range c.Routes.Or() {
		keys = append(keys, r.Key)
		_, template, _ := strings.Cut(r.Key, " ")
		known = append(known, strings.Split(template, "/")...)
	}
	prefix := strings.TrimSuffix(asked.Path, path)
	if stage != "" && prefix != "" {
		prefix = "/" + stage
	}
	if i, _ := gateway.Select(keys, c.Asked.Method, path); i >= 0 && keys[i] != "$default" {
		_, template, _ := strings.Cut(keys[i], " ")
		return prefix + template
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part == "" {
			continue
		}
		if i == 1 && stage == "" && stageName.MatchString(part) {
			continue
		}
		if !slices.ContainsFunc(
			known,
			func(k string) bool { return isNear(strings.ToLower(part), strings.ToLower(k)) },
		) {
			parts[i] = "{…}"
		}
	}
	if stage != "" && path == "/" {
		return c.Asked.Path // the path is just the stage
	}
	return prefix + strings.Join(parts, "/")
}

// isNear reports whether two texts differ by at most two letters, and by less than half of the shorter one.
func isNear(a, b string) bool {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)] <= min(2, (min(len(a), len(b))-1)/2)
}
