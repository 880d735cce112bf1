// Package arrows holds the project's packages to the few imports of each other that its layout allows.
package arrows

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "example.com/portable-notes"

// allowed lists, for each package, the packages of this project that it may import. Requests flow one way, from an
// adapter to the app, the notes and a store. The operator's data flow one way too: facts reads AWS through cloud,
// gateway, policy and doctor judge what it read, converge writes through cloud what stack says, and report prints. A
// package that is not here may import nothing of ours.
var allowed = map[string][]string{
	"adapters/lambda": {"adapters/settings", "app", "app/jwt", "app/web", "notes", "notes/dynamo", "notes/meter"},
	"adapters/server": {"adapters/settings", "app", "app/about", "app/jwt", "app/token", "app/web", "notes",
		"notes/bolt", "notes/dynamo", "notes/meter"},
	"adapters/settings": {"app", "app/token", "notes/dynamo"},
	"deploy": {"app/jwt", "app/token", "deploy/call", "deploy/cloud", "deploy/converge", "deploy/doctor",
		"deploy/facts", "deploy/gateway", "deploy/pack", "deploy/planned", "deploy/policy", "deploy/report",
		"deploy/sam", "deploy/sandbox", "deploy/sandbox/function",
		"deploy/stack", "deploy/transfer", "notes", "notes/bolt", "notes/dynamo"},
	"app":          {"notes"},
	"app/about":    {"app", "app/asset"},
	"app/asset":    {"app"},
	"app/web":      {"app", "app/asset"},
	"app/jwt":      {"app"},
	"app/token":    {"app"},
	"notes":        {},
	"deploy/call":  {},
	"deploy/cloud": {"deploy/call"},
	"deploy/code":  {"deploy/doctor"},
	"deploy/converge": {"deploy/call", "deploy/cloud", "deploy/facts", "deploy/gateway", "deploy/policy",
		"deploy/report", "deploy/stack"},
	"deploy/doctor": {"deploy/call", "deploy/gateway", "deploy/policy", "deploy/unknown"},
	"deploy/facts": {"app/jwt", "deploy/call", "deploy/cloud", "deploy/code", "deploy/doctor", "deploy/gateway",
		"deploy/policy"},
	"deploy/gateway": {"deploy/policy"},
	"deploy/openapi": {},
	"deploy/pack":    {},
	"deploy/planned": {"deploy/code", "deploy/doctor", "deploy/gateway", "deploy/openapi", "deploy/policy",
		"deploy/template", "deploy/unknown"},
	"deploy/policy": {"deploy/unknown"},
	"deploy/report": {"deploy/doctor"},
	"deploy/sam":    {},
	"deploy/sandbox": {"deploy/cloud", "deploy/gateway", "deploy/openapi", "deploy/policy", "deploy/sam",
		"deploy/sandbox/formation",
		"deploy/sandbox/function", "deploy/sandbox/process"},
	"deploy/sandbox/formation": {"deploy/cloud", "deploy/gateway", "deploy/template"},
	"deploy/sandbox/function":  {"deploy/cloud", "deploy/sandbox/process"},
	"deploy/sandbox/process":   {},

	"deploy/stack": {"app", "app/jwt", "app/token", "app/web", "deploy/call", "deploy/cloud",
		"deploy/gateway", "deploy/policy", "notes/dynamo"},
	"deploy/template": {"deploy/unknown"},
	"deploy/unknown":  {},
	"deploy/transfer": {"notes"},
	"notes/bolt":      {"notes"},
	"notes/dynamo":    {"notes"},
	"notes/meter":     {"notes"},

	// The suites are imported by tests alone.
	"app/apptest":             {"app/about"},
	"app/jwt/jwttest":         {},
	"app/web/webtest":         {"app/token", "notes/storetest"},
	"notes/dynamo/dynamotest": {"notes/dynamo", "notes/storetest"},
	"notes/storetest":         {"notes"},
}

// suites may be imported by every test and by nothing else.
var suites = []string{"app/apptest", "app/jwt/jwttest", "app/web/webtest", "notes/dynamo/dynamotest",
	"notes/storetest"}

// pure are the packages that only compute. They import nothing of forbidden, and of ours each other alone.
var (
	pure = []string{"deploy/call", "deploy/code", "deploy/doctor", "deploy/gateway", "deploy/openapi",
		"deploy/planned", "deploy/policy", "deploy/template", "deploy/unknown"}
	forbidden = []string{"context", "net/http", "os", module + "/deploy/cloud"}
)

func TestArrows(t *testing.T) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		from, ours := strings.CutPrefix(p.ImportPath, module+"/")
		if !ours {
			continue // this test
		}
		seen[from] = true
		for _, imported := range p.Imports {
			if slices.Contains(pure, from) && slices.Contains(forbidden, imported) {
				t.Errorf("%s imports %s, and is to compute only", from, imported)
			}
			to, ours := strings.CutPrefix(imported, module+"/")
			if ours && slices.Contains(pure, from) && !slices.Contains(pure, to) {
				t.Errorf("%s imports %s, which does not compute only", from, imported)
			}
			if ours && (!slices.Contains(allowed[from], to) || slices.Contains(suites, to) && !slices.Contains(suites,
				from)) {
				t.Errorf("%s imports %s, which the layout does not allow: see allowed in arrows_test.go", from, to)
			}
		}
	}
	if all := slices.Sorted(maps.Keys(allowed)); !slices.Equal(all, slices.Sorted(maps.Keys(seen))) {
		t.Errorf("the packages are %v, the arrows know %v", slices.Sorted(maps.Keys(seen)), all)
	}
}
