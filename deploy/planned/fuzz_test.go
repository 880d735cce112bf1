package planned_test

import (
	"testing"
	"testing/fstest"

	"example.com/portable-notes/deploy/doctor"
	"example.com/portable-notes/deploy/planned"
)

// FuzzRead checks that no file makes the reader or the doctor panic.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"../../docs/building/cloudformation.yaml", "../../docs/blank-500.yaml",
		"testdata/plan.json", "testdata/state.json"} {
		f.Add(readFile(f, name))
	}
	f.Add([]byte(small))
	f.Add([]byte("openapi: 3.0.1\npaths: {/x: {get: {x-amazon-apigateway-integration: {uri: !Ref X}}}}\n"))
	files := fstest.MapFS{"main.tf": {Data: readFile(f, "../../docs/building/main.tf")}}
	f.Fuzz(func(_ *testing.T, text []byte) {
		r, err := planned.Read("file", text, planned.Options{Files: files,
			Translate: func(template []byte, _ map[string]string) ([]byte, error) { return template, nil }})
		if err != nil {
			return
		}
		for _, c := range r.Cases {
			doctor.Judge(c, doctor.English)
		}
	})
}

// BenchmarkRead measures reading and judging what each tool writes.
func BenchmarkRead(b *testing.B) {
	for _, s := range subjects {
		if s.source != "" { // the translator is another program
			continue
		}
		text := readFile(b, s.file)
		b.Run(s.tool, func(b *testing.B) {
			for b.Loop() {
				r, err := planned.Read(s.file, text, planned.Options{})
				if err != nil {
					b.Fatal(err)
				}
				doctor.Judge(r.Cases[0], doctor.English)
			}
		})
	}
}
