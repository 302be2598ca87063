package cluster

import (
	"os"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
)

func TestTheClusterHasTheSettingsOfTheOneThatComposeStarts(t *testing.T) {
	content, err := os.ReadFile("../../../temporal/dynamicconfig.yaml")
	require.NoError(t, err)
	var composed map[string][]struct{ Value any }
	require.NoError(t, yaml.Unmarshal(content, &composed))
	require.NotEmpty(t, composed)
	for name, values := range composed {
		require.Len(t, values, 1, name)
		require.EqualValues(t, dynamicSettings[name], values[0].Value, name)
	}
}
