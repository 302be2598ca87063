package config

import (
	"encoding/json"
	"reflect"
	"strings"

	"gravity/internal/delivery"
)

// Schema is the JSON Schema (draft 2020-12) of gravity.yaml, for editors. It is written from the
// rules that Parse checks by. What concerns several keys at once, such as an environment in two
// stages, only Parse finds.
func Schema() []byte {
	definitions := map[string]any{}
	root := definition(reflect.TypeFor[File](), defaults(), definitions)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "gravity.yaml"
	root["description"] = "The pipelines that Gravity delivers, the environments they deploy to, and who must approve."
	root["$defs"] = definitions
	encoded, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("the schema is made of plain values: " + err.Error())
	}
	return append(encoded, '\n')
}

// defaults is a file in which every block is there and nothing is said, so that all it holds are
// the defaults.
func defaults() reflect.Value {
	empty := delivery.Pipeline{
		Build: &delivery.Command{}, Test: &delivery.Test{Matrix: []delivery.Axis{{}}}, Cache: &delivery.Cache{},
		Notify: []delivery.Receiver{{}},
		Stages: []delivery.Stage{{
			Gate: delivery.Gate{Approval: &delivery.Approval{}, Windows: &delivery.Windows{Open: []delivery.Window{{}}}},
			Health: delivery.Health{
				Check: &delivery.Check{}, Probe: &delivery.Probe{},
				Requests: &delivery.Requests{Errors: new(float64)},
				Compare:  &delivery.Comparison{Errors: new(float64), Latency: new(float64)},
			},
		}},
	}
	stack := delivery.Stack{Approval: &delivery.Approval{}}
	return reflect.ValueOf(File{Pipelines: []delivery.Pipeline{empty.WithDefaults()}, Stacks: []delivery.Stack{stack.WithDefaults()}})
}

// definition describes a struct; those inside it are added to definitions.
func definition(of reflect.Type, values reflect.Value, definitions map[string]any) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, f := range fields(of) {
		property := described(f.of, f.rule, values.Field(f.index), definitions)
		property["description"] = f.rule.about
		properties[f.name] = property
		if f.rule.required {
			required = append(required, f.name)
		}
	}
	described := map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		described["required"] = required
	}
	return described
}

// described is the schema of one key's values; value is its default, zero when it has none.
func described(of reflect.Type, rule rule, value reflect.Value, definitions map[string]any) map[string]any {
	if duration, ok := value.Interface().(delivery.Duration); ok {
		schema := map[string]any{"type": "string", "pattern": durationPattern.String()}
		if duration != 0 {
			schema["default"] = short(duration)
		}
		return schema
	}
	switch of.Kind() {
	case reflect.Pointer:
		return described(of.Elem(), rule, value.Elem(), definitions)
	case reflect.Struct:
		name := strings.ToLower(of.Name())
		if _, done := definitions[name]; !done {
			definitions[name] = definition(of, value, definitions)
		}
		return map[string]any{"$ref": "#/$defs/" + name}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string", "minLength": 1}}
	case reflect.Slice:
		schema := map[string]any{"type": "array", "minItems": 1}
		element := reflect.Zero(of.Elem())
		if of.Elem().Kind() == reflect.Struct {
			element = value.Index(0)
		} else if value.Len() > 0 {
			schema["default"] = value.Interface()
		}
		schema["items"] = described(of.Elem(), rule, element, definitions)
		return schema
	default:
		schema := scalar(of, rule)
		if !value.IsZero() {
			schema["default"] = value.Interface()
		}
		return schema
	}
}

func scalar(of reflect.Type, rule rule) map[string]any {
	switch of.Kind() {
	case reflect.Int:
		return map[string]any{"type": "integer", "minimum": rule.min, "maximum": rule.max}
	case reflect.Float64:
		return map[string]any{"type": "number", "minimum": rule.min, "maximum": rule.max}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	default:
	}
	schema := map[string]any{"type": "string"}
	switch {
	case len(rule.enum) > 0:
		schema["enum"] = rule.enum
	case rule.pattern != nil:
		schema["pattern"] = rule.pattern.String()
	default:
		schema["minLength"] = 1
	}
	return schema
}
