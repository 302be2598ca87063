package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gravity/internal/delivery"
)

// Working is a working copy of a developer, for the demonstration and for tests.
type Working struct {
	directory string
	git       git
}

// Clone makes a working copy in a folder that does not exist yet or is empty.
func Clone(ctx context.Context, url, directory string) (*Working, error) {
	absolute, err := filepath.Abs(directory)
	if err != nil {
		return nil, fmt.Errorf("clone %s: %w", url, err)
	}
	if _, err := (git{}).run(ctx, "clone", "--quiet", "--template=", "--", url, absolute); err != nil {
		return nil, fmt.Errorf("clone %s: %w", url, err)
	}
	return &Working{directory: absolute, git: git{directory: absolute, variables: []string{
		"GIT_AUTHOR_NAME=" + authorName, "GIT_AUTHOR_EMAIL=" + authorEmail,
		"GIT_COMMITTER_NAME=" + authorName, "GIT_COMMITTER_EMAIL=" + authorEmail,
	}}}, nil
}

// Directory is where the files are.
func (w *Working) Directory() string { return w.directory }

// Write replaces or creates a file; the path is relative to the working copy and cannot leave it.
func (w *Working) Write(path, content string) error {
	root, err := os.OpenRoot(w.directory)
	if err != nil {
		return fmt.Errorf("open the working copy: %w", err)
	}
	defer func() { _ = root.Close() }()
	if err := root.MkdirAll(filepath.Dir(filepath.FromSlash(path)), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := root.WriteFile(filepath.FromSlash(path), []byte(content), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Replace changes every occurrence of a text in a file; it must occur.
func (w *Working) Replace(path, from, to string) error {
	root, err := os.OpenRoot(w.directory)
	if err != nil {
		return fmt.Errorf("open the working copy: %w", err)
	}
	defer func() { _ = root.Close() }()
	content, err := root.ReadFile(filepath.FromSlash(path))
	if err != nil {
		return fmt.Errorf("change %s: %w", path, err)
	}
	if from == "" || !strings.Contains(string(content), from) {
		return delivery.Errorf(delivery.InvalidInput, "change %s: it does not contain %q", path, from)
	}
	return w.Write(path, strings.ReplaceAll(string(content), from, to))
}

// Commit commits everything that changed, and answers with the hash. Nothing changed: an error.
func (w *Working) Commit(ctx context.Context, message string) (sha string, err error) {
	if _, err := w.git.run(ctx, "add", "--all"); err != nil {
		return "", err
	}
	if _, err := w.git.feed(ctx, []byte(message), "commit", "--quiet", "--file=-"); err != nil {
		return "", err
	}
	return w.git.run(ctx, "rev-parse", "HEAD")
}

// Head is the hash of the commit that is checked out.
func (w *Working) Head(ctx context.Context) (sha string, err error) {
	return w.git.run(ctx, "rev-parse", "HEAD")
}

// Push pushes what is checked out to a branch of the repository that was cloned. It never forces.
func (w *Working) Push(ctx context.Context, branch string) error {
	if _, err := w.git.run(ctx, "push", "--quiet", "origin", "HEAD:refs/heads/"+branch); err != nil {
		return fmt.Errorf("push to %s: %w", branch, err)
	}
	return nil
}
