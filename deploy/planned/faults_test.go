package planned_test

import (
	"slices"
	"strings"
	"testing"

	"example.com/portable-notes/deploy/doctor"
)

// faults returns the causes of the faults in a diagnosis.
func faults(d doctor.Diagnosis) (all []string) {
	for _, f := range d.Findings {
		if f.Level == doctor.Fault && !slices.Contains(all, f.Cause) {
			all = append(all, f.Cause)
		}
	}
	return all
}

// TestHealthy checks that the doctor finds nothing wrong with what the tools write for an API that works.
func TestHealthy(t *testing.T) {
	first := subject{tool: "Terraform first plan", file: "testdata/plan.json", terraform: true}
	for _, s := range append(slices.Clone(subjects), first) {
		t.Run(s.tool, func(t *testing.T) {
			r := s.read(t, nil)
			notHere := func(note string) bool { return !strings.HasSuffix(note, "is not here, so it is not judged") }
			if len(r.Cases) != 1 || slices.ContainsFunc(r.Notes, notHere) {
				t.Fatalf("%d APIs, notes %q", len(r.Cases), r.Notes)
			}
			d := doctor.Judge(r.Cases[0], doctor.English)
			if len(d.Findings) > 0 || d.Exit() != 0 {
				t.Errorf("exit %d, %+v", d.Exit(), d.Findings)
			}
			wantUnseen := 0
			if s == first {
				wantUnseen = 2 // the grants of two functions
			}
			if len(d.Unseen) != wantUnseen || len(r.Cases[0].Routes.Or()) != 5 {
				t.Errorf("%d routes, unseen %+v", len(r.Cases[0].Routes.Or()), d.Unseen)
			}
		})
	}
}

// staged are faults, in the order of the chain.
var staged = []struct {
	name   string
	change func(d *document)
	causes []string // that the doctor must name, and no other fault
	note   string   // a cause that it must name, but not as a fault
	parts  bool     // only where routes and integrations are resources, not parts of a definition
	named  bool     // not known if the tool writes the names of functions: another file may make such a function
}{
	{name: "no grant", change: func(d *document) { d.remove("Permission", true) }, causes: []string{"permission.none"}},
	{name: "another API", change: func(d *document) {
		d.set("Permission", "SourceArn", "arn:aws:execute-api:us-east-1:123456789012:gone000000/*/*")
	}, causes: []string{"permission.other-api"}},
	{name: "another stage", change: func(d *document) { d.grant("/prod/*") },
		causes: []string{"permission.stage", "permission.default-route"}},
	{name: "another path", change: func(d *document) { d.grant("/*/GET/things") },
		causes: []string{"permission.path", "permission.method", "permission.default-route"}},
	{name: "another method", change: func(d *document) { d.grant("/*/PATCH/*") },
		causes: []string{"permission.method", "permission.default-route"}},
	{name: "$default left out", change: func(d *document) { d.grant("/*/*/*") },
		causes: []string{"permission.default-route"}},
	{name: "$default swallowed", change: func(d *document) { d.grant("//") },
		causes: []string{"permission.mangled-arn"}},
	{name: "no account", change: func(d *document) {
		region, _ := d.own()
		d.set("Permission", "SourceArn", d.source(region, "", "/*/*"))
	}, causes: []string{"permission.account"}},
	{name: "another principal", change: func(d *document) {
		d.set("Permission", "Principal", "s3.amazonaws.com")
	}, causes: []string{"permission.principal"}},
	{name: "another action", change: func(d *document) {
		d.set("Permission", "Action", "lambda:GetFunction")
	}, causes: []string{"permission.action"}},
	{name: "no such function", change: func(d *document) { d.suffix("-gone") },
		causes: []string{"integration.function-missing"}, named: true},
	{name: "no such alias", change: func(d *document) { d.suffix(":live") },
		causes: []string{"integration.qualifier-missing"}},
	{name: "a version without a grant", change: func(d *document) { d.suffix(":1") },
		causes: []string{"permission.qualifier"}},
	{name: "$LATEST", change: func(d *document) { d.suffix(":$LATEST") }, causes: []string{"permission.qualifier"}},
	{name: "half a limit", change: func(d *document) {
		d.set("Stage", "DefaultRouteSettings", d.block(map[string]any{"ThrottlingBurstLimit": 5}))
	}, causes: []string{"stage.throttled"}},
	{name: "no deployment", change: func(d *document) {
		d.set("Stage", "AutoDeploy", false)
		d.set("Stage", "DeploymentId", "")
	}, causes: []string{"stage.not-deployed"}},
	{name: "no endpoint", change: func(d *document) {
		d.each("Api", func(_ string, properties map[string]any) bool {
			properties[d.key("DisableExecuteApiEndpoint")] = true
			return true
		})
	}, note: "endpoint.disabled"},
	{name: "no concurrency", change: func(d *document) {
		d.set("Function", "ReservedConcurrentExecutions", 0)
	}, causes: []string{"function.concurrency-zero"}},
	{name: "no authorizer", change: func(d *document) { d.remove("Permission", false) },
		causes: []string{"authorizer.not-callable"}},
	{name: "no target", change: func(d *document) { d.setAll("Route", "Target", "") },
		causes: []string{"route.no-target"}, parts: true},
	{name: "a target that is gone", change: func(d *document) { d.setAll("Route", "Target", "integrations/gone") },
		causes: []string{"route.integration-gone"}, parts: true},
	{name: "another method of the integration", change: func(d *document) {
		d.setAll("Integration", "IntegrationMethod", "GET")
	}, causes: []string{"integration.method"}, parts: true},
	{name: "an address", change: func(d *document) {
		d.setAll("Integration", "IntegrationUri", "https://example.com")
	}, causes: []string{"integration.uri"}, parts: true},
	{name: "a stage variable", change: func(d *document) { d.suffix(":${stageVariables.alias}") },
		causes: []string{"integration.stage-variable"}, parts: true},
	{name: "another kind of integration", change: func(d *document) {
		d.setAll("Integration", "IntegrationType", "HTTP_PROXY")
	}, note: "integration.other", parts: true},
	{name: "a retired runtime", change: func(d *document) { d.setAll("Function", "Runtime", "python3.7") },
		note: "function.runtime-retired"},
	{name: "no source", change: func(d *document) { d.set("Permission", "SourceArn", "") },
		note: "permission.too-wide"},
	{name: "a role of EC2", change: func(d *document) {
		d.each("Role", func(_ string, properties map[string]any) bool {
			key := d.key("AssumeRolePolicyDocument")
			if text, ok := properties[key].(string); ok {
				properties[key] = strings.ReplaceAll(text, "lambda.amazonaws.com", "ec2.amazonaws.com")
				return true
			}
			properties[key] = map[string]any{"Statement": map[string]any{"Effect": "Allow", "Action": "sts:AssumeRole",
				"Principal": map[string]any{"Service": "ec2.amazonaws.com"}}}
			return true
		})
	}, causes: []string{"function.role"}},
}

// block returns the settings of a block as the tool writes them.
func (d *document) block(settings map[string]any) any {
	if !d.terraform {
		return settings
	}
	own := map[string]any{}
	for name, value := range settings {
		own[d.key(name)] = value
	}
	return []any{own}
}

// TestFaults checks that the doctor names each fault in the files of each tool, and no other fault.
func TestFaults(t *testing.T) {
	for _, s := range subjects {
		for _, fault := range staged {
			if fault.parts && s.source != "" {
				continue
			}
			t.Run(s.tool+"/"+fault.name, func(t *testing.T) {
				r := s.read(t, fault.change)
				if len(r.Cases) != 1 {
					t.Fatalf("%d APIs", len(r.Cases))
				}
				d := doctor.Judge(r.Cases[0], doctor.English)
				record(d, r.Cases[0].Planned.Format)
				got := faults(d)
				slices.Sort(got)
				want := slices.Clone(fault.causes)
				if fault.named && s.names {
					want = nil
					if len(d.Unseen) == 0 {
						t.Error("it is not unseen")
					}
				}
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("the faults are %q, want %q", got, want)
				}
				if fault.note != "" && !slices.ContainsFunc(d.Findings, func(f doctor.Finding) bool {
					return f.Cause == fault.note
				}) {
					t.Errorf("%s is not named: %+v", fault.note, d.Findings)
				}
				for _, f := range d.Findings {
					if len(f.Places) == 0 || f.Places[0].Name == "" {
						t.Errorf("%s is at %+v", f.Cause, f.Places)
					}
				}
			})
		}
	}
}
