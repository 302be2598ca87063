package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMirrorsUnusedForLongestMakeRoom(t *testing.T) {
	t.Parallel()
	cache := newCache(t)
	cache.MaxSize = 1 << 40
	var origins []*origin
	mirrors := map[string]string{}
	for i := range 4 {
		o := newOrigin(t)
		o.commit("one", "file", fmt.Sprint(i))
		origins = append(origins, o)
		_, err := cache.Resolve(t.Context(), o.dir, "main")
		require.NoError(t, err)
		r, err := cache.parse(o.dir)
		require.NoError(t, err)
		m, err := cache.open(t.Context(), r)
		require.NoError(t, err)
		mirrors[o.dir] = m.dir
		m.close()
		used := time.Now().Add(time.Duration(i-10) * time.Hour)
		require.NoError(t, os.Chtimes(m.use.Path(), used, used))
	}
	// The oldest is in use, and one more is over the limit.
	r, err := cache.parse(origins[0].dir)
	require.NoError(t, err)
	inUse, err := cache.open(t.Context(), r)
	require.NoError(t, err)
	defer inUse.close()
	used := time.Now().Add(-24 * time.Hour)
	require.NoError(t, os.Chtimes(inUse.use.Path(), used, used))
	one := folderSize(mirrors[origins[0].dir])
	cache.MaxSize = one*7/2 - 1

	require.NoError(t, cache.evict(t.Context()))
	require.DirExists(t, mirrors[origins[0].dir], "in use")
	require.NoDirExists(t, mirrors[origins[1].dir], "unused for longest")
	require.DirExists(t, mirrors[origins[2].dir])
	require.DirExists(t, mirrors[origins[3].dir])

	_, err = cache.Checkout(t.Context(), Request{Repository: origins[1].dir, Ref: "main", Into: filepath.Join(t.TempDir(), "x")})
	require.NoError(t, err)
	require.DirExists(t, mirrors[origins[1].dir], "it is made again")
	require.NoDirExists(t, mirrors[origins[2].dir], "and now this one makes room")
}

func TestWhatAKilledCheckoutLeftIsRemoved(t *testing.T) {
	t.Parallel()
	cache := newCache(t)
	old, young := filepath.Join(cache.Root, checkoutPrefix+"old"), filepath.Join(cache.Root, checkoutPrefix+"young")
	for _, folder := range []string{old, young} {
		require.NoError(t, os.MkdirAll(folder, 0o700))
	}
	before := time.Now().Add(-2 * abandonedAfter)
	require.NoError(t, os.Chtimes(old, before, before))
	require.NoError(t, cache.evict(t.Context()))
	require.NoDirExists(t, old)
	require.DirExists(t, young)
}

func TestPacksDoNotGatherWithoutEnd(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.commit("first", "file", "0")
	cache := newCache(t)
	_, err := cache.Resolve(t.Context(), o.dir, "main")
	require.NoError(t, err)
	r, err := cache.parse(o.dir)
	require.NoError(t, err)
	m, err := cache.open(t.Context(), r)
	require.NoError(t, err)
	defer m.close()
	count := func() int {
		packs, err := filepath.Glob(filepath.Join(m.dir, "objects/pack/*.pack"))
		require.NoError(t, err)
		return len(packs)
	}
	cache.maxPacks = 4
	most := 0
	var sha string
	for i := range 8 {
		sha = o.commit("next", "file", fmt.Sprint(i))
		_, err := cache.Resolve(t.Context(), o.dir, "main")
		require.NoError(t, err)
		most = max(most, count())
	}
	require.Equal(t, cache.maxPacks, most)
	into := filepath.Join(t.TempDir(), "x")
	_, err = cache.Checkout(t.Context(), Request{Repository: o.dir, SHA: sha, Into: into})
	require.NoError(t, err)
	require.Equal(t, "7", read(t, into, "file"))
}
