package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/google/uuid"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/sandbox/function"

	"golang.org/x/net/http/httpguts"
)

// targetOf returns the function that a URI names, with the stage's variables filled in.
func (x *exchange) targetOf(uri *string) (gateway.Target, error) {
	t, err := gateway.ParseURI(*orEmpty(uri), x.stage.StageVariables)
	if err == nil && t.Account != Account {
		err = fmt.Errorf("its function belongs to account %q", t.Account)
	}
	return t, err
}

// integrate passes the request on to the route's integration.
func (x *exchange) integrate() (*http.Response, error) {
	id, _ := strings.CutPrefix(*orEmpty(x.route.Target), "integrations/")
	i, ok := x.routes.integrations[id]
	if !ok {
		return nil, notFound("the route %s has no target, or its integration does not exist", *x.route.RouteKey)
	}
	limit := integrationTimeout
	if i.TimeoutInMillis != nil && *i.TimeoutInMillis > 0 {
		limit = time.Duration(*i.TimeoutInMillis) * time.Millisecond
	}
	var a *http.Response
	var err error
	switch strings.ToUpper(string(i.IntegrationType)) {
	case string(types.IntegrationTypeAwsProxy):
		a, err = x.proxyToFunction(i, limit)
	case string(types.IntegrationTypeHttpProxy):
		a, err = x.proxyToHTTP(i, limit)
	default:
		return nil, internalError("the sandbox serves integrations with Lambda functions and HTTP servers, not %s",
			i.IntegrationType)
	}
	if err == nil {
		var content []byte
		if content, err = io.ReadAll(a.Body); err == nil { // a buffer cannot fail
			a.Body = io.NopCloser(bytes.NewReader(content))
			x.transformAnswer(a, content, i.ResponseParameters)
		}
	}
	return a, err
}

// proxyToFunction passes the request on to a function.
func (x *exchange) proxyToFunction(i types.Integration, limit time.Duration) (*http.Response, error) {
	if i.IntegrationSubtype != nil {
		return nil, internalError("the sandbox does not serve the integration subtype %s", *i.IntegrationSubtype)
	}
	if method := *orEmpty(i.IntegrationMethod); method != "" && method != http.MethodPost {
		return nil, internalError("Lambda accepts only POST, and the integration's method is %s", method)
	}
	f, err := x.targetOf(i.IntegrationUri)
	if err != nil {
		return nil, internalError("The integration's URI names no existing function: %v", err)
	}
	if why := x.checkMayInvoke("integration", f, i.CredentialsArn,
		x.policyAPI().Presented(*x.stage.StageName, *x.route.RouteKey, x.r.Method, x.path)); why != nil {
		return nil, why
	}
	x.transform(i.RequestParameters)
	v2 := *orEmpty(i.PayloadFormatVersion) == "2.0"
	payload := x.lambdaEvent(v2)
	if len(payload) > function.MaxEvent {
		return nil, &problem{status: 413, message: "Request Entity Too Large"}
	}
	x.log["integration.requestId"] = uuid.NewString()
	o, err := x.invokeWithin(limit, f, payload)
	if err != nil {
		return nil, err
	}
	x.log["integration.requestId"] = o.ID
	x.log["integrationStatus"] = "200" // of Lambda's Invoke, whatever the function returns
	if o.Failed {
		return nil,
			internalError("The Lambda function returned the following error: %s. Check your Lambda function code "+
				"and try again.", lambdaError(o.Payload))
	}
	a, err := functionResponse(o.Payload, v2)
	if err == nil {
		x.log["integration.functionStatus"] = fmt.Sprint(a.StatusCode)
	}
	return a, err
}

// proxyToHTTP passes the request on to an HTTP server.
func (x *exchange) proxyToHTTP(i types.Integration, limit time.Duration) (*http.Response, error) {
	x.transform(i.RequestParameters)
	to, err := x.proxyURL(*orEmpty(i.IntegrationUri))
	if err != nil {
		return nil, internalError("%v", err)
	}
	method := *orEmpty(i.IntegrationMethod)
	if method == "" || method == "ANY" {
		method = x.r.Method
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(x.body))
	if err != nil {
		return nil, internalError("%v", err)
	}
	r.Header = x.r.Header.Clone()
	for _, hop := range []string{"Connection", "Transfer-Encoding", "Keep-Alive", "Te", "Trailer", "Upgrade", "Host"} {
		r.Header.Del(hop)
	}
	r.Header.Set("Via", "HTTP/1.1 AmazonAPIGateway")
	begin := time.Now()
	a, err := http.DefaultTransport.RoundTrip(r) // #nosec G704 -- the API's owner chose the address
	x.log["integrationLatency"] = fmt.Sprint(time.Since(begin).Milliseconds())
	if err != nil {
		if ctx.Err() != nil {
			return nil, serviceUnavailable("Endpoint request timed out")
		}
		return nil, serviceUnavailable(err.Error())
	}
	defer func() { _ = a.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(a.Body, maxBody+1))
	if err == nil && len(content) > maxBody {
		err = fmt.Errorf("the answer has more than %d bytes", maxBody)
	}
	if err != nil {
		return nil, serviceUnavailable(err.Error())
	}
	x.log["integrationStatus"] = fmt.Sprint(a.StatusCode)
	proxied := reply(a.StatusCode, content, "")
	proxied.Header = a.Header.Clone()
	for _, hop := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade"} {
		proxied.Header.Del(hop)
	}
	return proxied, nil
}

// checkMayInvoke returns an error if API Gateway may not invoke a function. The role of the integration or authorizer
// decides, or, if there is none, the function's policy.
func (x *exchange) checkMayInvoke(what string, f gateway.Target, credentials *string, sources []string) error {
	why, arn := "", functionARN(f.Region, f.Function, f.Qualifier)
	if _, err := x.s.configuration(x.r.Context(), f.Region, f.Function, f.Qualifier); errors.Is(err, errNotFound) {
		why = "there is no " + arn // API Gateway answers as if the policy did not let it in
	} else if credentials != nil && *credentials != "" {
		if why = x.s.assumeRefusal(x.r.Context(), *credentials, gateway.Principal); why == "" {
			why = x.s.judge(x.r.Context(), principal{arn: *credentials, owner: *credentials}, x.region,
				demand{action: gateway.Invoke, resource: arn})
		}
	} else {
		why = x.s.invokeRefusal(arn, gateway.Principal, sources)
	}
	if why == "" {
		return nil
	}
	x.s.log.Printf("API Gateway may not invoke the function: %s", why)
	return &problem{status: 500, message: "Internal Server Error",
		key: map[string]string{"integration": "integrationErrorMessage",
			"authorizer": "authorizer.error"}[what], why: fmt.Sprintf(noPermission, what, what)}
}

// invokeWithin invokes a function and waits for at most limit. After that the function keeps running.
func (x *exchange) invokeWithin(limit time.Duration, f gateway.Target, payload []byte) (function.Outcome, error) {
	type ended struct {
		o   function.Outcome
		err error
	}
	done := make(chan ended, 1)
	go func() {
		o, err := x.s.invoke(context.WithoutCancel(x.r.Context()), f.Region, f.Function, f.Qualifier, payload)
		done <- ended{o, err}
	}()
	late := time.NewTimer(limit)
	defer late.Stop()
	begin := time.Now()
	select {
	case e := <-done:
		x.log["integrationLatency"] = fmt.Sprint(time.Since(begin).Milliseconds())
		var r *invokeError
		if errors.As(e.err, &r) {
			if r.status == http.StatusTooManyRequests {
				return function.Outcome{}, serviceUnavailable(r.message)
			}
			return function.Outcome{}, internalError("%s", r.message)
		}
		return e.o, e.err
	case <-late.C:
		return function.Outcome{}, serviceUnavailable("Endpoint request timed out")
	}
}

// lambdaError returns the errorMessage of a function's error.
func lambdaError(payload []byte) string {
	var e struct{ ErrorMessage string }
	_ = json.Unmarshal(payload, &e) // "" if the error is not such an object
	return e.ErrorMessage
}

// functionResponse turns a function's result into an HTTP response ("Lambda function response for format 1.0" and
// "2.0").
func functionResponse(payload []byte, v2 bool) (*http.Response, error) {
	malformed := func(why any) (*http.Response, error) {
		return nil, internalError("The Lambda function returned an invalid response: %v", why)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields["statusCode"] == nil {
		if !v2 {
			return malformed("it has no statusCode")
		}
		if !json.Valid(payload) {
			return malformed("it is not JSON")
		}
		var text string // a JSON string is the body itself
		if json.Unmarshal(payload, &text) == nil && len(payload) > 0 {
			return reply(200, []byte(text), "application/json"), nil
		}
		return reply(200, payload, "application/json"), nil
	}
	var status int
	var headers map[string]string
	var multi map[string][]string
	var cookies []string
	var text string
	var encoded bool
	for name, into := range map[string]any{"statusCode": &status, "headers": &headers, "multiValueHeaders": &multi,
		"cookies": &cookies, "body": &text, "isBase64Encoded": &encoded} {
		if value := fields[name]; value != nil { // names are case-sensitive
			if err := json.Unmarshal(value, into); err != nil {
				return malformed(fmt.Errorf("its %s: %w", name, err))
			}
		}
	}
	if status < 200 || status > 599 {
		return malformed(fmt.Sprint("its statusCode is ", status))
	}
	body := []byte(text)
	if encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(text); err != nil {
			return malformed(err)
		}
	}
	a := reply(status, body, "")
	for name, value := range headers {
		a.Header.Set(name, value)
	}
	if !v2 {
		for name, values := range multi {
			a.Header[http.CanonicalHeaderKey(name)] = slices.Clone(values)
		}
	} else if len(cookies) > 0 {
		a.Header["Set-Cookie"] = cookies
	}
	for name, values := range a.Header {
		for _, value := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
				return malformed(fmt.Sprintf("its header %q is not valid", name))
			}
		}
	}
	if a.Header.Get("Content-Type") == "" && len(body) > 0 {
		a.Header.Set("Content-Type", "text/plain;charset=utf-8")
	}
	for _, hop := range []string{"Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Upgrade"} {
		a.Header.Del(hop)
	}
	return a, nil
}
