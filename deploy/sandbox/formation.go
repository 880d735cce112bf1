package sandbox

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
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
	return formation.Host{Endpoint: s.URL, Account: Account, Assume: s.assumeForFormation,
		Translate: s.translate}
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
