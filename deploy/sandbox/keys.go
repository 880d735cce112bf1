package sandbox

import (
	"encoding/xml"
	"fmt"
	"net/http"

	"example.com/portable-notes/deploy/policy"
)

// The keys of users and of sessions are judged by their policies. Any other key, the sandbox's own first, is the
// operator's, who may do all.

// signer returns who signs with a key; nil for the operator.
func (s *Sandbox) signer(key string) *principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.principals[key]
}

// admit lets a key sign for somebody; nil takes that back.
func (s *Sandbox) admit(key string, who *principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.principals[key] = who; who == nil {
		delete(s.principals, key)
	}
}

// noteKey admits a new key of a user, and refuses one that is deleted or inactive.
func noteKey(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	form := c.form()
	var made struct {
		User string `xml:"CreateAccessKeyResult>AccessKey>UserName"`
		ID   string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
	}
	switch {
	case !a.ok():
	case c.Operation != "CreateAccessKey":
		who := &principal{} // nobody
		if form.Get("Status") == "Active" {
			who.arn = userARN(c.Region, form.Get("UserName"))
			who.owner = who.arn
		}
		s.admit(form.Get("AccessKeyId"), who)
	case xml.Unmarshal(a.body, &made) == nil:
		arn := userARN(c.Region, made.User)
		s.admit(made.ID, &principal{arn: arn, owner: arn})
	}
	return a
}

func userARN(region, name string) string {
	return "arn:" + partition(region) + ":iam::" + Account + ":user/" + name
}

// assumeRole asks the role's trust policy, and admits the key of the session.
func assumeRole(s *Sandbox, c *call, next func() answer) answer {
	form := c.form()
	caller := "arn:" + partition(c.Region) + ":iam::" + Account + ":root"
	if c.Caller != "" {
		caller = c.Caller
	}
	arn := form.Get("RoleArn")
	refuse := func() answer {
		return c.denied(fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", caller,
			arn))
	}
	r, err := s.readRole(c.Context(), arn)
	if err != nil {
		return refuse()
	}
	by := policy.Request{Principal: policy.Caller{ARN: caller, Account: Account}, Action: "sts:AssumeRole",
		Resource: arn,
		Context:  map[string]string{"sts:ExternalId": form.Get("ExternalId")}}
	if !r.Trust.Judge(by).Allowed {
		return refuse()
	}
	who := &principal{owner: arn}
	if text := form.Get("Policy"); text != "" {
		session, err := policy.Parse([]byte(text))
		if err != nil {
			return c.refuse(http.StatusBadRequest, "MalformedPolicyDocument", "%v", err)
		}
		who.session = &session
	}
	a := next()
	var made struct {
		ARN string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
		ID  string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	}
	if a.ok() && xml.Unmarshal(a.body, &made) == nil {
		who.arn = made.ARN
		s.admit(made.ID, who)
	}
	return a
}
