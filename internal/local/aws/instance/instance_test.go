package instance

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// entry is one entry of a bundle under test.
type entry struct {
	name, content string
	mode          fs.FileMode
}

func bundleFile(t *testing.T, entries ...entry) *os.File {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name}
		header.SetMode(e.mode)
		w, err := archive.CreateHeader(header)
		require.NoError(t, err)
		_, err = w.Write([]byte(e.content))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	path := filepath.Join(t.TempDir(), "bundle.zip")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	return file
}

func TestABundleIsUnpackedWithItsModesAndInnerLinks(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "current")
	require.NoError(t, Unpack(bundleFile(t,
		entry{"bin/", "", fs.ModeDir | 0o755},
		entry{"bin/site", "program", 0o755},
		entry{"deep/er/file", "text", 0o644},
		entry{"deep/link", "er/file", fs.ModeSymlink | 0o777},
		entry{"deep/up", "../bin/site", fs.ModeSymlink | 0o777},
	), folder))
	info, err := os.Stat(filepath.Join(folder, "bin/site"))
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o755), info.Mode().Perm())
	content, err := os.ReadFile(filepath.Join(folder, "deep/link"))
	require.NoError(t, err)
	assert.Equal(t, "text", string(content))
}

func TestABundleCannotWriteOutsideItsFolder(t *testing.T) {
	for name, entries := range map[string][]entry{
		"a name that goes up":        {{"../escaped", "x", 0o644}},
		"a name that goes up inside": {{"a/../../escaped", "x", 0o644}},
		"an absolute name":           {{"/tmp/stand-in-escaped", "x", 0o644}},
		"a link that goes up":        {{"link", "../escaped", fs.ModeSymlink | 0o777}},
		"an absolute link":           {{"link", "/etc/passwd", fs.ModeSymlink | 0o777}},
		"a chain of links":           {{"a", "b/..", fs.ModeSymlink | 0o777}, {"b", "../..", fs.ModeSymlink | 0o777}},
		"a file through a link":      {{"a", "../", fs.ModeSymlink | 0o777}, {"a/escaped", "x", 0o644}},
		"a device":                   {{"device", "", fs.ModeDevice | 0o644}},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			require.Error(t, Unpack(bundleFile(t, entries...), filepath.Join(parent, "current")))
			assert.NoFileExists(t, filepath.Join(parent, "escaped"))
			assert.NoFileExists(t, "/tmp/stand-in-escaped")
		})
	}
}

func TestWhatIsNoZIPFileIsNamedAsSuch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bundle")
	require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	assert.ErrorContains(t, Unpack(file, t.TempDir()), "no ZIP file")
}

func TestAProcfileNamesItsProcesses(t *testing.T) {
	commands, err := parseCommands("Procfile", []byte("# comment\n\nweb: ./site -v  \nworker:  sleep 1: 2\r\n"))
	require.NoError(t, err)
	assert.Equal(t, []command{{"web", "./site -v"}, {"worker", "sleep 1: 2"}}, commands)
	_, err = parseCommands("Procfile", []byte("web: ok\nno colon here"))
	assert.EqualError(t, err, `Procfile, line 2: expected "name: command"`)
}

func TestWithoutAProcfileTheProgramNamedApplicationRuns(t *testing.T) {
	folder := t.TempDir()
	_, err := processes(folder)
	require.ErrorContains(t, err, "neither a Procfile nor a program named application")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "application"), nil, 0o700))
	commands, err := processes(folder)
	require.NoError(t, err)
	assert.Equal(t, []command{{"web", "./application"}}, commands)
}
