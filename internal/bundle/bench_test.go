package bundle

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkAgainstZip bundles a tree of 10,000 files and 100 MB with Info-ZIP and with this package
// in turn, and reports the best time of each, which a busy machine disturbs least, and the ratios of
// time and size. Run it with
//
//	go test ./internal/bundle -run '^$' -bench AgainstZip -benchtime 5x
func BenchmarkAgainstZip(b *testing.B) {
	if _, err := exec.LookPath("zip"); err != nil {
		b.Skip("there is no zip to compare with")
	}
	tree := sampleTree(b, 10_000, 100<<20)
	folder := b.TempDir()
	ours, theirs := time.Hour, time.Hour
	oursCPU, theirsCPU := time.Hour, time.Hour
	var oursSize, theirsSize int64
	for b.Loop() {
		path := filepath.Join(folder, "theirs.zip")
		_ = os.Remove(path)
		started := time.Now()
		command := exec.Command("zip", "-q", "-r", path, ".")
		command.Dir = tree
		require.NoError(b, command.Run())
		theirs = min(theirs, time.Since(started))
		theirsCPU = min(theirsCPU, command.ProcessState.UserTime()+command.ProcessState.SystemTime())
		info, err := os.Stat(path)
		require.NoError(b, err)
		theirsSize = info.Size()

		started = time.Now()
		cpu := cpuTime(b)
		file, err := os.Create(filepath.Join(folder, "ours.zip"))
		require.NoError(b, err)
		manifest, err := Write(b.Context(), tree, file)
		require.NoError(b, err)
		require.NoError(b, file.Close())
		ours = min(ours, time.Since(started))
		oursCPU = min(oursCPU, cpuTime(b)-cpu)
		oursSize = manifest.Size
	}
	b.ReportMetric(ours.Seconds(), "s/bundle")
	b.ReportMetric(theirs.Seconds(), "s/zip")
	b.ReportMetric(ours.Seconds()/theirs.Seconds(), "time-ratio")
	b.ReportMetric(oursCPU.Seconds()/theirsCPU.Seconds(), "cpu-ratio")
	b.ReportMetric(float64(oursSize)/float64(theirsSize), "size-ratio")
	b.Logf("on %d cores: bundle %v, %d bytes; zip -r %v, %d bytes; ratios %.2f and %.3f",
		runtime.GOMAXPROCS(0), ours, oursSize, theirs, theirsSize, ours.Seconds()/theirs.Seconds(), float64(oursSize)/float64(theirsSize))
}

func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// sampleTree makes a tree of source-like text, with one in twenty files that does not compress.
func sampleTree(tb testing.TB, files, size int) string {
	tb.Helper()
	tree := tb.TempDir()
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
			for range 1 + random.IntN(3) {
				content.WriteString("\t")
			}
			// Words of real text are not equally frequent.
			for range 4 + random.IntN(8) {
				content.WriteString(words[min(random.IntN(len(words)), random.IntN(len(words)), random.IntN(len(words)))])
				content.WriteByte(" (.,)={}\"_"[random.IntN(10)])
			}
			content.WriteByte('\n')
		}
		path := filepath.Join(tree, fmt.Sprintf("area%d/package%d/file%d.txt", i%10, i%200, i))
		require.NoError(tb, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(tb, os.WriteFile(path, content.Bytes(), 0o644))
	}
	return tree
}
