package activities

import (
	"bytes"
	"sync"

	"gravity/internal/delivery"
	"gravity/internal/runner"
)

// lastLine keeps the last whole line that a command printed, for heartbeats.
type lastLine struct {
	mu      sync.Mutex
	pending []byte
	line    string
}

// maxLine bounds what is kept of a line, in bytes.
const maxLine = 300

// Write never fails: what is shown must not stop what is done.
func (l *lastLine) Write(output []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = append(l.pending, output...)
	if end := bytes.LastIndexByte(l.pending, '\n'); end >= 0 {
		start := bytes.LastIndexByte(l.pending[:end], '\n') + 1
		if line := bytes.TrimSpace(l.pending[start:end]); len(line) > 0 {
			l.line = delivery.Clip(runner.Clean(string(line)), maxLine)
		}
		l.pending = append([]byte(nil), l.pending[end+1:]...)
	}
	if len(l.pending) > maxLine {
		l.pending = l.pending[len(l.pending)-maxLine:]
	}
	return len(output), nil
}

// String is the last whole line.
func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line
}
