package bundle

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/flate"
)

const (
	// chunkSize is what one core compresses at a time, in bytes. It decides where a file is cut and
	// so belongs to the format: never derive it from the machine.
	chunkSize = 256 << 10
	// windowSize is how far back deflate looks: each chunk begins with the end of the one before
	// as its dictionary, so that cutting costs next to nothing.
	windowSize = 32 << 10
	// level of compression, chosen to be no larger than what zip makes by default.
	level = 7
	// storeAbove is the share of a file's first chunk, in percent, above which compressing the
	// rest is a waste: pictures and archives are stored as they are.
	storeAbove = 98
)

// piece is a file, or a part of one, on its way through the pipeline.
type piece struct {
	name        string
	mode        fs.FileMode
	first, last bool

	buffer []byte // what to compress, after the dictionary
	from   int    // where the dictionary ends
	sum    uint32 // CRC-32 of the file so far; complete in the last piece
	size   int64  // length of the file so far
	store  *bool  // decided by the first piece of the file

	compressed bytes.Buffer
	err        error
	done       chan struct{}
}

func (p *piece) raw() []byte { return p.buffer[p.from:] }

// pipeline compresses pieces on all cores and gives them back in order. Its memory is bounded by
// the number of pieces under way.
type pipeline struct {
	ctx     context.Context
	jobs    chan *piece
	ordered chan *piece
	workers sync.WaitGroup
	window  [windowSize]byte // the end of the last piece read; touched by the walk alone
	// free holds all pieces that are not under way. Their memory is used again and again: what the
	// garbage collector would have to find first counts, too.
	free chan *piece
}

func newPipeline(ctx context.Context, workers int) *pipeline {
	// Enough that small files keep all cores busy behind a large one, and little enough memory.
	underWay := min(8*workers, 32)
	p := &pipeline{
		ctx:     ctx,
		jobs:    make(chan *piece, underWay),
		ordered: make(chan *piece, underWay),
		free:    make(chan *piece, underWay),
	}
	for range underWay {
		p.free <- &piece{}
	}
	p.workers.Add(workers)
	for range workers {
		go p.work()
	}
	return p
}

// add cuts a file into pieces. It returns when the file is read, not when it is compressed.
func (p *pipeline) add(name string, mode fs.FileMode, content io.Reader) error {
	var (
		store  = new(bool)
		before []byte
		sum    uint32
		size   int64
		next   [1]byte
		ahead  int
	)
	for first := true; ; first = false {
		job, err := p.take()
		if err != nil {
			return err
		}
		job.begin(len(before) + chunkSize)
		job.buffer = append(append(job.buffer, before...), next[:ahead]...)
		job.from = len(before)
		n, err := io.ReadFull(content, job.buffer[len(job.buffer):job.from+chunkSize])
		job.buffer = job.buffer[:len(job.buffer)+n]
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		raw := job.raw()
		// A file that ends with a full piece must not be followed by an empty one: look one byte ahead.
		ahead = 0
		if len(raw) == chunkSize {
			if ahead, err = readOne(content, &next); err != nil {
				return err
			}
		}
		sum = crc32.Update(sum, crc32.IEEETable, raw)
		size += int64(len(raw))
		last := ahead == 0
		if !last {
			before = p.window[:copy(p.window[:], raw[len(raw)-windowSize:])]
		}

		job.name, job.mode, job.first, job.last = name, mode, first, last
		job.sum, job.size, job.store = sum, size, store
		if err := p.send(job); err != nil || last {
			return err
		}
		if first {
			// Whether the file is worth compressing is known once its first piece is.
			select {
			case <-job.done:
			case <-p.ctx.Done():
				return p.ctx.Err()
			}
		}
	}
}

func readOne(content io.Reader, next *[1]byte) (int, error) {
	n, err := io.ReadFull(content, next[:])
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return n, nil
}

func (p *pipeline) send(job *piece) error {
	select {
	case p.ordered <- job:
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
	select {
	case p.jobs <- job:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipeline) endInput() {
	close(p.jobs)
	close(p.ordered)
}

func (p *pipeline) wait() { p.workers.Wait() }

// release gives a piece's memory to the next one.
func (p *pipeline) release(job *piece) { p.free <- job }

// take waits for a piece that is not under way.
func (p *pipeline) take() (*piece, error) {
	select {
	case job := <-p.free:
		return job, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

// begin makes a piece ready for the next content, with room for size bytes.
func (p *piece) begin(size int) {
	if cap(p.buffer) < size {
		p.buffer = make([]byte, 0, windowSize+chunkSize)
	}
	p.buffer = p.buffer[:0]
	p.compressed.Reset()
	p.err, p.done = nil, make(chan struct{})
}

func (p *pipeline) work() {
	defer p.workers.Done()
	compressor, err := flate.NewWriter(io.Discard, level)
	for job := range p.jobs {
		if job.err = err; err == nil {
			job.err = job.compress(compressor)
		}
		close(job.done)
	}
}

func (p *piece) compress(compressor *flate.Writer) error {
	if *p.store && !p.first {
		return nil
	}
	raw := p.raw()
	compressor.ResetDict(&p.compressed, p.buffer[:p.from])
	if _, err := compressor.Write(raw); err != nil {
		return err
	}
	// A flush ends the piece on a byte border, so that the next one can follow; closing ends the file.
	end := compressor.Flush
	if p.last {
		end = compressor.Close
	}
	if err := end(); err != nil {
		return err
	}
	if p.first {
		*p.store = p.last && p.compressed.Len() >= len(raw) || !p.last && p.compressed.Len()*100 > len(raw)*storeAbove
	}
	return nil
}
