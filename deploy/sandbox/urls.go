package sandbox

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/sandbox/function"
)

// urlPath is the path under which function URLs answer. They also answer on hosts of the form
// ID.lambda-url.REGION.on.aws.
const urlPath = "/_aws/lambda-url/"

// functionURL is the URL of a function or of an alias.
type functionURL struct{ region, name, qualifier, authType string }

// trackURL stores the URL of a function and puts an address of the sandbox into the answer.
func trackURL(s *Sandbox, c *call, next func() answer) answer {
	name, qualifier := c.function()
	a := next()
	if c.Operation == "DeleteFunctionUrlConfig" {
		if a.ok() {
			s.mu.Lock()
			maps.DeleteFunc(s.urls, func(_ string, u functionURL) bool {
				return u.region == c.Region && u.name == name && u.qualifier == qualifier
			})
			s.mu.Unlock()
		}
		return a
	}
	return a.edit(func(body map[string]any) {
		address, _ := body["FunctionUrl"].(string)
		authType, _ := body["AuthType"].(string)
		id, _, _ := strings.Cut(strings.TrimPrefix(address, "https://"), ".")
		s.mu.Lock()
		s.urls[id] = functionURL{region: c.Region, name: name, qualifier: qualifier, authType: authType}
		s.mu.Unlock()
		body["FunctionUrl"], body["InvokeMode"] = s.URL+urlPath+id+"/", "BUFFERED"
	})
}

// dropURLs removes the URLs of a deleted function or alias.
func (s *Sandbox) dropURLs(region, name, qualifier string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.urls, func(_ string, u functionURL) bool {
		return u.region == region && u.name == name && (qualifier == "" || u.qualifier == qualifier)
	})
}

// serveURL answers a request to a function URL ("Invoking Lambda function URLs"). It reports whether the request is
// one.
func (s *Sandbox) serveURL(w http.ResponseWriter, r *http.Request) bool {
	host, path := strings.Split(r.Host, ":")[0], r.URL.Path
	id, _, ok := strings.Cut(host, ".lambda-url.")
	if !ok {
		rest, ok := strings.CutPrefix(path, urlPath)
		if !ok {
			return false
		}
		id, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	s.mu.Lock()
	u, ok := s.urls[id]
	s.mu.Unlock()
	region := u.region
	x := &exchange{s: s, r: r, region: region, id: requestID(), began: time.Now(), log: map[string]string{}, path: path,
		customDomain: id + ".lambda-url." + region + ".on.aws", api: &apigatewayv2.GetApiOutput{ApiId: &id},
		stage: &stage{StageName: aws.String("$default")}, route: &types.Route{RouteKey: aws.String("$default")}}
	status, body := http.StatusForbidden, `{"Message":null}`
	var a *http.Response
	if ok {
		status, body, a = x.callURL(u)
	}
	if a == nil {
		a = reply(status, []byte(body), "application/json")
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	w.Header().Set("X-Amzn-Requestid", x.id)
	w.WriteHeader(a.StatusCode)
	_, _ = io.Copy(w, a.Body) // fails if the client is gone
	return true
}

// callURL invokes a function through its URL. It returns the function's answer, or else a status and body of Lambda's
// own.
func (x *exchange) callURL(u functionURL) (status int, body string, a *http.Response) {
	if !x.mayCallURL(u) {
		return http.StatusForbidden, `{"Message":"Forbidden. For troubleshooting Function URL authorization issues, ` +
			`see: ` +
			`https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}`, nil
	}
	var err error
	if x.body, err = io.ReadAll(io.LimitReader(x.r.Body, function.MaxEvent+1)); err != nil {
		return http.StatusBadRequest, `{"Message":"Bad Request"}`, nil
	}
	event := x.lambdaEvent(true)
	if len(event) > function.MaxEvent {
		return http.StatusRequestEntityTooLarge, `{"Message":"Request Entity Too Large"}`, nil
	}
	o, err := x.s.invoke(x.r.Context(), u.region, u.name, u.qualifier, event)
	var r *invokeError
	switch {
	case errors.As(err, &r) && r.status == http.StatusTooManyRequests:
		return http.StatusTooManyRequests, `{"Message":"Rate Exceeded."}`, nil
	case err != nil || o.Failed:
		return http.StatusBadGateway, "Internal Server Error", nil
	}
	if a, err = functionResponse(o.Payload, true); err != nil {
		return http.StatusBadGateway, "Internal Server Error", nil
	}
	return a.StatusCode, "", a
}

// mayCallURL reports whether a request to a function URL is allowed. The function's policy must allow everybody to use
// the URL and to invoke the function through it; with AWS_IAM the caller's policies may allow it instead ("Control
// access to Lambda function URLs").
func (x *exchange) mayCallURL(u functionURL) bool {
	arn := functionARN(u.region, u.name, u.qualifier)
	rights := []demand{
		{action: "lambda:InvokeFunctionUrl", resource: arn,
			context: map[string]string{"lambda:FunctionUrlAuthType": u.authType}},
		{action: gateway.Invoke, resource: arn, context: map[string]string{"lambda:InvokedViaFunctionUrl": "true"}},
	}
	if u.authType == "AWS_IAM" {
		signed := credentialPattern.FindStringSubmatch(x.r.Header.Get("Authorization"))
		if signed == nil {
			return false
		}
		who := x.s.signer(signed[1])
		x.authorizerContext = map[string]any{"iam": x.s.caller(signed[1])}
		return who == nil && !strings.HasPrefix(signed[1], keyPrefix) ||
			who != nil && x.s.judge(x.r.Context(), *who, u.region, rights...) == ""
	}
	x.s.mu.Lock()
	p := x.s.policies[resource{u.region, arn}]
	x.s.mu.Unlock()
	if p == nil {
		return false
	}
	for _, d := range rights {
		if !p.document.Judge(policy.Request{Action: d.action, Resource: arn, Context: d.context}).Allowed {
			x.s.log.Printf("the policy of %s does not allow everybody to do %s through its URL", arn, d.action)
			return false
		}
	}
	return true
}

// withConcurrency adds the reserved concurrency to the answer of GetFunction, even if it is 0.
func withConcurrency(s *Sandbox, c *call, next func() answer) answer {
	name, _ := c.function()
	a := next()
	path := "/2019-09-30/functions/" + url.PathEscape(name) + "/concurrency"
	reserved, err := s.moto.do(c.Context(), http.MethodGet, path, c.Header, nil)
	var got struct{ ReservedConcurrentExecutions *int }
	if err != nil || name == "" || !reserved.ok() || json.Unmarshal(reserved.body, &got) != nil ||
		got.ReservedConcurrentExecutions == nil {
		return a
	}
	return a.edit(func(body map[string]any) { body["Concurrency"] = got })
}
