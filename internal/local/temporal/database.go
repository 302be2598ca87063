package temporal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gravity/internal/delivery"
)

// lockDatabase takes the lock of the data folder. The child inherits the open file, and with it the
// lock, so that a server that outlived its parent still holds it.
func (s *Server) lockDatabase(ctx context.Context) error {
	if s.options.DataDir == "" {
		return nil
	}
	directory, err := filepath.Abs(s.options.DataDir)
	if err != nil {
		return fmt.Errorf("find the data folder %s: %w", s.options.DataDir, err)
	}
	s.options.DataDir = directory
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("create the data folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(directory, "temporal.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the lock of Temporal's database: %w", err)
	}
	err = flock(ctx, lock)
	if err == nil {
		s.lock = lock
		return nil
	}
	holder := readHolder(lock)
	_ = lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return delivery.Errorf(delivery.InvalidInput,
			"%s is in use by a Temporal server that runs already%s: end it, or choose another data folder", s.database(), holder)
	}
	return fmt.Errorf("lock %s: %w", s.database(), err)
}

// lockPatience is the moment that a server takes to end when its parent was killed, in which the next
// start would find it still there.
const lockPatience = 3 * time.Second

func flock(ctx context.Context, file *os.File) error {
	try := time.NewTicker(20 * time.Millisecond)
	defer try.Stop()
	for began := time.Now(); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(began) > lockPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-try.C:
		}
	}
}

// nameHolder writes down who holds the database, for the message of whoever comes second. It is
// a courtesy: the lock is what counts.
func (s *Server) nameHolder(pid int) {
	if s.lock == nil {
		return
	}
	content := strconv.Itoa(pid) + "\n"
	err := s.lock.Truncate(0)
	if err == nil {
		_, err = s.lock.WriteAt([]byte(content), 0)
	}
	if err != nil {
		s.options.Log.Warn("cannot note who holds Temporal's database", "file", s.lock.Name(), "error", err)
	}
}

func readHolder(lock *os.File) string {
	content := make([]byte, 20)
	read, _ := lock.ReadAt(content, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(content[:read])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}

// earlyEnd is the end of a server before it was ready.
type earlyEnd struct{ cause error }

func (e *earlyEnd) Error() string {
	return "temporal's development server ended before it was ready: " + e.cause.Error()
}

func (e *earlyEnd) Unwrap() error { return e.cause }

// explain adds the next step to a failed start on a database file from before.
func (s *Server) explain(err error) error {
	var early *earlyEnd
	if s.options.DataDir == "" || !errors.As(err, &early) {
		return err
	}
	if info, statErr := os.Stat(s.database()); statErr != nil || info.Size() == 0 {
		return err
	}
	return fmt.Errorf("%w\nIf %s is damaged or was written by another version of Temporal, move it away, or start over with --fresh", err, s.database())
}
