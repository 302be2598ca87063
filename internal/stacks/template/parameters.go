package template

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Values are the parameters' values as a stack is given them, with the defaults filled in. The
// problems are everything that is wrong with them, one sentence each.
func (t Template) Values(given map[string]string) (values map[string]any, problems []string) {
	for _, name := range Sorted(given) {
		if _, known := t.Parameters[name]; !known {
			problems = append(problems, fmt.Sprintf("Parameters: [%s] do not exist in the template", name))
		}
	}
	values = map[string]any{}
	for _, name := range Sorted(t.Parameters) {
		parameter := t.Parameters[name]
		text, ok := given[name]
		switch {
		case !ok && parameter.Default == nil:
			problems = append(problems, fmt.Sprintf("Parameters: [%s] must have values", name))
			continue
		case !ok:
			text = *parameter.Default
		}
		if wrong := parameter.wrong(text); wrong != "" {
			problems = append(problems, fmt.Sprintf("Parameter %s failed to satisfy constraint: %s", name, wrong))
		}
		values[name] = parameter.value(text)
	}
	return values, problems
}

// value is a text, or the elements of a list.
func (p Parameter) value(text string) any {
	if !strings.HasPrefix(p.Type, "List<") && p.Type != "CommaDelimitedList" {
		return text
	}
	list := []any{}
	for _, element := range strings.Split(text, ",") {
		list = append(list, strings.TrimSpace(element))
	}
	return list
}

// identifiers are the forms of the resource identifiers that parameters can have as a type.
var identifiers = map[string]*regexp.Regexp{
	"AWS::EC2::VPC::Id":    regexp.MustCompile(`^vpc-[0-9a-f]{8,17}$`),
	"AWS::EC2::Subnet::Id": regexp.MustCompile(`^subnet-[0-9a-f]{8,17}$`),
	"AWS::EC2::Image::Id":  regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`),
}

// wrong says what a value may not be, or nothing.
func (p Parameter) wrong(text string) string {
	element := strings.TrimSuffix(strings.TrimPrefix(p.Type, "List<"), ">")
	if form, ok := identifiers[element]; ok {
		for _, one := range strings.Split(text, ",") {
			if !form.MatchString(strings.TrimSpace(one)) {
				return fmt.Sprintf("%q is no %s", one, element)
			}
		}
	}
	if wrong := p.outOfRange(text); wrong != "" {
		return wrong
	}
	if len(p.AllowedValues) > 0 && !slices.Contains(p.AllowedValues, text) {
		return "it must be one of [" + strings.Join(p.AllowedValues, ", ") + "]"
	}
	if p.AllowedPattern != "" {
		form, err := regexp.Compile("^(?:" + p.AllowedPattern + ")$")
		if err != nil {
			return "its pattern is none: " + err.Error()
		}
		if !form.MatchString(text) {
			if p.ConstraintDescription != "" {
				return p.ConstraintDescription
			}
			return "it must match " + p.AllowedPattern
		}
	}
	return ""
}

func (p Parameter) outOfRange(text string) string {
	if p.Type == "Number" {
		number, err := strconv.ParseFloat(text, 64)
		switch {
		case err != nil:
			return fmt.Sprintf("%q is no number", text)
		case p.MinValue != nil && number < *p.MinValue:
			return fmt.Sprintf("it must be at least %g", *p.MinValue)
		case p.MaxValue != nil && number > *p.MaxValue:
			return fmt.Sprintf("it must be at most %g", *p.MaxValue)
		}
	}
	length := float64(len([]rune(text)))
	switch {
	case p.MinLength != nil && length < *p.MinLength:
		return fmt.Sprintf("it must have at least %g characters", *p.MinLength)
	case p.MaxLength != nil && length > *p.MaxLength:
		return fmt.Sprintf("it must have at most %g characters", *p.MaxLength)
	}
	return ""
}

// Broken are the template's rules that a scope's parameters break, in the words of the rules.
func (s *Scope) Broken() ([]string, error) {
	var broken []string
	for _, name := range Sorted(s.Template.Rules) {
		rule, _ := s.Template.Rules[name].(map[string]any)
		if condition, conditional := rule["RuleCondition"]; conditional {
			applies, err := s.Decide(condition)
			if err != nil {
				return nil, err
			}
			if !applies {
				continue
			}
		}
		assertions, _ := rule["Assertions"].([]any)
		for _, one := range assertions {
			assertion, _ := one.(map[string]any)
			holds, err := s.Decide(assertion["Assert"])
			if err != nil {
				return nil, err
			}
			if !holds {
				broken = append(broken, fmt.Sprintf("Rule %s: %s", name, Text(assertion["AssertDescription"])))
			}
		}
	}
	return broken, nil
}
