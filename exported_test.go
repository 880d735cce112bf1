package arrows

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// TestExported: the names that packages use of each other are those of testdata/exported.txt, so that a rename shows in
// the change that makes it. Run it with -update to write the file.
func TestExported(t *testing.T) {
	used := map[string]bool{}
	for _, path := range files(t, "*.go") {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		addUsed(used, file)
	}
	got := strings.Join(slices.Sorted(maps.Keys(used)), "\n") + "\n"
	const golden = "testdata/exported.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(want)) {
		if name = strings.TrimSuffix(name, "\n"); !used[name] {
			t.Errorf("%s is no longer used by another package", name)
		}
		delete(used, name)
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		t.Errorf("%s is not in %s", name, golden)
	}
}

// addUsed adds to used the names of this project's packages that the file uses, as "package.Name".
func addUsed(used map[string]bool, file *ast.File) {
	packages := map[string]string{}
	for _, spec := range file.Imports {
		path, _ := strconv.Unquote(spec.Path.Value)
		if path, ours := strings.CutPrefix(path, module+"/"); ours {
			name := path[strings.LastIndex(path, "/")+1:]
			if spec.Name != nil {
				name = spec.Name.Name
			}
			packages[name] = path
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && packages[x.Name] != "" && selector.Sel.IsExported() {
				used[packages[x.Name]+"."+selector.Sel.Name] = true
			}
		}
		return true
	})
}
