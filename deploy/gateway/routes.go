package gateway

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// SelectRoute selects a route as HTTP APIs do, see [Select], and returns it with the values of its path variables; nil
// if none matches.
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

// Select selects a route by its key as HTTP APIs do ("Routing API requests", API Gateway developer guide): one that
// matches the whole path, else the longest greedy one, else $default; literal parts before variables, and a method
// before ANY. It returns the index of the key, -1 if none matches, and the values of the path variables.
func Select(keys []string, method, path string) (best int, values map[string]string) {
	best = -1
	bestRank := ""
	for i, key := range keys {
		rank, of, ok := matchRoute(key, method, path)
		if ok && (best < 0 || rank > bestRank) {
			best, bestRank, values = i, rank, of
		}
	}
	return best, values
}

// matchRoute matches a route key. The better match has the greater rank: for each part of the path 3 where it is
// literal, 2 for a variable, 1 for a greedy one, and at the end whether the method is named.
func matchRoute(key, method, path string) (rank string, values map[string]string, ok bool) {
	verb, template, found := strings.Cut(key, " ")
	if !found {
		return "", nil, key == "$default"
	}
	if verb != "ANY" && verb != method {
		return "", nil, false
	}
	greedy := "9" // a match of the whole path is better than any greedy one
	values = map[string]string{}
	parts, given := strings.Split(template, "/"), strings.Split(path, "/")
	for i, part := range parts {
		name, variable := strings.CutPrefix(strings.TrimSuffix(part, "}"), "{")
		plus, isGreedy := strings.CutSuffix(name, "+")
		switch {
		case i >= len(given):
			return "", nil, false
		case variable && isGreedy:
			if values[plus] = strings.Join(given[i:], "/"); values[plus] == "" {
				return "", nil, false
			}
			greedy, rank, given = "1", rank+"1", given[:i+1]
		case variable && given[i] != "":
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
	return greedy + rank, values, true
}
