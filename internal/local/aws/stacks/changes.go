package stacks

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"gravity/internal/local/aws/stacks/specification"
	"gravity/internal/stacks/template"
)

// compare lists what a definition would change in a stack, in the order in which it would happen.
func (s *Stacks) compare(of *stack, p *plan) ([]types.Change, error) {
	var changes []types.Change
	// What is replaced gets another physical ID, so that what refers to it changes as well.
	replaced := map[string]bool{}
	scope := *p.scope
	scope.Ref = func(name string) (any, error) {
		if replaced[name] {
			return unknown, nil
		}
		return p.scope.Ref(name)
	}
	scope.Attribute = func(name, attribute string) (any, error) {
		if replaced[name] {
			return unknown, nil
		}
		return p.scope.Attribute(name, attribute)
	}
	view := &plan{template: p.template, scope: &scope, order: p.order}
	for _, name := range p.order {
		wanted, err := view.properties(name)
		if err != nil {
			return nil, err
		}
		if problems := s.published.Check(p.template.Resources[name].Type, wanted); len(problems) > 0 {
			return nil, refuse("Properties validation failed for resource %s with message: %s", name, strings.Join(problems, "; "))
		}
		change := s.change(of.resource(name), view.blank(name), wanted)
		if change == nil {
			continue
		}
		replaced[name] = change.Replacement == types.ReplacementTrue
		changes = append(changes, types.Change{Type: types.ChangeTypeResource, ResourceChange: change})
	}
	for _, r := range of.Resources {
		if !contains(p.order, r.Logical) {
			changes = append(changes, types.Change{Type: types.ChangeTypeResource, ResourceChange: removal(r)})
		}
	}
	return changes, nil
}

func removal(r *resource) *types.ResourceChange {
	action := types.PolicyActionDelete
	if r.Retain {
		action = types.PolicyActionRetain
	}
	return &types.ResourceChange{Action: types.ChangeActionRemove, LogicalResourceId: aws.String(r.Logical), PolicyAction: action,
		PhysicalResourceId: aws.String(r.Physical), ResourceType: aws.String(r.Type), BeforeContext: contextOf(r.Properties)}
}

// change is what happens to one resource, or nil when nothing does.
func (s *Stacks) change(there, blank *resource, wanted map[string]any) *types.ResourceChange {
	change := &types.ResourceChange{Action: types.ChangeActionAdd, LogicalResourceId: aws.String(blank.Logical), ResourceType: aws.String(blank.Type),
		AfterContext: contextOf(wanted)}
	if there == nil {
		return change
	}
	change.Action, change.PhysicalResourceId, change.BeforeContext = types.ChangeActionModify, aws.String(there.Physical), contextOf(there.Properties)
	change.Replacement = types.ReplacementFalse
	published := s.published.Types[blank.Type]
	for _, name := range template.Sorted(merged(there.Properties, wanted)) {
		before, after := there.Properties[name], wanted[name]
		if same(before, after) {
			continue
		}
		recreation := requires(published, published.Properties[name], before, after)
		change.Details = append(change.Details, detail(name, recreation, before, after))
		switch recreation {
		case types.RequiresRecreationAlways:
			change.Replacement = types.ReplacementTrue
		case types.RequiresRecreationConditionally:
			if change.Replacement != types.ReplacementTrue {
				change.Replacement = types.ReplacementConditional
			}
		default:
		}
	}
	if there.Type != blank.Type {
		change.Replacement = types.ReplacementTrue
	}
	if len(change.Details) == 0 && there.Type == blank.Type && there.Retain == blank.Retain && there.KeepOld == blank.KeepOld {
		return nil
	}
	if len(change.Details) > 0 {
		change.Scope = []types.ResourceAttribute{types.ResourceAttributeProperties}
	} else {
		change.Scope = []types.ResourceAttribute{types.ResourceAttributeDeletionPolicy}
	}
	if change.Replacement == types.ReplacementTrue {
		change.PolicyAction = types.PolicyActionReplaceAndDelete
		if there.KeepOld {
			change.PolicyAction = types.PolicyActionReplaceAndRetain
		}
	}
	return change
}

func detail(name string, recreation types.RequiresRecreation, before, after any) types.ResourceChangeDetail {
	evaluation := types.EvaluationTypeStatic
	if strings.Contains(text(after), unknown) {
		evaluation = types.EvaluationTypeDynamic
	}
	return types.ResourceChangeDetail{Evaluation: evaluation, ChangeSource: types.ChangeSourceDirectModification,
		Target: &types.ResourceTargetDefinition{Attribute: types.ResourceAttributeProperties, Name: aws.String(name), RequiresRecreation: recreation,
			Path: aws.String("/Properties/" + name), BeforeValue: optional(before), AfterValue: optional(after)}}
}

// requires tells whether a changed property makes another resource.
func requires(of specification.Type, property specification.Property, before, after any) types.RequiresRecreation {
	switch property.Replaces {
	case "yes":
		if strings.Contains(text(after), unknown) {
			return types.RequiresRecreationConditionally // it may come out the same
		}
		return types.RequiresRecreationAlways
	case "maybe":
		return types.RequiresRecreationConditionally
	}
	then, okThen := before.(map[string]any)
	now, okNow := after.(map[string]any)
	worst := types.RequiresRecreationNever
	if property.Kind != "ref" || !okThen || !okNow {
		return worst
	}
	for name := range merged(then, now) {
		if same(then[name], now[name]) {
			continue
		}
		switch requires(of, of.Definitions[property.Ref][name], then[name], now[name]) {
		case types.RequiresRecreationAlways:
			return types.RequiresRecreationAlways
		case types.RequiresRecreationConditionally:
			worst = types.RequiresRecreationConditionally
		default:
		}
	}
	return worst
}

// same compares as the wire does: 2 and "2" are the same, and so are values read from disk.
func same(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	return (a == nil) == (b == nil) && text(a) == text(b)
}

// text is a value as JSON, with scalars as text.
func text(value any) string {
	switch v := value.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, element := range v {
			parts[i] = text(element)
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for _, name := range template.Sorted(v) {
			parts = append(parts, name+":"+text(v[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	default:
		return template.Text(v)
	}
}

func merged(a, b map[string]any) map[string]any {
	all := map[string]any{}
	for name := range a {
		all[name] = nil
	}
	for name := range b {
		all[name] = nil
	}
	return all
}

func contextOf(properties map[string]any) *string {
	encoded, err := json.Marshal(map[string]any{"Properties": properties})
	if err != nil {
		return nil
	}
	return aws.String(string(encoded))
}

func optional(value any) *string {
	if value == nil {
		return nil
	}
	return aws.String(text(value))
}

func contains(list []string, wanted string) bool {
	for _, one := range list {
		if one == wanted {
			return true
		}
	}
	return false
}
