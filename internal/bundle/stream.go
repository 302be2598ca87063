package bundle

import (
	"context"
	"io"
)

// streamWorkers compress at once where the network sets the pace.
const streamWorkers = 4

// Stream makes the bundle of a tree again, as it is read: what is uploaded needs no place on disk,
// since the same tree is the same bytes every time. Close ends it early.
func Stream(ctx context.Context, tree string, options Options) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	options.Workers = min(options.workers(), streamWorkers)
	reader, writer := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := WriteWith(ctx, tree, writer, options)
		_ = writer.CloseWithError(err) // nil is the end
	}()
	return &stream{PipeReader: reader, end: func() {
		cancel()
		<-done
	}}
}

type stream struct {
	*io.PipeReader
	end func()
}

// Close waits until nothing reads the tree any more.
func (s *stream) Close() error {
	err := s.PipeReader.Close()
	s.end()
	return err
}
