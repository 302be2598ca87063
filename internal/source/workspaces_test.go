package source

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestAWorkspaceIsFoundUntilItIsReleased(t *testing.T) {
	t.Parallel()
	w := &Workspaces{Root: filepath.Join(t.TempDir(), "work")}
	dir, release, err := w.New("run/site/../../0123 abc")
	require.NoError(t, err)
	require.Equal(t, w.Root, filepath.Dir(dir))
	require.DirExists(t, dir)
	below := filepath.Join(dir, "source", "deep")
	require.NoError(t, os.MkdirAll(below, 0o755))
	require.NoError(t, w.Check(dir))
	require.NoError(t, w.Check(below))

	require.NoError(t, os.Chmod(below, 0o500))
	release()
	release()
	require.NoDirExists(t, dir)
	require.Equal(t, delivery.WorkspaceLost, delivery.TypeOf(w.Check(dir)))
	left, err := os.ReadDir(w.Root)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAFolderThatIsNoWorkspaceIsRefused(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	w := &Workspaces{Root: filepath.Join(t.TempDir(), "work")}
	dir, release, err := w.New("x")
	require.NoError(t, err)
	defer release()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(w.Root, "workspace-foreign"), 0o700))
	for name, folder := range map[string]string{
		"nothing": "", "the root": w.Root, "above": filepath.Dir(w.Root), "outside": outside, "relative": "work",
		"dots": dir + "/../../..", "a link that leads out": filepath.Join(dir, "link"), "gone": filepath.Join(dir, "gone"),
		"a file": filepath.Join(dir, "file"), "another process's": filepath.Join(w.Root, "workspace-foreign"), "/": "/",
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, delivery.WorkspaceLost, delivery.TypeOf(w.Check(folder)))
			require.NoError(t, w.Remove(folder))
		})
	}
	require.DirExists(t, outside)
	require.DirExists(t, dir)
}

func TestASweepRemovesWhatADeadProcessLeft(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "work")
	living := &Workspaces{Root: root}
	inUse, release, err := living.New("living")
	require.NoError(t, err)
	defer release()

	dead := &Workspaces{Root: root}
	left, _, err := dead.New("dead")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(left, "file"), nil, 0o600))
	require.NoError(t, dead.held[left].lock.Close()) // what the kernel does when a process dies

	after := &Workspaces{Root: root}
	removed, err := after.Sweep(time.Hour)
	require.NoError(t, err)
	require.Zero(t, removed, "too young")
	removed, err = after.Sweep(0)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	require.NoDirExists(t, left)
	require.DirExists(t, inUse)
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Len(t, entries, 2, "the living workspace and its lock")
}

func TestAWorkspaceThatNobodyNeedsAnyMoreIsRemovedAndOneInUseIsNot(t *testing.T) {
	t.Parallel()
	w := &Workspaces{Root: filepath.Join(t.TempDir(), "work")}
	forgotten, _, err := w.New("forgotten")
	require.NoError(t, err)
	inUse, release, err := w.New("in use")
	require.NoError(t, err)
	defer release()
	removed, err := w.Expire(0)
	require.NoError(t, err)
	require.Zero(t, removed, "one that is being made is not unused")
	require.Zero(t, w.Busy(time.Hour))
	begun, err := w.Use(forgotten)
	require.NoError(t, err)
	begun()
	done, err := w.Use(inUse)
	require.NoError(t, err)
	require.Equal(t, 1, w.Busy(0), "the other one only waits")
	require.Equal(t, 2, w.Busy(time.Hour), "both were used within the hour")

	removed, err = w.Expire(time.Hour)
	require.NoError(t, err)
	require.Zero(t, removed, "too young")
	removed, err = w.Expire(0)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	require.NoDirExists(t, forgotten)
	require.DirExists(t, inUse)

	done()
	done()
	require.Zero(t, w.Busy(0))
	removed, err = w.Expire(0)
	require.NoError(t, err)
	require.Equal(t, 1, removed)
	require.NoDirExists(t, inUse)
	_, err = w.Use(inUse)
	require.Equal(t, delivery.WorkspaceLost, delivery.TypeOf(err))
}
