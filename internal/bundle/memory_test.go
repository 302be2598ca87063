package bundle

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bundleThis names the tree that the test binary, called by itself, bundles instead of testing.
const bundleThis = "GRAVITY_TEST_BUNDLE"

func TestMain(m *testing.M) {
	tree := os.Getenv(bundleThis)
	if tree == "" {
		os.Exit(m.Run())
	}
	if _, err := WriteWith(context.Background(), tree, io.Discard, Options{Workers: 16}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// What the system tells about a process that has ended counts its parent's memory, too.
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		os.Exit(0)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Print(strings.Fields(peak)[0])
	os.Exit(0)
}

func TestMemoryStaysSmallHoweverLargeTheTree(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector multiplies memory, and says nothing about ours")
	}
	tree := t.TempDir()
	// A quarter of a gigabyte that compresses, and what does not.
	huge, err := os.Create(filepath.Join(tree, "huge"))
	require.NoError(t, err)
	require.NoError(t, huge.Truncate(256<<20))
	require.NoError(t, huge.Close())
	noise, err := os.Create(filepath.Join(tree, "noise"))
	require.NoError(t, err)
	_, err = io.CopyN(noise, rand.NewChaCha8([32]byte{1}), 80<<20)
	require.NoError(t, err)
	require.NoError(t, noise.Close())
	for i := range 2000 {
		require.NoError(t, os.WriteFile(filepath.Join(tree, fmt.Sprintf("file%d", i)), []byte(fmt.Sprintf("content %d", i)), 0o600))
	}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), bundleThis+"="+tree, "GOMAXPROCS=16")
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	if len(output) == 0 {
		t.Skip("this system does not tell the peak")
	}
	kilobytes, err := strconv.ParseInt(string(output), 10, 64)
	require.NoError(t, err)
	peak := kilobytes << 10
	t.Logf("peak memory of the whole process: %d MB", peak>>20)
	require.Less(t, peak, int64(64<<20))
}
