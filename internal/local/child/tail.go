package child

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
)

const (
	tailLines      = 15
	tailLineLength = 600
)

// Tail logs each line and keeps the last ones.
type Tail struct {
	name string
	log  *slog.Logger

	mutex   sync.Mutex
	lines   []string
	partial []byte
}

// NewTail makes one for the output of the program of that name; without a log it only keeps.
func NewTail(name string, log *slog.Logger) *Tail {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Tail{name: name, log: log}
}

// Write never fails: a child must not stop because of what it prints.
func (t *Tail) Write(output []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	rest := output
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if room := tailLineLength - len(t.partial); len(line) > room {
			line = line[:room]
		}
		t.partial = append(t.partial, line...)
		if !found {
			return len(output), nil
		}
		t.endLine()
		rest = after
	}
}

// Flush ends a last line that nothing ended.
func (t *Tail) Flush() {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.endLine()
}

func (t *Tail) endLine() {
	line := strings.ToValidUTF8(strings.TrimSpace(string(t.partial)), "\uFFFD")
	t.partial = t.partial[:0]
	if line == "" {
		return
	}
	t.log.Log(context.Background(), slog.LevelDebug, t.name, "line", line)
	t.lines = append(t.lines, line)
	if len(t.lines) > tailLines {
		t.lines = t.lines[len(t.lines)-tailLines:]
	}
}

// String is the last lines.
func (t *Tail) String() string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return strings.Join(t.lines, "\n")
}
