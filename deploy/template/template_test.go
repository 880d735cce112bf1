package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/unknown"
)

// parseTemplate parses a template that must be right.
func parseTemplate(t *testing.T, text string) *Template {
	t.Helper()
	read, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// testScope has the values of the tests' parameters, and attributes named after the resource.
var testScope = Scope{
	Values: map[string]any{"AWS::Region": "eu-central-1", "AWS::AccountId": "123456789012", "Name": "notes",
		"Size": "256", "Names": []any{"a", "b"}},
	Ref: func(name string) (any, error) { return "ref-" + name, nil },
	Attribute: func(name, attribute string) (any, error) {
		if attribute == "None" {
			return nil, errors.New("no attribute None")
		}
		return "att-" + name + "-" + attribute, nil
	},
	Import: func(name string) (any, error) {
		if name == "unknown" {
			return nil, errors.New("no export")
		}
		return "imported-" + name, nil
	},
	Resolve: func(service, name string) (string, error) {
		if service != "ssm" {
			return "", errors.New("only ssm")
		}
		return "resolved-" + name, nil
	},
}

// TestEvaluate checks the value of each function, in short and long form, and the error for wrong arguments.
func TestEvaluate(t *testing.T) {
	const frame = `Mappings: {Map: {eu-central-1: {Size: 7, List: [x, y]}}}
Conditions:
  Yes: !Equals [!Ref Name, notes]
  No: !Not [Condition: Yes]
  Both: !And [Condition: Yes, !Condition Yes]
  Either: !Or [Condition: No, !Equals [a, b]]
  Loop: !Not [Condition: Loop2]
  Loop2: !Not [Condition: Loop]
Resources:
  F: {Type: AWS::Lambda::Function}
  R:
    Type: AWS::X::Y
    Properties:
      V: `
	for _, c := range []struct{ name, yaml, want, fails string }{
		{name: "a string", yaml: `plain`, want: `"plain"`},
		{name: "a number", yaml: `12.5`, want: `12.5`},
		{name: "a large number keeps its digits", yaml: `123456789012`, want: `123456789012`},
		{name: "a number with a leading zero is text", yaml: `007`, want: `"007"`},
		{name: "a boolean", yaml: `true`, want: `true`},
		{name: "a boolean in capitals", yaml: `True`, want: `true`},
		{name: "a date is text", yaml: `2012-10-17`, want: `"2012-10-17"`},
		{name: "Ref of a parameter", yaml: `!Ref Name`, want: `"notes"`},
		{name: "Ref of a list", yaml: `!Ref Names`, want: `["a","b"]`},
		{name: "Ref of a resource, long", yaml: `{Ref: F}`, want: `"ref-F"`},
		{name: "Ref of nothing", yaml: `!Ref X`, fails: "there is no parameter or resource X"},
		{name: "GetAtt", yaml: `!GetAtt F.Arn`, want: `"att-F-Arn"`},
		{name: "GetAtt with a dot", yaml: `!GetAtt F.A.B`, want: `"att-F-A.B"`},
		{name: "GetAtt, long", yaml: `{Fn::GetAtt: [F, Arn]}`, want: `"att-F-Arn"`},
		{name: "GetAtt, long, as one string", yaml: `{Fn::GetAtt: F.Arn}`, want: `"att-F-Arn"`},
		{name: "GetAtt of nothing", yaml: `!GetAtt X.Arn`, fails: "there is no resource X"},
		{name: "GetAtt of an unknown attribute", yaml: `!GetAtt F.None`, fails: "no attribute None"},
		{name: "GetAtt without an attribute", yaml: `{Fn::GetAtt: [F]}`, fails: "needs the name of a resource"},
		{name: "Sub", yaml: `!Sub "a-${Name}-${F}-${F.Arn}-${!Literal}-$x"`,
			want: `"a-notes-ref-F-att-F-Arn-${Literal}-$x"`},
		{name: "Sub with values", yaml: `!Sub ["${A}-${Name}", {A: !Ref Size}]`, want: `"256-notes"`},
		{name: "Sub of nothing", yaml: `!Sub "${X}"`, fails: "there is no parameter or resource X"},
		{name: "Sub of a list", yaml: `!Sub [a, b, c]`, fails: "Fn::Sub needs a string"},
		{name: "Join", yaml: `!Join ["-", [a, !Ref Name, 3]]`, want: `"a-notes-3"`},
		{name: "Join of a parameter", yaml: `{Fn::Join: [",", !Ref Names]}`, want: `"a,b"`},
		{name: "Join of an object", yaml: `!Join ["-", [{A: b}]]`, fails: "joins strings only"},
		{name: "Join without a list", yaml: `!Join ["-", a]`, fails: "needs a separator and a list"},
		{name: "Split and Select", yaml: `!Select [1, !Split ["-", "a-b-c"]]`, want: `"b"`},
		{name: "Split without a string", yaml: `!Split ["-"]`, fails: "needs a separator and a string"},
		{name: "Select outside", yaml: `!Select [2, [a, b]]`, fails: "an index and a list that has it"},
		{name: "FindInMap", yaml: `!FindInMap [Map, !Ref "AWS::Region", List]`, want: `["x","y"]`},
		{name: "FindInMap of nothing", yaml: `!FindInMap [Map, x, Size]`, fails: "the mappings have no [Map, x, Size]"},
		{name: "FindInMap with a default", yaml: `!FindInMap [Map, x, Size, {DefaultValue: 3}]`, want: `3`},
		{name: "FindInMap with too little", yaml: `!FindInMap [Map]`, fails: "needs a map and two keys"},
		{name: "If", yaml: `!If [Yes, a, !Ref Nothing]`, want: `"a"`},
		{name: "If not", yaml: `!If [No, !Ref Nothing, b]`, want: `"b"`},
		{name: "If with And and Or", yaml: `[!If [Both, 1, 2], !If [Either, 1, 2]]`, want: `[1,2]`},
		{name: "If of an unknown condition", yaml: `!If [Maybe, a, b]`, fails: "there is no condition Maybe"},
		{name: "If of a cycle", yaml: `!If [Loop, a, b]`, fails: "refers to itself"},
		{name: "If with two values", yaml: `!If [Yes, a]`, fails: "needs a list of 3 values"},
		{name: "NoValue removes members", yaml: `{A: !Ref "AWS::NoValue", B: [1, !If [No, 2, !Ref "AWS::NoValue"]]}`,
			want: `{"B":[1]}`},
		{name: "Base64", yaml: `{Fn::Base64: abc}`, want: `"YWJj"`},
		{name: "ImportValue", yaml: `!ImportValue x`, want: `"imported-x"`},
		{name: "ImportValue of nothing", yaml: `!ImportValue unknown`, fails: "no export"},
		{name: "GetAZs", yaml: `!Select [0, !GetAZs ""]`, want: `"eu-central-1a"`},
		{name: "Length", yaml: `{Fn::Length: [a, b]}`, want: `2`},
		{name: "ToJsonString", yaml: `{Fn::ToJsonString: {A: !Ref Name}}`, want: `"{\"A\":\"notes\"}"`},
		{name: "a dynamic reference", yaml: `"x-{{resolve:ssm:/a/b:1}}"`, want: `"x-resolved-/a/b:1"`},
		{name: "a composed dynamic reference", yaml: `!Sub "{{resolve:ssm:/${Name}/b}}"`,
			want: `"resolved-/notes/b"`},
		{name: "a dynamic reference elsewhere", yaml: `"{{resolve:vault:a}}"`, fails: "only ssm"},
		{name: "a function that is not supported", yaml: `{Fn::Cidr: [a, 1, 1]}`, fails: "Fn::Cidr is not supported"},
		{name: "a condition as a value", yaml: `!Equals [a, b]`, fails: "only in conditions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := parseTemplate(t, frame+c.yaml+"\n")
			value, err := read.Evaluate(read.Resource("R").Properties, testScope)
			if c.fails != "" {
				var mistake *Error
				if !errors.As(err, &mistake) || !strings.Contains(err.Error(), c.fails) || mistake.Line < 1 {
					t.Errorf("%v, want an error with %q and a line", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, _ := json.Marshal(value.(map[string]any)["V"])
			if string(text) != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
		})
	}
}

// TestParseMistakes checks the message and the line of each mistake in a template's form.
func TestParseMistakes(t *testing.T) {
	const good = "Resources:\n  R: {Type: A::B::C}\n"
	for _, c := range []struct {
		name, text, want string
	}{
		{"nothing", "", "the template is empty"},
		{"a syntax error of YAML", "Resources:\n  R:\n    Type: [\n", "line 3: "},
		{"a syntax error of JSON", "{\"Resources\": {\n\"R\": {\"Type\": }}}", "line 2"},
		{"text after JSON", "{\"Resources\": {}}\n{}", "line 2: there is more text after the template"},
		{"deep JSON", strings.Repeat(`{"a":`, 1000), "nested too deep"},
		{"a list", "[a]", "line 1: a template must be a mapping"},
		{"no resources", "Description: x\n", "at least one member of Resources must be defined"},
		{"an unknown section", good + "Resource: {}\n", "line 3: a template has no section Resource"},
		{"a section that is a list", "Resources: [a]\n", "line 1: a mapping of names is expected"},
		{"null", "Resources:\n  R:\n", "line 2: null is not allowed"},
		{"an unknown function", good + "Metadata: {A: [!Foo x]}\n", "line 3: there is no function Fn::Foo"},
		{"an unknown function, long", good + "Metadata: {A: {Fn::Bar: x}}\n", "line 3: there is no function Fn::Bar"},
		{"an alias", good + "Metadata: {A: &x 1, B: *x}\n", "line 3: CloudFormation does not support the aliases"},
		{"a merge key", good + "Metadata: {<<: {A: 1}}\n", "line 3: CloudFormation does not support the merge keys"},
		{"a key that is a list", good + "Metadata: {[a]: 1}\n", "line 3: a key must be a string"},
		{"a key twice", good + "  R: {Type: A::B::C}\n", `line 3: the key "R" is there twice`},
		{"a name with a dash", "Resources:\n  R-1: {Type: A::B::C}\n", "must be letters and digits"},
		{"no type", "Resources:\n  R: {Properties: {}}\n", "line 2: the resource R has no Type"},
		{"a string as a resource", "Resources:\n  R: x\n", "line 2: the resource R must be a mapping"},
		{"a list of properties", "Resources:\n  R: {Type: A::B::C, Properties: [a]}\n",
			"properties of R must be a mapping"},
		{"an unknown attribute", "Resources:\n  R: {Type: A::B::C, Depends: a}\n",
			"the resource R has no attribute Depends"},
		{"a computed type", "Resources:\n  R: {Type: !Ref X}\n", "line 2: a string is expected"},
		{"a computed dependency", "Resources:\n  R: {Type: A::B::C, DependsOn: {a: b}}\n",
			"a list of strings is expected"},
		{"an output without a value", good + "Outputs: {O: {Description: x}}\n", "line 3: the output O has no Value"},
		{"an unknown attribute of a parameter", good + "Parameters: {P: {Type: String, Foo: 1}}\n",
			"the parameter P has no attribute Foo"},
		{"a parameter without a type", good + "Parameters: {P: {Default: 1}}\n",
			"line 3: the parameter P must be a mapping with a Type"},
		{"a string as a parameter", good + "Parameters: {P: x}\n", "the parameter P must be a mapping with a Type"},
		{"a limit that is no number", good + "Parameters: {P: {Type: Number, MinValue: x}}\n",
			"line 3: a number is expected"},
		{"too deep", "Resources:\n  R: {Type: A::B::C, Properties: {A: " + strings.Repeat("[", 300) +
			strings.Repeat("]", 300) + "}}\n", "nested too deep"},
		{"too large", "#" + strings.Repeat("x", MaxSize), "at most 1048576 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			var mistake *Error
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestJSON checks that JSON is read in forms that are not YAML.
func TestJSON(t *testing.T) {
	read := parseTemplate(t, "{\n\t\"Description\":\t\"\\ud83d\\ude00 \\/\",\n\t\"Resources\": {\"R\":\n "+
		"{\"Type\": \"A::B::C\",\"Properties\": {\"A\": [1, true, {\"Ref\": \"Name\"}]}}}\n}")
	if read.Description != "😀 /" || read.Resource("R").Line != 3 {
		t.Errorf("%+v", read)
	}
	value, err := read.Evaluate(read.Resource("R").Properties, testScope)
	if got := fmt.Sprint(value); err != nil || got != "map[A:[1 true notes]]" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestOrder checks the order of resources, and the errors for cycles and for what is missing.
func TestOrder(t *testing.T) {
	for _, c := range []struct{ name, text, want, fails string }{
		{name: "references", text: `
  A: {Type: A::B::C, Properties: {X: !GetAtt B.Arn, Y: !Sub "${C}-${Name}"}}
  B: {Type: A::B::C, DependsOn: D}
  C: {Type: A::B::C, Properties: {X: !Sub ["${L}", {L: !Ref D}]}}
  D: {Type: A::B::C}`, want: "[D B C A]"},
		{name: "the order of the file otherwise", text: `
  B: {Type: A::B::C}
  A: {Type: A::B::C}`, want: "[B A]"},
		{name: "a condition", text: `
  A: {Type: A::B::C, Condition: No}
  B: {Type: A::B::C, Properties: {X: !If [No, !Ref A, x]}}`, want: "[B]"},
		{name: "a cycle", text: `
  A: {Type: A::B::C, Properties: {X: !Ref B}}
  B: {Type: A::B::C, Properties: {X: !Sub "${C.Arn}"}}
  C: {Type: A::B::C, DependsOn: [A]}`, fails: "circular dependency between resources: [A, B, C]"},
		{name: "itself", text: `
  A: {Type: A::B::C, Properties: {X: !Ref A}}`, fails: "circular dependency between resources: [A]"},
		{name: "a missing resource", text: `
  A: {Type: A::B::C, Properties: {X: !GetAtt B.Arn}}`, fails: "line 6: there is no parameter or resource B"},
		{name: "a missing dependency", text: `
  A: {Type: A::B::C, DependsOn: B}`, fails: "the resource A depends on B, which is not there"},
		{name: "a missing condition", text: `
  A: {Type: A::B::C, Condition: Maybe}`, fails: "there is no condition Maybe"},
		{name: "an output of a missing resource", text: `
  A: {Type: A::B::C}
Outputs: {O: {Value: !GetAtt B.Arn}}`, fails: "line 7: there is no parameter or resource B"},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := parseTemplate(t, "Conditions:\n  No: !Equals\n    - a\n    - b\nResources:"+c.text+"\n")
			ordered, err := read.Order(testScope)
			var names []string
			for _, r := range ordered {
				names = append(names, r.Name)
			}
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%v, want %q", err, c.fails)
				}
			} else if err != nil || fmt.Sprint(names) != c.want {
				t.Errorf("%v, %v, want %s", names, err, c.want)
			}
		})
	}
}

// TestParameters checks the constraints of parameters and the values of Ref.
func TestParameters(t *testing.T) {
	read := parseTemplate(t, `
Parameters:
  Pattern: {Type: String, AllowedPattern: "[a-z]+", ConstraintDescription: lower case}
  Choice: {Type: String, AllowedValues: [a, b], Default: a}
  Count: {Type: Number, MinValue: 1, MaxValue: 5, Default: 3}
  Long: {Type: String, MinLength: 2, MaxLength: 3, NoEcho: true}
  Many: {Type: CommaDelimitedList, Default: "x, y", Description: some}
  Numbers: {Type: List<Number>}
  Stored: {Type: "AWS::SSM::Parameter::Value<String>"}
Resources: {R: {Type: A::B::C}}
`)
	for _, c := range []struct{ parameter, value, fails string }{
		{"Pattern", "abc", ""}, {"Pattern", "ABC", "the parameter Pattern must match pattern [a-z]+: lower case"},
		{"Choice", "b", ""}, {"Choice", "c", "must be one of [a, b]"},
		{"Count", "5", ""}, {"Count", "6", "is 6, which is out of range"}, {"Count", "x", `must be a number, not "x"`},
		{"Long", "ab", ""}, {"Long", "a", "at least 2 characters"}, {"Long", "abcd", "at most 3 characters"},
		{"Numbers", "1, 2", ""}, {"Numbers", "1,x", `must be a number, not "x"`},
	} {
		t.Run(c.parameter+" "+c.value, func(t *testing.T) {
			i := slices.IndexFunc(read.Parameters, func(p Parameter) bool { return p.Name == c.parameter })
			err := read.Parameters[i].Check(c.value)
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v, want %q", err, c.fails)
			}
		})
	}
	choice, many, stored := read.Parameters[1], read.Parameters[4], read.Parameters[6]
	if *choice.Default != "a" || fmt.Sprint(many.Value("x, y")) != "[x y]" || fmt.Sprint(many.Value("")) != "[]" ||
		choice.Value("a") != "a" || !stored.IsFromSSM() || !read.Parameters[3].NoEcho {
		t.Errorf("%+v", read.Parameters)
	}
}

// TestRules checks the assertions of rules.
func TestRules(t *testing.T) {
	const frame = "Resources: {R: {Type: A::B::C}}\nRules:\n  Rule:\n    "
	for _, c := range []struct{ name, text, fails string }{
		{name: "holds", text: `Assertions: [{Assert: !Contains [!Ref Names, a]}]`},
		{name: "does not hold",
			text:  `Assertions: [{Assert: {Fn::Not: [Fn::Contains: [[a], a]]}, AssertDescription: old}]`,
			fails: "line 4: old"},
		{name: "does not apply", text: `{RuleCondition: !Equals [a, b], Assertions: [{Assert: !Equals [a, b]}]}`},
		{name: "does not apply, but the next one fails", text: `{RuleCondition: !Equals [a, b]}` +
			"\n  Other: {Assertions: [{Assert: !Equals [a, b]}]}", fails: "line 5: an assertion"},
		{name: "an assertion without a condition", text: `Assertions: [{}]`, fails: "a condition is missing"},
		{name: "no assertions", text: `{RuleCondition: !Equals [a, a]}`},
		{name: "not a condition", text: `Assertions: [{Assert: !Join ["", [a]]}]`,
			fails: "Fn::Join is not a condition"},
		{name: "no function", text: `Assertions: [{Assert: {a: b}}]`, fails: "needs a function such as Fn::Equals"},
		{name: "too few values", text: `Assertions: [{Assert: !Equals [a]}]`, fails: "needs a list of 2 values"},
		{name: "not a list", text: `Assertions: [{Assert: {Fn::And: a}}]`, fails: "needs a list of conditions"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := parseTemplate(t, frame+c.text+"\n").CheckRules(testScope)
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v, want %q", err, c.fails)
			}
		})
	}
}

// TestData checks that Data returns functions in their long form.
func TestData(t *testing.T) {
	read := parseTemplate(t, `
Transform: [AWS::Serverless-2016-10-31]
Conditions: {C: !Not [!Condition D], D: !Equals [a, b]}
Resources:
  R: {Type: A::B::C, Properties: {A: !GetAtt R.Arn, B: [!Ref R, 1], C: !Sub "${R}", D: true}}
Outputs:
  O: {Value: !Ref R, Description: d, Condition: C, Export: {Name: x}}
`)
	text, err := json.Marshal(read.Data())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Conditions":{"C":{"Fn::Not":[{"Condition":"D"}]},"D":{"Fn::Equals":["a","b"]}},` +
		`"Outputs":{"O":{"Condition":"C","Description":"d","Export":{"Name":"x"},"Value":{"Ref":"R"}}},` +
		`"Resources":{"R":{"Properties":{"A":{"Fn::GetAtt":["R","Arn"]},"B":[{"Ref":"R"},1],"C":{"Fn::Sub":"${R}"},` +
		`"D":true},"Type":"A::B::C"}},"Transform":["AWS::Serverless-2016-10-31"]}`
	if string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	if read.Transforms[0] != "AWS::Serverless-2016-10-31" || read.Outputs[0].Export == nil ||
		read.Outputs[0].Condition != "C" {
		t.Errorf("%+v", read)
	}
}

// FuzzParse checks that no input makes Parse or what follows panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"Resources: {R: {Type: A::B::C, Properties: {A: !GetAtt R.Arn}}}", "!Ref", "{", "a: *b",
		"Resources: {R: {Type: A::B::C, Properties: {A: !Sub [\"${A}\", {A: 1}], B: !If [a, b, c]}}}",
		"Resources: {R: {Type: A::B::C, Properties: {A: !GetAtt []}}}",
		"Resources: {R: {Type: A::B::C, Properties: {A: {Ref: {}}}}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		read, err := Parse([]byte(text))
		if err != nil {
			return
		}
		_ = read.Data()
		_, _ = read.Order(testScope)
		_ = read.CheckRules(testScope)
		for _, r := range read.Resources {
			_, _ = read.Evaluate(r.Properties, testScope)
		}
	})
}

// partialScope is testScope without the values of Stage, and with placeholders for what cannot be evaluated.
func partialScope() Scope {
	s := testScope
	s.Values = map[string]any{"AWS::Region": unknown.Open("AWS::Region"), "Stage": unknown.Open("Stage"),
		"Name": "notes"}
	s.Unknown = unknown.Open
	return s
}

// lines matches the places in the names of placeholders.
var lines = regexp.MustCompile(`(\.\d+)+`)

// TestPartial checks that what is not known becomes a placeholder, and that the rest is evaluated.
func TestPartial(t *testing.T) {
	const frame = `Mappings: {Map: {dev: {Size: 7}}}
Conditions:
  IsDev: !Equals [!Ref Stage, dev]
  IsNotes: !Equals [!Ref Name, notes]
  Either: !Or [!Condition IsDev, !Condition IsNotes]
  Both: !And [!Condition IsDev, !Not [!Condition IsNotes]]
  Neither: !Not [!Condition IsDev]
  Prefix: !Equals [!Sub "a-${Stage}", b]
Resources:
  F: {Type: AWS::Lambda::Function}
  R:
    Type: AWS::X::Y
    Properties:
      V: `
	for _, c := range []struct{ value, want string }{
		{"!Ref Stage", "«Stage»"},
		{"!Sub '${AWS::Region}/${Stage}/${F}'", "«AWS.Region»/«Stage»/ref-F"},
		{"!If [IsDev, a, b]", "«Fn.If.IsDev»"},
		{"!If [IsDev, [x], [x]]", "[x]"},
		{"!If [IsNotes, a, b]", "a"},
		{"!If [Either, a, b]", "a"},
		{"!If [Both, a, b]", "b"},
		{"!If [Neither, a, b]", "«Fn.If.Neither»"},
		{"!If [Prefix, a, b]", "b"},
		{"!FindInMap [Map, !Ref Stage, Size]", unknown.Open("Fn.FindInMap.Map.Stage.Size")},
		{"!Select [0, !Split ['-', !Ref Stage]]", "«Fn.Select»"},
		{"!Join ['-', !Ref Stage]", "«Fn.Join»"},
		{"!Join ['-', [a, !Ref Stage]]", "a-«Stage»"},
		{"!Join ['-', [{a: b}]]", "«Fn.Join»"},
		{"!Cidr [a, 1, 2]", "«Fn.Cidr»"},
	} {
		t.Run(c.value, func(t *testing.T) {
			read := parseTemplate(t, frame+c.value+"\n")
			got, err := read.Evaluate(get(read.Resource("R").Properties, "V"), partialScope())
			if err != nil || lines.ReplaceAllString(fmt.Sprint(got), "") != c.want {
				t.Errorf("%v, %v, want %s", got, err, c.want)
			}
		})
	}
	for _, value := range []string{"!Ref Nobody", "!GetAtt Nobody.Arn", "!Sub '${Nobody}'"} {
		t.Run(value, func(t *testing.T) {
			read := parseTemplate(t, frame+value+"\n")
			_, err := read.Evaluate(get(read.Resource("R").Properties, "V"), partialScope())
			if err == nil || !strings.Contains(err.Error(), "line 14: there is no") {
				t.Errorf("without a macro: %v", err)
			}
			read = parseTemplate(t, "Transform: Mine\n"+frame+value+"\n")
			got, err := read.Evaluate(get(read.Resource("R").Properties, "V"), partialScope())
			if err != nil || !strings.Contains(fmt.Sprint(got), "«Nobody") {
				t.Errorf("with a macro: %v, %v", got, err)
			}
		})
	}
	read := parseTemplate(t, frame+"x\n")
	if _, err := read.Holds("IsDev", partialScope()); !errors.Is(err, ErrUnknown) {
		t.Errorf("a condition on a parameter without a value: %v", err)
	}
}

// TestAliases checks that ParseSource replaces aliases and merge keys, that it refuses too many, and what else it
// accepts.
func TestAliases(t *testing.T) {
	const text = `Globals: {Base: &base {A: a, B: b}, More: &more {C: c}}
Resources:
  R:
    Type: AWS::X::Y
    Properties: {<<: [*base, *more], B: own, All: *more}
`
	if _, err := Parse([]byte(text)); err == nil {
		t.Error("CloudFormation does not accept aliases")
	}
	read, err := ParseSource([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got, err := read.Evaluate(read.Resource("R").Properties, testScope)
	if want := "map[A:a All:map[C:c] B:own C:c]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	read, err = ParseSource([]byte(`Unknown: 1
Resources:
  Fn::ForEach::Topics: []
  R: {Type: AWS::X::Y, Comment: c, Properties: {A: a, N: null, A: b, L: [x, null]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	got, err = read.Evaluate(read.Resource("R").Properties, testScope)
	want := "map[A:b L:[x]]"
	if err != nil || fmt.Sprint(got) != want || len(read.Loops) != 1 || read.Loops[0].Line != 3 {
		t.Errorf("%v, %v, want %s; loops %v", got, err, want, read.Loops)
	}
	bomb := "Metadata:\n  A0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("  A%d: &a%[1]d [%s*a%d]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	if _, err := ParseSource([]byte(bomb + text)); err == nil || !strings.Contains(err.Error(), "too many values") {
		t.Errorf("aliases of aliases: %v", err)
	}
	if _, err := ParseSource([]byte("Metadata: &m {M: *m}\n" + text)); err == nil {
		t.Error("an alias of itself is accepted")
	}
}
