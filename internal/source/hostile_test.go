package source

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// object writes an object that git itself would not make.
func (o *origin) object(kind, content string) string {
	o.t.Helper()
	return o.gitWith(content, "hash-object", "-w", "-t", kind, "--literally", "--stdin")
}

// rawTree writes a tree of entries, each "<mode> <name>" and a hash.
func (o *origin) rawTree(entries ...string) string {
	o.t.Helper()
	var content strings.Builder
	for i := 0; i < len(entries); i += 2 {
		content.WriteString(entries[i] + "\x00")
		for j := 0; j < 40; j += 2 {
			var value int
			_, err := fmt.Sscanf(entries[i+1][j:j+2], "%02x", &value)
			require.NoError(o.t, err)
			content.WriteByte(byte(value))
		}
	}
	return o.object("tree", content.String())
}

// commitTree makes the tree the head of main.
func (o *origin) commitTree(tree string) {
	o.t.Helper()
	sha := o.object("commit", "tree "+tree+"\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n")
	require.NoError(o.t, os.MkdirAll(filepath.Join(o.dir, ".git/refs/heads"), 0o755))
	require.NoError(o.t, os.WriteFile(filepath.Join(o.dir, ".git/refs/heads/main"), []byte(sha+"\n"), 0o644))
}

// Each of these repositories tries to write outside its folder, to run something, or to exhaust the
// worker. It is refused with a reason, or checked out as the harmless files that it also is.
func TestHostileRepositories(t *testing.T) {
	t.Parallel()
	const payload = "touch PWNED"
	raw := func(mode, name string) func(o *origin) {
		return func(o *origin) {
			blob := o.object("blob", "x")
			o.commitTree(o.rawTree(mode+" "+name, blob))
		}
	}
	nested := func(name string) func(o *origin) {
		return func(o *origin) {
			inner := o.rawTree("100644 evil", o.object("blob", "x"))
			o.commitTree(o.rawTree("40000 "+name, inner))
		}
	}
	modules := func(path, address string) func(o *origin) {
		return func(o *origin) {
			o.write(".gitmodules", "[submodule \"x\"]\n\tpath = "+path+"\n\turl = "+address+"\n")
			o.git("add", ".gitmodules")
			sha := o.commit("base")
			o.git("update-index", "--add", "--cacheinfo", "160000,"+sha+",sub")
			o.git("commit", "--quiet", "-m", "submodule")
		}
	}
	for name, test := range map[string]struct {
		make  func(o *origin)
		kind  delivery.ErrorType // "" when it is checked out
		says  string
		files []string // that must be there
	}{
		"a file named ..":              {make: raw("100644", ".."), kind: delivery.InvalidInput, says: "refuses"},
		"a file named .":               {make: raw("100644", "."), kind: delivery.InvalidInput, says: "refuses"},
		"a file named .git":            {make: raw("100644", ".git"), kind: delivery.InvalidInput, says: "refuses"},
		"a file named .GIT":            {make: raw("100644", ".GIT"), kind: delivery.InvalidInput, says: "refuses"},
		"a file named git~1":           {make: raw("100644", "git~1"), kind: delivery.InvalidInput, says: "refuses"},
		"a file named .git, hidden":    {make: raw("100644", ".g\u200cit"), kind: delivery.InvalidInput, says: "refuses"},
		"a path in a name":             {make: raw("100644", "../../evil"), kind: delivery.InvalidInput, says: "refuses"},
		"an absolute name":             {make: raw("100644", "/tmp/evil"), kind: delivery.InvalidInput, says: "refuses"},
		"a folder named ..":            {make: nested(".."), kind: delivery.InvalidInput, says: "refuses"},
		"a folder named .git":          {make: nested(".git"), kind: delivery.InvalidInput, says: "refuses"},
		"hooks in a folder named .git": {make: nested(".git"), kind: delivery.InvalidInput, says: "refuses"},
		".gitmodules that is a link":   {make: func(o *origin) { o.commitTree(o.rawTree("120000 .gitmodules", o.object("blob", "/etc/passwd"))) }, kind: delivery.InvalidInput, says: "refuses"},
		"a link and a folder of one name": {make: func(o *origin) {
			link := o.object("blob", "/tmp")
			inner := o.rawTree("100644 evil", o.object("blob", "x"))
			o.commitTree(o.rawTree("120000 a", link, "40000 a", inner))
		}, kind: delivery.InvalidInput, says: "refuses"},
		"a link out of the tree is a link and no more": {make: func(o *origin) {
			require.NoError(o.t, os.Symlink("/etc", filepath.Join(o.dir, "etc")))
			o.commit("link")
		}},
		"names with line breaks, quotes and dashes": {make: func(o *origin) {
			o.commit("names", "a\nb", "x", "-rf", "x", "\"q\"", "x", "$(touch PWNED)", "x", "`touch PWNED`", "x", "; touch PWNED", "x", " ", "x")
		}, files: []string{"a\nb", "-rf", "\"q\"", "$(touch PWNED)", "`touch PWNED`", "; touch PWNED", " "}},
		"branches named like options": {make: func(o *origin) {
			sha := o.commit("one", "file", "x")
			o.git("update-ref", "refs/heads/-x", sha)
			o.git("update-ref", "refs/heads/--upload-pack=touch", sha)
			o.git("update-ref", "refs/tags/--output=PWNED", sha)
		}, files: []string{"file"}},
		"filters and other programs by attribute": {make: func(o *origin) {
			o.write(".git/info/attributes", "")
			o.commit("attributes", ".gitattributes", "* filter=evil diff=evil merge=evil ident\n*.lfs filter=lfs\n", "file", "$Id$ x", "a.lfs", "version https://git-lfs.github.com/spec/v1\n")
			o.git("config", "filter.evil.smudge", payload)
		}, files: []string{"file", "a.lfs"}},
		"configuration in the tree": {make: func(o *origin) {
			o.commit("config", ".gitconfig", "[core]\n\tfsmonitor = "+payload+"\n", "sub/HEAD", "ref: refs/heads/x\n", "sub/config", "[core]\n\tbare = true\n\tfsmonitor = "+payload+"\n",
				"sub/objects/x", "x", "sub/refs/x", "x", "sub/hooks/post-checkout", "#!/bin/sh\n"+payload+"\n", "hooks/post-checkout", "#!/bin/sh\n"+payload+"\n")
		}, files: []string{"sub/config"}},
		"a file that unfolds without end": {make: func(o *origin) {
			o.commit("bomb", "zeros", strings.Repeat("\x00", 12<<20), "a", "x")
		}, kind: delivery.InvalidInput, says: `more than the 10 MB that a checkout may have, reached at "zeros"`},
		"more files than anyone needs": {make: func(o *origin) {
			blob := o.object("blob", "x")
			var inner []string
			for i := range 200 {
				inner = append(inner, fmt.Sprintf("100644 f%04d", i), blob)
			}
			folder := o.rawTree(inner...)
			var outer []string
			for i := range 200 {
				outer = append(outer, fmt.Sprintf("40000 d%04d", i), folder)
			}
			o.commitTree(o.rawTree(outer...)) // two small objects, 40,000 files
		}, kind: delivery.InvalidInput, says: "more than the 10000 files"},
		"a submodule on the worker's disk":   {make: modules("sub", "file:///etc"), kind: delivery.InvalidInput, says: "own disk"},
		"a submodule by path":                {make: modules("sub", "/etc"), kind: delivery.InvalidInput, says: "own disk"},
		"a submodule that is an option":      {make: modules("sub", "--upload-pack=touch"), kind: delivery.InvalidInput, says: ""},
		"a submodule that is a program":      {make: modules("sub", "ext::sh -c touch"), kind: delivery.InvalidInput, says: "not a clone URL"},
		"a submodule outside":                {make: modules("../sub", "https://127.0.0.1:1/x"), kind: delivery.InvalidInput, says: "no folder of it"},
		"a submodule in git's files":         {make: modules(".git/sub", "https://127.0.0.1:1/x"), kind: delivery.InvalidInput, says: "no folder of it"},
		"a submodule that is the repository": {make: func(o *origin) { modules("sub", "./../origin")(o) }, files: []string{".gitmodules", "sub/.gitmodules"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			test.make(o)
			server := serveGit(t, filepath.Dir(o.dir), "")
			base := t.TempDir()
			cache := &Cache{Root: filepath.Join(base, "cache"), AllowLocal: true, MaxTreeSize: 10 << 20, MaxTreeFiles: 10_000}
			into := filepath.Join(base, "work", "into")
			require.NoError(t, os.MkdirAll(filepath.Dir(into), 0o755))
			_, err := cache.Checkout(t.Context(), Request{Repository: server.url + "/origin", Ref: "main", Into: into, Submodules: true})
			if test.kind != "" {
				requireRejected(t, err, test.kind, test.says)
				require.NoDirExists(t, into)
			} else {
				require.NoError(t, err)
			}
			for _, file := range test.files {
				require.FileExists(t, filepath.Join(into, file))
			}
			requireUntouched(t, base, "cache", "work")
			requireUntouched(t, filepath.Join(base, "work"), "into")
			requireNoPayload(t, base, o.dir)
			require.NoFileExists(t, "/tmp/evil")
			requireNoGit(t, base)
		})
	}
}

// requireUntouched makes sure that a folder holds the given entries at most.
func requireUntouched(t *testing.T, folder string, allowed ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, entry := range entries {
		require.True(t, slices.Contains(allowed, entry.Name()), "%s appeared in %s", entry.Name(), folder)
	}
}

// requireNoPayload makes sure that nothing that the repository brought was run.
func requireNoPayload(t *testing.T, folders ...string) {
	t.Helper()
	for _, folder := range append(folders, ".", "/") {
		require.NoFileExists(t, filepath.Join(folder, "PWNED"))
	}
	for _, folder := range folders {
		require.NoError(t, filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
			require.NotEqual(t, "PWNED", filepath.Base(path))
			return err
		}))
	}
}

// requireNoGit makes sure that no process works in a folder any more.
func requireNoGit(t *testing.T, folder string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, path := range processes {
		if content, err := os.ReadFile(path); err == nil && !strings.Contains(path, fmt.Sprintf("/%d/", os.Getpid())) {
			require.NotContains(t, string(content), "GIT_DIR="+folder, path)
		}
	}
}

func TestHooksInAMirrorNeverRun(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("one", "file", "1")
	cache := newCache(t)
	_, err := cache.Resolve(t.Context(), o.dir, "main")
	require.NoError(t, err)
	hooks := filepath.Join(cache.mirrorOf(t), "hooks")
	require.NoError(t, os.MkdirAll(hooks, 0o755))
	for _, hook := range []string{"reference-transaction", "post-checkout", "post-index-change", "pre-auto-gc"} {
		require.NoError(t, os.WriteFile(filepath.Join(hooks, hook), []byte("#!/bin/sh\ntouch "+cache.Root+"/PWNED\n"), 0o755))
	}
	o.commit("two", "file", "2")
	_, err = cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Into: filepath.Join(t.TempDir(), "x")})
	require.NoError(t, err)
	requireNoPayload(t, cache.Root)
}

func TestARepositoryThatIsTooLargeIsNotFetchedToItsEnd(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	noise := make([]byte, 3<<20)
	_, err := rand.Read(noise)
	require.NoError(t, err)
	o.commit("large", "noise", string(noise))
	cache := newCache(t)
	cache.MaxSize = 1 << 20
	_, err = cache.Resolve(t.Context(), o.dir, "main")
	requireRejected(t, err, delivery.InvalidInput, "larger than all mirrors together may be")
	require.Less(t, folderSize(cache.Root), cache.MaxSize, "nothing is left of it")
}

func TestGitItselfRefusesTransportsThatWereNotOpened(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("one", "file", "1")
	for _, address := range []string{"ext::touch PWNED", "file://" + o.dir, "ssh://127.0.0.1:1/x", "http://127.0.0.1:1/x"} {
		_, err := git{arguments: []string{"ls-remote", "--end-of-options", address}}.run(t.Context())
		require.ErrorContains(t, err, "not allowed", address)
	}
}

func TestNamesThatDifferByCaseAloneAreRefusedWhereTheyAreOneFile(t *testing.T) {
	t.Parallel()
	var refused string
	c := &census{maxFiles: 10, maxSize: 1 << 20, folded: map[string]string{}, refuse: func(format string, arguments ...any) { refused = fmt.Sprintf(format, arguments...) }}
	_, err := c.Write([]byte("100644 blob aa 3\tsrc/Read me\x00100644 blob aa 3\tsrc/other\x00100644 bl"))
	require.NoError(t, err)
	require.Empty(t, refused)
	_, err = c.Write([]byte("ob aa 3\tsrc/READ ME\x00"))
	require.NoError(t, err)
	require.Contains(t, refused, `"src/Read me" and "src/READ ME" are one file`)
}

func TestSubmodulesComeFromMirrorsOfTheirOwn(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	library := newOrigin(t)
	librarySHA := library.commit("library", "code", "library 1")
	library.commit("later", "code", "library 2")
	require.NoError(t, os.Rename(library.dir, filepath.Join(top, "library")))
	o := newOrigin(t)
	o.write(".gitmodules", "[submodule \"lib\"]\n\tpath = deep/lib\n\turl = ../library\n[submodule \"gone\"]\n\tpath = gone\n\turl = ../nowhere\n")
	o.git("add", ".gitmodules")
	o.git("update-index", "--add", "--cacheinfo", "160000,"+librarySHA+",deep/lib")
	o.git("commit", "--quiet", "-m", "with a submodule")
	require.NoError(t, os.Rename(o.dir, filepath.Join(top, "app")))
	cache := newCache(t)

	into := filepath.Join(t.TempDir(), "x")
	request := Request{Repository: filepath.Join(top, "app"), Ref: "main", Into: into, Submodules: true}
	_, err := cache.Checkout(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, "library 1", read(t, into, "deep", "lib", "code"))
	require.NoDirExists(t, filepath.Join(into, "deep", "lib", ".git"))

	request.Into, request.Submodules = filepath.Join(t.TempDir(), "y"), false
	_, err = cache.Checkout(t.Context(), request)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(request.Into, "deep", "lib", "code"))
}
