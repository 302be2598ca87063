package temporal

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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

func TestTheSourceTreeIsFoundFromAnyFolderInIt(t *testing.T) {
	tree := fakeTree(t, "package main\n\nfunc main() {}\n")
	site := filepath.Join(tree, "site", "pages")
	require.NoError(t, os.MkdirAll(site, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "site", "go.mod"), []byte("module site\n"), 0o644))
	found, err := sourceTree(site)
	require.NoError(t, err)
	assert.Equal(t, tree, found)

	here, err := os.Getwd()
	require.NoError(t, err)
	found, err = sourceTree(here)
	require.NoError(t, err)
	b, err := planBuild(found, "cache")
	require.NoError(t, err)
	assert.Regexp(t, `^cache/temporal-\d+\.\d+\.\d+-[0-9a-f]{12}$`, b.target)
}

// fakeTree is a source tree whose pinned command is a small program of the test's own.
func fakeTree(t *testing.T, program string) string {
	t.Helper()
	tree, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for name, content := range map[string]string{
		"go.mod":                                    "module gravity\n\ngo 1.26\n",
		"tools/temporal/go.mod":                     "module pinned\n\ngo 1.26\n\nrequire github.com/temporalio/cli v1.98.7\n\nreplace github.com/temporalio/cli => ./cli\n",
		"tools/temporal/go.sum":                     "",
		"tools/temporal/cli/go.mod":                 "module github.com/temporalio/cli\n\ngo 1.26\n",
		"tools/temporal/cli/temporalcli/version.go": "package temporalcli\n\nvar Version = \"unset\"\n",
		"tools/temporal/cli/cmd/temporal/main.go":   program,
	} {
		path := filepath.Join(tree, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return tree
}

const fakeProgram = `package main

import "github.com/temporalio/cli/temporalcli"

func main() { print("version ", temporalcli.Version) }
`

func TestTwoWhoNeedTheBinaryAtOnceBuildItOnceAndItKnowsItsVersion(t *testing.T) {
	t.Setenv("GOFLAGS", "-mod=vendor") // a developer's own settings don't reach the build
	t.Setenv("GOOS", "plan9")
	tree, cache := fakeTree(t, fakeProgram), t.TempDir()
	var mutex sync.Mutex
	var told []string
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			path, err := fromSource(context.Background(), tree, cache, func(line string) {
				mutex.Lock()
				defer mutex.Unlock()
				told = append(told, line)
			})
			if assert.NoError(t, err) {
				output, err := exec.Command(path).CombinedOutput()
				assert.NoError(t, err)
				assert.Equal(t, "version 1.98.7", string(output))
			}
		})
	}
	group.Wait()
	all := strings.Join(told, "\n")
	assert.Equal(t, 1, strings.Count(all, "built Temporal's development server 1.98.7"), all)
	assert.Contains(t, all, "building Temporal's development server, once: about 3 minutes")
}

func TestABuildThatFailsOrIsCutOffLeavesNoBinary(t *testing.T) {
	tree, cache := fakeTree(t, "package main\n\nfunc main() { nonsense }\n"), t.TempDir()
	_, err := fromSource(t.Context(), tree, cache, func(string) {})
	require.ErrorContains(t, err, "undefined: nonsense")

	ctx, cancel := context.WithCancel(t.Context())
	_, err = fromSource(ctx, tree, cache, func(string) { cancel() })
	require.ErrorIs(t, err, context.Canceled)

	left, err := filepath.Glob(filepath.Join(cache, "temporal-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestWaitingForAnotherBuildEndsWithTheContext(t *testing.T) {
	b, err := planBuild(fakeTree(t, fakeProgram), t.TempDir())
	require.NoError(t, err)
	unlock, err := b.lock(t.Context(), func(string) {})
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.lock(ctx, func(string) {})
	require.ErrorIs(t, err, context.Canceled)
}
