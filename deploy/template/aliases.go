package template

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxNodes is the maximum number of values of a template after its aliases are replaced. A short text with aliases of
// aliases may stand for billions.
const maxNodes = 200_000

// expand returns a copy of a node whose aliases and merge keys are replaced by what they stand for.
func expand(root *yaml.Node) (*yaml.Node, error) {
	left := maxNodes
	var replace func(n *yaml.Node, depth int) (*yaml.Node, error)
	replace = func(n *yaml.Node, depth int) (*yaml.Node, error) {
		if left--; left < 0 || depth > 2*maxDepth {
			return nil, mistake(n, "the aliases of YAML stand for too many values")
		}
		if n.Kind == yaml.AliasNode {
			return replace(n.Alias, depth+1)
		}
		copied := *n
		copied.Anchor, copied.Content = "", nil
		for _, child := range n.Content {
			one, err := replace(child, depth+1)
			if err != nil {
				return nil, err
			}
			copied.Content = append(copied.Content, one)
		}
		merge(&copied)
		tidy(&copied)
		return &copied, nil
	}
	return replace(root, 0)
}

// tidy removes null from a mapping or a list, and all but the last of equal keys.
func tidy(n *yaml.Node) {
	isNull := func(child *yaml.Node) bool { return child.ShortTag() == "!!null" }
	switch n.Kind {
	case yaml.SequenceNode:
		n.Content = slices.DeleteFunc(n.Content, isNull)
	case yaml.MappingNode:
		var kept []*yaml.Node
		index := map[string]int{}
		for key, value := range pairs(n) {
			at, isThere := index[key.Value]
			switch {
			case isNull(value):
			case isThere:
				kept[at] = value
			default:
				index[key.Value] = len(kept) + 1
				kept = append(kept, key, value)
			}
		}
		n.Content = kept
	}
}

// merge replaces the merge keys of a mapping (https://yaml.org/type/merge.html). Its own keys take precedence, and
// earlier mappings over later ones.
func merge(n *yaml.Node) {
	var own, merged []*yaml.Node
	for key, value := range pairs(n) {
		switch {
		case key.ShortTag() != "!!merge":
			own = append(own, key, value)
		case value.Kind == yaml.SequenceNode:
			merged = append(merged, value.Content...)
		default:
			merged = append(merged, value)
		}
	}
	if merged == nil {
		return
	}
	n.Content = own
	for _, one := range merged {
		for key, value := range pairs(one) {
			if get(n, key.Value) == nil {
				n.Content = append(n.Content, key, value)
			}
		}
	}
}
