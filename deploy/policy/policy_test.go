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

// granted is a function's policy with one statement, as AddPermission writes it.
func granted(sourceARN string) policy.Document {
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

// invoking is API Gateway's request to invoke the function.
func invoking(sourceARN string) policy.Request {
	return policy.Request{
		Principal: policy.Caller{Service: "apigateway.amazonaws.com"}, Action: "lambda:InvokeFunction",
		Resource: "arn:aws:lambda:eu-west-3:123456789012:function:notes",
		Context:  map[string]string{"aws:SourceArn": sourceARN, "aws:SourceAccount": "123456789012"},
	}
}

// TestReasons: what is wrong with a statement is named.
func TestReasons(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *policy.Statement)
		field  string
		says   string
	}{
		"principal": {func(s *policy.Statement) {
			s.Principal.Names["Service"] = policy.Strings{
				"events.amazonaws.com"}
		}, "Principal", "apigateway.amazonaws.com"},
		"action": {func(s *policy.Statement) { s.Action = policy.Strings{"lambda:InvokeFunctionUrl"} }, "Action",
			"lambda:InvokeFunctionUrl"},
		"resource": {func(s *policy.Statement) {
			s.Resource = policy.Strings{"arn:aws:lambda:eu-west-3:123456789012:function:notes:live"}
		}, "Resource", ":live"},
		"empty account": {func(s *policy.Statement) { source(s, "arn:aws:execute-api:eu-west-3::a1b2c3d4e5/*/*") },
			"Condition", "eu-west-3::a1b2"},
		"region": {func(s *policy.Statement) {
			source(s,
				"arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/*/*")
		}, "Condition", "us-east-1"},
		"stale API": {func(s *policy.Statement) {
			source(s,
				"arn:aws:execute-api:eu-west-3:123456789012:zzzzzzzzzz/*/*")
		}, "Condition", "zzzzzzzzzz"},
		"swallowed $default": {func(s *policy.Statement) { source(s, prefix+"/GET/notes") }, "Condition",
			"a1b2c3d4e5//GET"},
		"account condition": {func(s *policy.Statement) {
			s.Condition["StringEquals"]["AWS:SourceAccount"] = policy.Strings{"210987654321"}
		}, "Condition", "210987654321"},
		"organisation": {func(s *policy.Statement) {
			s.Condition["StringEquals"]["aws:PrincipalOrgID"] = policy.Strings{
				"o-1"}
		}, "Condition", "nothing"},
		"unknown operator": {func(s *policy.Statement) {
			s.Condition["IpAddress"] = map[string]policy.Strings{"aws:SourceIp": {"0.0.0.0/0"}}
		}, "Condition", "IpAddress"},
	} {
		d := granted(prefix + "dev/*/notes")
		c.change(&d.Statement[0])
		decision := d.Judge(invoking(prefix + "dev/GET/notes"))
		if decision.Allowed || decision.Denied || len(decision.Reasons) != 1 || decision.Reasons[0].Field != c.field ||
			!strings.Contains(decision.Reasons[0].String(), c.says) {
			t.Errorf("%s: %+v", name, decision)
		}
	}
	if d := granted(prefix + "dev/*/notes").Judge(invoking(prefix + "dev/GET/notes")); !d.Allowed ||
		!d.Reasons[0].Holds {
		t.Errorf("%+v", d)
	}
}

// TestUnclear: what is not known here never ends in a yes.
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

func TestPrincipals(t *testing.T) {
	session := policy.Caller{ARN: "arn:aws:sts::123456789012:assumed-role/x/s", Account: "123456789012"}
	service := policy.Caller{Service: "apigateway.amazonaws.com", Account: "123456789012"}
	for _, c := range []struct {
		principal string
		caller    policy.Caller
		allowed   bool
	}{
		{`"*"`, session, true}, {`{"AWS":"*"}`, session, true}, {`{"AWS":"123456789012"}`, session, true},
		{`{"AWS":"arn:aws:iam::123456789012:root"}`, session, true},
		{`{"AWS":"arn:aws:iam::123456789012:role/x"}`, session, true}, {`{"AWS":"arn:aws:iam::123456789012:role/y"}`,
			session, false}, {`{"AWS":"arn:aws:sts::123456789012:assumed-role/x/s"}`, session, true},
		{`{"AWS":"210987654321"}`, session, false}, {`{"AWS":"123456789012"}`, service, false},
		{`{"Service":["a.amazonaws.com","apigateway.amazonaws.com"]}`, service, true},
		{`{"Service":"lambda.amazonaws.com"}`, service, false},
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

func source(s *policy.Statement, arn string) {
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
		"allowed":             {[]policy.Document{ours}, nil, "dynamodb:GetItem", true, false},
		"case of actions":     {[]policy.Document{ours}, nil, "DynamoDB:getitem", true, false},
		"not named":           {[]policy.Document{ours}, nil, "dynamodb:PutItem", false, false},
		"by the second":       {[]policy.Document{ours, all}, nil, "dynamodb:PutItem", true, false},
		"denied":              {[]policy.Document{all, deny}, nil, "dynamodb:Query", false, true},
		"not denied":          {[]policy.Document{all, deny}, nil, "dynamodb:GetItem", true, false},
		"beyond the boundary": {[]policy.Document{all}, &ours, "dynamodb:PutItem", false, false},
		"within the boundary": {[]policy.Document{all}, &ours, "dynamodb:Query", true, false},
		"denied by boundary":  {[]policy.Document{all}, &deny, "dynamodb:Query", false, true},
		"a boundary alone":    {nil, &all, "dynamodb:Query", false, false},
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
		there, holds         bool
	}{
		{"StringEquals", "a", "a", true, true}, {"StringEquals", "a", "A", true, false}, {"StringEquals", "a", "",
			false, false}, {"StringEqualsIfExists", "a", "", false, true},
		{"StringEqualsIfExists", "a", "b", true, false}, {"StringNotEquals", "a", "b", true, true}, {"StringNotEquals",
			"a", "a", true, false}, {"StringNotEquals", "a", "", false, true},
		{"StringEqualsIgnoreCase", "a", "A", true, true}, {"StringLike", "a*c", "abbc", true, true}, {"StringNotLike",
			"a*c", "abbc", true, false}, {"StringLike", "a?c", "ac", true, false},
		{"ArnLike", "arn:aws:s3:::b*", "arn:aws:s3:::bucket", true, true}, {"ArnLike", "arn:*:bucket",
			"arn:aws:s3:::bucket", true, false}, {"ArnLike", "*", "arn:aws:s3:::bucket", true, true},
		{"ArnEquals", "arn:aws:s3:::b*", "arn:aws:s3:::bucket", true, true}, {"ArnNotLike", "arn:aws:s3:::b*",
			"arn:aws:s3:::bucket", true, false},
		{"Bool", "true", "TRUE", true, true}, {"Null", "true", "", false, true}, {"Null", "false", "x", true, true},
		{"Null", "true", "x", true, false},
	} {
		d := policy.Document{Statement: policy.Statements{{Effect: "Allow", Action: policy.Strings{"*"},
			Condition: policy.Conditions{c.operator: {"k": {c.value}}}}}}
		r := policy.Request{Action: "a:b", Context: map[string]string{}}
		if c.there {
			r.Context["K"] = c.got
		}
		if got := d.Judge(r).Allowed; got != c.holds {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestLike holds the matcher to another one, made of regular expressions, on generated patterns.
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
		oracle := regexp.MustCompile(`(?s)^` + strings.NewReplacer(`\*`, `.*`, `\?`,
			`.`).Replace(regexp.QuoteMeta(pattern)) + `$`).MatchString(value)
		if got := policy.Like(pattern, value); got != oracle {
			t.Errorf("%q fits %q: %v, by regular expressions %v", value, pattern, got, oracle)
		}
		if oracle {
			matched++
		}
	}
	if matched < 500 {
		t.Errorf("only %d of the values fit", matched)
	}
	if policy.Like(strings.Repeat("*a", 50)+"b", strings.Repeat("a", 10_000)) { // and quickly
		t.Error("it fits")
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "x", `{"Statement":[{"Effect":"Maybe"}]}`,
		`{"Statement":[{"Effect":"Allow","Action":{"a":1}}]}`, `{"Statement":7}`, `{"Statement":[{"Effect":"Allow"}]}`,
		`{"Statement":[{"Effect":"Allow","Actions":"*"}]}`,
		`{"Statement":[{"Effect":"Allow","Action":"*","NotAction":"*"}]}`} {
		if _, err := policy.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "this is no policy") {
			t.Errorf("%s: %v", text, err)
		}
	}
	d := granted(prefix + "*/*")
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := policy.Parse(text)
	if err != nil || fmt.Sprint(again) == "" || !again.Judge(invoking(prefix+"dev/GET/notes")).Allowed {
		t.Errorf("%s: %+v, %v", text, again, err)
	}
}

func TestAssume(t *testing.T) {
	// percent-encoded, as IAM gives it
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
		{"the service", "lambda.amazonaws.com", "123456789012", true},
		{"another service", "ec2.amazonaws.com", "123456789012", false},
		{"another account", "lambda.amazonaws.com", "210987654321", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := (policy.Role{Trust: trust}).Assume(c.service, c.account); d.Allowed != c.want {
				t.Errorf("%+v", d)
			}
		})
	}
	if _, err := policy.ParseEscaped("%zz"); err == nil {
		t.Error("what is not percent-encoded is taken")
	}
}
