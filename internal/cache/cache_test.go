package cache

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// bucket is a Remote in memory.
type bucket struct {
	objects map[string][]byte
	fetched int
}

func (b *bucket) Download(_ context.Context, name, key string, into io.WriterAt) (bool, error) {
	content, there := b.objects[name+"/"+key]
	if !there {
		return false, nil
	}
	b.fetched++
	_, err := into.WriteAt(content, 0)
	return true, err
}

func (b *bucket) Upload(_ context.Context, name, key string, content io.Reader) error {
	if _, there := b.objects[name+"/"+key]; there {
		return nil
	}
	read, err := io.ReadAll(content)
	b.objects[name+"/"+key] = read
	return err
}

func folder(t *testing.T, files ...string) string {
	t.Helper()
	top := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(top, files[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(files[i+1]), 0o644))
	}
	return top
}

// contents reads a folder: files by name, links with an arrow.
func contents(t *testing.T, top string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		name, err := filepath.Rel(top, path)
		require.NoError(t, err)
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			found[name] = "-> " + target
		case !entry.IsDir():
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			found[name] = string(content)
		}
		return nil
	}))
	return found
}

func TestACacheIsFoundByTheLockFilesTheScopeAndNothingElse(t *testing.T) {
	key := func(tree string, patterns []string, scope ...string) string {
		found, err := Key(tree, patterns, scope...)
		require.NoError(t, err)
		require.Len(t, found, 64)
		return found
	}
	files := []string{"go.sum", "one", "web/package-lock.json", "two", "main.go", "x"}
	patterns := []string{"go.sum", "**/package-lock.json"}
	want := key(folder(t, files...), patterns, "site", "main")
	require.Equal(t, want, key(folder(t, "go.sum", "one", "web/package-lock.json", "two", "main.go", "changed"), patterns, "site", "main"), "another file")
	require.Equal(t, want, key(folder(t, files...), []string{"**/package-lock.json", "go.sum", "go.*"}, "site", "main"), "another order")
	for name, other := range map[string]string{
		"a lock file's content": key(folder(t, "go.sum", "changed", "web/package-lock.json", "two"), patterns, "site", "main"),
		"a lock file's place":   key(folder(t, "go.sum", "one", "package-lock.json", "two"), patterns, "site", "main"),
		"a lock file more":      key(folder(t, append(files, "package-lock.json", "three")...), patterns, "site", "main"),
		"another pipeline":      key(folder(t, files...), patterns, "shop", "main"),
		"another branch":        key(folder(t, files...), patterns, "site", "next"),
		"parts cut elsewhere":   key(folder(t, files...), patterns, "sitem", "ain"),
	} {
		require.NotEqual(t, want, other, name)
	}
}

func TestALockFileThatLeadsOutOfTheTreeIsNotRead(t *testing.T) {
	tree := folder(t, "file", "x")
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(tree, "go.sum")))
	with, err := Key(tree, []string{"go.sum"})
	if err != nil {
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
		return
	}
	without, err := Key(folder(t, "file", "x"), []string{"go.sum"})
	require.NoError(t, err)
	require.Equal(t, without, with)
	_, err = Key(tree, []string{"../go.sum"})
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}

func TestWhatIsSavedIsFoundOnEveryWorkerAndStaysAsItIs(t *testing.T) {
	remote := &bucket{objects: map[string][]byte{}}
	here := &Store{Folder: filepath.Join(t.TempDir(), "caches"), Remote: remote}
	from := folder(t, "go-build/00/a", "compiled", "go-mod/x@v1/go.mod", "module x", "npm/index", "{}")
	require.NoError(t, os.Symlink("../npm/index", filepath.Join(from, "go-build", "link")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(from, "out")))
	old := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(filepath.Join(from, "npm", "index"), old, old))
	require.NoError(t, os.Chmod(filepath.Join(from, "go-mod", "x@v1", "go.mod"), 0o444))
	require.NoError(t, os.Chmod(filepath.Join(from, "go-mod", "x@v1"), 0o555))
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(from, "go-mod", "x@v1"), 0o755) })
	require.NoError(t, here.Save(t.Context(), "bundles", "key", from))
	require.NoError(t, os.WriteFile(filepath.Join(from, "npm", "index"), []byte("later"), 0o644))
	require.NoError(t, here.Save(t.Context(), "bundles", "key", from), "saving twice keeps the first")

	want := map[string]string{"go-build/00/a": "compiled", "go-mod/x@v1/go.mod": "module x", "npm/index": "{}", "go-build/link": "-> ../npm/index"}
	elsewhere := &Store{Folder: filepath.Join(t.TempDir(), "caches"), Remote: remote}
	for name, store := range map[string]*Store{"here": here, "elsewhere": elsewhere, "again": elsewhere} {
		into := t.TempDir()
		hit, err := store.Restore(t.Context(), "bundles", "key", into)
		require.NoError(t, err, name)
		require.True(t, hit, name)
		require.Equal(t, want, contents(t, into), name)
		info, err := os.Stat(filepath.Join(into, "npm", "index"))
		require.NoError(t, err)
		require.Equal(t, old, info.ModTime().Truncate(time.Second))
	}
	require.Equal(t, 1, remote.fetched, "each worker fetches it once, and the one that made it never")

	into := t.TempDir()
	hit, err := here.Restore(t.Context(), "bundles", "another", into)
	require.NoError(t, err)
	require.False(t, hit)
	require.Empty(t, contents(t, into))
}

func TestCachesUnusedForLongestMakeRoom(t *testing.T) {
	s := &Store{Folder: filepath.Join(t.TempDir(), "caches")}
	noise := strings.Repeat("0123456789", 10)
	for i, key := range []string{"first", "second", "third"} {
		require.NoError(t, s.Save(t.Context(), "", key, folder(t, "file", noise)))
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		require.NoError(t, os.Chtimes(filepath.Join(s.Folder, key+suffix), at, at))
	}
	hit, err := s.Restore(t.Context(), "", "first", t.TempDir())
	require.NoError(t, err)
	require.True(t, hit)
	info, err := os.Stat(filepath.Join(s.Folder, "first"+suffix))
	require.NoError(t, err)
	s.MaxSize = info.Size()*7/2 - 1
	require.NoError(t, s.Save(t.Context(), "", "fourth", folder(t, "file", noise)))
	left, err := filepath.Glob(filepath.Join(s.Folder, "*"))
	require.NoError(t, err)
	for i := range left {
		left[i] = strings.TrimSuffix(filepath.Base(left[i]), suffix)
	}
	require.ElementsMatch(t, []string{"first", "third", "fourth"}, left)
}

func TestACacheThatIsTooLargeIsNotKept(t *testing.T) {
	for name, s := range map[string]*Store{"files": {MaxFiles: 2}, "bytes": {MaxCache: 10}} {
		s.Folder = filepath.Join(t.TempDir(), "caches")
		err := s.Save(t.Context(), "", "key", folder(t, "a", "123456", "b", "123456", "c", "x"))
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err), name)
		left, err := os.ReadDir(s.Folder)
		require.NoError(t, err)
		require.Empty(t, left, name)
	}
}

// archived is a copy as somebody else could have put it into the bucket.
func archived(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var output bytes.Buffer
	compressor, err := zstd.NewWriter(&output)
	require.NoError(t, err)
	archive := tar.NewWriter(compressor)
	for _, header := range headers {
		header.Format = tar.FormatPAX
		if header.Typeflag == tar.TypeReg {
			header.Size = 4
		}
		require.NoError(t, archive.WriteHeader(&header))
		if header.Typeflag == tar.TypeReg {
			_, err := archive.Write([]byte("evil"))
			require.NoError(t, err)
		}
	}
	require.NoError(t, archive.Close())
	require.NoError(t, compressor.Close())
	return output.Bytes()
}

func TestHostileCachesAreUselessAndWriteNothingOutside(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	link := func(name, target string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
	}
	harmless := archived(t, file("good"))
	for name, content := range map[string][]byte{
		"a path that climbs":          archived(t, file("good"), file("../evil")),
		"an absolute path":            archived(t, file("/tmp/evil")),
		"a link that leads out":       archived(t, link("out", "../.."), file("out/evil")),
		"an absolute link":            archived(t, link("out", "/tmp"), file("out/evil")),
		"a link through a link":       archived(t, link("a", "."), link("a/b", ".."), file("a/b/evil")),
		"a hard link":                 archived(t, tar.Header{Name: "evil", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}),
		"a device":                    archived(t, tar.Header{Name: "evil", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		"a pipe":                      archived(t, tar.Header{Name: "evil", Typeflag: tar.TypeFifo}),
		"the folder itself":           archived(t, file(".")),
		"a file twice":                archived(t, file("good"), file("good")),
		"more files than are kept":    archived(t, file("1"), file("2"), file("3"), file("4"), file("5"), file("6"), file("7"), file("8"), file("9")),
		"half of one":                 harmless[:len(harmless)/2],
		"no archive at all":           []byte("<html>sign in first</html>"),
		"an archive with a new owner": append([]byte{0x28, 0xb5, 0x2f, 0xfd}, make([]byte, 64)...),
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			s := &Store{Folder: filepath.Join(base, "caches"), MaxFiles: 8, Remote: &bucket{objects: map[string][]byte{"bundles/" + Prefix + "key" + suffix: content}}}
			into := filepath.Join(base, "work", "into")
			require.NoError(t, os.MkdirAll(into, 0o755))
			hit, err := s.Restore(t.Context(), "bundles", "key", into)
			require.NoError(t, err)
			require.False(t, hit, "the build goes on without it")
			require.Empty(t, contents(t, into), "nothing is left of it")
			require.Empty(t, contents(t, base), "neither outside nor as a copy")
			require.NoFileExists(t, "/tmp/evil")
		})
	}
}
