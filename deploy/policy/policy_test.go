package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/policy"
)

const prefix = "arn:aws:execute-api:eu-west-3:123456789012:a1b2c3d4e5/"

// newPolicy returns a function's policy with one statement, as AddPermission writes it.
func newPolicy(sourceARN string) policy.Document {
	d, err := policy.Parse([]byte(fmt.Sprintf(`{"Version":"2012-10-17","Id":"default","Statement":[{
		"Sid":"grant","Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},
		"Action":"lambda:InvokeFunction","Resource":"arn:aws:lambda:eu-west-3:123456789012:function:notes",
		"Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012"},
		"ArnLike":{"AWS:SourceArn":%q}}}]}`, sourceARN)))
	if err != nil {
		panic(err)
	}
	return d
}

// invokeRequest returns API Gateway's request to invoke the function.
func invokeRequest(sourceARN string) policy.Request {
	return policy.Request{
		Principal: policy.Caller{Service: "apigateway.amazonaws.com"}, Action: "lambda:InvokeFunction",
		Resource: "arn:aws:lambda:eu-west-3:123456789012:function:notes",
		Context:  map[string]string{"aws:SourceArn": sourceARN, "aws:SourceAccount": "123456789012"},
	}
}

// TestReasons checks that the reason names the element that does not match.
func TestReasons(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *policy.Statement)
		field  string
		want   string
	}{
		"principal": {change: func(s *policy.Statement) {
			s.Principal.Names["Service"] = policy.Strings{"events.amazonaws.com"}
		}, field: "Principal", want: "apigateway.amazonaws.com"},
		"action": {change: func(s *policy.Statement) { s.Action = policy.Strings{"lambda:InvokeFunctionUrl"} },
			field: "Action", want: "lambda:InvokeFunctionUrl"},
		"resource": {change: func(s *policy.Statement) {
			s.Resource = policy.Strings{"arn:aws:lambda:eu-west-3:123456789012:function:notes:live"}
		}, field: "Resource", want: ":live"},
		"empty account": {change: func(s *policy.Statement) {
			setSource(s, "arn:aws:execute-api:eu-west-3::a1b2c3d4e5/*/*")
		},
			field: "Condition", want: "eu-west-3::a1b2"},
		"region": {change: func(s *policy.Statement) {
			setSource(s, "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/*/*")
		}, field: "Condition", want: "us-east-1"},
		"stale API": {change: func(s *policy.Statement) {
			setSource(s, "arn:aws:execute-api:eu-west-3:123456789012:zzzzzzzzzz/*/*")
		}, field: "Condition", want: "zzzzzzzzzz"},
		"swallowed $default": {change: func(s *policy.Statement) { setSource(s, prefix+"/GET/notes") },
			field: "Condition", want: "a1b2c3d4e5//GET"},
		"account condition": {change: func(s *policy.Statement) {
			s.Condition["StringEquals"]["AWS:SourceAccount"] = policy.Strings{"210987654321"}
		}, field: "Condition", want: "210987654321"},
		"organization": {change: func(s *policy.Statement) {
			s.Condition["StringEquals"]["aws:PrincipalOrgID"] = policy.Strings{"o-1"}
		}, field: "Condition", want: "nothing"},
		"unknown operator": {change: func(s *policy.Statement) {
			s.Condition["IpAddress"] = map[string]policy.Strings{"aws:SourceIp": {"0.0.0.0/0"}}
		}, field: "Condition", want: "IpAddress"},
	} {
		d := newPolicy(prefix + "dev/*/notes")
		c.change(&d.Statement[0])
		decision := d.Judge(invokeRequest(prefix + "dev/GET/notes"))
		if decision.Allowed || decision.Denied || len(decision.Reasons) != 1 || decision.Reasons[0].Field != c.field ||
			!strings.Contains(decision.Reasons[0].String(), c.want) {
			t.Errorf("%s: %+v", name, decision)
		}
	}
	if d := newPolicy(prefix + "dev/*/notes").Judge(invokeRequest(prefix + "dev/GET/notes")); !d.Allowed ||
		!d.Reasons[0].Holds {
		t.Errorf("%+v", d)
	}
}

// TestUnclear checks that unknown elements never allow a request.
func TestUnclear(t *testing.T) {
	request := policy.Request{Principal: policy.Caller{ARN: "arn:aws:iam::1:user/u", Account: "1"}, Action: "s3:Get",
		Resource: "arn:aws:s3:::b", Context: map[string]string{"aws:SourceIp": "1.2.3.4"}}
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	for _, c := range []struct {
		statement string
		unclear   bool
	}{
		{`{"Effect":"Deny","Action":"*","Resource":"*",` +
			`"Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`, true},
		{`{"Effect":"Deny","Action":"*","Resource":"*",` +
			`"Condition":{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"a"}}}`, true},
		{`{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::${aws:PrincipalAccount}"}`, true},
		{`{"Effect":"Deny","Action":"*","Resource":"*",` +
			`"Condition":{"StringEquals":{"aws:SourceIp":"${aws:username}"}}}`, true},
		{`{"Effect":"Deny","Action":"s3:Put","Resource":"*",` +
			`"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}`, false},
		{`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},` +
			`"StringEquals":{"aws:SourceIp":"4.3.2.1"}}}`, false},
		{`{"Effect":"Allow","Action":"*","Resource":"*",` +
			`"Condition":{"IpAddress":{"aws:SourceIp":"1.0.0.0/8"}}}`, false},
	} {
		d, err := policy.Parse([]byte(`{"Statement":[` + all + `,` + c.statement + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Judge(request); got.Unclear != c.unclear || got.Allowed == c.unclear {
			t.Errorf("%s: %+v", c.statement, got)
		}
	}
}

// TestOpen checks that a statement with an open value is unclear only where the value decides.
func TestOpen(t *testing.T) {
	const presented = "arn:«AWS.Partition»:execute-api:«AWS.Region»:«AWS.AccountId»:‹Api›/$default/GET/notes"
	for _, c := range []struct {
		name, statement string
		allowed, known  bool
	}{
		{name: "equal", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"ArnLike":{"aws:SourceArn":` +
			`"arn:«AWS.Partition»:execute-api:«AWS.Region»:«AWS.AccountId»:‹Api›/*/GET/notes"}}`,
			allowed: true, known: true},
		{name: "an open source", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"ArnLike":` +
			`{"aws:SourceArn":"«Source»"}}`},
		{name: "a region", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"ArnLike":{"aws:SourceArn":` +
			`"arn:«AWS.Partition»:execute-api:us-east-1:«AWS.AccountId»:‹Api›/*"}}`},
		{name: "an empty account", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"ArnLike":` +
			`{"aws:SourceArn":"arn:«AWS.Partition»:execute-api:«AWS.Region»::‹Api›/*"}}`, known: true},
		{name: "another API", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"ArnLike":{"aws:SourceArn":` +
			`"arn:«AWS.Partition»:execute-api:«AWS.Region»:«AWS.AccountId»:‹Other›/*"}}`, known: true},
		{name: "an imported API", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"ArnLike":` +
			`{"aws:SourceArn":"arn:«AWS.Partition»:execute-api:«AWS.Region»:«AWS.AccountId»:«Import»/*"}}`},
		{name: "another method", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"ArnLike":` +
			`{"aws:SourceArn":"arn:«AWS.Partition»:execute-api:«AWS.Region»:«AWS.AccountId»:«Import»/*/POST/x"}}`,
			known: true},
		{name: "an open principal", statement: `"Principal":{"Service":"«Who»"},"Action":"a:B","Resource":"‹F›"`},
		{name: "an open action", statement: `"Action":"a:«What»","Resource":"‹F›"`},
		{name: "an open principal of another action", statement: `"Principal":{"Service":"«Who»"},"Action":"a:C",` +
			`"Resource":"‹F›"`, known: true},
		{name: "an open resource", statement: `"Action":"a:B","Resource":"«Function»"`},
		{name: "an open exception", statement: `"NotAction":"«What»","Resource":"‹F›"`},
		{name: "an open NotResource", statement: `"Action":"a:B","NotResource":"«Function»"`},
		{name: "an open account", statement: `"Action":"a:B","Resource":"‹F›","Condition":{"StringEquals":` +
			`{"aws:SourceAccount":"111122223333"}}`},
		{name: "another function", statement: `"Action":"a:B","Resource":"‹G›"`, known: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := policy.Parse([]byte(`{"Statement":{"Effect":"Allow",` + c.statement + `}}`))
			if err != nil {
				t.Fatal(err)
			}
			got := d.Judge(policy.Request{Principal: policy.Caller{Service: "apigateway.amazonaws.com"}, Action: "a:B",
				Resource: "‹F›", Context: map[string]string{"aws:SourceArn": presented,
					"aws:SourceAccount": "«AWS.AccountId»"}})
			if got.Allowed != c.allowed || got.Reasons[0].Known != c.known {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestPrincipals(t *testing.T) {
	session := policy.Caller{ARN: "arn:aws:sts::123456789012:assumed-role/x/s", Account: "123456789012"}
	service := policy.Caller{Service: "apigateway.amazonaws.com", Account: "123456789012"}
	for _, c := range []struct {
		principal string
		caller    policy.Caller
		allowed   bool
	}{
		{principal: `"*"`, caller: session, allowed: true},
		{principal: `{"AWS":"*"}`, caller: session, allowed: true},
		{principal: `{"AWS":"123456789012"}`, caller: session, allowed: true},
		{principal: `{"AWS":"arn:aws:iam::123456789012:root"}`, caller: session, allowed: true},
		{principal: `{"AWS":"arn:aws:iam::123456789012:role/x"}`, caller: session, allowed: true},
		{principal: `{"AWS":"arn:aws:iam::123456789012:role/y"}`, caller: session},
		{principal: `{"AWS":"arn:aws:sts::123456789012:assumed-role/x/s"}`, caller: session, allowed: true},
		{principal: `{"AWS":"210987654321"}`, caller: session},
		{principal: `{"AWS":"123456789012"}`, caller: service},
		{principal: `{"Service":["a.amazonaws.com","apigateway.amazonaws.com"]}`, caller: service, allowed: true},
		{principal: `{"Service":"lambda.amazonaws.com"}`, caller: service},
	} {
		d, err := policy.Parse([]byte(`{"Statement":[{"Effect":"Allow","Principal":` + c.principal +
			`,"Action":"*"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Judge(policy.Request{Principal: c.caller, Action: "sts:AssumeRole"}); got.Allowed != c.allowed {
			t.Errorf("%s for %s: %+v", c.principal, c.caller, got)
		}
	}
}

// setSource sets the source ARN of a statement.
func setSource(s *policy.Statement, arn string) {
	s.Condition["ArnLike"]["AWS:SourceArn"] = policy.Strings{arn}
}

func TestRoles(t *testing.T) {
	parse := func(text string) policy.Document {
		d, err := policy.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	table := "arn:aws:dynamodb:eu-west-3:123456789012:table/notes"
	ours := parse(`{"Statement":{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"` + table +
		`"}}`)
	all := parse(`{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	deny := parse(`{"Statement":[{"Sid":"no","Effect":"Deny","NotAction":"dynamodb:GetItem","Resource":"*"}]}`)
	request := func(action string) policy.Request { return policy.Request{Action: action, Resource: table} }
	for name, c := range map[string]struct {
		identity        []policy.Document
		boundary        *policy.Document
		action          string
		allowed, denied bool
	}{
		"allowed":             {identity: []policy.Document{ours}, action: "dynamodb:GetItem", allowed: true},
		"case of actions":     {identity: []policy.Document{ours}, action: "DynamoDB:getitem", allowed: true},
		"not named":           {identity: []policy.Document{ours}, action: "dynamodb:PutItem"},
		"by a second policy":  {identity: []policy.Document{ours, all}, action: "dynamodb:PutItem", allowed: true},
		"denied":              {identity: []policy.Document{all, deny}, action: "dynamodb:Query", denied: true},
		"not denied":          {identity: []policy.Document{all, deny}, action: "dynamodb:GetItem", allowed: true},
		"beyond the boundary": {identity: []policy.Document{all}, boundary: &ours, action: "dynamodb:PutItem"},
		"within the boundary": {identity: []policy.Document{all}, boundary: &ours, action: "dynamodb:Query",
			allowed: true},
		"denied by boundary": {identity: []policy.Document{all}, boundary: &deny, action: "dynamodb:Query",
			denied: true},
		"a boundary alone": {boundary: &all, action: "dynamodb:Query"},
	} {
		if d, _ := (policy.Role{Identity: c.identity, Boundary: c.boundary}).Judge(
			request(c.action)); d.Allowed != c.allowed || d.Denied != c.denied {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestConditions(t *testing.T) {
	for _, c := range []struct {
		operator, value, got string
		exists, holds        bool
	}{
		{operator: "StringEquals", value: "a", got: "a", exists: true, holds: true},
		{operator: "StringEquals", value: "a", got: "A", exists: true},
		{operator: "StringEquals", value: "a"},
		{operator: "StringEqualsIfExists", value: "a", holds: true},
		{operator: "StringEqualsIfExists", value: "a", got: "b", exists: true},
		{operator: "StringNotEquals", value: "a", got: "b", exists: true, holds: true},
		{operator: "StringNotEquals", value: "a", got: "a", exists: true},
		{operator: "StringNotEquals", value: "a", holds: true},
		{operator: "StringEqualsIgnoreCase", value: "a", got: "A", exists: true, holds: true},
		{operator: "StringLike", value: "a*c", got: "abbc", exists: true, holds: true},
		{operator: "StringNotLike", value: "a*c", got: "abbc", exists: true},
		{operator: "StringLike", value: "a?c", got: "ac", exists: true},
		{operator: "ArnLike", value: "arn:aws:s3:::b*", got: "arn:aws:s3:::bucket", exists: true, holds: true},
		{operator: "ArnLike", value: "arn:*:bucket", got: "arn:aws:s3:::bucket", exists: true},
		{operator: "ArnLike", value: "*", got: "arn:aws:s3:::bucket", exists: true, holds: true},
		{operator: "ArnEquals", value: "arn:aws:s3:::b*", got: "arn:aws:s3:::bucket", exists: true, holds: true},
		{operator: "ArnNotLike", value: "arn:aws:s3:::b*", got: "arn:aws:s3:::bucket", exists: true},
		{operator: "Bool", value: "true", got: "TRUE", exists: true, holds: true},
		{operator: "Null", value: "true", holds: true},
		{operator: "Null", value: "false", got: "x", exists: true, holds: true},
		{operator: "Null", value: "true", got: "x", exists: true},
	} {
		d := policy.Document{Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{"*"},
			Condition: policy.Conditions{c.operator: {"k": {c.value}}}}}}
		r := policy.Request{Action: "a:b", Context: map[string]string{}}
		if c.exists {
			r.Context["K"] = c.got
		}
		if got := d.Judge(r).Allowed; got != c.holds {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestLike compares Like with regular expressions on random patterns.
func TestLike(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	draw := func(alphabet string, limit int) string {
		var b strings.Builder
		for range random.IntN(limit) {
			b.WriteByte(alphabet[random.IntN(len(alphabet))])
		}
		return b.String()
	}
	matched := 0
	for range 20_000 {
		pattern, value := draw("ab/*?${}", 8), draw("ab/${}", 10)
		wildcards := strings.NewReplacer(`\*`, `.*`, `\?`, `.`)
		oracle := regexp.MustCompile(`(?s)^` + wildcards.Replace(regexp.QuoteMeta(pattern)) + `$`).MatchString(value)
		if got := policy.Like(pattern, value); got != oracle {
			t.Errorf("Like(%q, %q) = %v, want %v", pattern, value, got, oracle)
		}
		if oracle {
			matched++
		}
	}
	if matched < 500 {
		t.Errorf("only %d of the values match", matched)
	}
	if policy.Like(strings.Repeat("*a", 50)+"b", strings.Repeat("a", 10_000)) { // must not backtrack exponentially
		t.Error("a string without b matches a pattern that ends in b")
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "x", `{"Statement":[{"Effect":"Maybe"}]}`,
		`{"Statement":[{"Effect":"Allow","Action":{"a":1}}]}`, `{"Statement":7}`, `{"Statement":[{"Effect":"Allow"}]}`,
		`{"Statement":[{"Effect":"Allow","Actions":"*"}]}`,
		`{"Statement":[{"Effect":"Allow","Action":"*","NotAction":"*"}]}`} {
		if _, err := policy.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "this is not a policy") {
			t.Errorf("%s: %v", text, err)
		}
	}
	d := newPolicy(prefix + "*/*")
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Parse(text)
	if err != nil || fmt.Sprint(again) == "" || !again.Judge(invokeRequest(prefix+"dev/GET/notes")).Allowed {
		t.Errorf("%s: %+v, %v", text, again, err)
	}
}

func TestAssume(t *testing.T) {
	// percent-encoded, as IAM returns it
	trust, err := policy.ParseEscaped(
		`%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A` +
			`%7B%22Service%22%3A%22lambda.amazonaws.com%22%7D%2C%22Action%22%3A%22sts%3AAssumeRole%22%2C` +
			`%22Condition%22%3A%7B%22StringEquals%22%3A%7B%22AWS%3ASourceAccount%22%3A%22123456789012%22%7D%7D%7D%7D`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, service, account string
		want                   bool
	}{
		{name: "the service", service: "lambda.amazonaws.com", account: "123456789012", want: true},
		{name: "another service", service: "ec2.amazonaws.com", account: "123456789012"},
		{name: "another account", service: "lambda.amazonaws.com", account: "210987654321"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := (policy.Role{Trust: trust}).Assume(c.service, c.account); d.Allowed != c.want {
				t.Errorf("%+v", d)
			}
		})
	}
	if _, err := policy.ParseEscaped("%zz"); err == nil {
		t.Error("ParseEscaped accepts invalid percent-encoding")
	}
}
