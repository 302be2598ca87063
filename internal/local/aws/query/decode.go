// Package query speaks the AWS Query protocol: form parameters in, XML out.
//
// It works on the input and output types of aws-sdk-go-v2, whose field names are the names on
// the wire, so that no operation needs code of its own to be read or written.
package query

import (
	"fmt"
	"net/url"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Limits on what a request may hold; far above what AWS itself takes.
const (
	maxParameters = 10_000
	maxDepth      = 8
)

// Parameters are a request's parameters as a tree: OptionSettings.member.1.Value is a path.
type Parameters struct {
	value    string
	set      bool
	children map[string]*Parameters
}

// Parse orders a form into a tree. It refuses one of an unreasonable size.
func Parse(form url.Values) (*Parameters, error) {
	if len(form) > maxParameters {
		return nil, fmt.Errorf("more than %d parameters", maxParameters)
	}
	root := &Parameters{}
	for name, values := range form {
		parts := strings.Split(name, ".")
		if len(parts) > maxDepth {
			return nil, fmt.Errorf("parameter %.100q is nested too deep", name)
		}
		node := root
		for _, part := range parts {
			node = node.child(part)
		}
		node.value, node.set = values[0], true
	}
	return root, nil
}

func (p *Parameters) child(name string) *Parameters {
	if p.children == nil {
		p.children = map[string]*Parameters{}
	}
	if p.children[name] == nil {
		p.children[name] = &Parameters{}
	}
	return p.children[name]
}

// Members are the elements of a list parameter, in the order of their numbers.
func (p *Parameters) Members(name string) []*Parameters {
	list := p.children[name]
	if list == nil || list.children["member"] == nil {
		return nil
	}
	members := list.children["member"].children
	numbers := make([]int, 0, len(members))
	for text := range members {
		if n, err := strconv.Atoi(text); err == nil && n > 0 && strconv.Itoa(n) == text {
			numbers = append(numbers, n)
		}
	}
	sort.Ints(numbers)
	elements := make([]*Parameters, 0, len(numbers))
	for _, n := range numbers {
		elements = append(elements, members[strconv.Itoa(n)])
	}
	return elements
}

// Decode fills the struct that target points to. The error names the parameter and what it
// should have been.
func (p *Parameters) Decode(target any) error {
	return p.decodeStruct(reflect.ValueOf(target).Elem())
}

func (p *Parameters) decodeStruct(target reflect.Value) error {
	for i := range target.NumField() {
		field := target.Type().Field(i)
		if !field.IsExported() || field.Name == "ResultMetadata" || p.children[field.Name] == nil {
			continue
		}
		if err := p.decodeField(field.Name, target.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Parameters) decodeField(name string, target reflect.Value) error {
	if target.Kind() != reflect.Slice {
		return p.children[name].decodeValue(name, target)
	}
	members := p.Members(name)
	list := reflect.MakeSlice(target.Type(), len(members), len(members))
	for i, member := range members {
		if err := member.decodeValue(name, list.Index(i)); err != nil {
			return err
		}
	}
	target.Set(list)
	return nil
}

func (p *Parameters) decodeValue(name string, target reflect.Value) error {
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		return p.decodeValue(name, target.Elem())
	}
	if target.Type() == reflect.TypeFor[time.Time]() {
		at, err := parseTime(p.value)
		if err != nil {
			return fmt.Errorf("%s must be a time such as 2006-01-02T15:04:05Z", name)
		}
		target.Set(reflect.ValueOf(at))
		return nil
	}
	switch target.Kind() {
	case reflect.Struct:
		return p.decodeStruct(target)
	case reflect.String:
		target.SetString(p.value)
	case reflect.Bool:
		value, err := strconv.ParseBool(p.value)
		if err != nil {
			return fmt.Errorf("%s must be true or false", name)
		}
		target.SetBool(value)
	case reflect.Int32, reflect.Int64, reflect.Int:
		value, err := strconv.ParseInt(p.value, 10, target.Type().Bits())
		if err != nil {
			return fmt.Errorf("%s must be a whole number", name)
		}
		target.SetInt(value)
	case reflect.Float64:
		value, err := strconv.ParseFloat(p.value, 64)
		if err != nil {
			return fmt.Errorf("%s must be a number", name)
		}
		target.SetFloat(value)
	default:
		return fmt.Errorf("%s is not supported", name)
	}
	return nil
}

// parseTime takes ISO 8601 with and without a zone, and seconds since 1970, as AWS does.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(seconds, 0).UTC(), nil
}
