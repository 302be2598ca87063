package bundle

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheIgnoreFilesDecideWhatIsBundled(t *testing.T) {
	for name, test := range map[string]struct {
		tree, want []string
	}{
		"an .ebignore rules alone": {
			[]string{".ebignore", "tests/\n*.log\n", ".gitignore", "dist/\n", "dist/app", "a", "tests/x", "t", "a.log", "l", "sub/.ebignore", "y\n", "sub/y", "y", "sub/.gitignore", "z\n", "sub/z", "z"},
			[]string{".ebignore", ".gitignore", "dist/app", "sub/.ebignore", "sub/.gitignore", "sub/y", "sub/z"},
		},
		"an empty .ebignore lets everything in": {
			[]string{".ebignore", "", ".gitignore", "dist/\n", "dist/app", "a"},
			[]string{".ebignore", ".gitignore", "dist/app"},
		},
		"without one, every .gitignore counts for its folder": {
			[]string{".gitignore", "*.log\n!keep.log\n", "a.log", "l", "keep.log", "k", "sub/.gitignore", "/only-here\n!b.log\n", "sub/only-here", "x", "sub/b.log", "b", "sub/deep/only-here", "y"},
			[]string{".gitignore", "keep.log", "sub/.gitignore", "sub/b.log", "sub/deep/only-here"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, content := write(t, makeTree(t, test.tree...), Options{})
			names, _ := unpack(t, content)
			slices.Sort(names)
			require.Equal(t, test.want, names)
		})
	}
}

func TestAPartOfARepositoryIsRuledByTheFoldersAboveItToo(t *testing.T) {
	files := []string{
		".gitignore", "node_modules/\n/services/shop/secret\n*.log\n", "services/.gitignore", "!keep.log\n/shop/tmp\n", "services/shop/.gitignore", "dist/\n",
		"services/shop/node_modules/x", "x", "services/shop/secret", "x", "services/shop/a.log", "x", "services/shop/keep.log", "x", "services/shop/tmp/x", "x",
		"services/shop/dist/x", "x", "services/shop/main.go", "x", "services/shop/deep/secret", "x",
	}
	within := makeTree(t, files...)
	tree := filepath.Join(within, "services", "shop")
	_, content := write(t, tree, Options{Within: within})
	names, _ := unpack(t, content)
	require.Equal(t, []string{".gitignore", "deep/secret", "keep.log", "main.go"}, names)

	repository := t.TempDir()
	gitIn(t, repository, within, "init", "--quiet")
	var byGit []string
	for _, name := range gitKeeps(t, repository, within) {
		if inside, ok := strings.CutPrefix(name, "services/shop/"); ok {
			byGit = append(byGit, inside)
		}
	}
	require.Equal(t, byGit, names)

	require.NoError(t, os.WriteFile(filepath.Join(tree, ".ebignore"), []byte("/main.go\n"), 0o644))
	_, content = write(t, tree, Options{Within: within})
	names, _ = unpack(t, content)
	require.Contains(t, names, "secret", "an .ebignore rules alone")
	require.NotContains(t, names, "main.go")
	_, err := WriteWith(t.Context(), tree, io.Discard, Options{Within: filepath.Join(within, "other")})
	require.ErrorContains(t, err, "does not lie within")
}

// Git itself is the judge of what a .gitignore means.
func TestIgnoringIsWhatGitDoes(t *testing.T) {
	files := []string{
		"a", "b", "a.txt", "b.txt", "!important", "#hash", "with space", "trailing ", "[x]", "{a,b}", "x", "é", "back\\slash"[:4],
		"build/out", "build/keep/me", "src/build/out", "src/main.go", "src/a.txt", "src/deep/a.txt", "src/deep/er/b.txt",
		"foo/bar", "foo/baz/bar", "foo/x/y/bar", "deep/foo/bar", "logs/debug.log", "logs/monday/foo.bar", "doc/notes.txt", "doc/server/arch.txt",
		"node_modules/m/index.js", "pkg/node_modules/m/index.js", "Temp1", "temp2", "a?c", "abc", "abbc", ".env", ".env.local", "dir/.env",
	}
	tree := makeTree(t)
	for _, file := range files {
		path := filepath.Join(tree, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte("x"), 0o644))
	}
	repository := t.TempDir()
	gitIn(t, repository, tree, "init", "--quiet")
	for _, ignore := range []string{
		"*.txt", "!a.txt", "*.txt\n!a.txt", "build", "build/", "/build", "/build/", "build/*", "build/*\n!build/keep", "build/\n!build/keep/me",
		"**/build", "**/build/**", "src/**", "src/**/", "src/**/a.txt", "src/**/*.txt", "foo/**/bar", "foo/*/bar", "/foo/bar", "foo/bar", "**/foo/bar",
		"**", "/**", "*", "/*", "/*\n!/src", "/*\n!/src/\n/src/*\n!/src/main.go", "*/", "!*/",
		"# comment\na", "\\#hash", "\\!important", "with space", "trailing ", "trailing\\ ", "a   ", "\t", "[ab]", "[!a]", "[^a]*.txt", "[a-b].txt", "\\[x\\]", "[x]", "[]x]",
		"{a,b}", "{a,b}.txt", "a?c", "a\\?c", "a**c", "a*c", "é", "?", "[[:upper:]]emp1", "[[:digit:]]", "[![:upper:]]*", "[[:alpha:]_].txt", "[!]x]", "[[:nonsense:]]", "[]", "[a-", "é*", "[é]", "Temp[0-9]", "logs/**/debug.log", "logs/*day/*.bar", "doc/*.txt", "doc/**/*.txt",
		"node_modules/", "/node_modules", ".env*", "!.env.local\n.env*", ".env*\n!.env.local", "a\r\nb\r\n", "\ufeffa", "a/", "foo//bar", "/", "//", "\\", "a\\", "[a", "***", "foo/***", "**/", "a/**/b", "./a", "../a", "src/../a",
	} {
		t.Run(strings.ReplaceAll(ignore, "/", "∕"), func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(tree, ".gitignore"), []byte(ignore+"\n"), 0o644))
			want := gitKeeps(t, repository, tree)
			_, content, err := writeAnything(t, tree)
			if len(want) == 0 {
				require.ErrorContains(t, err, "no file is left")
				return
			}
			require.NoError(t, err)
			names, _ := unpack(t, content)
			slices.Sort(names)
			require.Equal(t, want, names)
		})
	}
}

func writeAnything(t *testing.T, tree string) (Manifest, []byte, error) {
	t.Helper()
	var output strings.Builder
	manifest, err := Write(t.Context(), tree, &output)
	return manifest, []byte(output.String()), err
}

// gitKeeps lists what git would add.
func gitKeeps(t *testing.T, repository, tree string) []string {
	t.Helper()
	listed := gitIn(t, repository, tree, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore")
	var names []string
	for name := range strings.SplitSeq(listed, "\x00") {
		if name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func gitIn(t *testing.T, repository, tree string, arguments ...string) string {
	t.Helper()
	command := exec.Command("git", arguments...)
	command.Dir = tree
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_DIR=" + repository, "GIT_WORK_TREE=" + tree}
	output, err := command.Output()
	require.NoError(t, err)
	return string(output)
}
