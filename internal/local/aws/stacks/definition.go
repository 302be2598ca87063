package stacks

import (
	"fmt"
	"strings"

	"gravity/internal/stacks/template"
)

// unknown is what a value is that is known only once its resource was made.
const unknown = "{{changeSet:KNOWN_AFTER_APPLY}}"

// plan is a definition with everything that can be known before anything is made.
type plan struct {
	template template.Template
	scope    *template.Scope
	order    []string // of resources whose conditions hold, each after those that it needs
}

// read checks a definition, and orders its resources.
func (s *Stacks) read(of *stack, d definition) (*plan, error) {
	parsed, err := template.Parse([]byte(d.Template))
	if err != nil {
		return nil, refuse("Template format error: %v", err)
	}
	var strange []string
	for _, name := range template.Sorted(parsed.Resources) {
		if _, known := s.published.Types[parsed.Resources[name].Type]; !known {
			strange = append(strange, parsed.Resources[name].Type)
		}
	}
	if len(strange) > 0 {
		return nil, refuse("Template format error: Unrecognized resource types: [%s]", strings.Join(strange, ", "))
	}
	values, problems := parsed.Values(d.Parameters)
	if len(problems) > 0 {
		return nil, refuse("%s", strings.Join(problems, "; "))
	}
	p := &plan{template: parsed}
	p.scope = &template.Scope{Template: parsed, Parameters: values, Pseudo: map[string]string{
		"AWS::AccountId": s.ground.Account, "AWS::Partition": "aws", "AWS::Region": s.ground.Region, "AWS::URLSuffix": "amazonaws.com",
		"AWS::StackName": of.Name, "AWS::StackId": of.ID,
	}}
	p.scope.Ref = func(name string) (any, error) { return reference(of.resource(name), name) }
	p.scope.Attribute = func(name, attribute string) (any, error) {
		return s.attribute(of.resource(name), parsed.Resources[name].Type, name, attribute)
	}
	broken, err := p.scope.Broken()
	if err != nil {
		return nil, refuse("Template error: %v", err)
	}
	if len(broken) > 0 {
		return nil, refuse("%s", strings.Join(broken, "; "))
	}
	if err := p.sort(); err != nil {
		return nil, err
	}
	for _, name := range p.order {
		if _, err := p.properties(name); err != nil {
			return nil, err
		}
	}
	if _, err := p.outputs(); err != nil {
		return nil, refuse("Template error: %v", err)
	}
	return p, nil
}

func reference(r *resource, _ string) (any, error) {
	if r == nil || r.Physical == "" {
		return unknown, nil
	}
	return r.Physical, nil
}

// attribute is what GetAtt answers with. One that the type does not have is an error even before the
// resource is there.
func (s *Stacks) attribute(r *resource, resourceType, name, attribute string) (any, error) {
	if _, published := s.published.Types[resourceType].Attribute(attribute); !published {
		return nil, fmt.Errorf("resource %s does not support attribute type %s in Fn::GetAtt", name, attribute)
	}
	if r == nil || r.Physical == "" {
		return unknown, nil
	}
	value, known := r.Attributes[attribute]
	if !known {
		return nil, fmt.Errorf("the stand-in keeps no attribute %s of %s", attribute, resourceType)
	}
	return value, nil
}

// sort orders resources so that each comes after those that it needs.
func (p *plan) sort() error {
	state := map[string]int{} // 1: being looked at, 2: in its place
	var visit func(name string) error
	visit = func(name string) error {
		switch state[name] {
		case 2:
			return nil
		case 1:
			return refuse("Circular dependency between resources: [%s]", name)
		}
		resource := p.template.Resources[name]
		holds, err := p.scope.Holds(resource.Condition)
		if err != nil {
			return refuse("Template error: %v", err)
		}
		if !holds {
			return nil
		}
		state[name] = 1
		for _, needed := range append(p.scope.References(resource.Properties), resource.DependsOn...) {
			if _, there := p.template.Resources[needed]; !there {
				return refuse("Template format error: Unresolved resource dependencies [%s] in the Resources block of the template", needed)
			}
			if err := visit(needed); err != nil {
				return err
			}
		}
		state[name] = 2
		p.order = append(p.order, name)
		return nil
	}
	for _, name := range template.Sorted(p.template.Resources) {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// properties are a resource's, as far as they are known.
func (p *plan) properties(name string) (map[string]any, error) {
	resolved, err := p.scope.Resolve(p.template.Resources[name].Properties)
	if err != nil {
		return nil, refuse("Template error: resource %s: %v", name, err)
	}
	properties, _ := resolved.(map[string]any)
	if properties == nil {
		properties = map[string]any{}
	}
	return properties, nil
}

// blank is a resource that is still to be made.
func (p *plan) blank(name string) *resource {
	described := p.template.Resources[name]
	return &resource{Logical: name, Type: described.Type,
		Retain: strings.HasPrefix(described.DeletionPolicy, "Retain"), KeepOld: strings.HasPrefix(described.UpdateReplacePolicy, "Retain")}
}

// outputs are what the stack tells once everything is there.
func (p *plan) outputs() ([]output, error) {
	var told []output
	for _, name := range template.Sorted(p.template.Outputs) {
		described := p.template.Outputs[name]
		holds, err := p.scope.Holds(described.Condition)
		if err != nil {
			return nil, err
		}
		if !holds {
			continue
		}
		value, err := p.scope.Resolve(described.Value)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", name, err)
		}
		told = append(told, output{Name: name, Value: template.Text(value), Description: described.Description})
	}
	return told, nil
}
