package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// makeTree makes a tree of files, by name and content in turn. A name that ends in "*" is executable.
func makeTree(t *testing.T, files ...string) string {
	t.Helper()
	tree := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name, executable := strings.CutSuffix(files[i], "*")
		path := filepath.Join(tree, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		mode := fs.FileMode(0o644)
		if executable {
			mode = 0o755
		}
		require.NoError(t, os.WriteFile(path, []byte(files[i+1]), mode))
	}
	return tree
}

func write(t *testing.T, tree string, options Options) (Manifest, []byte) {
	t.Helper()
	var output bytes.Buffer
	manifest, err := WriteWith(t.Context(), tree, &output, options)
	require.NoError(t, err)
	require.EqualValues(t, output.Len(), manifest.Size)
	return manifest, output.Bytes()
}

// unpack reads a bundle with the standard library, which checks every sum.
func unpack(t *testing.T, content []byte) (names []string, files map[string]string) {
	t.Helper()
	reader, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	require.NoError(t, err)
	files = map[string]string{}
	for _, file := range reader.File {
		opened, err := file.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(opened)
		require.NoError(t, err, file.Name)
		names = append(names, file.Name)
		files[file.Name] = string(text)
	}
	return names, files
}

func requireRejected(t *testing.T, tree string, options Options, says ...string) {
	t.Helper()
	_, err := WriteWith(t.Context(), tree, io.Discard, options)
	require.Equal(t, delivery.BundleRejected, delivery.TypeOf(err), "%v", err)
	for _, text := range says {
		require.ErrorContains(t, err, text)
	}
}

func TestABundleHoldsTheTreeWithoutAParentFolder(t *testing.T) {
	big := strings.Repeat("0123456789abcdef\n", 100_000) // several pieces
	noise := make([]byte, 3*chunkSize)
	_, err := rand.NewChaCha8([32]byte{}).Read(noise)
	require.NoError(t, err)
	exact := strings.Repeat("x", chunkSize)
	tree := makeTree(t, "Procfile", "web: bin/run", "bin/run*", "#!/bin/sh", ".ebextensions/a.config", "{}", ".hidden", "h",
		"big.txt", big, "noise.bin", string(noise), "exact", exact, "twice", exact+exact, "one-more", exact+"y", "empty", "", "ünï.txt", "u",
		".git/config", "secret", "sub/.git", "gitdir: elsewhere", "sub/x", "x")
	require.NoError(t, os.Symlink("bin/run", filepath.Join(tree, "start")))
	require.NoError(t, os.Mkdir(filepath.Join(tree, "nothing"), 0o755))
	manifest, content := write(t, tree, Options{})
	names, files := unpack(t, content)
	require.Equal(t, map[string]string{
		"Procfile": "web: bin/run", "bin/run": "#!/bin/sh", ".ebextensions/a.config": "{}", ".hidden": "h", "big.txt": big,
		"noise.bin": string(noise), "exact": exact, "twice": exact + exact, "one-more": exact + "y", "empty": "", "ünï.txt": "u",
		"start": "bin/run", "sub/x": "x",
	}, files)
	require.Equal(t, len(names), manifest.Files)
	require.Less(t, len(content), len(noise)+len(big)/10, "text is compressed")

	reader, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	require.NoError(t, err)
	for _, file := range reader.File {
		want := fs.FileMode(0o644)
		switch file.Name {
		case "bin/run":
			want = 0o755
		case "start":
			want = fs.ModeSymlink | 0o777
		case "noise.bin":
			require.Equal(t, zip.Store, file.Method, "what does not shrink is stored")
		}
		require.Equal(t, want, file.Mode(), file.Name)
	}
}

// The digest of this tree is part of the format: when a library or an edit changes the bytes, every
// version that is rebuilt after an upgrade conflicts with the one already stored.
func TestTheFormatStaysAsItIs(t *testing.T) {
	tree := makeTree(t, "Procfile", "web: bin/run\n", "bin/run*", "#!/bin/sh\nexec app\n", "data.txt", strings.Repeat("The quick brown fox. ", 50_000))
	manifest, _ := write(t, tree, Options{Modified: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	require.Equal(t, "c5ff0eec1e59e13088fe655eb56dd44a896f6fc7c84ca310dcee7f390b46c114", manifest.Digest)
}

func TestTheSameTreeIsTheSameBytesWhereverItIsBundled(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var files []string
	for i := range 100 {
		content := strings.Repeat(fmt.Sprintf("line %d of file\n", i), random.IntN(200))
		if i%20 == 0 {
			content = strings.Repeat(content+"more", 400)
		}
		files = append(files, fmt.Sprintf("folder%d/deep/file%d.txt", i%7, i), content)
	}
	build := func(mask int, backwards bool) string {
		old := syscall.Umask(mask)
		defer syscall.Umask(old)
		order := slices.Clone(files)
		if backwards {
			slices.Reverse(order)
			for i := 0; i < len(order); i += 2 {
				order[i], order[i+1] = order[i+1], order[i]
			}
		}
		tree := makeTree(t, order...)
		require.NoError(t, os.WriteFile(filepath.Join(tree, "run"), []byte("x"), 0o777))
		return tree
	}
	modified := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	want, _ := write(t, build(0o022, false), Options{Modified: modified})
	for name, test := range map[string]struct {
		mask      int
		backwards bool
		zone      string
		cores     int
		workers   int
	}{
		"a strict umask":     {mask: 0o077, cores: 2},
		"no umask":           {mask: 0, cores: 2},
		"another file order": {mask: 0o022, backwards: true, cores: 2},
		"another time zone":  {mask: 0o022, zone: "Asia/Kathmandu", cores: 2},
		"one core":           {mask: 0o022, cores: 1},
		"sixteen cores":      {mask: 0o022, cores: 16},
		"three workers":      {mask: 0o022, cores: 2, workers: 3},
	} {
		t.Run(name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(test.cores))
			tree := build(test.mask, test.backwards)
			at := modified
			if test.zone != "" {
				t.Setenv("TZ", test.zone)
				at = modified.In(time.FixedZone(test.zone, 20700))
			}
			got, _ := write(t, tree, Options{Modified: at, Workers: test.workers})
			require.Equal(t, want, got)
		})
	}
	tree := build(0o022, false)
	require.NoError(t, os.WriteFile(filepath.Join(tree, "run"), []byte("y"), 0o755))
	other, _ := write(t, tree, Options{Modified: modified})
	require.NotEqual(t, want.Digest, other.Digest, "another content is another digest")
	later, _ := write(t, build(0o022, false), Options{Modified: modified.Add(time.Minute)})
	require.NotEqual(t, want.Digest, later.Digest, "another commit time is another digest")
}

func TestTimesThatAZipCannotHoldAreBroughtWithinItsBounds(t *testing.T) {
	tree := makeTree(t, "file", "x")
	for at, want := range map[time.Time]string{
		{}:              "1980-01-01 00:00:00",
		time.Unix(0, 0): "1980-01-01 00:00:00",
		time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC):                 "2107-12-31 23:59:58",
		time.Date(2026, 5, 6, 7, 8, 9, 0, time.FixedZone("", 3600)): "2026-05-06 06:08:08",
	} {
		_, content := write(t, tree, Options{Modified: at})
		reader, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		require.NoError(t, err)
		require.Equal(t, want, reader.File[0].Modified.Format(time.DateTime))
	}
}

func TestWhatNoBundleCanHoldIsRefusedByName(t *testing.T) {
	link := func(target string) func(t *testing.T, tree string) {
		return func(t *testing.T, tree string) {
			require.NoError(t, os.MkdirAll(filepath.Join(tree, "deep"), 0o755))
			require.NoError(t, os.Symlink(target, filepath.Join(tree, "deep", "bad")))
		}
	}
	file := func(name string) func(t *testing.T, tree string) {
		return func(t *testing.T, tree string) {
			require.NoError(t, os.WriteFile(filepath.Join(tree, name), nil, 0o600))
		}
	}
	for name, test := range map[string]struct {
		make func(t *testing.T, tree string)
		says []string
	}{
		"a link outside":   {link("../../etc/passwd"), []string{`"deep/bad"`, "leads out of the tree"}},
		"an absolute link": {link("/etc/passwd"), []string{`"deep/bad"`, "leads out of the tree", ".ebignore"}},
		"an absolute link inside": {func(t *testing.T, tree string) {
			require.NoError(t, os.Symlink(filepath.Join(tree, "ok"), filepath.Join(tree, "bad")))
		}, []string{`"bad"`, "out of the tree"}},
		"a link to the parent":    {link("../.."), []string{"leads out of the tree"}},
		"a link in a circle":      {link("bad"), []string{`"deep/bad"`, "in a circle"}},
		"a link that climbs late": {link("gone/../../ok"), []string{"leads out of the tree"}},
		"a link through a link": {func(t *testing.T, tree string) {
			require.NoError(t, os.Mkdir(filepath.Join(tree, "deep"), 0o755))
			require.NoError(t, os.Symlink("..", filepath.Join(tree, "deep", "up")))
			require.NoError(t, os.Symlink("deep/up/../..", filepath.Join(tree, "bad")))
		}, []string{`"bad"`, "out of the tree"}},
		"a link with a backslash": {link(`..\..\etc`), []string{"leads out of the tree"}},
		"a link with a control":   {link("a\nb"), []string{"characters"}},
		"a named pipe": {func(t *testing.T, tree string) {
			require.NoError(t, syscall.Mkfifo(filepath.Join(tree, "pipe"), 0o600))
		}, []string{`"pipe"`, "a named pipe", ".ebignore"}},
		"a socket": {func(t *testing.T, tree string) {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			require.NoError(t, err)
			t.Cleanup(func() { _ = syscall.Close(fd) })
			short, err := os.MkdirTemp("", "s")
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(short) })
			require.NoError(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: filepath.Join(short, "s")}))
			require.NoError(t, os.Rename(filepath.Join(short, "s"), filepath.Join(tree, "socket")))
		}, []string{`"socket"`, "a socket"}},
		"a name with a new line":  {file("a\nb"), []string{`"a\nb"`, "control character"}},
		"a name with a backslash": {file(`..\..\evil`), []string{"backslash"}},
		"a name that is not text": {file("caf\xe9"), []string{"UTF-8"}},
		"a folder's name": {func(t *testing.T, tree string) {
			require.NoError(t, os.MkdirAll(filepath.Join(tree, "a\x01b", "c"), 0o755))
		}, []string{"control character"}},
		"an ignore file that is a link": {func(t *testing.T, tree string) {
			require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(tree, ".ebignore")))
		}, []string{`".ebignore"`, "a symbolic link"}},
		"an endless ignore file": {func(t *testing.T, tree string) {
			require.NoError(t, os.WriteFile(filepath.Join(tree, ".gitignore"), make([]byte, maxIgnoreSize+1), 0o600))
		}, []string{`".gitignore"`, "shorten"}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := makeTree(t, "ok", "ok")
			test.make(t, tree)
			requireRejected(t, tree, Options{}, test.says...)
		})
	}
}

func TestLinksThatStayInsideAreKept(t *testing.T) {
	tree := makeTree(t, "a/b/file", "x")
	for name, target := range map[string]string{"up": "a/b/../b/file", "a/b/down": "../../a", "a/dangling": "../later/it/appears", "dot": "."} {
		require.NoError(t, os.Symlink(target, filepath.Join(tree, name)))
	}
	_, content := write(t, tree, Options{})
	names, files := unpack(t, content)
	require.Equal(t, []string{"a/b/down", "a/b/file", "a/dangling", "dot", "up"}, names)
	require.Equal(t, "../../a", files["a/b/down"])
}

func TestBeanstalksLimitsAreKept(t *testing.T) {
	noise := make([]byte, 200_000)
	_, err := rand.NewChaCha8([32]byte{}).Read(noise)
	require.NoError(t, err)
	tree := makeTree(t, "small", "x", "huge.bin", string(noise))
	requireRejected(t, tree, Options{MaxSize: 100_000}, "100000 bytes", `"huge.bin"`, ".ebignore")
	exact, _ := write(t, tree, Options{})
	same, _ := write(t, tree, Options{MaxSize: exact.Size})
	require.Equal(t, exact, same, "a bundle of just that size is accepted")
	requireRejected(t, tree, Options{MaxSize: exact.Size - 1}, "Beanstalk accepts")

	requireRejected(t, makeTree(t, "a", "", "b", "", "c", ""), Options{MaxFiles: 2}, "more than 2 files", `"c"`)
	requireRejected(t, t.TempDir(), Options{}, "no file is left")
	requireRejected(t, makeTree(t, ".ebignore", "*\n", "file", "x"), Options{}, "no file is left")
	requireRejected(t, filepath.Join(t.TempDir(), "gone"), Options{}, "cannot be opened")
}

func TestAFileThatCannotBeReadIsRefusedByName(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	tree := makeTree(t, "secret", "x")
	require.NoError(t, os.Chmod(filepath.Join(tree, "secret"), 0))
	requireRejected(t, tree, Options{}, `"secret"`, "cannot be read")
}

func TestBundlingEndsWithTheContextAndWithTheWriter(t *testing.T) {
	var files []string
	for i := range 200 {
		files = append(files, fmt.Sprintf("file%d", i), strings.Repeat("x", 10_000))
	}
	tree := makeTree(t, append(files, "big", strings.Repeat("abcdefgh", 1<<20))...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Write(ctx, tree, io.Discard)
	require.ErrorIs(t, err, context.Canceled)

	full := errors.New("disk full")
	_, err = Write(t.Context(), tree, writerFunc(func([]byte) (int, error) { return 0, full }))
	require.ErrorIs(t, err, full)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(content []byte) (int, error) { return f(content) }
