package gateway

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// TestSelectRoute checks the examples and rules of "Routing API requests" in the API Gateway developer guide.
func TestSelectRoute(t *testing.T) {
	keys := []string{"GET /pets/dog/1", "GET /pets/dog/{id}", "GET /pets/{proxy+}", "ANY /{proxy+}", "$default",
		"ANY /pets/dog/1", "GET /", "POST /notes/{id}", "GET /notes/{id}/{part}", "GET /notes/all/{part}"}
	var routes []types.Route
	for _, key := range keys {
		routes = append(routes, types.Route{RouteKey: aws.String(key)})
	}
	for request, want := range map[string]string{
		"GET /pets/dog/1":   "GET /pets/dog/1 map[]",
		"PUT /pets/dog/1":   "ANY /pets/dog/1 map[]",
		"GET /pets/dog/2":   "GET /pets/dog/{id} map[id:2]",
		"GET /pets/cat/1":   "GET /pets/{proxy+} map[proxy:cat/1]",
		"POST /pets/cat/1":  "ANY /{proxy+} map[proxy:pets/cat/1]",
		"POST /test/5":      "ANY /{proxy+} map[proxy:test/5]",
		"GET /":             "GET / map[]",
		"PUT /":             "$default map[]",
		"GET /pets":         "ANY /{proxy+} map[proxy:pets]",
		"GET /pets/":        "ANY /{proxy+} map[proxy:pets/]",
		"POST /notes/":      "ANY /{proxy+} map[proxy:notes/]",
		"GET /notes/all/x":  "GET /notes/all/{part} map[part:x]",
		"GET /notes/b/x":    "GET /notes/{id}/{part} map[id:b part:x]",
		"GET /notes/b/x/y":  "ANY /{proxy+} map[proxy:notes/b/x/y]",
		"POST /notes/{id}":  "POST /notes/{id} map[id:{id}]",
		"post /notes/x":     "ANY /{proxy+} map[proxy:notes/x]",
		"GET /pets/dog/1/x": "GET /pets/{proxy+} map[proxy:dog/1/x]",
	} {
		method, path, _ := strings.Cut(request, " ")
		route, values := SelectRoute(routes, method, path)
		if values == nil {
			values = map[string]string{}
		}
		if got := fmt.Sprint(*route.RouteKey, " ", values); got != want {
			t.Errorf("%s selects %s, want %s", request, got, want)
		}
	}
	if route, _ := SelectRoute(routes[:3], "DELETE", "/pets/dog/1"); route != nil {
		t.Errorf("DELETE selects %s", *route.RouteKey)
	}
}
