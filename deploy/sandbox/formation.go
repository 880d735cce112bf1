package sandbox

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/sandbox/formation"
)

// cloudFormation is the service principal of CloudFormation.
const cloudFormation = "cloudformation.amazonaws.com"

// answerFormation answers a call of CloudFormation.
func (s *Sandbox) answerFormation(c *call) answer {
	text, err := s.formation.Answer(c.Context(), formation.Request{Operation: c.Operation, Region: c.Region, Key: c.Key,
		Form: c.form()})
	var refusal *formation.Refusal
	if errors.As(err, &refusal) {
		return c.refuse(http.StatusBadRequest, refusal.Code, "%s", refusal.Message)
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml"}}, body: []byte(text)}
}

// formationHost returns what CloudFormation needs of the sandbox.
func (s *Sandbox) formationHost() formation.Host {
	return formation.Host{Endpoint: s.URL, Account: Account, Moto: s.askMoto, Assume: s.assumeForFormation,
		Translate: s.translate}
}

// askMoto sends a request to moto, past the corrections, and returns the body of a successful answer.
func (s *Sandbox) askMoto(ctx context.Context, region, service, method, uri string, header http.Header,
	body []byte) ([]byte, error) {
	header = header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=sandbox/20200101/"+region+"/"+service+
		"/aws4_request, SignedHeaders=host, Signature=none") // moto finds region and service in it
	a, err := s.moto.do(ctx, method, uri, header, body)
	if err != nil {
		return nil, err
	}
	if !a.ok() {
		return nil, errors.New(errorText(a))
	}
	return a.body, nil
}

// errorText returns the message of a service's error answer, in XML or JSON.
func errorText(a answer) string {
	var short struct{ Code, Message string } // S3's
	var long struct {
		Code    string `xml:"Error>Code" json:"__type"`
		Message string `xml:"Error>Message" json:"message"`
	}
	_, _ = xml.Unmarshal(a.body, &short), xml.Unmarshal(a.body, &long)
	_ = json.Unmarshal(a.body, &long)
	code, message := cmp.Or(short.Code, long.Code), cmp.Or(short.Message, long.Message)
	if code == "" && message == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	return code + ": " + message
}

// assumeForFormation returns a key of a session under a stack's role.
func (s *Sandbox) assumeForFormation(ctx context.Context, region, role string) (key string, end func(), err error) {
	if why := s.assumeRefusal(ctx, role, cloudFormation); why != "" {
		return "", nil, errors.New(why)
	}
	key = keyPrefix + rand.Text()[:12]
	s.setSigner(key, &principal{owner: role, arn: "arn:" + gateway.Partition(region) + ":sts::" + Account +
		":assumed-role/" + baseName(role) + "/AWSCloudFormation"})
	return key, func() { s.setSigner(key, nil) }, nil
}

//go:embed translate.py
var translator string

// translate translates SAM's types by AWS's own translator, which is installed with moto.
func (s *Sandbox) translate(ctx context.Context, region string, template []byte, parameters map[string]string) (
	[]byte, error) {
	in, err := json.Marshal(map[string]any{"template": json.RawMessage(template), "parameters": parameters,
		"region": region, "endpoint": s.moto.inner})
	if err != nil {
		return nil, err
	}
	out, err := s.moto.python(ctx, translator, in)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Template json.RawMessage
		Errors   []string
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("SAM's translator answers %.200q", out)
	}
	if answer.Errors != nil {
		return nil, &formation.Refusal{Message: fmt.Sprintf("Invalid Serverless Application Specification document. "+
			"Number of errors found: %d. %v", len(answer.Errors), answer.Errors)}
	}
	return answer.Template, nil
}
