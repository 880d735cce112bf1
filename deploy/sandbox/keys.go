package sandbox

import (
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
	"regexp"
	"strings"

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
			who.arn = s.identityOf(c.Context(), c)
			who.owner = who.arn
		}
		s.admit(form.Get("AccessKeyId"), who)
	case xml.Unmarshal(a.body, &made) == nil:
		if user, err := s.readUser(c.Context(), made.User); err == nil {
			s.admit(made.ID, &principal{arn: user.arn, owner: user.arn})
		}
	}
	return a
}

// assumeRole asks the role's trust policy and the caller's own policies, and admits the key of the session.
func assumeRole(s *Sandbox, c *call, next func() answer) answer {
	form := c.form()
	arn := form.Get("RoleArn")
	who := s.signer(c.Key)
	if who == nil { // the operator is the account's root user, which its policies do not bind
		who = &principal{arn: "arn:" + partition(c.Region) + ":iam::" + Account + ":root"}
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
		s.admit(made.ID, session)
	}
	return a
}

// mayAssume judges whether somebody may assume a role: its trust policy must allow it. Where that names the caller it
// suffices; where it names the account, the caller's own policies must allow it too. A denial decides in either ("How
// AWS enforcement code logic evaluates requests", IAM user guide).
func (s *Sandbox) mayAssume(c *call, who principal, arn string) bool {
	r, err := s.readRole(c.Context(), arn)
	if err != nil {
		return false
	}
	asked := demand{"sts:AssumeRole", arn, map[string]string{"sts:RoleSessionName": c.form().Get("RoleSessionName")}}
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

// sessionPolicy is what a session is narrowed to, and whether it is.
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

// sessionToken gives the caller a key for itself, which moto gives to all alike.
func sessionToken(s *Sandbox, c *call, next func() answer) answer {
	a := next()
	if a.ok() {
		key := "ASIA" + rand.Text()[:16]
		a.body = issuedKey.ReplaceAll(a.body, []byte("<AccessKeyId>"+key+"</AccessKeyId>"))
		if who := s.signer(c.Key); who != nil {
			s.admit(key, who)
		}
	}
	return a
}

// noFederation refuses sessions that the sandbox could not judge.
func noFederation(_ *Sandbox, c *call) answer {
	return c.refuse(http.StatusNotImplemented, "NotImplementedException",
		"the sandbox knows sessions of AssumeRole and GetSessionToken, not of %s", c.Operation)
}
