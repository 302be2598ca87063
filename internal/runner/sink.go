package runner

import (
	"context"
	"io"
	"os"
	"sync"
	"time"
)

// sink takes a command's output, counts it, and ends the command when it is too much.
type sink struct {
	mutex  sync.Mutex
	output io.Writer
	limit  int64
	size   int64
	tail   tail
	err    error
	end    context.CancelCauseFunc
}

func (s *sink) Write(content []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	taken := content[:min(int64(len(content)), s.limit-s.size)]
	s.size += int64(len(taken))
	s.tail.write(taken)
	if s.err == nil {
		if _, s.err = s.output.Write(taken); s.err != nil {
			s.end(s.err)
		}
	}
	if len(taken) < len(content) {
		s.end(errOutput)
	}
	// The rest is swallowed: a full pipe would keep the command from ending in peace.
	return len(content), nil
}

func (s *sink) failure() error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.err
}

func (s *sink) result(state *os.ProcessState, took time.Duration) Result {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return Result{Duration: took, Output: s.size, Tail: s.tail.String(), ExitCode: state.ExitCode(), Signal: signalOf(state)}
}
