package gateway

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// SelectRoute returns the route that a request selects, as [Select] does, and the values of its path variables. The
// route is nil if none matches.
func SelectRoute(routes []types.Route, method, path string) (*types.Route, map[string]string) {
	keys := make([]string, len(routes))
	for i, route := range routes {
		keys[i] = *route.RouteKey
	}
	i, values := Select(keys, method, path)
	if i < 0 {
		return nil, nil
	}
	return &routes[i], values
}

// Select returns the index of the route key that a request selects, or -1 if none matches, and the values of its path
// variables. As in HTTP APIs, a match of the whole path wins over the longest greedy match, which wins over $default.
// Literals win over variables, and a method wins over ANY ("Routing API requests", API Gateway developer guide).
func Select(keys []string, method, path string) (best int, values map[string]string) {
	best = -1
	bestRank := ""
	for i, key := range keys {
		rank, matched, ok := matchRoute(key, method, path)
		if ok && (best < 0 || rank > bestRank) {
			best, bestRank, values = i, rank, matched
		}
	}
	return best, values
}

// matchRoute matches a route key. Better matches have greater ranks. A rank begins with 9, or with 1 for a greedy
// match. It has a digit for each part of the path: 3 for a literal, 2 for a variable, 1 for a greedy variable. A 1 at
// the end stands for a method other than ANY.
func matchRoute(key, method, path string) (rank string, values map[string]string, ok bool) {
	verb, template, found := strings.Cut(key, " ")
	if !found {
		return "", nil, key == "$default"
	}
	if verb != "ANY" && verb != method {
		return "", nil, false
	}
	first := "9" // any match of the whole path is better than a greedy one
	values = map[string]string{}
	parts, given := strings.Split(template, "/"), strings.Split(path, "/")
	for i, part := range parts {
		name, isVariable := strings.CutPrefix(strings.TrimSuffix(part, "}"), "{")
		plus, isGreedy := strings.CutSuffix(name, "+")
		switch {
		case i >= len(given):
			return "", nil, false
		case isVariable && isGreedy:
			if values[plus] = strings.Join(given[i:], "/"); values[plus] == "" {
				return "", nil, false
			}
			first, rank, given = "1", rank+"1", given[:i+1]
		case isVariable && given[i] != "":
			values[name], rank = given[i], rank+"2"
		case part == given[i]:
			rank += "3"
		default:
			return "", nil, false
		}
	}
	if len(parts) != len(given) {
		return "", nil, false
	}
	if verb != "ANY" {
		rank += "1"
	}
	return first + rank, values, true
}
