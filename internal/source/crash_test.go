//go:build linux

package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// resolveThis names the repository that the test binary, called by itself as a worker would be,
// fetches instead of testing, into the cache at cacheAt.
const resolveThis, cacheAt = "GRAVITY_TEST_RESOLVE", "GRAVITY_TEST_CACHE"

func TestMain(m *testing.M) {
	address := os.Getenv(resolveThis)
	if address == "" {
		os.Exit(m.Run())
	}
	cache := &Cache{Root: os.Getenv(cacheAt), AllowLocal: true}
	_, err := cache.Resolve(context.Background(), address, "main")
	fmt.Println(err)
	os.Exit(0)
}

func TestAWorkerKilledInAFetchLeavesNothingRunningAndNothingBroken(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	sha := o.commit("one", "file", "1")
	server := serveGit(t, filepath.Dir(o.dir), "")
	reached, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	var once sync.Once
	server.mutex.Lock()
	server.during = func() {
		// The first request never gets an answer, so that what the worker started waits on.
		first := false
		once.Do(func() { first = true })
		if first {
			close(reached)
			<-release
		}
	}
	server.mutex.Unlock()
	cache := newCache(t)
	worker := exec.Command(os.Args[0])
	worker.Env = append(os.Environ(), resolveThis+"="+server.url+"/origin", cacheAt+"="+cache.Root)
	require.NoError(t, worker.Start())
	<-reached
	require.NotZero(t, processesIn(cache.Root))
	require.NoError(t, worker.Process.Kill())
	_ = worker.Wait()
	// What it may have left, on top of what it did.
	mirror := cache.mirrorOf(t)
	require.NoError(t, os.MkdirAll(filepath.Join(mirror, "objects/pack"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(mirror, "objects/pack/tmp_pack_x"), []byte("half"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(mirror, "packed-refs.lock"), nil, 0o600))
	into := filepath.Join(t.TempDir(), "x")
	revision, err := cache.Checkout(t.Context(), Request{Repository: server.url + "/origin", Ref: "main", Into: into})
	require.NoError(t, err)
	require.Equal(t, sha, revision.SHA)
	require.NoFileExists(t, filepath.Join(mirror, "objects/pack/tmp_pack_x"))
	require.Eventually(t, func() bool { return processesIn(cache.Root) == 0 }, time.Minute, 5*time.Millisecond, "what the dead worker had started goes on")
}

// processesIn counts the processes that work on a cache.
func processesIn(root string) int {
	processes, _ := filepath.Glob("/proc/[0-9]*/environ")
	count := 0
	for _, path := range processes {
		if content, err := os.ReadFile(path); err == nil && strings.Contains(string(content), "GIT_DIR="+root) {
			count++
		}
	}
	return count
}

func TestAMirrorDamagedWhileManyUseItIsMadeAgainOnce(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	sha := o.commit("one", "file", "1", "other", "2")
	root := filepath.Join(t.TempDir(), "cache")
	first := &Cache{Root: root, AllowLocal: true}
	_, err := first.Resolve(t.Context(), o.dir, "main")
	require.NoError(t, err)
	packs, err := filepath.Glob(filepath.Join(first.mirrorOf(t), "objects/pack/*.pack"))
	require.NoError(t, err)
	for _, pack := range packs {
		require.NoError(t, os.Remove(pack))
	}
	base := t.TempDir()
	var group sync.WaitGroup
	problems := make(chan error, 8)
	for i := range 8 {
		group.Go(func() {
			cache := &Cache{Root: root, AllowLocal: true}
			into := filepath.Join(base, fmt.Sprint(i))
			_, err := cache.Checkout(context.Background(), Request{Repository: o.dir, SHA: sha, Ref: "refs/heads/main", Into: into})
			if err == nil {
				_, err = os.Stat(filepath.Join(into, "other"))
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
