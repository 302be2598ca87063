package config

import (
	"errors"
	"os"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

// FuzzParse holds three promises for any bytes: Parse returns; what it refuses has a place inside
// the file; and what it accepts, the library's own strict decoder reads the same way and the
// published schema accepts too.
func FuzzParse(f *testing.F) {
	sample, err := os.ReadFile(example)
	require.NoError(f, err)
	f.Add(sample)
	f.Add([]byte(minimal("        gate: {approval: {timeout: 1h}}\n        health: {accept: [Ok], steady: 1m, check: {status: 204}}\n")))
	f.Add([]byte(minimal("", "    test:\n      run: |\n        go vet ./...\n        go test ./...\n")))
	f.Add([]byte("pipelines: [{name: \"a\", stages: [{}]}]"))
	f.Add([]byte("a: [\n"))
	schema := compiled(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("gravity.yaml", data)
		if err != nil {
			var problems Problems
			require.True(t, errors.As(err, &problems) && len(problems) > 0)
			for _, problem := range problems {
				require.Positive(t, problem.Line)
				require.Positive(t, problem.Column)
				require.NotEmpty(t, problem.Message)
			}
			return
		}
		var decoded File
		require.NoError(t, yaml.UnmarshalWithOptions(data, &decoded, yaml.Strict()))
		for i, pipeline := range decoded.Pipelines {
			require.Equal(t, file.Pipelines[i], pipeline.WithDefaults())
		}
		require.NoError(t, validate(t, schema, data))
	})
}
