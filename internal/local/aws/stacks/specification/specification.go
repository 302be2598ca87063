// Package specification is AWS's published description of the resource types that Gravity's templates
// use: their properties, which of them replace a resource when they change, and their attributes.
//
// The data is cut out of the npm package @aws-cdk/aws-service-spec, which AWS makes of its
// CloudFormation registry; package generate does that.
package specification

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

//go:generate go run ./generate --templates ../../../../../cloudformation --database $DATABASE

//go:embed specification.json
var data []byte

// Specification is the description of some resource types.
type Specification struct {
	// Source says which publication it was taken from.
	Source string          `json:"source"`
	Types  map[string]Type `json:"types"`
}

// Type is one resource type.
type Type struct {
	// Reference is what Ref answers with: the names of the properties or attributes, joined by "|".
	Reference []string `json:"reference,omitempty"`
	// Stateful types hold data that is lost with the resource.
	Stateful bool `json:"stateful,omitempty"`
	// Arn is the form of its ARN, where it has one.
	Arn         string                         `json:"arn,omitempty"`
	Attributes  map[string]Shape               `json:"attributes,omitempty"`
	Properties  map[string]Property            `json:"properties"`
	Definitions map[string]map[string]Property `json:"definitions,omitempty"`
}

// Property is one property of a resource, or of a value within it.
type Property struct {
	Shape
	Required bool `json:"required,omitempty"`
	// Replaces is "yes" where a change makes another resource, "maybe" where it depends, and empty where it doesn't.
	Replaces string `json:"replaces,omitempty"`
}

// Shape is what a value looks like.
type Shape struct {
	// Kind is string, integer, number, boolean, json, date-time, tag, array, map, union or ref.
	Kind string `json:"kind"`
	// Of are the elements of an array or map, or the alternatives of a union.
	Of []Shape `json:"of,omitempty"`
	// Ref names a definition of the type.
	Ref string `json:"ref,omitempty"`
}

// Load is the specification that is part of the program.
var Load = sync.OnceValues(func() (Specification, error) {
	var specification Specification
	if err := json.Unmarshal(data, &specification); err != nil {
		return Specification{}, fmt.Errorf("read the specification of resource types: %w", err)
	}
	return specification, nil
})

// Attribute finds an attribute, such as Arn or Nested.Arn.
func (t Type) Attribute(name string) (Shape, bool) {
	shape, found := t.Attributes[name]
	return shape, found
}

// Functions are the objects that stand for a value that is known later.
func function(value any) bool {
	object, ok := value.(map[string]any)
	if !ok || len(object) != 1 {
		return false
	}
	for name := range object {
		return name == "Ref" || strings.HasPrefix(name, "Fn::")
	}
	return false
}
