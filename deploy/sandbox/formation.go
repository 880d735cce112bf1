package sandbox

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"net/http"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/sam"
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

// translate translates SAM's types by AWS's own translator, which is installed with moto.
func (s *Sandbox) translate(ctx context.Context, region string, template []byte, parameters map[string]string) (
	[]byte, error) {
	out, err := sam.Translate(ctx, s.moto.runner, sam.Task{Template: template, Parameters: parameters, Region: region,
		Endpoint: s.moto.inner})
	var wrong *sam.Error
	if errors.As(err, &wrong) {
		return nil, &formation.Refusal{Message: wrong.Error()}
	}
	return out, err
}
