package runner

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"unicode/utf8"
)

// Log takes a command's output as it comes, and keeps it as clean text (see Clean): in a file, all
// of it, and its end for those who watch. Places in it are counted in bytes of the clean text, so
// that who read a part can go on where it ended. Use it as Run's output.
type Log struct {
	mutex   sync.Mutex
	file    *os.File
	pending []byte // a line that has not ended
	tail    tail
	size    int64
}

// maxPending is how long a line may be until it is taken for a part of one, in bytes.
const maxPending = 4 << 10

// NewLog makes the file, which must not exist.
func NewLog(path string) (*Log, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the log of a command: %w", err)
	}
	return &Log{file: file}, nil
}

// Write takes output.
func (l *Log) Write(content []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.pending = append(l.pending, content...)
	if err := l.keep(l.whole()); err != nil {
		return 0, err
	}
	return len(content), nil
}

// whole is how much of what is pending can be cleaned: up to the end of a line, since what a
// terminal would obey does not go on past it.
func (l *Log) whole() int {
	if end := bytes.LastIndexByte(l.pending, '\n') + 1; end > 0 {
		return end
	}
	// A progress line overwrites itself with carriage returns; one at the end may begin a \r\n.
	if end := bytes.LastIndexByte(l.pending[:max(len(l.pending)-1, 0)], '\r') + 1; end > 0 {
		return end
	}
	if len(l.pending) <= maxPending {
		return 0
	}
	end := len(l.pending)
	for back := 1; back < utf8.UTFMax && !utf8.RuneStart(l.pending[end-1]); back++ {
		end--
	}
	return end - 1
}

func (l *Log) keep(length int) error {
	if length <= 0 {
		return nil
	}
	text := Clean(string(l.pending[:length]))
	l.pending = append(l.pending[:0], l.pending[length:]...)
	n, err := l.file.WriteString(text)
	l.tail.write([]byte(text[:n]))
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("keep the log of a command: %w", err)
	}
	return nil
}

// Tail is the end of the text so far, at most 8 KB, and the place at which it ends.
func (l *Log) Tail() (end string, at int64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.tail.String(), l.size
}

// From reads the text from a place on: what is there now.
func (l *Log) From(place int64) io.Reader {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return io.NewSectionReader(l.file, place, max(l.size-place, 0))
}

// Finish takes what is left of the last line. Nothing may be written afterwards; reading goes on until Close.
func (l *Log) Finish() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.keep(len(l.pending))
}

// Close ends the log. The file stays.
func (l *Log) Close() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.file.Close()
}
