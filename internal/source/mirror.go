package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"gravity/internal/delivery"
)

// lockPoll is how often a lock that another run holds is tried again.
const lockPoll = 25 * time.Millisecond

// mirror is the bare copy of one repository, while it is in use.
//
// Two locks guard it, across processes, and the kernel frees them when a process dies. The use lock
// is held shared by everyone who reads or fetches, and alone by who removes the mirror. The fetch
// lock is held alone by who fetches; those who wait for it mostly find what they want already there.
type mirror struct {
	cache      *Cache
	repository repository
	dir        string
	use        *flock.Flock
	fetching   *flock.Flock
}

// withMirror calls work with the repository's mirror. When work fails in a way that is the mirror's
// fault, the mirror is repaired or made again, and work called once more.
func (c *Cache) withMirror(ctx context.Context, r repository, work func(*mirror) error) error {
	m, err := c.open(ctx, r)
	if err != nil {
		return err
	}
	defer func() { m.close() }()
	err = work(m)
	if !damaged(err) {
		return err
	}
	c.log().WarnContext(ctx, "mirror is damaged and made again", "repository", r.address, "error", err)
	if rebuildErr := m.rebuild(ctx); rebuildErr != nil {
		return fmt.Errorf("rebuild the mirror of %s: %w", r.address, rebuildErr)
	}
	return work(m)
}

// damaged reports whether a failure may be the mirror's fault: git failed, and nothing that we
// know explains it. A disk has more ways to break than git has words for.
func damaged(err error) bool {
	var failed *gitError
	return errors.As(err, &failed) && delivery.TypeOf(err) == ""
}

func (c *Cache) open(ctx context.Context, r repository) (*mirror, error) {
	sum := sha256.Sum256([]byte(r.address))
	base := filepath.Join(c.Root, hex.EncodeToString(sum[:16]))
	if err := os.MkdirAll(c.Root, 0o700); err != nil {
		return nil, fmt.Errorf("make the cache: %w", err)
	}
	m := &mirror{
		cache: c, repository: r, dir: base + ".git",
		use:      flock.New(base+".use", flock.SetPermissions(0o600)),
		fetching: flock.New(base+".fetch", flock.SetPermissions(0o600)),
	}
	if _, err := m.use.TryRLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("wait for the mirror of %s: %w", r.address, err)
	}
	now := time.Now()
	// When a mirror was used last is kept in its lock's own time. It decides about eviction only.
	_ = os.Chtimes(m.use.Path(), now, now)
	return m, nil
}

func (m *mirror) close() {
	_ = m.fetching.Close()
	_ = m.use.Close()
}

// rebuild removes a mirror that nobody else uses. The next fetch makes it again.
func (m *mirror) rebuild(ctx context.Context) error {
	// Others may be in the same place: all let go, one gets it alone, and the rest find it mended.
	if err := m.use.Unlock(); err != nil {
		return err
	}
	before, _ := os.Stat(filepath.Join(m.dir, "HEAD"))
	if _, err := m.use.TryLockContext(ctx, lockPoll); err != nil {
		return err
	}
	after, err := os.Stat(filepath.Join(m.dir, "HEAD"))
	if err == nil && before != nil && os.SameFile(before, after) && before.ModTime().Equal(after.ModTime()) {
		if err := removeAll(m.dir); err != nil {
			return err
		}
	}
	if err := m.use.Unlock(); err != nil {
		return err
	}
	_, err = m.use.TryRLockContext(ctx, lockPoll)
	return err
}

// exists reports whether there is a mirror that was completely made.
func (m *mirror) exists() bool {
	_, err := os.Stat(filepath.Join(m.dir, "HEAD"))
	return err == nil
}

// create makes an empty mirror. It appears under its name at once, and complete.
func (m *mirror) create(ctx context.Context) error {
	fresh := m.dir + ".new"
	if err := removeAll(fresh); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(fresh, "empty"), 0o700); err != nil {
		return err
	}
	template := filepath.Join(fresh, "empty")
	_, err := git{dir: fresh, arguments: []string{"init", "--quiet", "--bare", "--template=" + template, "--initial-branch=gravity-none"}}.run(ctx)
	if err != nil {
		return err
	}
	if err := removeAll(m.dir); err != nil {
		return err
	}
	m.cache.log().InfoContext(ctx, "mirror is made", "repository", m.repository.address, "folder", m.dir)
	return os.Rename(fresh, m.dir)
}

// lockFetch gives the right to fetch. The answer gives it back.
func (m *mirror) lockFetch(ctx context.Context) (func(), error) {
	if _, err := m.fetching.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("wait for another fetch of %s: %w", m.repository.address, err)
	}
	if !m.exists() {
		if err := m.create(ctx); err != nil {
			_ = m.fetching.Unlock()
			return nil, localError("make the mirror of "+m.repository.address, err)
		}
	}
	return func() { _ = m.fetching.Unlock() }, nil
}

// fetch brings refspecs up to date. The caller holds the fetch lock.
func (m *mirror) fetch(ctx context.Context, refspecs ...string) error {
	remote, err := m.cache.remoteSettings(ctx, m.repository)
	if err != nil {
		return err
	}
	arguments := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules", "--force"}
	if len(refspecs) > 1 {
		arguments = append(arguments, "--prune")
	}
	arguments = append(append(arguments, "--end-of-options", m.repository.address), refspecs...)
	call := git{
		dir: m.dir, arguments: arguments, settings: remote, ssh: m.cache.ssh(), timeout: m.cache.fetchTimeout(),
		maxFile: cmp.Or(m.cache.MaxSize, DefaultMaxSize),
	}
	endStrays(m.dir)
	m.removeUnfinished()
	_, err = call.run(ctx)
	if err != nil && says(err, []string{".lock': File exists"}) {
		// Left by a fetch that was killed: whoever holds the fetch lock knows that nobody owns them.
		m.cache.log().WarnContext(ctx, "mirror is unlocked after a fetch that was killed", "repository", m.repository.address)
		if err := m.removeStaleLocks(); err != nil {
			return err
		}
		_, err = call.run(ctx)
	}
	if err == nil {
		m.maintain(ctx)
	} else {
		m.removeUnfinished()
	}
	return remoteError(m.repository, err)
}

// maxPacks is how many packs a mirror gathers before they are joined: each fetch leaves one, and
// git looks through all of them.
const maxPacks = 40

// maintain joins packs when there are many. The large ones are left alone, so that it takes no
// longer in an old repository than in a young one. Its failure is no one's failure.
func (m *mirror) maintain(ctx context.Context) {
	packs, err := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "*.pack"))
	if err != nil || len(packs) <= cmp.Or(m.cache.maxPacks, maxPacks) {
		return
	}
	if _, err := m.git(ctx, "repack", "--quiet", "-d", "--geometric=2"); err != nil {
		m.cache.log().WarnContext(ctx, "packs of the mirror are not joined", "repository", m.repository.address, "error", err)
	}
}

// removeUnfinished removes the packs that a fetch which was killed, or failed, did not finish.
func (m *mirror) removeUnfinished() {
	unfinished, _ := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "tmp_*"))
	for _, path := range unfinished {
		_ = os.Remove(path)
	}
}

func (m *mirror) removeStaleLocks() error {
	return filepath.WalkDir(m.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "objects" {
			return fs.SkipDir
		}
		if !entry.IsDir() && strings.HasSuffix(path, ".lock") {
			return os.Remove(path)
		}
		return nil
	})
}

// git asks the mirror itself; nothing is fetched.
func (m *mirror) git(ctx context.Context, arguments ...string) (string, error) {
	output, err := git{dir: m.dir, arguments: arguments}.run(ctx)
	return strings.TrimSuffix(output, "\n"), err
}

// removeAll removes a folder even where its maker took away the right to write.
func removeAll(folder string) error {
	if err := os.RemoveAll(folder); err == nil {
		return nil
	}
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(folder)
}
