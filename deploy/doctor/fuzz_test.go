package doctor

import (
	"encoding/json"
	"fmt"
	"testing"

	"example.com/portable-notes/deploy/gateway"
)

// FuzzJudge: no facts cause a panic, and an error is never healthy.
func FuzzJudge(f *testing.F) {
	for _, s := range allSituations {
		c := healthy()
		s.set(c)
		c.Version = CaseVersion
		text, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseCase(text)
		if err != nil {
			t.Skip("it is not a case")
		}
		d := Judge(c, English)
		if d.Answer != nil && (d.Answer.Status == 0 || d.Answer.Status >= 400) && d.Verdict.Healthy {
			t.Errorf("%d is healthy", d.Answer.Status)
		}
		if d.Exit() == 0 && d.Faults() > 0 {
			t.Errorf("%d faults, but the exit code is 0", d.Faults())
		}
	})
}

// large returns an API of 300 routes, 3 stages and 20 functions, without any permission.
func large() Case {
	c := healthy()
	blank500(c)
	functions, one := []Function{}, c.Functions[0]
	*c.Routes.Value, *c.Integrations.Value, *c.Stages.Value = nil, nil, nil
	for i := range 20 {
		name := fmt.Sprint("notes", i)
		f := one
		f.Target = gateway.Target{Region: "us-east-1", Account: testAccount, Function: name}
		f.Policy = granting(apiStatement("other", sourceARN("b2/*/*")),
			apiStatement("path", sourceARN("a1/*/GET/nothing")))
		functions = append(functions, f)
		*c.Integrations.Value = append(*c.Integrations.Value, Integration{ID: name, Type: "AWS_PROXY",
			URI: "arn:aws:lambda:us-east-1:" + testAccount + ":function:" + name, PayloadFormat: "2.0"})
	}
	for i := range 300 {
		*c.Routes.Value = append(
			*c.Routes.Value,
			Route{ID: fmt.Sprint("r", i), Key: fmt.Sprintf("ANY /notes%d/{id}", i),
				Target: fmt.Sprint("integrations/notes", i%20)},
		)
	}
	for _, name := range []string{"dev", "prod", "test"} {
		*c.Stages.Value = append(*c.Stages.Value, Stage{Name: name, AutoDeploy: true, Deployment: "d"})
	}
	c.Functions = functions
	c.setRequest("GET", "/dev/notes7/{id}")
	return *c
}

// BenchmarkJudge judges an API of 300 routes, 3 stages and 20 functions.
func BenchmarkJudge(b *testing.B) {
	c := large()
	b.ReportAllocs()
	for b.Loop() {
		if d := Judge(c, English); d.Verdict.Cause == Unknown {
			b.Fatal(causesOf(d))
		}
	}
}
