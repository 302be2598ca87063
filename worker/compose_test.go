package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestComposeGivesWorkersFlagsAndVariablesThatTheyKnow reads docker-compose.yml as Compose does.
func TestComposeGivesWorkersFlagsAndVariablesThatTheyKnow(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{filepath.Join("..", "docker-compose.yml")}, cli.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	for _, name := range []string{"worker", "stand-in-worker"} {
		service := project.Services[name]
		variables := map[string]string{}
		for variable, value := range service.Environment {
			require.NotNil(t, value, variable)
			variables[variable] = *value
			elsewhere := map[string]bool{"TEMPORAL_ADDRESS": true, "TEMPORAL_NAMESPACE": true, "AWS_CONFIG_FILE": true}
			assert.True(t, elsewhere[variable] || strings.Contains(help, " "+variable+"\n"), "%s of %s", variable, name)
		}
		s, err := parse(service.Command, environment(variables))
		require.NoError(t, err, name)
		assert.NotEmpty(t, s.metricsListen, "%s is asked for its health there", name)
		assert.Equal(t, name == "stand-in-worker", s.sandbox.localRepositories, name)
	}
}
