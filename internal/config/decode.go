package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"gravity/internal/delivery"
)

// decoder fills a File from the syntax tree. The library's own strict decoding stops at the first
// unknown key or wrong type; whoever mends a file wants to see all of them.
type decoder struct {
	file      string
	positions map[string]position
	problems  Problems
}

type position struct{ line, column int }

func (d *decoder) report(at position, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: at.line, Column: at.column, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (d *decoder) decode(data []byte) File {
	var file File
	start := position{1, 1}
	if len(data) > maxFileSize {
		d.report(start, "", "the file is over %d bytes; no gravity.yaml is that large", maxFileSize)
		return file
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		d.report(positionOfInvalid(data), "", "this is not UTF-8 text")
		return file
	}
	tokens := lexer.Tokenize(string(data))
	if !d.guard(tokens) {
		return file
	}
	// Duplicate keys are found below, all of them and with both places.
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			d.report(positionOf(syntax.GetToken()), "", "this is not valid YAML: %s", syntax.GetMessage())
			return file
		}
		d.report(start, "", "this is not valid YAML: %s", clipped(err.Error()))
		return file
	}
	if len(tree.Docs) > 1 {
		d.report(start, "", "the file has %d YAML documents; keep one, without --- between its parts", len(tree.Docs))
		return file
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		d.report(start, "", "the file is empty; it needs at least one pipeline under \"pipelines\"")
		return file
	}
	d.value(start, "", "the file", tree.Docs[0].Body, reflect.ValueOf(&file).Elem(), rule{})
	return file
}

const (
	maxNesting = 32
	// maxKeys keeps reading fast: the parser's time grows with the square of the keys in one mapping.
	maxKeys = 20_000
)

// guard refuses, before anything recurses over it, what YAML has beyond plain data. Anchors would
// make a small file a large one, and hide from a reader what a stage's rules are.
func (d *decoder) guard(tokens token.Tokens) bool {
	depth, keys, entriesOnLine, line := 0, 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, entriesOnLine = t.Position.Line, 0
		}
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			d.report(positionOf(t), "", "anchors, aliases and merge keys (&, *, <<) are not taken here; write the rules out where they hold")
		case token.TagType:
			d.report(positionOf(t), "", "tags (!) are not taken here; put a text in quotes instead")
		case token.DirectiveType, token.MappingKeyType:
			d.report(positionOf(t), "", "%q at the beginning is not taken here; write \"key: value\"", clipped(t.Value))
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			entriesOnLine++
		case token.MappingValueType:
			keys++
		default:
		}
		if len(d.problems) >= maxPrinted {
			return false
		}
		if depth > maxNesting || entriesOnLine > maxNesting {
			d.report(positionOf(t), "", "this is nested more than %d deep; no gravity.yaml is", maxNesting)
			return false
		}
		if keys > maxKeys {
			d.report(positionOf(t), "", "this is more than %d keys; no gravity.yaml has as many", maxKeys)
			return false
		}
	}
	return len(d.problems) == 0
}

// value fills target from a node. at is the place of its key, path the key's full path, and name
// what messages call it.
func (d *decoder) value(at position, path, name string, node ast.Node, target reflect.Value, rule rule) {
	d.positions[path] = at
	if node == nil || node.Type() == ast.NullType {
		d.report(at, path, "%s has no value; give it one, or remove the key", name)
		return
	}
	if _, isDuration := target.Interface().(delivery.Duration); isDuration {
		d.duration(at, path, name, node, target)
		return
	}
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
		d.value(at, path, name, node, target.Elem(), rule)
	case reflect.Struct:
		d.mapping(at, path, name, node, target)
	case reflect.Slice:
		d.sequence(at, path, name, node, target, rule)
	case reflect.Map:
		d.texts(at, path, name, node, target)
	case reflect.String:
		if text, ok := d.text(at, path, name, node); ok && d.allowed(at, path, name, text, rule) {
			target.SetString(text)
		}
	case reflect.Int:
		d.integer(at, path, name, node, target, rule)
	case reflect.Float64:
		d.number(at, path, name, node, target, rule)
	case reflect.Bool:
		d.truth(at, path, name, node, target)
	default:
		panic(fmt.Sprintf("gravity.yaml cannot express %s, the type of %s", target.Type(), path))
	}
}

func (d *decoder) mapping(at position, path, name string, node ast.Node, target reflect.Value) {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		d.report(at, path, "%s must be a block of keys (%s), not %s", name, listed(names(fields(target.Type()))), kindOf(node))
		return
	}
	known := fields(target.Type())
	seen := map[string]position{}
	for _, entry := range mapping.Values {
		key, place := entry.Key.GetToken().Value, positionOf(entry.Key.GetToken())
		if first, twice := seen[key]; twice {
			d.report(place, join(path, key), "key %q is there twice; the first is on line %d", clipped(key), first.line)
			continue
		}
		seen[key] = place
		i := slices.IndexFunc(known, func(f field) bool { return f.name == key })
		if i < 0 {
			d.report(place, join(path, key), "unknown key %q%s", clipped(key), advice(key, known))
			continue
		}
		d.value(place, join(path, key), strconv.Quote(key), entry.Value, target.Field(known[i].index), known[i].rule)
	}
	for _, f := range known {
		if _, there := seen[f.name]; f.rule.required && !there {
			d.report(at, join(path, f.name), "%s has no %q, which is required", name, f.name)
		}
	}
}

// texts fills a map whose keys are the file's own.
func (d *decoder) texts(at position, path, name string, node ast.Node, target reflect.Value) {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		d.report(at, path, "%s must be a block of keys with a text each, not %s", name, kindOf(node))
		return
	}
	target.Set(reflect.MakeMap(target.Type()))
	for _, entry := range mapping.Values {
		key, place := entry.Key.GetToken().Value, positionOf(entry.Key.GetToken())
		if target.MapIndex(reflect.ValueOf(key)).IsValid() {
			d.report(place, join(path, key), "key %q is there twice", clipped(key))
			continue
		}
		text := reflect.New(target.Type().Elem()).Elem()
		d.value(place, join(path, key), strconv.Quote(key), entry.Value, text, rule{})
		target.SetMapIndex(reflect.ValueOf(key), text)
	}
}

// advice is what was probably meant by an unknown key: one that is written much like it, or the
// same one at another place, for a line that slipped a level.
func advice(key string, known []field) string {
	if near := nearest(key, names(known)); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	if right := owners(key, reflect.TypeFor[File]()); len(right) > 0 {
		return fmt.Sprintf("; it belongs under %s", listed(right))
	}
	return "; here are " + listed(names(known))
}

func (d *decoder) sequence(at position, path, name string, node ast.Node, target reflect.Value, rule rule) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.report(at, path, "%s must be a list, each entry on a line of its own that begins with -, not %s", name, kindOf(node))
		return
	}
	if len(sequence.Values) == 0 {
		d.report(at, path, "%s is an empty list; it needs at least one entry, or remove the key", name)
		return
	}
	target.Set(reflect.MakeSlice(target.Type(), len(sequence.Values), len(sequence.Values)))
	for i, entry := range sequence.Values {
		place := at
		if entry != nil {
			place = firstOf(entry)
		}
		d.value(place, fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("entry %d of %s", i+1, name), entry, target.Index(i), rule)
	}
}

func (d *decoder) text(at position, path, name string, node ast.Node) (string, bool) {
	var text string
	switch node := node.(type) {
	case *ast.StringNode:
		text = node.Value
	case *ast.LiteralNode:
		text = node.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		d.report(at, path, "%s must be a text, not %s; put it in quotes", name, kindOf(node))
		return "", false
	default:
		d.report(at, path, "%s must be a text, not %s", name, kindOf(node))
		return "", false
	}
	if text == "" {
		d.report(at, path, "%s is empty; give it a value, or remove the key", name)
		return "", false
	}
	return text, true
}

func (d *decoder) allowed(at position, path, name, text string, rule rule) bool {
	switch {
	case len(rule.enum) > 0 && !slices.Contains(rule.enum, text):
		hint := "there is " + strings.Join(rule.enum, ", ")
		if near := nearest(text, rule.enum); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		d.report(at, path, "%s cannot be %q; %s", name, clipped(text), hint)
	case rule.pattern != nil && !rule.pattern.MatchString(text):
		d.report(at, path, "%s cannot be %q; it must be %s", name, clipped(text), rule.says)
	case rule.check != nil && rule.check(text) != "":
		d.report(at, path, "%s %q %s", name, clipped(text), rule.check(text))
	default:
		return true
	}
	return false
}

func (d *decoder) duration(at position, path, name string, node ast.Node, target reflect.Value) {
	const form = "write it as 90s, 30m or 1h30m"
	if number, ok := node.(*ast.IntegerNode); ok {
		d.report(at, path, "%s has no unit: %s is not a duration; %s", name, clipped(number.GetToken().Value), form)
		return
	}
	text, ok := d.text(at, path, name, node)
	if !ok {
		return
	}
	var parsed delivery.Duration
	if !durationPattern.MatchString(text) || parsed.UnmarshalText([]byte(text)) != nil {
		d.report(at, path, "%s: %q is not a duration; %s", name, clipped(text), form)
		return
	}
	if parsed <= 0 {
		// Zero means "not given" in delivery.Pipeline, so it would silently become the default.
		d.report(at, path, "%s must be more than %s; leave the key out for the default", name, clipped(text))
		return
	}
	target.Set(reflect.ValueOf(parsed))
}

func (d *decoder) integer(at position, path, name string, node ast.Node, target reflect.Value, rule rule) {
	number, ok := node.(*ast.IntegerNode)
	if !ok {
		d.report(at, path, "%s must be a whole number, not %s", name, kindOf(node))
		return
	}
	value, err := strconv.Atoi(number.GetToken().Value)
	if err != nil || (rule.max != 0 && (value < rule.min || value > rule.max)) {
		d.report(at, path, "%s cannot be %s; it must be a number from %d to %d", name, clipped(number.GetToken().Value), rule.min, rule.max)
		return
	}
	target.SetInt(int64(value))
}

// number takes a whole number or one with a decimal point.
func (d *decoder) number(at position, path, name string, node ast.Node, target reflect.Value, rule rule) {
	switch node.(type) {
	case *ast.IntegerNode, *ast.FloatNode:
	default:
		d.report(at, path, "%s must be a number, not %s", name, kindOf(node))
		return
	}
	text := node.GetToken().Value
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || value < float64(rule.min) || value > float64(rule.max) {
		d.report(at, path, "%s cannot be %s; it must be a number from %d to %d", name, clipped(text), rule.min, rule.max)
		return
	}
	target.SetFloat(value)
}

func (d *decoder) truth(at position, path, name string, node ast.Node, target reflect.Value) {
	truth, ok := node.(*ast.BoolNode)
	if !ok {
		d.report(at, path, "%s must be true or false, not %s", name, kindOf(node))
		return
	}
	target.SetBool(truth.Value)
}

// kindOf names a node's kind as people do.
func kindOf(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a block of keys"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	default:
		return "what is there"
	}
}

func join(path, key string) string {
	if path == "" {
		return clipped(key)
	}
	return path + "." + clipped(key)
}

func positionOf(t *token.Token) position { return position{t.Position.Line, t.Position.Column} }

// firstOf is where a node begins: a mapping's own token is the colon after its first key.
func firstOf(node ast.Node) position {
	if mapping, ok := node.(*ast.MappingNode); ok && !mapping.IsFlowStyle && len(mapping.Values) > 0 {
		return positionOf(mapping.Values[0].Key.GetToken())
	}
	return positionOf(node.GetToken())
}

func positionOfInvalid(data []byte) position {
	at := position{1, 1}
	for len(data) > 0 {
		letter, size := utf8.DecodeRune(data)
		if letter == utf8.RuneError && size == 1 {
			return at
		}
		at.column++
		if letter == '\n' {
			at = position{at.line + 1, 1}
		}
		data = data[size:]
	}
	return at
}
