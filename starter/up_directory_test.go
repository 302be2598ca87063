package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestADirectoryThatIsSomebodyElsesIsNeitherUsedNorEmptied(t *testing.T) {
	directory := t.TempDir()
	precious := filepath.Join(directory, "webhook-secret")
	require.NoError(t, os.WriteFile(precious, []byte("theirs"), 0o600))
	for _, arguments := range [][]string{{"up"}, {"up", "--fresh"}} {
		got := starter(t, append(arguments, "--directory", directory)...)
		assert.Equal(t, exitUsage, got.code)
		assert.Contains(t, got.stderr, directory+" is no directory of `starter up`")
		entries, err := os.ReadDir(directory)
		require.NoError(t, err)
		assert.Len(t, entries, 1, "nothing was added, and nothing removed")
	}
}

func TestADirectoryIsOneProcessesAtATimeAndFreshEmptiesIt(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "made", "on demand")
	release, err := takeDirectory(directory)
	require.NoError(t, err)
	kept := filepath.Join(directory, "aws", "kept")
	require.NoError(t, os.MkdirAll(kept, 0o700))

	got := starter(t, "up", "--fresh", "--directory", directory)
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "another `starter up` runs on "+directory)
	assert.DirExists(t, kept, "what runs keeps its data")
	release()

	release, err = takeDirectory(directory)
	require.NoError(t, err)
	release()
	assert.DirExists(t, kept, "a second start continues with what is there")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	got = starter(t, "up", "--fresh", "--directory", directory, "--site", "../site", "--git-port", port)
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "--git-port")
	assert.DirExists(t, kept, "nothing is removed before it is clear that the start can go on")

	require.NoError(t, emptyDirectory(directory))
	assert.NoDirExists(t, filepath.Dir(kept))
	assert.FileExists(t, filepath.Join(directory, markerName))
}
