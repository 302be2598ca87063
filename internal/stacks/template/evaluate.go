package template

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// NoValue is what a property that a condition leaves out refers to.
const NoValue = "AWS::NoValue"

// Scope is what a template's functions are resolved in.
type Scope struct {
	Template Template
	// Parameters have a string each, or []any where their type is a list.
	Parameters map[string]any
	// Pseudo are AWS::Region and so on.
	Pseudo map[string]string
	// Ref and Attribute answer for resources. A resource that does not exist yet is an error of theirs.
	Ref       func(resource string) (any, error)
	Attribute func(resource, attribute string) (any, error)

	deciding []string // conditions, against circles
}

// Resolve answers with a value whose functions have come to what they stand for. Left-out values are
// gone from mappings and lists.
func (s *Scope) Resolve(of any) (any, error) {
	resolved, err := s.resolve(of)
	if err != nil {
		return nil, err
	}
	if _, left := resolved.(leftOut); left {
		return nil, nil
	}
	return resolved, nil
}

// leftOut is what AWS::NoValue comes to.
type leftOut struct{}

func (s *Scope) resolve(of any) (any, error) {
	switch v := of.(type) {
	case []any:
		list := make([]any, 0, len(v))
		for _, element := range v {
			resolved, err := s.resolve(element)
			if err != nil {
				return nil, err
			}
			if _, left := resolved.(leftOut); !left {
				list = append(list, resolved)
			}
		}
		return list, nil
	case map[string]any:
		if name, argument, ok := functionOf(v); ok {
			return s.call(name, argument)
		}
		object := make(map[string]any, len(v))
		for _, key := range Sorted(v) {
			resolved, err := s.resolve(v[key])
			if err != nil {
				return nil, err
			}
			if _, left := resolved.(leftOut); !left {
				object[key] = resolved
			}
		}
		return object, nil
	default:
		return of, nil
	}
}

// functionOf tells a function call from a mapping. A policy's Condition is one, so a condition's name alone is
// not taken for a call outside of conditions.
func functionOf(object map[string]any) (name string, argument any, ok bool) {
	if len(object) != 1 {
		return "", nil, false
	}
	for name, argument := range object {
		if name == "Ref" || strings.HasPrefix(name, "Fn::") {
			return name, argument, true
		}
	}
	return "", nil, false
}

func (s *Scope) call(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		return s.ref(Text(argument))
	case "Fn::If":
		return s.choose(argument)
	case "Fn::GetAtt":
		path, ok := argument.([]any)
		if !ok || len(path) != 2 {
			return nil, fmt.Errorf("Fn::GetAtt needs a resource and an attribute, not %v", argument)
		}
		return s.attribute(Text(path[0]), Text(path[1]))
	case "Fn::Sub":
		return s.substitute(argument)
	}
	resolved, err := s.resolve(argument)
	if err != nil {
		return nil, err
	}
	arguments, _ := resolved.([]any)
	switch name {
	case "Fn::Join":
		return join(arguments)
	case "Fn::Select":
		return pick(arguments)
	case "Fn::Split":
		if len(arguments) != 2 {
			return nil, fmt.Errorf("Fn::Split needs a separator and a text")
		}
		var parts []any
		for _, part := range strings.Split(Text(arguments[1]), Text(arguments[0])) {
			parts = append(parts, part)
		}
		return parts, nil
	case "Fn::FindInMap":
		return s.find(arguments)
	case "Fn::Base64":
		return base64.StdEncoding.EncodeToString([]byte(Text(resolved))), nil
	}
	return nil, fmt.Errorf("the function %s is not one that is known here", name)
}

func (s *Scope) ref(name string) (any, error) {
	if name == NoValue {
		return leftOut{}, nil
	}
	if value, ok := s.Pseudo[name]; ok {
		return value, nil
	}
	if value, ok := s.Parameters[name]; ok {
		return value, nil
	}
	if err := s.exists(name); err != nil {
		return nil, err
	}
	return s.Ref(name)
}

func (s *Scope) attribute(resource, attribute string) (any, error) {
	if err := s.exists(resource); err != nil {
		return nil, err
	}
	return s.Attribute(resource, attribute)
}

// exists makes sure that a resource is in the template, and not left out by its condition.
func (s *Scope) exists(name string) error {
	resource, ok := s.Template.Resources[name]
	if !ok {
		return fmt.Errorf("unresolved resource dependencies [%s] in the template", name)
	}
	made, err := s.Holds(resource.Condition)
	if err == nil && !made {
		err = fmt.Errorf("unresolved resource dependencies [%s] in the template: its condition %s leaves it out", name, resource.Condition)
	}
	return err
}

func (s *Scope) choose(argument any) (any, error) {
	branches, ok := argument.([]any)
	if !ok || len(branches) != 3 {
		return nil, fmt.Errorf("Fn::If needs a condition and two values, not %v", argument)
	}
	holds, err := s.Holds(Text(branches[0]))
	if err != nil {
		return nil, err
	}
	if holds {
		return s.resolve(branches[1])
	}
	return s.resolve(branches[2])
}

// Holds tells whether a condition is true; the empty one always is.
func (s *Scope) Holds(name string) (bool, error) {
	if name == "" {
		return true, nil
	}
	condition, ok := s.Template.Conditions[name]
	if !ok {
		return false, fmt.Errorf("there is no condition %s in the template", name)
	}
	if slices.Contains(s.deciding, name) {
		return false, fmt.Errorf("condition %s depends on itself", name)
	}
	s.deciding = append(s.deciding, name)
	defer func() { s.deciding = s.deciding[:len(s.deciding)-1] }()
	return s.Decide(condition)
}

// Decide evaluates a condition, or an assertion of a rule.
func (s *Scope) Decide(condition any) (bool, error) {
	object, ok := condition.(map[string]any)
	if !ok || len(object) != 1 {
		return false, fmt.Errorf("%v is no condition", condition)
	}
	name := Sorted(object)[0]
	if name == "Condition" {
		return s.Holds(Text(object[name]))
	}
	arguments, ok := object[name].([]any)
	if !ok {
		return false, fmt.Errorf("the condition function %s needs a list", name)
	}
	switch name {
	case "Fn::Equals":
		return s.equal(arguments)
	case "Fn::Not":
		if len(arguments) != 1 {
			return false, fmt.Errorf("Fn::Not needs one condition")
		}
		holds, err := s.Decide(arguments[0])
		return !holds, err
	case "Fn::And", "Fn::Or":
		for _, one := range arguments {
			holds, err := s.Decide(one)
			if err != nil || holds == (name == "Fn::Or") {
				return holds, err
			}
		}
		return name == "Fn::And", nil
	default:
		return false, fmt.Errorf("the condition function %s is not one that is known here", name)
	}
}

func (s *Scope) equal(arguments []any) (bool, error) {
	if len(arguments) != 2 {
		return false, fmt.Errorf("Fn::Equals needs two values")
	}
	left, err := s.Resolve(arguments[0])
	if err != nil {
		return false, err
	}
	right, err := s.Resolve(arguments[1])
	return err == nil && Text(left) == Text(right), err
}

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

// substitute fills ${Name}, ${Resource.Attribute} and the names of its own mapping into a text.
func (s *Scope) substitute(argument any) (any, error) {
	text, own := argument, map[string]any{}
	if list, ok := argument.([]any); ok && len(list) == 2 {
		text = list[0]
		own, _ = list[1].(map[string]any)
	}
	format, ok := text.(string)
	if !ok {
		return nil, fmt.Errorf("Fn::Sub needs a text, not %v", text)
	}
	var failed error
	filled := placeholder.ReplaceAllStringFunc(format, func(match string) string {
		name := strings.TrimSpace(match[2 : len(match)-1])
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		value, err := s.named(name, own)
		if err != nil && failed == nil {
			failed = err
		}
		return Text(value)
	})
	return filled, failed
}

func (s *Scope) named(name string, own map[string]any) (any, error) {
	if value, ok := own[name]; ok {
		return s.resolve(value)
	}
	if resource, attribute, nested := strings.Cut(name, "."); nested {
		return s.attribute(resource, attribute)
	}
	return s.ref(name)
}

func join(arguments []any) (any, error) {
	if len(arguments) == 2 {
		if list, ok := arguments[1].([]any); ok {
			texts := make([]string, len(list))
			for i, element := range list {
				texts[i] = Text(element)
			}
			return strings.Join(texts, Text(arguments[0])), nil
		}
	}
	return nil, fmt.Errorf("Fn::Join needs a separator and a list")
}

func pick(arguments []any) (any, error) {
	if len(arguments) == 2 {
		index, err := strconv.Atoi(Text(arguments[0]))
		if list, ok := arguments[1].([]any); ok && err == nil {
			if index >= 0 && index < len(list) {
				return list[index], nil
			}
			return nil, fmt.Errorf("Fn::Select cannot select nonexistent value at index %d", index)
		}
	}
	return nil, fmt.Errorf("Fn::Select needs an index and a list")
}

func (s *Scope) find(arguments []any) (any, error) {
	var at any = s.Template.Mappings
	for _, key := range arguments {
		level, ok := at.(map[string]any)
		if !ok || level[Text(key)] == nil {
			return nil, fmt.Errorf("Fn::FindInMap finds no %v in the mappings", arguments)
		}
		at = level[Text(key)]
	}
	return at, nil
}

// References are the resources that a value needs before it can be resolved, in order.
func (s *Scope) References(of any) []string {
	found := map[string]bool{}
	s.collect(of, found)
	return Sorted(found)
}

func (s *Scope) collect(of any, found map[string]bool) {
	note := func(name string) {
		if _, ok := s.Template.Resources[name]; ok {
			found[name] = true
		}
	}
	switch v := of.(type) {
	case []any:
		for _, element := range v {
			s.collect(element, found)
		}
	case map[string]any:
		name, argument, call := functionOf(v)
		switch {
		case !call:
			for _, element := range v {
				s.collect(element, found)
			}
		case name == "Ref":
			note(Text(argument))
		case name == "Fn::GetAtt":
			if path, ok := argument.([]any); ok && len(path) > 0 {
				note(Text(path[0]))
			}
		case name == "Fn::If":
			s.collectChosen(argument, found)
		case name == "Fn::Sub":
			format := argument
			if list, ok := argument.([]any); ok && len(list) == 2 {
				format = list[0]
				s.collect(list[1], found)
			}
			for _, match := range placeholder.FindAllStringSubmatch(Text(format), -1) {
				resource, _, _ := strings.Cut(match[1], ".")
				note(resource)
			}
		default:
			s.collect(argument, found)
		}
	}
}

// collectChosen looks at the branch that its condition chooses.
func (s *Scope) collectChosen(argument any, found map[string]bool) {
	branches, ok := argument.([]any)
	if !ok || len(branches) != 3 {
		return
	}
	if holds, err := s.Holds(Text(branches[0])); err == nil && holds {
		s.collect(branches[1], found)
	} else if err == nil {
		s.collect(branches[2], found)
	}
}
