package pinned

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

var pinnedProgram = Program{
	Folder:  "temporal",
	Name:    "temporal",
	Module:  "github.com/temporalio/cli",
	Package: "github.com/temporalio/cli/cmd/temporal",
	Version: "github.com/temporalio/cli/temporalcli.Version",
	Title:   "Temporal's development server",
	Takes:   "3 minutes",
}

func TestTheSourceTreeIsFoundFromAnyFolderInIt(t *testing.T) {
	tree := fakeTree(t, "package main\n\nfunc main() {}\n")
	site := filepath.Join(tree, "site", "pages")
	require.NoError(t, os.MkdirAll(site, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "site", "go.mod"), []byte("module site\n"), 0o644))
	found, err := pinnedProgram.tree(site)
	require.NoError(t, err)
	assert.Equal(t, tree, found)

	here, err := os.Getwd()
	require.NoError(t, err)
	found, err = pinnedProgram.tree(here)
	require.NoError(t, err)
	b, err := pinnedProgram.plan(found, "cache")
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
			path, err := pinnedProgram.fromSource(context.Background(), tree, cache, func(line string) {
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
	_, err := pinnedProgram.fromSource(t.Context(), tree, cache, func(string) {})
	require.ErrorContains(t, err, "undefined: nonsense")

	ctx, cancel := context.WithCancel(t.Context())
	_, err = pinnedProgram.fromSource(ctx, tree, cache, func(string) { cancel() })
	require.ErrorIs(t, err, context.Canceled)

	left, err := filepath.Glob(filepath.Join(cache, "temporal-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestWaitingForAnotherBuildEndsWithTheContext(t *testing.T) {
	b, err := pinnedProgram.plan(fakeTree(t, fakeProgram), t.TempDir())
	require.NoError(t, err)
	unlock, err := b.lock(t.Context(), func(string) {})
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.lock(ctx, func(string) {})
	require.ErrorIs(t, err, context.Canceled)
}
