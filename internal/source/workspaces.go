package source

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"gravity/internal/delivery"
)

// Workspaces are the folders below Root in which builds happen. Each is locked by the process that
// made it, so that one left behind by a process that died is told from one in use.
type Workspaces struct {
	// Root is the folder of the workspaces. It is made when it is missing.
	Root string

	mutex sync.Mutex
	held  map[string]*holding
}

// holding is a workspace of this process.
type holding struct {
	lock  *flock.Flock
	users int       // steps that work in it now
	used  time.Time // when the last one began or ended; zero before the first
}

const (
	workspacePrefix = "workspace-"
	lockSuffix      = ".lock"
)

var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// New makes an empty workspace. The id goes into its name, for people who look; release removes it.
func (w *Workspaces) New(id string) (dir string, release func(), err error) {
	if err := os.MkdirAll(w.Root, 0o711); err != nil {
		return "", nil, fmt.Errorf("make the folder of workspaces: %w", err)
	}
	root, err := w.realRoot()
	if err != nil {
		return "", nil, err
	}
	name := notInNames.ReplaceAllString(id, "-")
	if len(name) > 60 {
		name = name[len(name)-60:]
	}
	dir = filepath.Join(root, workspacePrefix+strings.Trim(name, "-")+"-"+strings.ToLower(rand.Text()[:16]))
	// The lock comes first: a sweep in another process must never find the folder without it.
	lock := flock.New(dir+lockSuffix, flock.SetPermissions(0o600))
	if locked, err := lock.TryLock(); err != nil || !locked {
		return "", nil, fmt.Errorf("lock the workspace %s: %w", dir, err)
	}
	// Commands may run as somebody else, who must reach what is given to them, and cannot list the rest.
	if err := os.Mkdir(dir, 0o711); err != nil {
		_ = remove(dir, lock)
		return "", nil, fmt.Errorf("make a workspace: %w", err)
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.held == nil {
		w.held = map[string]*holding{}
	}
	w.held[dir] = &holding{lock: lock}
	return dir, func() { _ = w.Remove(dir) }, nil
}

// Check makes sure that a folder is a workspace of this process, or lies in one, and still exists.
// Use it on every folder that comes from elsewhere. The error has the type WorkspaceLost.
func (w *Workspaces) Check(dir string) error {
	_, err := w.find(dir)
	return err
}

// Use is Check for a step that works in the workspace until done is called: meanwhile it is not
// taken for one that nobody needs.
func (w *Workspaces) Use(dir string) (done func(), err error) {
	workspace, err := w.find(dir)
	if err != nil {
		return nil, err
	}
	return w.mark(workspace), nil
}

// mark counts a step that works in a workspace, until the answer is called.
func (w *Workspaces) mark(workspace string) func() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	held := w.held[workspace]
	if held == nil { // removed a moment ago: whoever works there will see
		return func() {}
	}
	held.users++
	held.used = time.Now()
	return sync.OnceFunc(func() {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		held.users--
		held.used = time.Now()
	})
}

// Busy counts the workspaces in which a step works, or did within the time given: one build's steps
// follow each other closely, and the next of them is not to be hindered. One that is being made does
// not count yet.
func (w *Workspaces) Busy(within time.Duration) int {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	busy := 0
	for _, held := range w.held {
		if held.users > 0 || time.Since(held.used) < within {
			busy++
		}
	}
	return busy
}

// Expire removes the workspaces of this process in which no step has worked for as long as that:
// those of builds that were ended from outside. It answers with their number.
func (w *Workspaces) Expire(unused time.Duration) (int, error) {
	w.mutex.Lock()
	var expired []string
	for dir, held := range w.held {
		if held.users == 0 && !held.used.IsZero() && time.Since(held.used) >= unused {
			expired = append(expired, dir)
		}
	}
	w.mutex.Unlock()
	var problems []error
	for _, dir := range expired {
		problems = append(problems, w.Remove(dir))
	}
	return len(expired), errors.Join(problems...)
}

// Remove removes the workspace that the folder is, or lies in. One that is gone is no error.
func (w *Workspaces) Remove(dir string) error {
	workspace, err := w.find(dir)
	if err != nil {
		return nil //nolint:nilerr // it is gone, or was never ours: both are what the caller wants
	}
	w.mutex.Lock()
	held := w.held[workspace]
	delete(w.held, workspace)
	w.mutex.Unlock()
	if held == nil {
		return nil // somebody else removes it
	}
	return remove(workspace, held.lock)
}

// Sweep removes the workspaces that no living process holds and that were made longer ago than
// olderThan. It answers with their number. Workers call it when they start, with 0.
func (w *Workspaces) Sweep(olderThan time.Duration) (int, error) {
	entries, err := os.ReadDir(w.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for old workspaces: %w", err)
	}
	removed := 0
	var problems []error
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), workspacePrefix) {
			continue
		}
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < olderThan {
			continue
		}
		dir := filepath.Join(w.Root, entry.Name())
		lock := flock.New(dir+lockSuffix, flock.SetPermissions(0o600))
		if free, err := lock.TryLock(); err != nil || !free {
			_ = lock.Close()
			continue
		}
		if err := remove(dir, lock); err != nil {
			problems = append(problems, err)
			continue
		}
		removed++
	}
	return removed, errors.Join(problems...)
}

func remove(workspace string, lock *flock.Flock) error {
	err := removeAll(workspace)
	if lock != nil {
		if err == nil {
			_ = os.Remove(workspace + lockSuffix)
		}
		_ = lock.Close()
	}
	if err != nil {
		return fmt.Errorf("remove the workspace %s: %w", workspace, err)
	}
	return nil
}

// removeEmpty removes an empty folder below another, which no link on the way leads out of.
func removeEmpty(below, name string) error {
	root, err := os.OpenRoot(below)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The folder above must be there and real: a repository may have put a link in its place.
	info, err := root.Lstat(filepath.Dir(name))
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no folder", filepath.Dir(name))
	}
	return err
}

// find answers with the workspace that a folder is or lies in.
func (w *Workspaces) find(dir string) (string, error) {
	lost := func() (string, error) {
		return "", delivery.Errorf(delivery.WorkspaceLost, "the workspace %q is not on this worker (any more): the build starts again", cut(dir))
	}
	root, err := w.realRoot()
	if err != nil || !filepath.IsAbs(dir) {
		return lost()
	}
	// Links on the way are followed first, so that none leads out.
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return lost()
	}
	relative, err := filepath.Rel(root, real)
	if err != nil || !filepath.IsLocal(relative) {
		return lost()
	}
	name, _, _ := strings.Cut(filepath.ToSlash(relative), "/")
	workspace := filepath.Join(root, name)
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if info, err := os.Stat(real); err != nil || !info.IsDir() || w.held[workspace] == nil {
		return lost()
	}
	return workspace, nil
}

func (w *Workspaces) realRoot() (string, error) {
	absolute, err := filepath.Abs(w.Root)
	if err != nil {
		return "", fmt.Errorf("find the folder of workspaces: %w", err)
	}
	real, err := filepath.EvalSymlinks(absolute)
	if err != nil {
		return "", fmt.Errorf("find the folder of workspaces: %w", err)
	}
	return real, nil
}
