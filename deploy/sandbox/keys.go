package sandbox

import (
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"example.com/portable-notes/deploy/gateway"
	"example.com/portable-notes/deploy/policy"
)

// signer returns the owner of a key, whose policies apply to its calls. It returns nil for the operator, who may do
// everything and has all keys that do not belong to a user or a session.
func (s *Sandbox) signer(key string) *principal {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.principals[key]
}

// setSigner sets the owner of a key; nil removes the key.
func (s *Sandbox) setSigner(key string, who *principal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.principals[key] = who; who == nil {
		delete(s.principals, key)
	}
}

// trackKey sets the owner of a user's new key, and disables a deleted or inactive key.
func trackKey(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	form := c.form()
	var made struct {
		User string `xml:"CreateAccessKeyResult>AccessKey>UserName"`
		ID   string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
	}
	switch {
	case !a.ok():
	case c.Operation != "CreateAccessKey":
		who := &principal{} // without an owner: the key is invalid
		if form.Get("Status") == "Active" {
			who.arn = s.identityOf(c.Context(), c)
			who.owner = who.arn
		}
		s.setSigner(form.Get("AccessKeyId"), who)
	case xml.Unmarshal(a.body, &made) == nil:
		if user, err := s.readUser(c.Context(), made.User); err == nil {
			s.setSigner(made.ID, &principal{arn: user.arn, owner: user.arn})
		}
	}
	return a
}

// assumeRole checks the role's trust policy and the caller's own policies, and sets the owner of the session's key.
func assumeRole(s *Sandbox, c *call, next func() answer) answer {
	form := c.form()
	arn := form.Get("RoleArn")
	who := s.signer(c.Key)
	if who == nil { // the operator is the root user, whom the account's policies do not restrict
		who = &principal{arn: "arn:" + gateway.Partition(c.Region) + ":iam::" + Account + ":root"}
		who.owner = who.arn
	}
	if !s.mayAssume(c, *who, arn) {
		return c.denied(fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", who.arn,
			arn))
	}
	session := &principal{owner: arn}
	narrow, given, err := s.sessionPolicy(c)
	if err != nil {
		return c.refuse(http.StatusBadRequest, "MalformedPolicyDocument", "%v", err)
	} else if given {
		session.session = &narrow
	}
	a := next()
	var made struct {
		ARN string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
		ID  string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	}
	if a.ok() && xml.Unmarshal(a.body, &made) == nil {
		session.arn = made.ARN
		s.setSigner(made.ID, session)
	}
	return a
}

// mayAssume reports whether a principal may assume a role. The trust policy must allow it. That suffices if the policy
// names the principal; if it names the account, the principal's own policies must allow it too. An explicit deny in
// either wins ("How AWS enforcement code logic evaluates requests", IAM user guide).
func (s *Sandbox) mayAssume(c *call, who principal, arn string) bool {
	r, err := s.readRole(c.Context(), arn)
	if err != nil {
		return false
	}
	asked := demand{action: "sts:AssumeRole", resource: arn,
		context: map[string]string{"sts:RoleSessionName": c.form().Get("RoleSessionName")}}
	if id := c.form().Get("ExternalId"); id != "" {
		asked.context["sts:ExternalId"] = id
	}
	request := who.request(c.Region, asked)
	trusted := r.Trust.Judge(request)
	if !trusted.Allowed || strings.HasSuffix(who.owner, ":root") {
		return trusted.Allowed
	}
	own, err := s.rightsOf(c.Context(), who.owner)
	if err != nil {
		return false
	}
	decision, _ := own.Judge(request)
	request.Principal.Account = ""
	named := r.Trust.Judge(request).Allowed
	return !decision.Denied && !decision.Unclear && (decision.Allowed || named)
}

// sessionPolicy returns the session policy of a call of AssumeRole, and whether the call has one.
func (s *Sandbox) sessionPolicy(c *call) (all policy.Document, given bool, err error) {
	form := c.form()
	if text := form.Get("Policy"); text != "" {
		given = true
		if all, err = policy.Parse([]byte(text)); err != nil {
			return all, true, err
		}
	}
	for i := 1; form.Get(fmt.Sprintf("PolicyArns.member.%d.arn", i)) != ""; i++ {
		one, err := s.managed(c.Context(), form.Get(fmt.Sprintf("PolicyArns.member.%d.arn", i)))
		if err != nil {
			return all, true, err
		}
		given = true
		all.Statement = append(all.Statement, one.Statement...)
	}
	return all, given, nil
}

var issuedKey = regexp.MustCompile(`<AccessKeyId>[^<]*</AccessKeyId>`)

// sessionToken answers GetSessionToken with a new key for the caller. Moto's answer has the same key for everybody.
func sessionToken(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	if a.ok() {
		key := "ASIA" + rand.Text()[:16]
		a.body = issuedKey.ReplaceAll(a.body, []byte("<AccessKeyId>"+key+"</AccessKeyId>"))
		if who := s.signer(c.Key); who != nil {
			s.setSigner(key, who)
		}
	}
	return a
}

// refuseFederation refuses calls for sessions that the sandbox does not support.
func refuseFederation(_ *Sandbox, c *call) answer {
	return c.refuse(http.StatusNotImplemented, "NotImplementedException",
		"the sandbox supports sessions of AssumeRole and GetSessionToken, not of %s", c.Operation)
}
