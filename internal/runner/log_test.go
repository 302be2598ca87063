package runner

import (
	"io"
	"os"
	"path/filepath"
	"strings"
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
		result, err := Run(t.Context(), Command{Line: `printf '\033[31mbegun\033[0m\n'; while [ ! -e seen ]; do sleep 0.01; done; echo ended`, Dir: dir, Timeout: 2 * time.Minute}, log)
		done <- outcome{result, err}
	}()
	require.Eventually(t, func() bool { end, _ := log.Tail(); return end == "begun\n" }, time.Minute, time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "seen"), nil, 0o600))
	ended := <-done
	require.NoError(t, ended.err)
	require.True(t, ended.result.Passed())
	require.NoError(t, log.Finish())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "begun\nended\n", string(content))
	_, size := log.Tail()
	require.EqualValues(t, len(content), size)
	rest, err := io.ReadAll(log.From(int64(len("begun\n"))))
	require.NoError(t, err)
	require.Equal(t, "ended\n", string(rest), "who read a part goes on where it ended")
	require.NoError(t, log.Close())
	_, err = NewLog(path)
	require.ErrorIs(t, err, os.ErrExist)
}

func TestALogIsCleanHoweverItsOutputIsCutIntoPieces(t *testing.T) {
	output := "plain\n\x1b[31mred\x1b[0m line\r\n10 %\r20 %\r30 %\n" + strings.Repeat("größer ", 3000) + "\nbad \xff byte\nno end"
	want := Clean(output)
	for _, size := range []int{1, 2, 3, 7, 1000, len(output)} {
		log, err := NewLog(filepath.Join(t.TempDir(), "log"))
		require.NoError(t, err)
		for rest := output; rest != ""; {
			piece := rest[:min(size, len(rest))]
			n, err := log.Write([]byte(piece))
			require.NoError(t, err)
			require.Equal(t, len(piece), n)
			rest = rest[len(piece):]
		}
		require.NoError(t, log.Finish())
		whole, err := io.ReadAll(log.From(0))
		require.NoError(t, err)
		require.Equal(t, want, string(whole), "pieces of %d bytes", size)
		end, at := log.Tail()
		require.EqualValues(t, len(want), at)
		require.True(t, strings.HasSuffix(want, end), "the end is where it says")
		require.NoError(t, log.Close())
	}
}
