package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/gravity.schema.json anew")

const published = "../../docs/gravity.schema.json"

func TestThePublishedSchemaIsTheOneThatParseChecksBy(t *testing.T) {
	if *update {
		require.NoError(t, os.WriteFile(published, Schema(), 0o644))
	}
	found, err := os.ReadFile(published)
	require.NoError(t, err)
	require.Equal(t, string(Schema()), string(found), "run: go test ./internal/config -run Schema -update")
}

func TestTheWorkedExampleFitsTheSchema(t *testing.T) {
	data, err := os.ReadFile(example)
	require.NoError(t, err)
	require.NoError(t, validate(t, compiled(t), data))
}

func TestTheSchemaRefusesWhatParseRefuses(t *testing.T) {
	schema := compiled(t)
	require.NoError(t, validate(t, schema, []byte(minimal("        gate: {approval: {}}\n"))))
	for name, text := range map[string]string{
		"an unknown key":      minimal("        stratgy: immutable\n"),
		"a wrong strategy":    minimal("        strategy: imutable\n"),
		"no branches":         minimal("        branches: []\n"),
		"a blank approval":    minimal("        gate:\n          approval:\n"),
		"a unitless duration": minimal("        deadline: 30\n"),
		"a wrong status":      minimal("        health: {accept: [Fine]}\n"),
		"a status code":       minimal("        health: {check: {status: 99}}\n"),
		"a wrong name":        minimal("", "    bucket: My_Bucket\n"),
		"a missing key":       strings.Replace(minimal(""), "    application: site\n", "", 1),
		"no pipeline":         "pipelines: []\n",
	} {
		require.Error(t, validate(t, schema, []byte(text)), name)
		_, err := Parse("gravity.yaml", []byte(text))
		require.Error(t, err, name)
	}
}

func TestEveryKeyIsExplainedAndEveryExplanationHasAKey(t *testing.T) {
	found := map[string]bool{}
	var visit func(reflect.Type)
	visit = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			return
		}
		for _, f := range fields(of) {
			key := of.Name() + "." + f.name
			found[key] = true
			require.NotEmpty(t, rules[key].about, "%s needs an entry in rules", key)
			visit(f.of)
		}
	}
	visit(reflect.TypeFor[File]())
	for key := range rules {
		require.True(t, found[key], "%s explains a key that there is not", key)
	}
}

func TestEveryKeyIsInTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	require.NoError(t, err)
	for key := range rules {
		_, name, _ := strings.Cut(key, ".")
		require.Contains(t, string(page), "`"+name+"`", "docs/configuration.md says nothing of %s", key)
	}
}

func TestEveryConstantOfAPolicyCanBeChosen(t *testing.T) {
	declared := map[string][]string{}
	inspect := func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); ok && len(spec.Values) == 1 {
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				value, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				declared[of.Name] = append(declared[of.Name], value)
			}
		}
		return true
	}
	for _, name := range []string{"pipeline", "strategy", "gate"} {
		tree, err := parser.ParseFile(token.NewFileSet(), "../delivery/"+name+".go", nil, 0)
		require.NoError(t, err)
		ast.Inspect(tree, inspect)
	}
	require.ElementsMatch(t, declared["Otherwise"], rules["Approval.otherwise"].enum)
	require.ElementsMatch(t, declared["Strategy"], rules["Stage.strategy"].enum)
	require.ElementsMatch(t, declared["QueuePolicy"], rules["Stage.queue"].enum)
	require.ElementsMatch(t, declared["DriftPolicy"], rules["Stage.drift"].enum)
}

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("gravity.schema.json", document))
	schema, err := compiler.Compile("gravity.schema.json")
	require.NoError(t, err)
	return schema
}

// validate reads YAML by the library's own decoder, as an editor would, and asks the schema.
func validate(t testing.TB, schema *jsonschema.Schema, data []byte) error {
	t.Helper()
	var plain any
	require.NoError(t, yaml.Unmarshal(data, &plain))
	asJSON, err := json.Marshal(plain)
	require.NoError(t, err)
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	return schema.Validate(instance)
}
