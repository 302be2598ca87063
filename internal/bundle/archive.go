package bundle

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"time"

	"gravity/internal/delivery"
)

const (
	// hasDescriptor says that a file's sizes follow its content, because they were not known before.
	hasDescriptor = 0x8
	// isUTF8 says in which encoding names are.
	isUTF8 = 0x800
	// madeByUnix lets unzip apply the modes.
	madeByUnix = 3 << 8
	// needsDeflate is the zip version that knows deflate.
	needsDeflate = 20
)

// archive writes pieces in order as a zip, counting and hashing what it writes.
type archive struct {
	writer  *zip.Writer
	counted *countedWriter
	date    uint16
	time    uint16
	files   int

	header  *zip.FileHeader
	content io.Writer
	stored  int64
}

func newArchive(output io.Writer, options Options) *archive {
	counted := &countedWriter{output: output, sum: sha256.New(), limit: options.maxSize()}
	a := &archive{writer: zip.NewWriter(counted), counted: counted}
	a.date, a.time = dosTime(options.Modified)
	return a
}

// drain writes what the pipeline compressed until the pipeline ends or something fails.
func (a *archive) drain(pipeline *pipeline) error {
	for job := range pipeline.ordered {
		select {
		case <-job.done:
		case <-pipeline.ctx.Done():
			return pipeline.ctx.Err()
		}
		if job.err != nil {
			return job.err
		}
		if err := a.piece(job); err != nil {
			return err
		}
		pipeline.release(job)
	}
	return nil
}

func (a *archive) piece(job *piece) error {
	content := job.compressed.Bytes()
	if *job.store {
		content = job.raw()
	}
	if job.first {
		if err := a.begin(job, int64(len(content))); err != nil {
			return err
		}
	}
	a.counted.name = job.name
	n, err := a.content.Write(content)
	a.stored += int64(n)
	if err != nil || !job.last || job.first {
		return err
	}
	// The sizes that the descriptor and the directory at the end of the zip will tell.
	a.header.CRC32 = job.sum
	a.header.CompressedSize64 = uint64(a.stored)
	a.header.UncompressedSize64 = uint64(job.size)
	a.header.CompressedSize = uint32(a.stored)   //nolint:staticcheck // the directory at the end is written from it
	a.header.UncompressedSize = uint32(job.size) //nolint:staticcheck // as above
	return nil
}

func (a *archive) begin(job *piece, size int64) error {
	a.files++
	a.stored = 0
	a.header = &zip.FileHeader{
		Name:           job.name,
		Method:         zip.Deflate,
		Flags:          isUTF8,
		CreatorVersion: madeByUnix | needsDeflate,
		ReaderVersion:  needsDeflate,
		ModifiedDate:   a.date, //nolint:staticcheck // Modified adds a field of its own to every entry
		ModifiedTime:   a.time, //nolint:staticcheck // as above
	}
	if *job.store {
		a.header.Method = zip.Store
	}
	a.header.SetMode(job.mode)
	a.header.CreatorVersion = madeByUnix | needsDeflate
	if job.last {
		a.header.CRC32 = job.sum
		a.header.CompressedSize64 = uint64(size)
		a.header.UncompressedSize64 = uint64(job.size)
	} else {
		a.header.Flags |= hasDescriptor
	}
	a.counted.name = job.name
	content, err := a.writer.CreateRaw(a.header)
	a.content = content
	return err
}

func (a *archive) close() (Manifest, error) {
	if err := a.writer.Close(); err != nil {
		return Manifest{}, err
	}
	return Manifest{Digest: hex.EncodeToString(a.counted.sum.Sum(nil)), Size: a.counted.size, Files: a.files}, nil
}

// countedWriter hashes and counts, and ends at Beanstalk's limit.
type countedWriter struct {
	output io.Writer
	sum    hash.Hash
	size   int64
	limit  int64
	name   string // of the file that is being written
}

func (c *countedWriter) Write(content []byte) (int, error) {
	if c.size+int64(len(content)) > c.limit {
		return 0, delivery.Errorf(delivery.BundleRejected,
			"bundle: larger than the %d MB (%d bytes) that Beanstalk accepts, reached at %s: list what the application does not need in %s",
			c.limit>>20, c.limit, quote(c.name), beanstalkIgnore)
	}
	n, err := c.output.Write(content)
	c.sum.Write(content[:n])
	c.size += int64(n)
	return n, err
}

// dosTime is how zip writes times: in steps of two seconds, from 1980 to 2107, without a time zone.
func dosTime(at time.Time) (date, clock uint16) {
	at = at.UTC()
	if at.Year() < 1980 {
		at = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if at.Year() > 2107 {
		at = time.Date(2107, 12, 31, 23, 59, 58, 0, time.UTC)
	}
	date = uint16(at.Day() + int(at.Month())<<5 + (at.Year()-1980)<<9)
	clock = uint16(at.Second()/2 + at.Minute()<<5 + at.Hour()<<11)
	return date, clock
}
