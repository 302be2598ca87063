package source

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// origin is a real repository that tests push to and mirrors fetch from.
type origin struct {
	t   testing.TB
	dir string
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{t: t, dir: filepath.Join(t.TempDir(), "origin")}
	require.NoError(t, os.Mkdir(o.dir, 0o755))
	o.git("init", "--quiet", "--initial-branch=main")
	return o
}

func (o *origin) git(arguments ...string) string {
	o.t.Helper()
	return o.gitWith("", arguments...)
}

func (o *origin) gitWith(input string, arguments ...string) string {
	o.t.Helper()
	command := exec.Command("git", arguments...)
	command.Dir = o.dir
	command.Stdin = strings.NewReader(input)
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + o.t.TempDir(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
	}
	output, err := command.CombinedOutput()
	require.NoError(o.t, err, "git %v: %s", arguments, output)
	return strings.TrimSpace(string(output))
}

func (o *origin) write(name, content string) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	require.NoError(o.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(o.t, os.WriteFile(path, []byte(content), 0o644))
}

// commit commits the given files, by name and content in turn, and answers with the hash.
func (o *origin) commit(message string, files ...string) string {
	o.t.Helper()
	for i := 0; i < len(files); i += 2 {
		o.write(files[i], files[i+1])
	}
	o.git("add", "--all", "--force")
	o.git("commit", "--quiet", "--allow-empty", "-m", message)
	return o.git("rev-parse", "HEAD")
}

func newCache(t *testing.T) *Cache {
	t.Helper()
	return &Cache{Root: filepath.Join(t.TempDir(), "cache"), AllowLocal: true}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(content)
}

func requireRejected(t *testing.T, err error, kind delivery.ErrorType, says string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, kind, delivery.TypeOf(err), err.Error())
	require.ErrorContains(t, err, says)
}

func TestACheckoutIsTheExactRevisionAndNothingElse(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	first := o.commit("first line\n\nand more", "page.html", "one", "bin/run", "#!/bin/sh\n", ".hidden/file", "h")
	require.NoError(t, os.Chmod(filepath.Join(o.dir, "bin/run"), 0o755))
	require.NoError(t, os.Symlink("page.html", filepath.Join(o.dir, "link")))
	second := o.commit("second", "page.html", "two")
	cache := newCache(t)

	into := filepath.Join(t.TempDir(), "a")
	revision, err := cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: second, Ref: "refs/heads/main", Into: into})
	require.NoError(t, err)
	require.Equal(t, second, revision.SHA)
	require.Equal(t, "refs/heads/main", revision.Ref)
	require.Equal(t, "Ada", revision.Author)
	require.Equal(t, "second", revision.Message)
	require.Equal(t, "2026-01-02T03:04:05Z", revision.CommittedAt.Format("2006-01-02T15:04:05Z07:00"))
	require.Equal(t, "two", read(t, into, "page.html"))
	require.Equal(t, "two", read(t, into, "link"))
	require.Equal(t, "h", read(t, into, ".hidden", "file"))
	require.NoDirExists(t, filepath.Join(into, ".git"))
	info, err := os.Stat(filepath.Join(into, "bin/run"))
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&0o100)

	into = filepath.Join(t.TempDir(), "b")
	revision, err = cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: first, Into: into})
	require.NoError(t, err)
	require.Equal(t, "first line", revision.Message)
	require.Equal(t, "refs/heads/main", revision.Ref, "a branch that holds it is found")
	require.Equal(t, "one", read(t, into, "page.html"))
	require.NoFileExists(t, filepath.Join(into, "link"))

	left, err := filepath.Glob(filepath.Join(cache.Root, "checkout-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestARevisionThatIsThereNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	sha := o.commit("one", "file", "1")
	cache := newCache(t)
	_, err := cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: sha, Into: filepath.Join(t.TempDir(), "a")})
	require.NoError(t, err)

	require.NoError(t, os.Rename(o.dir, o.dir+".away"))
	_, err = cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: sha, Into: filepath.Join(t.TempDir(), "b")})
	require.NoError(t, err)
	_, err = cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Into: filepath.Join(t.TempDir(), "c")})
	requireRejected(t, err, delivery.InvalidInput, "no such repository")
}

func TestNewCommitsAreFetchedIntoTheMirror(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	cache := newCache(t)
	for _, content := range []string{"1", "2", "3"} {
		sha := o.commit("commit "+content, "file", content)
		into := filepath.Join(t.TempDir(), content)
		revision, err := cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Into: into})
		require.NoError(t, err)
		require.Equal(t, sha, revision.SHA)
		require.Equal(t, content, read(t, into, "file"))
	}
	mirrors, err := filepath.Glob(filepath.Join(cache.Root, "*.git"))
	require.NoError(t, err)
	require.Len(t, mirrors, 1)
}

func TestResolveUnderstandsHashesBranchesTagsAndNothing(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	tagged := o.commit("tagged", "file", "1")
	o.git("tag", "-a", "v1.0", "-m", "a release")
	main := o.commit("main", "file", "2")
	o.git("checkout", "--quiet", "-b", "feature/x")
	feature := o.commit("feature", "file", "3")
	o.git("branch", "cafe", tagged) // named like a hash
	o.git("checkout", "--quiet", "main")
	cache := newCache(t)

	for name, test := range map[string]struct{ wish, sha, ref string }{
		"nothing":                      {"", main, "refs/heads/main"},
		"a branch":                     {"feature/x", feature, "refs/heads/feature/x"},
		"a branch in full":             {"refs/heads/feature/x", feature, "refs/heads/feature/x"},
		"a tag":                        {"v1.0", tagged, "refs/tags/v1.0"},
		"a full hash":                  {feature, feature, "refs/heads/feature/x"},
		"an upper-case hash":           {strings.ToUpper(main), main, "refs/heads/main"},
		"an abbreviated hash":          {main[:10], main, "refs/heads/main"},
		"a branch that looks like one": {"cafe", tagged, "refs/heads/cafe"},
	} {
		t.Run(name, func(t *testing.T) {
			revision, err := cache.Resolve(t.Context(), o.dir, test.wish)
			require.NoError(t, err)
			require.Equal(t, test.sha, revision.SHA)
			require.Equal(t, test.ref, revision.Ref)
			require.NotEmpty(t, revision.Message)
			require.False(t, revision.CommittedAt.IsZero())
		})
	}
}

func TestWhatIsNotInTheRepositoryIsSaidSo(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	sha := o.commit("one", "file", "1")
	o.git("checkout", "--quiet", "-b", "other")
	other := o.commit("other", "file", "2")
	// A commit that no branch holds: on GitHub, any fork's commit can be fetched like this.
	loose := o.commit("loose", "file", "3")
	o.git("reset", "--quiet", "--hard", other)
	o.git("config", "uploadpack.allowAnySHA1InWant", "true")
	missing := strings.Repeat("deadbeef", 5)
	cache := newCache(t)
	checkout := func(sha, ref string) error {
		into := filepath.Join(t.TempDir(), "x")
		_, err := cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: sha, Ref: ref, Into: into})
		require.NoDirExists(t, into)
		return err
	}
	requireRejected(t, checkout(missing, ""), delivery.RevisionNotFound, "revision "+missing+" is not in file://"+o.dir+": push it, or check the hash")
	requireRejected(t, checkout(missing, "refs/heads/main"), delivery.RevisionNotFound, "is not in refs/heads/main of")
	requireRejected(t, checkout(missing[:8], ""), delivery.RevisionNotFound, "revision deadbeef is not in")
	requireRejected(t, checkout(other, "refs/heads/main"), delivery.RevisionNotFound, "is not in refs/heads/main of")
	requireRejected(t, checkout(loose, ""), delivery.RevisionNotFound, "is not in")
	requireRejected(t, checkout("", "refs/heads/gone"), delivery.RevisionNotFound, "refs/heads/gone is no branch or tag")
	requireRejected(t, checkout(sha, "refs/pull/1/head"), delivery.InvalidInput, "neither a branch nor a tag")
}

func TestABranchThatWasForcedElsewhereIsFollowed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("base", "file", "0")
	old := o.commit("old", "file", "1")
	cache := newCache(t)
	_, err := cache.Resolve(t.Context(), o.dir, "main")
	require.NoError(t, err)
	o.git("reset", "--quiet", "--hard", "HEAD~1")
	forced := o.commit("forced", "file", "2")

	revision, err := cache.Resolve(t.Context(), o.dir, "main")
	require.NoError(t, err)
	require.Equal(t, forced, revision.SHA)
	_, err = cache.Resolve(t.Context(), o.dir, old)
	requireRejected(t, err, delivery.RevisionNotFound, "is not in")
}

func TestAddressesThatGitWouldObeyAreRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ address, says string }{
		"nothing":            {"", "is missing"},
		"an option":          {"--upload-pack=touch /tmp/x", "not a clone URL"},
		"an option as host":  {"ssh://-oProxyCommand=touch/x", "not a clone URL"},
		"an option as user":  {"ssh://-l@host/x", "not a clone URL"},
		"an option in scp":   {"host:-x", "not a clone URL"},
		"a program":          {"ext::sh -c touch", "not a clone URL"},
		"a program, tight":   {"ext::touch", "names a program"},
		"a password":         {"https://user:hunter2@host/x", "holds credentials"},
		"a token":            {"https://hunter2@host/x", "holds credentials"},
		"a password for ssh": {"ssh://git:hunter2@host/x", "holds credentials"},
		"no encryption":      {"http://host/x", "not encrypted"},
		"another scheme":     {"ftp://host/x", "scheme ftp"},
		"git's own protocol": {"git://host/x", "scheme git"},
		"a local path":       {"/srv/x", "own disk"},
		"a local URL":        {"file:///srv/x", "own disk"},
		"a relative path":    {"../x", "not a clone URL"},
		"a new line":         {"https://host/x\n", "not a clone URL"},
		"a query":            {"https://host/x?y=z", "a query"},
		"no host":            {"https:///x", "not a clone URL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := (&Cache{Root: t.TempDir()}).Resolve(t.Context(), test.address, "")
			requireRejected(t, err, delivery.InvalidInput, test.says)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
	for _, address := range []string{"https://github.com/a/b.git", "ssh://git@host:22/a/b", "git@github.com:a/b.git", "host:/srv/x"} {
		_, err := (&Cache{}).parse(address)
		require.NoError(t, err, address)
	}
}

func TestRefsAndHashesThatGitWouldObeyAreRefused(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("one", "file", "1")
	cache := newCache(t)
	for _, ref := range []string{"--upload-pack=x", "-x", "main:evil", "+main", "a..b", "a b", "main~1", "main^", "@{u}", "a\nb", "*", "refs/heads/*", "a/", "/a", "a//b", "a/.b", "a.lock", "a/-b", strings.Repeat("a", 300)} {
		_, err := cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: ref, Into: filepath.Join(t.TempDir(), "x")})
		requireRejected(t, err, delivery.InvalidInput, "")
	}
	for _, sha := range []string{"HEAD", "abc", "--all", strings.Repeat("a", 41), "main"} {
		_, err := cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: sha, Into: filepath.Join(t.TempDir(), "x")})
		requireRejected(t, err, delivery.InvalidInput, "not a commit hash")
	}
	for _, path := range []string{"..", "../x", "/etc", "a/../../b", ".git", "a/.GIT/hooks", "a\nb", "*"} {
		_, err := cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Path: path, Into: filepath.Join(t.TempDir(), "x")})
		requireRejected(t, err, delivery.InvalidInput, "the path")
	}
}

func TestAPathBringsItsFolderAndTheFilesAboveIt(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("one", "go.work", "w", "services/shop/main.go", "m", "services/shop/deep/x", "x", "services/readme", "r", "services/other/y", "y", "assets/big", "b")
	cache := newCache(t)
	into := filepath.Join(t.TempDir(), "x")
	_, err := cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Path: "services/shop/", Into: into})
	require.NoError(t, err)
	for _, name := range []string{"go.work", "services/readme", "services/shop/main.go", "services/shop/deep/x"} {
		require.FileExists(t, filepath.Join(into, name))
	}
	require.NoDirExists(t, filepath.Join(into, "assets"))
	require.NoDirExists(t, filepath.Join(into, "services/other"))

	_, err = cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Path: "services/gone", Into: filepath.Join(t.TempDir(), "y")})
	requireRejected(t, err, delivery.InvalidInput, "there is no folder services/gone")
	_, err = cache.Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Path: "go.work", Into: filepath.Join(t.TempDir(), "z")})
	requireRejected(t, err, delivery.InvalidInput, "there is no folder go.work")
}

func TestAFolderThatExistsIsNeverWrittenTo(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("one", "file", "1")
	into := t.TempDir()
	_, err := newCache(t).Checkout(t.Context(), Request{Repository: o.dir, Ref: "main", Into: into})
	requireRejected(t, err, delivery.InvalidInput, "file exists")
	require.NoFileExists(t, filepath.Join(into, "file"))
	require.DirExists(t, into)
}

func TestManyCheckoutsShareOneMirror(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	root := filepath.Join(t.TempDir(), "cache")
	var shas []string
	for _, content := range []string{"1", "2", "3"} {
		shas = append(shas, o.commit(content, "file", content))
	}
	var group sync.WaitGroup
	problems := make(chan error, 12)
	base := t.TempDir()
	for i := range 12 {
		group.Go(func() {
			// A cache of its own each, as if in processes of their own: the locks are the disk's.
			cache := &Cache{Root: root, AllowLocal: true}
			into := filepath.Join(base, string(rune('a'+i)))
			_, err := cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: shas[i%3], Into: into})
			if err == nil && read(t, into, "file") != string(rune('1'+i%3)) {
				err = os.ErrInvalid
			}
			problems <- err
		})
	}
	group.Wait()
	close(problems)
	for err := range problems {
		require.NoError(t, err)
	}
}
