package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// abandonedAfter is when a folder that a checkout works in cannot be in use any more.
const abandonedAfter = 24 * time.Hour

// evict removes the mirrors that were unused for longest until the rest fit, and what checkouts
// left that were killed. A mirror in use is passed over.
func (c *Cache) evict(ctx context.Context) error {
	entries, err := os.ReadDir(c.Root)
	if err != nil {
		return fmt.Errorf("look through the cache: %w", err)
	}
	type candidate struct {
		base string
		size int64
		used time.Time
	}
	var candidates []candidate
	var total int64
	for _, entry := range entries {
		path := filepath.Join(c.Root, entry.Name())
		if strings.HasPrefix(entry.Name(), checkoutPrefix) {
			if info, err := entry.Info(); err == nil && time.Since(info.ModTime()) > abandonedAfter {
				_ = removeAll(path)
			}
			continue
		}
		base, isMirror := strings.CutSuffix(path, ".git")
		if !isMirror {
			continue
		}
		found := candidate{base: base, size: folderSize(path)}
		if info, err := os.Stat(base + ".use"); err == nil {
			found.used = info.ModTime()
		}
		total += found.size
		candidates = append(candidates, found)
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return a.used.Compare(b.used) })
	var problems []error
	for _, oldest := range candidates {
		if total <= cmp.Or(c.MaxSize, DefaultMaxSize) {
			break
		}
		removed, err := removeUnused(oldest.base)
		problems = append(problems, err)
		if removed {
			total -= oldest.size
			c.log().InfoContext(ctx, "mirror is removed to make room", "folder", oldest.base+".git", "bytes", oldest.size, "used", oldest.used)
		}
	}
	return errors.Join(problems...)
}

// removeUnused removes a mirror that nobody uses. Its locks stay: removing a lock that somebody
// waits for would let two in at once.
func removeUnused(base string) (bool, error) {
	use := flock.New(base+".use", flock.SetPermissions(0o600))
	defer func() { _ = use.Close() }()
	if free, err := use.TryLock(); err != nil || !free {
		return false, err
	}
	if err := removeAll(base + ".git"); err != nil {
		return false, fmt.Errorf("remove the mirror %s: %w", base, err)
	}
	return true, nil
}

// folderSize is about what a folder takes on disk, in bytes.
func folderSize(folder string) int64 {
	var size int64
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what goes away meanwhile takes no room
		}
		if info, err := entry.Info(); err == nil && entry.Type().IsRegular() {
			size += info.Size()
		}
		return nil
	})
	return size
}
