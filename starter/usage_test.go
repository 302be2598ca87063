package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ended is what a finished command left behind.
type ended struct {
	code           int
	stdout, stderr string
}

// starter runs the whole program, as the shell would.
func starter(t *testing.T, arguments ...string) ended {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), arguments, &stdout, &stderr)
	return ended{code, stdout.String(), stderr.String()}
}

func TestWrongUseIsExplainedAndEndsWith2(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1") // nothing listens there
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(t.TempDir(), "none.toml"))
	for name, c := range map[string]struct {
		arguments []string
		says      string
	}{
		"an unknown command":               {[]string{"statsu"}, "Did you mean this?\n    status"},
		"an unknown flag":                  {[]string{"status", "--bogus"}, "unknown flag: --bogus; `starter status --help` lists them"},
		"a flag of another kind":           {[]string{"up", "--ui-port", "x"}, "`starter up --help` lists them"},
		"a port that is none":              {[]string{"up", "--git-port", "70000"}, "--git-port is 70000"},
		"a site that is none":              {[]string{"up", "--site", "."}, "has no gravity.yaml"},
		"an unknown output":                {[]string{"status", "-o", "yaml"}, `--output is "yaml": it is text or json`},
		"a missing argument":               {[]string{"deploy"}, "PIPELINE is missing: starter deploy PIPELINE"},
		"an argument too many":             {[]string{"watch", "a", "b"}, `unexpected argument "b"`},
		"a run and an environment":         {[]string{"status", "site", "-e", "site-staging"}, "a run or --environment, not both"},
		"an abort without a reason":        {[]string{"abort"}, "say why with --reason"},
		"a rollback without a reason":      {[]string{"rollback", "site-staging"}, "say why with --reason"},
		"a freeze without a reason":        {[]string{"freeze", "site-staging"}, "say why with --reason"},
		"a receiver without a secret":      {[]string{"serve"}, "--secret-file is missing"},
		"a receiver with a strange web UI": {[]string{"serve", "--secret-file", "s", "--web-ui", "temporal"}, `--web-ui is "temporal"`},
		"a provisioning without stacks":    {[]string{"provision", "--config", "../site/gravity.yaml"}, "has no stacks; docs/configuration.md explains the key"},
		"a destruction of nothing":         {[]string{"destroy"}, "name the stacks that are to be deleted, or say --all"},
		"a bootstrap without a receiver":   {[]string{"bootstrap"}, "--no-webhook registers none"},
		"a file that is not there":         {[]string{"validate", "none.yaml"}, "name the file with --config"},
		"a server that is not there":       {[]string{"status"}, "no Temporal server at 127.0.0.1:1: start one with `go run ./starter up`, or set TEMPORAL_ADDRESS"},
		"a profile that is not there":      {[]string{"status", "--profile", "moon"}, "look at temporal.toml"},
	} {
		t.Run(name, func(t *testing.T) {
			got := starter(t, c.arguments...)
			assert.Equal(t, exitUsage, got.code)
			assert.Contains(t, got.stderr, c.says)
			assert.Empty(t, got.stdout)
		})
	}
}

func TestHelpIsNoFailure(t *testing.T) {
	for _, arguments := range [][]string{nil, {"--help"}, {"deploy", "--help"}, {"help", "rollback"}} {
		got := starter(t, arguments...)
		assert.Equal(t, exitSuccess, got.code, arguments)
		assert.Contains(t, got.stdout, "Usage:", arguments)
	}
}

func TestEveryCommandHasAnExampleAndNamesItsArguments(t *testing.T) {
	seen := map[string]bool{}
	for _, command := range newRoot(newGlobals(&bytes.Buffer{}, &bytes.Buffer{})).Commands() {
		if command.Name() == "help" || command.Name() == "completion" {
			continue
		}
		assert.False(t, seen[command.Name()], "%s is listed once", command.Name())
		seen[command.Name()] = true
		assert.NotEmpty(t, command.Example, command.Name())
		assert.NotNil(t, command.Args, command.Name())
		assert.NotNil(t, command.RunE, "%s must return its error", command.Name())
	}
}

const wrongFile = "pipelines:\n  - name: Site\n    repository: https://github.com/example/site\n    application: site\n    stagse: []\n"

func TestAllProblemsOfAFileAreListedAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gravity.yaml")
	require.NoError(t, os.WriteFile(path, []byte(wrongFile), 0o600))

	got := starter(t, "validate", path)
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, path+":2:")
	assert.Contains(t, got.stderr, path+":5:")
	assert.Contains(t, got.stderr, "stages")

	got = starter(t, "validate", path, "-o", "json")
	assert.Equal(t, exitUsage, got.code)
	var document struct {
		Type     string `json:"type"`
		Problems []struct {
			Line int    `json:"line"`
			Key  string `json:"key"`
		} `json:"problems"`
	}
	require.NoError(t, json.Unmarshal([]byte(got.stderr), &document))
	assert.Equal(t, "InvalidInput", document.Type)
	assert.Greater(t, len(document.Problems), 1)
}

func TestTheSampleSitesFileIsValidAndSaidInWords(t *testing.T) {
	got := starter(t, "validate", "../site/gravity.yaml")
	assert.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Contains(t, got.stdout, "a push to main goes to:")

	t.Setenv("GRAVITY_CONFIG", "../site/gravity.yaml")
	got = starter(t, "validate", "-o", "json")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	var document validated
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &document))
	assert.True(t, document.Valid)
	assert.Equal(t, "site", document.Pipelines[0].Name)

	got = starter(t, "validate", "--schema")
	assert.Equal(t, exitSuccess, got.code)
	assert.True(t, json.Valid([]byte(got.stdout)))
}

func TestASecretFileHoldsOneSecretALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte("new\r\n\n old \n"), 0o600))
	lines, err := secretLines(path)
	require.NoError(t, err)
	assert.Equal(t, []string{"new", "old"}, lines)

	for content, says := range map[string]string{"": "is empty", " \n\n": "is empty", strings.Repeat("x", maxSecretFile+1): "over 64 KiB"} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err = secretLines(path)
		assert.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "xxx", "a secret is never repeated")
	}
	_, err = secretLines(filepath.Join(t.TempDir(), "none"))
	assert.ErrorContains(t, err, "none")
}
