package temporal

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAnInstalledTemporalCountsWhenItIsNewEnoughAndHasAServerAndAUI(t *testing.T) {
	for output, problem := range map[string]string{
		"temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)":                 "",
		"temporal version 0.0.0-DEV (Server 1.29.1, UI 2.42.1)\n":           "",
		"temporal version 1.9.0 (Server 1.32.0-162.1, UI 2.60.0)":           "",
		"temporal version 9.0.0 (Server 2.0.0, UI 3.0.0)":                   "",
		"temporal version 1.3.0 (Server 1.27.1, UI 2.36.0)":                 "its server is 1.27, needed is 1.29 or later",
		"temporal version 0.9.0 (Server 0.99.1, UI 2.36.0)":                 "its server is 0.99, needed",
		"temporal version 1.5.1":                                            "does not say",
		"tctl version 1.18.0 (Server 1.29.0)":                               "does not say",
		"Server 99999999999999999999999999.99999999999999999999999.0, UI 2": "does not say",
		"": "does not say",
	} {
		err := newEnough(output)
		if problem == "" {
			assert.NoError(t, err, output)
		} else {
			assert.ErrorContains(t, err, problem, output)
		}
	}
}

func TestTemporalInPathIsTakenAndAnOldOneIsLeftAlone(t *testing.T) {
	directory := t.TempDir()
	t.Setenv("PATH", directory)
	_, err := fromPath(t.Context())
	require.ErrorIs(t, err, exec.ErrNotFound)

	fake := filepath.Join(directory, "temporal")
	require.NoError(t, os.WriteFile(fake, []byte("#!/bin/sh\necho 'temporal version 1.6.0 (Server 1.30.0, UI 2.45.0)'\n"), 0o755))
	path, err := Binary(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, fake, path)

	require.NoError(t, os.WriteFile(fake, []byte("#!/bin/sh\necho 'temporal version 1.0.0 (Server 1.24.0, UI 2.30.0)'\n"), 0o755))
	t.Chdir(t.TempDir())
	var lines []string
	_, err = Binary(t.Context(), func(line string) { lines = append(lines, line) })
	require.ErrorContains(t, err, "is not inside Gravity's source tree")
	require.ErrorContains(t, err, "Install the Temporal CLI")
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "its server is 1.24, needed is 1.29 or later; it is not used")
}
