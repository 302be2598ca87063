package specification

import (
	"fmt"
	"slices"
	"strconv"

	"gravity/internal/stacks/template"
)

// noValue is what a property that is left out by a condition refers to.
const noValue = "AWS::NoValue"

// Check tells what a resource's properties have that its type does not, one sentence each. Functions
// may stand for any value; each branch of an Fn::If has to fit.
func (s Specification) Check(resourceType string, properties map[string]any) []string {
	described, known := s.Types[resourceType]
	if !known {
		return []string{"there is no resource type " + resourceType + " in the specification"}
	}
	c := checker{of: described}
	c.object("", described.Properties, properties)
	return c.problems
}

type checker struct {
	of       Type
	problems []string
}

func (c *checker) report(path, format string, arguments ...any) {
	c.problems = append(c.problems, path+" "+fmt.Sprintf(format, arguments...))
}

func (c *checker) object(path string, properties map[string]Property, values map[string]any) {
	for _, name := range template.Sorted(values) {
		property, known := properties[name]
		if !known {
			c.report(path+"/"+name, "is no property")
			continue
		}
		c.value(path+"/"+name, property.Shape, values[name])
	}
	for _, name := range template.Sorted(properties) {
		if _, given := values[name]; properties[name].Required && !given {
			c.report(path+"/"+name, "is required")
		}
	}
}

func (c *checker) value(path string, shape Shape, value any) {
	if function(value) {
		for _, branch := range branches(value) {
			c.value(path, shape, branch)
		}
		return
	}
	switch shape.Kind {
	case "array":
		list, ok := value.([]any)
		if !ok {
			c.report(path, "has to be a list")
		}
		for i, element := range list {
			c.value(path+"/"+strconv.Itoa(i), shape.Of[0], element)
		}
	case "map":
		object, ok := value.(map[string]any)
		if !ok {
			c.report(path, "has to be a mapping")
		}
		for _, name := range template.Sorted(object) {
			c.value(path+"/"+name, shape.Of[0], object[name])
		}
	case "ref":
		object, ok := value.(map[string]any)
		if !ok {
			c.report(path, "has to be a mapping: %s", shape.Ref)
			return
		}
		c.object(path, c.of.Definitions[shape.Ref], object)
	case "tag":
		c.tag(path, value)
	case "union":
		c.union(path, shape, value)
	default:
		if !scalar(shape.Kind, value) {
			c.report(path, "has to be of type %s, not %v", shape.Kind, value)
		}
	}
}

func (c *checker) tag(path string, value any) {
	object, ok := value.(map[string]any)
	if !ok || !slices.Equal(template.Sorted(object), []string{"Key", "Value"}) {
		c.report(path, "has to be a tag with Key and Value")
	}
}

func (c *checker) union(path string, shape Shape, value any) {
	for _, alternative := range shape.Of {
		attempt := checker{of: c.of}
		if attempt.value(path, alternative, value); len(attempt.problems) == 0 {
			return
		}
	}
	c.report(path, "fits none of the forms that the property has")
}

// scalar tells whether a value can be of a simple kind. CloudFormation reads numbers and truth values
// from text, and writes them as text.
func scalar(kind string, value any) bool {
	text := template.Text(value)
	switch value.(type) {
	case []any, map[string]any:
		return kind == "json"
	case nil:
		return false
	}
	switch kind {
	case "integer":
		_, err := strconv.ParseInt(text, 10, 64)
		return err == nil
	case "number":
		_, err := strconv.ParseFloat(text, 64)
		return err == nil
	case "boolean":
		return text == "true" || text == "false"
	default:
		return true
	}
}

// branches are the values that an Fn::If chooses between; other functions have none that can be seen.
func branches(value any) []any {
	arguments, ok := value.(map[string]any)["Fn::If"].([]any)
	if !ok || len(arguments) != 3 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(arguments[1:]), func(branch any) bool {
		object, ok := branch.(map[string]any)
		return ok && object["Ref"] == noValue
	})
}
