package source

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func (c *Cache) mirrorOf(t *testing.T) string {
	t.Helper()
	mirrors, err := filepath.Glob(filepath.Join(c.Root, "*.git"))
	require.NoError(t, err)
	require.Len(t, mirrors, 1)
	return mirrors[0]
}

func TestADamagedMirrorIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, mirror string){
		"packs are gone":       func(t *testing.T, m string) { require.NoError(t, os.RemoveAll(filepath.Join(m, "objects", "pack"))) },
		"packs are cut short":  func(t *testing.T, m string) { overwrite(t, m, "objects/pack/*.pack", "") },
		"packs hold rubbish":   func(t *testing.T, m string) { overwrite(t, m, "objects/pack/*.pack", strings.Repeat("rubbish", 100)) },
		"indexes hold rubbish": func(t *testing.T, m string) { overwrite(t, m, "objects/pack/*.idx", "rubbish") },
		"objects are gone":     func(t *testing.T, m string) { require.NoError(t, os.RemoveAll(filepath.Join(m, "objects"))) },
		"HEAD is rubbish":      func(t *testing.T, m string) { overwrite(t, m, "HEAD", "rubbish") },
		"HEAD is gone":         func(t *testing.T, m string) { require.NoError(t, os.Remove(filepath.Join(m, "HEAD"))) },
		"config is rubbish":    func(t *testing.T, m string) { overwrite(t, m, "config", "[[[") },
		"refs are rubbish":     func(t *testing.T, m string) { overwrite(t, m, "refs/heads/*", "rubbish") },
		"refs are gone":        func(t *testing.T, m string) { require.NoError(t, os.RemoveAll(filepath.Join(m, "refs"))) },
		"a fetch was killed": func(t *testing.T, m string) {
			require.NoError(t, os.WriteFile(filepath.Join(m, "refs/heads/main.lock"), nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			o.commit("one", "file", "1", "other", "o")
			cache := newCache(t)
			_, err := cache.Resolve(t.Context(), o.dir, "main")
			require.NoError(t, err)
			damage(t, cache.mirrorOf(t))

			sha := o.commit("two", "file", "2")
			into := filepath.Join(t.TempDir(), "x")
			revision, err := cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: sha, Ref: "refs/heads/main", Into: into})
			require.NoError(t, err)
			require.Equal(t, sha, revision.SHA)
			require.Equal(t, "2", read(t, into, "file"))
			require.Equal(t, "o", read(t, into, "other"))
		})
	}
}

func overwrite(t *testing.T, mirror, pattern, content string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(mirror, pattern))
	require.NoError(t, err)
	require.NotEmpty(t, files, pattern)
	for _, file := range files {
		require.NoError(t, os.Chmod(file, 0o600))
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	}
}

func TestAWaitForALockEndsWithTheContext(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("one", "file", "1")
	cache := newCache(t)
	r, err := cache.parse(o.dir)
	require.NoError(t, err)
	holder, err := cache.open(t.Context(), r)
	require.NoError(t, err)
	defer holder.close()
	release, err := holder.lockFetch(t.Context())
	require.NoError(t, err)
	defer release()

	ctx, cancel := context.WithTimeout(t.Context(), 3*lockPoll)
	defer cancel()
	_, err = cache.Resolve(ctx, o.dir, "main")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestAHostThatDoesNotAnswerIsUnavailable(t *testing.T) {
	t.Parallel()
	cache := newCache(t)
	_, err := cache.Resolve(t.Context(), "http://127.0.0.1:1/x", "main")
	requireRejected(t, err, delivery.Unavailable, "127.0.0.1")
}
