package runner

import (
	"fmt"
	"os"
	"sync"
)

// Log takes a command's output as it comes: all of it goes to a file, as it is, and its end can be
// asked for at any time, for those who watch. Use it as Run's output.
type Log struct {
	mutex sync.Mutex
	file  *os.File
	tail  tail
	size  int64
}

// NewLog makes the file, which must not exist.
func NewLog(path string) (*Log, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the log of a command: %w", err)
	}
	return &Log{file: file}, nil
}

// Write takes output.
func (l *Log) Write(content []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	n, err := l.file.Write(content)
	l.tail.write(content[:n])
	l.size += int64(n)
	return n, err
}

// Tail is the end of the output so far, at most 8 KB, clean, and the number of bytes so far.
func (l *Log) Tail() (end string, size int64) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.tail.String(), l.size
}

// Close ends the log. The file stays.
func (l *Log) Close() error {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.file.Close()
}
