// Package template reads CloudFormation templates: the YAML with its short forms of functions becomes
// plain values, so that !Ref Bucket is the same as {"Ref": "Bucket"}. What the functions come to is
// decided where resources are, not here.
package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	// CloudFormation's YAML is the whole of YAML 1.1, with tags within flow mappings; goccy/go-yaml, which reads
	// gravity.yaml for the sake of its messages, does not read all of it.
	"go.yaml.in/yaml/v3"
)

// MaxSize is what CloudFormation takes from S3, in bytes.
const MaxSize = 1 << 20

// maxDepth bounds how deep values are nested; far above what any template needs.
const maxDepth = 64

// Template is one template. Values are nil, bool, int64, float64, string, []any and map[string]any.
type Template struct {
	Description string
	Parameters  map[string]Parameter
	Rules       map[string]any
	Mappings    map[string]any
	Conditions  map[string]any
	Resources   map[string]Resource
	Outputs     map[string]Output
}

// Parameter is what a template asks its user for.
type Parameter struct {
	Type                  string
	Description           string
	Default               *string
	AllowedValues         []string
	AllowedPattern        string
	ConstraintDescription string
	MinValue, MaxValue    *float64
	MinLength, MaxLength  *float64
	NoEcho                bool
}

// Resource is one resource as the template has it.
type Resource struct {
	Type                string
	Condition           string
	DependsOn           []string
	DeletionPolicy      string
	UpdateReplacePolicy string
	Properties          map[string]any
}

// Output is what a stack tells.
type Output struct {
	Description string
	Condition   string
	Value       any
	ExportName  any
}

// Parse reads a template. The error says where it is none.
func Parse(data []byte) (Template, error) {
	if len(data) > MaxSize {
		return Template{}, fmt.Errorf("the template is larger than %d bytes", MaxSize)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return Template{}, fmt.Errorf("the template is no YAML: %w", err)
	}
	if len(document.Content) != 1 {
		return Template{}, errors.New("the template is empty")
	}
	root, err := value(document.Content[0], 0)
	if err != nil {
		return Template{}, err
	}
	sections, ok := root.(map[string]any)
	if !ok {
		return Template{}, errors.New("the template has to be a mapping of sections")
	}
	r := reader{}
	parsed := r.template(sections)
	return parsed, r.err
}

// value turns a node into plain values.
func value(node *yaml.Node, depth int) (any, error) {
	switch {
	case depth > maxDepth:
		return nil, at(node, "is nested too deep")
	case strings.HasPrefix(node.Tag, "!") && !strings.HasPrefix(node.Tag, "!!"):
		return function(node, depth)
	}
	switch node.Kind {
	case yaml.MappingNode:
		return mapping(node, depth)
	case yaml.SequenceNode:
		list := make([]any, 0, len(node.Content))
		for _, element := range node.Content {
			plain, err := value(element, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, plain)
		}
		return list, nil
	case yaml.ScalarNode:
		return scalar(node)
	default: // an alias, which CloudFormation does not take either
		return nil, at(node, "is a form of YAML that templates do not have")
	}
}

func scalar(node *yaml.Node) (any, error) {
	var err error
	switch node.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var truth bool
		err = node.Decode(&truth)
		return truth, err
	case "!!int":
		var number int64
		err = node.Decode(&number)
		return number, err
	case "!!float":
		var number float64
		err = node.Decode(&number)
		return number, err
	default: // times too: "2012-10-17" is a text
		return node.Value, nil
	}
}

func mapping(node *yaml.Node, depth int) (any, error) {
	plain := make(map[string]any, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode {
			return nil, at(key, "has a key that is no text")
		}
		if _, twice := plain[key.Value]; twice {
			return nil, at(key, "has a key for the second time: "+key.Value)
		}
		of, err := value(node.Content[i+1], depth+1)
		if err != nil {
			return nil, err
		}
		plain[key.Value] = of
	}
	return plain, nil
}

// function writes a short form out: !Sub x is {"Fn::Sub": x}, and !GetAtt a.b is {"Fn::GetAtt": ["a", "b"]}.
func function(node *yaml.Node, depth int) (any, error) {
	name := strings.TrimPrefix(node.Tag, "!")
	bare := *node
	bare.Tag = ""
	if bare.Kind == yaml.ScalarNode {
		bare.Tag = "!!str"
	}
	argument, err := value(&bare, depth+1)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Ref", "Condition":
		return map[string]any{name: argument}, nil
	case "GetAtt":
		if text, ok := argument.(string); ok {
			resource, attribute, found := strings.Cut(text, ".")
			if !found {
				return nil, at(node, "needs a resource and an attribute, such as Bucket.Arn")
			}
			argument = []any{resource, attribute}
		}
	}
	return map[string]any{"Fn::" + name: argument}, nil
}

func at(node *yaml.Node, what string) error {
	return fmt.Errorf("line %d of the template %s", node.Line, what)
}

// reader puts values in their places, and remembers the first that has another form.
type reader struct{ err error }

func (r *reader) fail(format string, arguments ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, arguments...)
	}
}

func (r *reader) template(sections map[string]any) Template {
	known := []string{"AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Rules", "Mappings", "Conditions", "Resources", "Outputs"}
	for _, name := range Sorted(sections) {
		if !slices.Contains(known, name) {
			r.fail("the template has a section %q, which is none of %s", name, strings.Join(known, ", "))
		}
	}
	t := Template{
		Description: r.text(sections["Description"], "Description"),
		Parameters:  map[string]Parameter{}, Resources: map[string]Resource{}, Outputs: map[string]Output{},
		Rules: r.object(sections["Rules"], "Rules"), Mappings: r.object(sections["Mappings"], "Mappings"),
		Conditions: r.object(sections["Conditions"], "Conditions"),
	}
	for name, of := range r.object(sections["Parameters"], "Parameters") {
		t.Parameters[name] = r.parameter(r.object(of, name), name)
	}
	for name, of := range r.object(sections["Resources"], "Resources") {
		t.Resources[name] = r.resource(r.object(of, name), name)
	}
	for name, of := range r.object(sections["Outputs"], "Outputs") {
		output := r.object(of, name)
		t.Outputs[name] = Output{Description: r.text(output["Description"], name), Condition: r.text(output["Condition"], name),
			Value: output["Value"], ExportName: r.object(output["Export"], name)["Name"]}
	}
	if len(t.Resources) == 0 {
		r.fail("the template has no resources")
	}
	return t
}

func (r *reader) parameter(of map[string]any, name string) Parameter {
	p := Parameter{
		Type: r.text(of["Type"], name), Description: r.text(of["Description"], name),
		AllowedValues: r.texts(of["AllowedValues"], name), AllowedPattern: r.text(of["AllowedPattern"], name),
		ConstraintDescription: r.text(of["ConstraintDescription"], name),
		MinValue:              number(of["MinValue"]), MaxValue: number(of["MaxValue"]),
		MinLength: number(of["MinLength"]), MaxLength: number(of["MaxLength"]),
		NoEcho: Text(of["NoEcho"]) == "true",
	}
	if fallback, given := of["Default"]; given {
		text := Text(fallback)
		p.Default = &text
	}
	if p.Type == "" {
		r.fail("parameter %s has no type", name)
	}
	return p
}

func (r *reader) resource(of map[string]any, name string) Resource {
	known := []string{"Type", "Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Properties", "Metadata"}
	for _, key := range Sorted(of) {
		if !slices.Contains(known, key) {
			r.fail("resource %s has a key %q that is not read here", name, key)
		}
	}
	dependsOn := r.texts(of["DependsOn"], name)
	if text, single := of["DependsOn"].(string); single {
		dependsOn = []string{text}
	}
	found := Resource{
		Type: r.text(of["Type"], name), Condition: r.text(of["Condition"], name), DependsOn: dependsOn,
		DeletionPolicy: r.text(of["DeletionPolicy"], name), UpdateReplacePolicy: r.text(of["UpdateReplacePolicy"], name),
		Properties: r.object(of["Properties"], name),
	}
	if found.Type == "" {
		r.fail("resource %s has no type", name)
	}
	return found
}

func (r *reader) object(of any, name string) map[string]any {
	object, ok := of.(map[string]any)
	if of != nil && !ok {
		r.fail("%s has to be a mapping", name)
	}
	return object
}

func (r *reader) text(of any, name string) string {
	text, ok := of.(string)
	if of != nil && !ok {
		r.fail("a text is expected in %s, not %v", name, of)
	}
	return text
}

func (r *reader) texts(of any, name string) []string {
	list, ok := of.([]any)
	if _, single := of.(string); of != nil && !ok && !single {
		r.fail("a list is expected in %s, not %v", name, of)
	}
	var texts []string
	for _, element := range list {
		texts = append(texts, Text(element))
	}
	return texts
}

func number(of any) *float64 {
	switch n := of.(type) {
	case int64:
		number := float64(n)
		return &number
	case float64:
		return &n
	}
	return nil
}

// Text is a scalar as a parameter's value has it.
func Text(of any) string {
	switch scalar := of.(type) {
	case nil:
		return ""
	case string:
		return scalar
	default:
		return fmt.Sprint(scalar)
	}
}

// Sorted are the keys of a mapping in order.
func Sorted[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
