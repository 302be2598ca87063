package query

import (
	"sort"
	"strings"
)

// Given tells whether a parameter is there. In a path such as SourceBuildInformation.SourceType the
// second is required only when the first is given.
func (p *Parameters) Given(path string) bool {
	first, rest, nested := strings.Cut(path, ".")
	child := p.children[first]
	if !nested {
		return child != nil
	}
	return child == nil || child.Given(rest)
}

// Names are the top-level parameters of the request, sorted.
func (p *Parameters) Names() []string {
	names := make([]string, 0, len(p.children))
	for name := range p.children {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Values are the values of a top-level parameter: its own, or those of its members.
func (p *Parameters) Values(name string) []string {
	child := p.children[name]
	if child == nil {
		return nil
	}
	if child.set {
		return []string{child.value}
	}
	var values []string
	for _, member := range p.Members(name) {
		if member.set {
			values = append(values, member.value)
		}
	}
	return values
}
