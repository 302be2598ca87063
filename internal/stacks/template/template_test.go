package template_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/stacks/template"
)

func parse(t *testing.T, text string) template.Template {
	t.Helper()
	parsed, err := template.Parse([]byte(text))
	require.NoError(t, err)
	return parsed
}

func TestShortFormsMeanTheSameAsLongOnes(t *testing.T) {
	short := parse(t, `
Resources:
  A:
    Type: X
    Properties:
      Ref: !Ref B
      Attribute: !GetAtt B.Nested.Arn
      Text: !Sub "${B}-1"
      Chosen: !If [C, {Name: !Ref B, On: true}, !Ref AWS::NoValue]
      Date: 2012-10-17
      Quoted: "2012-10-17"
      Number: 3
`).Resources["A"].Properties
	assert.Equal(t, map[string]any{
		"Ref":       map[string]any{"Ref": "B"},
		"Attribute": map[string]any{"Fn::GetAtt": []any{"B", "Nested.Arn"}},
		"Text":      map[string]any{"Fn::Sub": "${B}-1"},
		"Chosen":    map[string]any{"Fn::If": []any{"C", map[string]any{"Name": map[string]any{"Ref": "B"}, "On": true}, map[string]any{"Ref": "AWS::NoValue"}}},
		"Date":      "2012-10-17", "Quoted": "2012-10-17", "Number": int64(3),
	}, short)
}

func TestWhatIsNoTemplateIsRefusedWithItsPlace(t *testing.T) {
	for text, says := range map[string]string{
		"":                                   "the template is empty",
		"Resources: [":                       "no YAML",
		"- a":                                "a mapping of sections",
		"Resources: {}":                      "has no resources",
		"Resources: {A: {Type: X, Tpye: Y}}": `resource A has a key "Tpye"`,
		"Resources: {A: {Properties: {}}}":   "resource A has no type",
		"Resources:\n  A: {Type: X}\n  A: {Type: Y}":                                                              "has a key for the second time: A",
		"Resources: {A: {Type: X, Properties: {B: !GetAtt C}}}":                                                   "line 1 of the template needs a resource and an attribute",
		"Resources: {A: &a {Type: X}, B: *a}":                                                                     "a form of YAML that templates do not have",
		strings.Repeat(" ", template.MaxSize+1):                                                                   "larger than",
		"Resources: {A: {Type: X, Properties: {B: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}}}": "nested too deep",
	} {
		_, err := template.Parse([]byte(text))
		assert.ErrorContains(t, err, says, text[:min(len(text), 80)])
	}
}

// scope resolves a template whose resources are called like their names, in upper case.
func scope(t *testing.T, text string, parameters map[string]string) *template.Scope {
	t.Helper()
	parsed := parse(t, text)
	values, problems := parsed.Values(parameters)
	require.Empty(t, problems)
	return &template.Scope{Template: parsed, Parameters: values, Pseudo: map[string]string{"AWS::Region": "eu-central-1"},
		Ref:       func(name string) (any, error) { return strings.ToUpper(name), nil },
		Attribute: func(name, attribute string) (any, error) { return name + "/" + attribute, nil },
	}
}

const functions = `
Parameters:
  Zones: {Type: CommaDelimitedList, Default: "a, b"}
  Size: {Type: Number, Default: 2, MinValue: 1}
Mappings: {Sizes: {eu-central-1: {name: small}}}
Conditions:
  Large: !Not [!Equals [!Ref Size, "2"]]
  Both: !And [!Condition Large, !Equals [!Ref "AWS::Region", eu-central-1]]
  Either: !Or [!Condition Large, !Equals [!Ref "AWS::Region", eu-central-1]]
Resources:
  Bucket: {Type: X}
  Extra: {Type: X, Condition: Large}
  A:
    Type: X
    DependsOn: Extra
    Properties:
      Join: !Join ["-", !Ref Zones]
      Pick: !Select [1, !Ref Zones]
      Split: !Split ["/", "a/b"]
      Map: !FindInMap [Sizes, !Ref "AWS::Region", name]
      Sub: !Sub ["${Bucket} ${Bucket.Arn} ${own} ${!literal}", {own: !Ref Size}]
      List: [!If [Large, 1, !Ref "AWS::NoValue"], 2]
      Gone: !If [Large, 1, !Ref "AWS::NoValue"]
      Both: !If [Both, yes, no]
      Either: !If [Either, "1", "0"]
      Policy: {Condition: {Bool: {x: "true"}}}
`

func TestFunctionsComeToWhatTheyStandFor(t *testing.T) {
	small := scope(t, functions, nil)
	resolved, err := small.Resolve(small.Template.Resources["A"].Properties)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{
		"Join": "a-b", "Pick": "b", "Split": []any{"a", "b"}, "Map": "small", "Sub": "BUCKET Bucket/Arn 2 ${literal}", "List": []any{int64(2)},
		"Both": "no", "Either": "1", "Policy": map[string]any{"Condition": map[string]any{"Bool": map[string]any{"x": "true"}}},
	}, resolved)
	assert.Equal(t, []string{"Bucket"}, small.References(small.Template.Resources["A"].Properties))
	large, err := scope(t, functions, map[string]string{"Size": "3"}).Holds("Both")
	require.NoError(t, err)
	assert.True(t, large)
}

func TestAFunctionThatCannotBeResolvedSaysWhy(t *testing.T) {
	for text, says := range map[string]string{
		"!Ref Nowhere":                        "unresolved resource dependencies [Nowhere]",
		"!Ref Extra":                          "its condition Large leaves it out",
		"!Select [7, !Ref Zones]":             "nonexistent value at index 7",
		"!If [Nowhere, 1, 2]":                 "there is no condition Nowhere",
		"!FindInMap [Sizes, us-east-1, name]": "finds no",
		"!Transform {Name: x}":                "Fn::Transform is not one that is known here",
		"!ImportValue x":                      "Fn::ImportValue is not one that is known here",
	} {
		s := scope(t, strings.Replace(functions, "      Join:", "      Wrong: "+text+"\n      Join:", 1), nil)
		_, err := s.Resolve(s.Template.Resources["A"].Properties["Wrong"])
		assert.ErrorContains(t, err, says, text)
	}
	circular := scope(t, "Conditions: {A: !Condition B, B: !Condition A}\nResources: {R: {Type: X}}", nil)
	_, err := circular.Holds("A")
	assert.ErrorContains(t, err, "condition A depends on itself")
	failing := scope(t, functions, nil)
	failing.Attribute = func(string, string) (any, error) { return nil, errors.New("no such attribute") }
	_, err = failing.Resolve(failing.Template.Resources["A"].Properties)
	assert.ErrorContains(t, err, "no such attribute")
}

func TestParametersAreCheckedAgainstEveryConstraint(t *testing.T) {
	parsed := parse(t, `
Parameters:
  Name: {Type: String, AllowedPattern: "[a-z]+", ConstraintDescription: letters alone, MinLength: 2, MaxLength: 3}
  Kind: {Type: String, AllowedValues: [a, b], Default: a}
  Count: {Type: Number, MinValue: 1, MaxValue: 3, Default: 1}
  Vpc: {Type: "AWS::EC2::VPC::Id"}
  Subnets: {Type: "List<AWS::EC2::Subnet::Id>"}
Resources: {A: {Type: X}}
`)
	right := map[string]string{"Name": "ab", "Vpc": "vpc-00000001", "Subnets": "subnet-00000001, subnet-00000002"}
	values, problems := parsed.Values(right)
	require.Empty(t, problems)
	assert.Equal(t, []any{"subnet-00000001", "subnet-00000002"}, values["Subnets"])
	for name, wrong := range map[string][2]string{
		"a pattern": {"Name", "AB"}, "too short": {"Name", "a"}, "too long": {"Name", "abcd"}, "another value": {"Kind", "c"},
		"too many": {"Count", "4"}, "no number": {"Count", "x"}, "another kind": {"Vpc", "subnet-00000001"}, "one of a list": {"Subnets", "subnet-00000001,x"},
		"unknown": {"Other", "x"},
	} {
		given := map[string]string{wrong[0]: wrong[1]}
		for key, value := range right {
			if key != wrong[0] {
				given[key] = value
			}
		}
		_, problems := parsed.Values(given)
		assert.Len(t, problems, 1, name)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(functions))
	f.Add([]byte("Resources: {A: {Type: X, Properties: {B: !GetAtt C.D}}}"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		parsed, err := template.Parse(data)
		if err != nil {
			return
		}
		s := &template.Scope{Template: parsed, Ref: func(string) (any, error) { return "x", nil }, Attribute: func(string, string) (any, error) { return "x", nil }}
		for _, resource := range parsed.Resources {
			_, _ = s.Resolve(resource.Properties) // whatever it is, it ends without a panic
			_ = s.References(resource.Properties)
		}
	})
}
