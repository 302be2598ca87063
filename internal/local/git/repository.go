package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"gravity/internal/delivery"
)

const (
	mainRef = "refs/heads/main"
	// authorName and authorEmail stand behind commits that the host makes itself.
	authorName, authorEmail = "Gravity", "gravity@localhost"
)

// repository is one bare repository. The mutex is held during a push, so that what changed between
// before and after is what that push changed.
type repository struct {
	fullName  string
	directory string
	git       git

	mutex sync.Mutex
	told  map[string]string // refs as they were when the webhook was last told of them
}

// validName is a subset of what GitHub allows, and never a path that means something else.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$`)

func checkName(fullName string) error {
	if !validName.MatchString(fullName) || strings.HasSuffix(fullName, ".git") || strings.Contains(fullName, "..") {
		return delivery.Errorf(delivery.InvalidInput, "repository name %q: wanted is owner/name of letters, digits, and - _ . in the name", fullName)
	}
	return nil
}

// Create makes a bare repository such as "example/site" with the default branch main. One that
// exists is kept as it is.
func (h *Host) Create(ctx context.Context, fullName string) error {
	if err := checkName(fullName); err != nil {
		return err
	}
	if _, err := h.find(fullName); err == nil {
		return nil
	}
	directory := filepath.Join(h.options.DataDir, filepath.FromSlash(fullName)+".git")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("create repository %s: %w", fullName, err)
	}
	if _, err := (git{directory: directory}).run(ctx, "init", "--quiet", "--bare", "--template=", "--initial-branch=main", "."); err != nil {
		return fmt.Errorf("create repository %s: %w", fullName, err)
	}
	return h.add(ctx, fullName, directory)
}

// Fill makes the first commit of an empty repository from the files below a folder, and answers with
// its hash. The webhook is not told. A repository that has a main branch is kept, and the answer is
// where that stands. The folder's .gitignore counts; a .git in it is left out, and repositories
// nested deeper are refused, because git would keep a mere pointer to them.
func (h *Host) Fill(ctx context.Context, fullName, fromDir, message string) (sha string, err error) {
	r, err := h.find(fullName)
	if err != nil {
		return "", err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	refs, err := r.refs(ctx)
	if err != nil {
		return "", err
	}
	if sha, ok := refs[mainRef]; ok {
		return sha, nil
	}
	if sha, err = r.commitTree(ctx, fromDir, message); err != nil {
		return "", fmt.Errorf("fill repository %s from %s: %w", fullName, fromDir, err)
	}
	r.told, err = r.refs(ctx)
	return sha, err
}

func (r *repository) commitTree(ctx context.Context, fromDir, message string) (sha string, err error) {
	source, err := filepath.Abs(fromDir)
	if err != nil {
		return "", err
	}
	scratch, err := os.MkdirTemp(r.directory, "filling-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	at := time.Now().UTC().Format(time.RFC3339)
	g := git{directory: source, variables: []string{
		"GIT_DIR=" + r.directory, "GIT_WORK_TREE=" + source, "GIT_INDEX_FILE=" + filepath.Join(scratch, "index"),
		"GIT_AUTHOR_NAME=" + authorName, "GIT_AUTHOR_EMAIL=" + authorEmail, "GIT_AUTHOR_DATE=" + at,
		"GIT_COMMITTER_NAME=" + authorName, "GIT_COMMITTER_EMAIL=" + authorEmail, "GIT_COMMITTER_DATE=" + at,
	}}
	if _, err := g.run(ctx, "add", "--all", "--", "."); err != nil {
		return "", err
	}
	if err := checkIndex(ctx, g); err != nil {
		return "", err
	}
	tree, err := g.run(ctx, "write-tree")
	if err != nil {
		return "", err
	}
	commit, err := g.feed(ctx, []byte(message+"\n"), "commit-tree", tree)
	if err != nil {
		return "", err
	}
	sha = strings.TrimSpace(string(commit))
	_, err = g.run(ctx, "update-ref", mainRef, sha, "")
	return sha, err
}

// checkIndex refuses nothing at all, and pointers to other repositories.
func checkIndex(ctx context.Context, g git) error {
	listed, err := g.feed(ctx, nil, "ls-files", "--stage", "-z")
	if err != nil {
		return err
	}
	if len(listed) == 0 {
		return delivery.Errorf(delivery.InvalidInput, "there are no files")
	}
	for entry := range strings.SplitSeq(string(listed), "\x00") {
		if stage, path, _ := strings.Cut(entry, "\t"); strings.HasPrefix(stage, "160000 ") {
			return delivery.Errorf(delivery.InvalidInput, "%s is a git repository of its own: move it away, or remove its .git", path)
		}
	}
	return nil
}

// refs lists branches and tags with what they point to; a tag object stands for itself.
func (r *repository) refs(ctx context.Context) (map[string]string, error) {
	listed, err := r.git.run(ctx, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
	if err != nil {
		return nil, fmt.Errorf("list the refs of %s: %w", r.fullName, err)
	}
	refs := map[string]string{}
	for line := range strings.Lines(listed) {
		if sha, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			refs[name] = sha
		}
	}
	return refs, nil
}
