package planned

import (
	"encoding/json"
	"slices"
	"strings"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/policy"
	"example.com/portable-notes/deploy/unknown"
)

// functionOf returns the function that a text names, and its qualifier: NAME, ACCOUNT:function:NAME or an ARN, each
// with or without a qualifier ("AddPermission", Lambda API reference).
func functionOf(name string) (function, qualifier string) {
	if _, rest, found := strings.Cut(name, ":function:"); found {
		name = rest
	}
	function, qualifier, _ = strings.Cut(name, ":")
	return function, qualifier
}

// grants returns the policy of exactly this function, version or alias.
func (b *builder) grants(function, qualifier string) doctor.Fact[policy.Document] {
	f := doctor.Fact[policy.Document]{Call: b.name, Of: strings.TrimSuffix(function+":"+qualifier, ":")}
	d := policy.Document{Version: "2012-10-17"}
	for _, one := range b.of("AWS::Lambda::Permission") {
		name, of := functionOf(one.text("FunctionName"))
		if name == function && of == qualifier || name != function && b.mayName(name, function) {
			d.Statement = append(d.Statement, b.statement(one, name, of))
			b.c.Planned.Places[one.name] = one.place
		}
	}
	if f.Value = &d; len(d.Statement) == 0 {
		f.Value, f.Error = nil, &doctor.Failure{Kind: doctor.Missing, Message: "no permission names it"}
	}
	return f
}

// mayName reports whether a name may be that of a function, where one of them is not known. It is not if it is that of
// another function of the file.
func (b *builder) mayName(name, function string) bool {
	isOther := func(r *resource) bool { return r.id == name }
	return (unknown.In(name) || unknown.In(function)) && unknown.MayEqual(name, function) &&
		!slices.ContainsFunc(b.of("AWS::Lambda::Function"), isOther)
}

// statement returns the statement that Lambda makes of a permission ("AddPermission", Lambda API reference).
func (b *builder) statement(one *resource, function, qualifier string) policy.Statement {
	s := policy.Statement{Sid: one.name, Effect: "Allow", Action: policy.Strings{one.text("Action")},
		Resource:  policy.Strings{b.functionARN(strings.TrimSuffix(function+":"+qualifier, ":"))},
		Principal: &policy.Principal{Names: map[string]policy.Strings{"Service": {one.text("Principal")}}},
		Condition: policy.Conditions{}}
	switch principal := one.text("Principal"); {
	case principal == "*":
		s.Principal = &policy.Principal{Everybody: true}
	case isAccount(principal) || strings.HasPrefix(principal, "arn:"):
		s.Principal.Names = map[string]policy.Strings{"AWS": {principal}}
	}
	for _, condition := range []struct{ property, operator, key string }{
		{"SourceArn", "ArnLike", "AWS:SourceArn"}, {"SourceAccount", "StringEquals", "AWS:SourceAccount"},
		{"PrincipalOrgID", "StringEquals", "aws:PrincipalOrgID"},
		{"FunctionUrlAuthType", "StringEquals", "lambda:FunctionUrlAuthType"},
		{"EventSourceToken", "StringEquals", "lambda:EventSourceToken"},
		{"InvokedViaFunctionUrl", "Bool", "lambda:InvokedViaFunctionUrl"},
	} {
		value := one.text(condition.property)
		if value == "" || value == "false" { // Terraform has those that are not set
			continue
		}
		if s.Condition[condition.operator] == nil {
			s.Condition[condition.operator] = map[string]policy.Strings{}
		}
		s.Condition[condition.operator][condition.key] = policy.Strings{value}
	}
	return s
}

// functionARN returns the ARN of a function, with or without a qualifier.
func (f *file) functionARN(named string) string {
	return "arn:" + f.partition + ":lambda:" + f.region + ":" + f.account + ":function:" + named
}

// parsePolicy reads a policy from a property.
func parsePolicy(value any) (policy.Document, error) {
	if encoded, ok := value.(string); ok { // Terraform has policies as text
		return policy.Parse([]byte(encoded))
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return policy.Document{}, err
	}
	return policy.Parse(encoded)
}
