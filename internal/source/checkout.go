package source

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"gravity/internal/delivery"
)

const checkoutPrefix = "checkout-"

// tree is what a checkout writes: the files of a commit, or of a part of it, into a new folder.
type tree struct {
	sha, part, into string
	lfs             bool
}

// checkout writes a tree.
//
// It works in a git folder of its own, which borrows the mirror's objects: the index, the sparse
// patterns and everything else that git writes is private to this checkout and thrown away.
func (m *mirror) checkout(ctx context.Context, t tree) (err error) {
	doing := fmt.Sprintf("check out %s of %s", t.sha, m.repository.address)
	if err := m.inspect(ctx, t, doing); err != nil {
		return err
	}
	private, err := m.privateFolder(t.part)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer func() { _ = removeAll(private) }()

	if err := os.MkdirAll(filepath.Dir(t.into), 0o700); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	// Mkdir, because what exists may be somebody else's, or lead somewhere else.
	if err := os.Mkdir(t.into, 0o755); err != nil {
		return delivery.Errorf(delivery.InvalidInput, "%s: %w", doing, err)
	}
	defer func() {
		if err != nil {
			_ = removeAll(t.into)
		}
	}()
	call := git{
		dir: private, worktree: t.into, index: filepath.Join(private, "index"),
		arguments: []string{"read-tree", "-m", "-u", "--no-recurse-submodules", t.sha},
	}
	if t.lfs {
		if err := m.prepareLFS(ctx, &call); err != nil {
			return err
		}
	}
	_, err = call.run(ctx)
	if t.lfs {
		if err = remoteError(m.repository, err); err == nil {
			err = m.weigh(t.into, doing)
		}
	}
	return localError(doing, err)
}

// weigh looks at what Git LFS brought in: of that, the commit tells what it likes.
func (m *mirror) weigh(folder, doing string) error {
	if limit := cmp.Or(m.cache.MaxTreeSize, DefaultMaxTreeSize); folderSize(folder) > limit {
		return delivery.Errorf(delivery.InvalidInput, "%s: with the files that Git LFS keeps it has more than the %d MB that a checkout may have", doing, limit>>20)
	}
	return nil
}

// inspect looks at a tree before anything is written: a few kilobytes of a hostile repository
// unfold to any size, and names that differ by case alone overwrite each other on some disks.
func (m *mirror) inspect(ctx context.Context, t tree, doing string) error {
	name := t.sha + "^{tree}"
	if t.part != "" {
		name = t.sha + ":" + t.part
		if kind, err := m.git(ctx, "cat-file", "-t", name); err != nil || kind != "tree" {
			if err = ignoreExit(err); err != nil {
				return err
			}
			return delivery.Errorf(delivery.InvalidInput, "%s: there is no folder %s in it: check the pipeline's path", doing, t.part)
		}
	}
	census := &census{
		maxFiles: cmp.Or(m.cache.MaxTreeFiles, DefaultMaxTreeFiles), maxSize: cmp.Or(m.cache.MaxTreeSize, DefaultMaxTreeSize),
	}
	if !distinguishesCase(m.cache.Root) {
		census.folded = map[string]string{}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	census.refuse = func(format string, arguments ...any) {
		cancel(delivery.Errorf(delivery.InvalidInput, "%s: "+format, append([]any{doing}, arguments...)...))
	}
	_, err := git{dir: m.dir, arguments: []string{"ls-tree", "-r", "-l", "-z", "--full-tree", name}, output: census}.run(ctx)
	return localError(doing, err)
}

// census counts the files of a tree as git lists them, and ends the listing when they are too many.
type census struct {
	maxFiles int
	maxSize  int64
	folded   map[string]string // on disks that do not tell cases apart
	refuse   func(format string, arguments ...any)

	rest  []byte
	files int
	size  int64
}

// Write takes "<mode> <type> <hash> <size>\t<name>\0" entries.
func (c *census) Write(content []byte) (int, error) {
	c.rest = append(c.rest, content...)
	for {
		end := strings.IndexByte(string(c.rest), 0)
		if end < 0 {
			return len(content), nil
		}
		c.entry(string(c.rest[:end]))
		c.rest = c.rest[end+1:]
	}
}

func (c *census) entry(line string) {
	about, name, _ := strings.Cut(line, "\t")
	fields := strings.Fields(about)
	if len(fields) != 4 {
		return
	}
	size, _ := strconv.ParseInt(fields[3], 10, 64) // "-" for submodules
	c.files++
	c.size += size
	switch {
	case c.files > c.maxFiles:
		c.refuse("it has more than the %d files that a checkout may have: name the part that is needed in the pipeline's path", c.maxFiles)
	case c.size > c.maxSize:
		c.refuse("it has more than the %d MB that a checkout may have, reached at %q: name the part that is needed in the pipeline's path", c.maxSize>>20, cut(name))
	}
	if c.folded != nil {
		lower := strings.ToLower(name)
		if other, clash := c.folded[lower]; clash {
			c.refuse("%q and %q are one file on this worker's disk: rename one, or use a worker on Linux", cut(other), cut(name))
		}
		c.folded[lower] = name
	}
}

// distinguishesCase reports whether a folder's file system tells FILE from file.
func distinguishesCase(folder string) bool {
	if _, err := os.Stat(folder); err != nil {
		return true
	}
	base := filepath.Base(folder)
	swapped := strings.ToUpper(base)
	if swapped == base {
		swapped = strings.ToLower(base)
	}
	if swapped == base {
		return true // nothing in the name has a case to try
	}
	_, err := os.Stat(filepath.Join(filepath.Dir(folder), swapped))
	return err != nil
}

// prepareLFS lets git-lfs fill in the files that it keeps elsewhere. It keeps them in the mirror.
func (m *mirror) prepareLFS(ctx context.Context, call *git) error {
	if _, err := exec.LookPath("git-lfs"); err != nil {
		return delivery.Errorf(delivery.InvalidInput, "check out %s with LFS: git-lfs is missing on the worker: install it", m.repository.address)
	}
	remote, err := m.cache.remoteSettings(ctx, m.repository)
	if err != nil {
		return err
	}
	for _, setting := range remote {
		if strings.HasSuffix(setting[0], ".extraHeader") {
			call.settings = append(call.settings, [2]string{"http." + lfsAddress(m.repository) + ".extraHeader", setting[1]})
		}
	}
	call.settings = append(append(call.settings, remote...),
		[2]string{"filter.lfs.process", "git-lfs filter-process"},
		[2]string{"filter.lfs.required", "true"},
		[2]string{"remote.origin.url", m.repository.address},
		[2]string{"lfs.storage", filepath.Join(m.dir, "lfs")},
		// A repository's own .lfsconfig may name another host, which must not get the token, nor programs to run.
		[2]string{"lfs.url", lfsAddress(m.repository)},
		[2]string{"lfs.allowincompletepush", "false"},
	)
	call.ssh, call.timeout = m.cache.ssh(), m.cache.fetchTimeout()
	call.maxFile = cmp.Or(m.cache.MaxTreeSize, DefaultMaxTreeSize)
	return nil
}

// lfsAddress is where a repository keeps its large files unless it says otherwise.
func lfsAddress(r repository) string {
	if r.scheme == "https" || r.scheme == "http" {
		return strings.TrimSuffix(strings.TrimSuffix(r.address, "/"), ".git") + ".git/info/lfs"
	}
	return r.address
}

// privateFolder makes the git folder of one checkout.
func (m *mirror) privateFolder(part string) (string, error) {
	folder, err := os.MkdirTemp(m.cache.Root, checkoutPrefix)
	if err != nil {
		return "", err
	}
	config := "[core]\n\trepositoryFormatVersion = 0\n\tbare = false\n"
	files := map[string]string{
		"HEAD":                    "ref: refs/heads/gravity-none\n",
		"objects/info/alternates": filepath.Join(m.dir, "objects") + "\n",
		"refs/keep":               "",
	}
	if part != "" {
		config += "\tsparseCheckout = true\n\tsparseCheckoutCone = true\n"
		files["info/sparse-checkout"] = cone(part)
	}
	files["config"] = config
	for name, content := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return folder, err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return folder, err
		}
	}
	return folder, nil
}

// cone is the sparse pattern of one folder: all below it, and the files directly in the folders above.
func cone(part string) string {
	var pattern strings.Builder
	pattern.WriteString("/*\n!/*/\n")
	names := strings.Split(part, "/")
	for i := range names {
		folder := "/" + strings.Join(names[:i+1], "/") + "/"
		pattern.WriteString(folder + "\n")
		if i < len(names)-1 {
			pattern.WriteString("!" + folder + "*/\n")
		}
	}
	return pattern.String()
}
