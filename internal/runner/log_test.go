package runner

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALogIsWholeInItsFileAndItsEndIsSeenMeanwhile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	log, err := NewLog(path)
	require.NoError(t, err)
	type outcome struct {
		result Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		// The command goes on once its output was seen.
		result, err := Run(t.Context(), Command{Line: `printf '\033[31mbegun\033[0m\n'; while [ ! -e seen ]; do sleep 0.01; done; echo ended`, Dir: dir, Timeout: 20 * time.Second}, log)
		done <- outcome{result, err}
	}()
	require.Eventually(t, func() bool { end, _ := log.Tail(); return end == "begun\n" }, 10*time.Second, time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "seen"), nil, 0o600))
	ended := <-done
	require.NoError(t, ended.err)
	require.True(t, ended.result.Passed())
	require.NoError(t, log.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "\x1b[31mbegun\x1b[0m\nended\n", string(content))
	_, size := log.Tail()
	require.EqualValues(t, len(content), size)
	_, err = NewLog(path)
	require.ErrorIs(t, err, os.ErrExist)
}
