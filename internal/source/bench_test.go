package source

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkCheckoutAgainstClone checks out a new commit of a repository of 10,000 files and 100 MB
// with a warm mirror, and clones the same commit with --depth 1 from the same host, in turn. It
// reports the best time of each, which a busy machine disturbs least, and their ratio. Run it with
//
//	go test ./internal/source -run '^$' -bench CheckoutAgainstClone -benchtime 5x
func BenchmarkCheckoutAgainstClone(b *testing.B) {
	o := sampleRepository(b, 10_000, 100<<20)
	cache := &Cache{Root: filepath.Join(b.TempDir(), "cache"), AllowLocal: true}
	_, err := cache.Resolve(b.Context(), o.dir, "main")
	require.NoError(b, err)
	ours, theirs := time.Hour, time.Hour
	folder := b.TempDir()
	for i := 0; b.Loop(); i++ {
		sha := o.commit(fmt.Sprint("change ", i), "area1/package1/file1.txt", fmt.Sprint("changed ", i))
		cloned, checkedOut := filepath.Join(folder, "cloned"), filepath.Join(folder, "checked-out")

		started := time.Now()
		clone := exec.Command("git", "clone", "--quiet", "--depth", "1", "file://"+o.dir, cloned)
		clone.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
		output, err := clone.CombinedOutput()
		require.NoError(b, err, string(output))
		theirs = min(theirs, time.Since(started))

		started = time.Now()
		_, err = cache.Checkout(b.Context(), Request{Repository: o.dir, SHA: sha, Ref: "refs/heads/main", Into: checkedOut})
		require.NoError(b, err)
		ours = min(ours, time.Since(started))

		require.NoError(b, os.RemoveAll(cloned))
		require.NoError(b, os.RemoveAll(checkedOut))
	}
	b.ReportMetric(ours.Seconds(), "s/checkout")
	b.ReportMetric(theirs.Seconds(), "s/clone")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
}

// BenchmarkAgeOfTheRepository checks out a new commit of a repository with 1,000 and of one with
// 100,000 commits, both mirrored, and reports the ratio of the best times. Run it with
//
//	go test ./internal/source -run '^$' -bench AgeOfTheRepository -benchtime 20x
func BenchmarkAgeOfTheRepository(b *testing.B) {
	type aged struct {
		origin *origin
		cache  *Cache
		best   time.Duration
	}
	ages := []*aged{{origin: agedRepository(b, 1_000)}, {origin: agedRepository(b, 100_000)}}
	for _, a := range ages {
		a.best = time.Hour
		a.cache = &Cache{Root: filepath.Join(b.TempDir(), "cache"), AllowLocal: true}
		_, err := a.cache.Resolve(b.Context(), a.origin.dir, "main")
		require.NoError(b, err)
	}
	folder := b.TempDir()
	for i := 0; b.Loop(); i++ {
		for _, a := range ages {
			sha := a.origin.commit(fmt.Sprint("new ", i), "new", fmt.Sprint(i))
			into := filepath.Join(folder, "checked-out")
			started := time.Now()
			_, err := a.cache.Checkout(b.Context(), Request{Repository: a.origin.dir, SHA: sha, Ref: "refs/heads/main", Into: into})
			require.NoError(b, err)
			a.best = min(a.best, time.Since(started))
			require.NoError(b, os.RemoveAll(into))
		}
	}
	b.ReportMetric(ages[0].best.Seconds()*1000, "ms/1000-commits")
	b.ReportMetric(ages[1].best.Seconds()*1000, "ms/100000-commits")
	b.ReportMetric(ages[1].best.Seconds()/ages[0].best.Seconds(), "ratio")
}

// agedRepository has a history of many commits, each of which changes one of 50
// files: few, so that writing them does not hide what the age costs.
func agedRepository(b *testing.B, commits int) *origin {
	b.Helper()
	o := newOrigin(b)
	var stream strings.Builder
	for i := range commits {
		content := fmt.Sprintf("version %d of the file", i)
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata <<END\ncommit %d\nEND\n", 1_500_000_000+i*600, i)
		fmt.Fprintf(&stream, "M 100644 inline folder%d/file%d\ndata %d\n%s\n", i%5, i%50, len(content), content)
	}
	o.gitWith(stream.String(), "fast-import", "--quiet")
	o.git("reset", "--quiet", "--hard", "main")
	return o
}

// sampleRepository holds source-like text, one in twenty files does not compress.
func sampleRepository(b *testing.B, files, size int) *origin {
	b.Helper()
	o := newOrigin(b)
	random := rand.New(rand.NewPCG(1, 2))
	noise := rand.NewChaCha8([32]byte{3})
	words := make([]string, 4000)
	for i := range words {
		word := make([]byte, 2+random.IntN(9))
		for j := range word {
			word[j] = byte('a' + random.IntN(26))
		}
		words[i] = string(word)
	}
	var content bytes.Buffer
	for i := range files {
		content.Reset()
		length := size / files / 2 * (1 + random.IntN(3)) // half, all, and one and a half of the mean
		if i%20 == 0 {
			raw := make([]byte, length)
			_, _ = noise.Read(raw)
			content.Write(raw)
		}
		for content.Len() < length {
			for range 4 + random.IntN(8) {
				content.WriteString(words[min(random.IntN(len(words)), random.IntN(len(words)), random.IntN(len(words)))])
				content.WriteByte(" (.,)={}\"_"[random.IntN(10)])
			}
			content.WriteByte('\n')
		}
		o.write(fmt.Sprintf("area%d/package%d/file%d.txt", i%10, i%200, i), content.String())
	}
	o.commit("sample")
	// As a host keeps it.
	o.git("repack", "-a", "-d", "--quiet")
	return o
}
