// Package bundle makes the source bundle that Beanstalk takes: a zip without a parent folder,
// filled by the rules of .ebignore or else .gitignore, compressed on all cores, and made of the
// same bytes wherever the same tree is bundled. It also keeps bundles in S3.
package bundle

import (
	"context"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gravity/internal/delivery"
)

// Beanstalk's limits, as far as they are known.
const (
	// MaxSize is the largest bundle that Beanstalk accepts, in bytes: 500 MB, counted in powers of two.
	MaxSize = 500 << 20
	// MaxFiles is what a zip holds without its 64-bit extensions. Instances whose unzip does not
	// know those fail on larger bundles with a message about a damaged file, long after the upload.
	MaxFiles = 65535
)

// Options bound and shape a bundle. The zero value stands for Beanstalk's own limits.
type Options struct {
	// MaxSize of the bundle in bytes. Default MaxSize.
	MaxSize int64
	// MaxFiles in the bundle. Default MaxFiles.
	MaxFiles int
	// Modified is the time that every file in the bundle carries, usually the commit's: web servers
	// derive cache validators from size and time, so that one fixed time for all revisions would let
	// browsers keep a stale page of equal length. Default, and lower bound: 1980, where zip begins.
	Modified time.Time
	// Within is the folder of the whole repository when the tree is a part of it: the .gitignore files
	// on the way from there count, too. Default: the tree itself.
	Within string
	// Workers compress at once. Default: the number of cores, at most 16. It never changes the bytes.
	Workers int
}

// Manifest describes a bundle that was written.
type Manifest struct {
	// Digest is the bundle's SHA-256, hexadecimal.
	Digest string `json:"digest"`
	// Size in bytes.
	Size int64 `json:"size"`
	// Files in the bundle, symbolic links among them.
	Files int `json:"files"`
}

// Write makes the source bundle of a tree with Beanstalk's limits. See WriteWith.
func Write(ctx context.Context, tree string, output io.Writer) (Manifest, error) {
	return WriteWith(ctx, tree, output, Options{})
}

// WriteWith makes the source bundle of a tree. Hidden files are part of it, .git never is, and so
// are no empty folders. Symbolic links are kept as links and must stay inside. What cannot be in a
// bundle is a *delivery.Error of type BundleRejected that names the file and the way out; what was
// written to output by then is worthless. Memory stays below 64 MB whatever the tree's size.
func WriteWith(ctx context.Context, tree string, output io.Writer, options Options) (Manifest, error) {
	root, err := options.open(tree)
	if err != nil {
		return Manifest{}, err
	}
	defer func() { _ = root.Close() }()

	prefix, above, err := options.above(tree)
	if err != nil {
		return Manifest{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	pipeline := newPipeline(ctx, options.workers())
	walked := make(chan error, 1)
	go func() {
		defer pipeline.endInput()
		walked <- (&walker{pipeline: pipeline, maxFiles: options.maxFiles(), root: root, prefix: prefix}).walk(ctx, above)
	}()
	archive := newArchive(output, options)
	err = archive.drain(pipeline)
	cancel()
	pipeline.wait()
	// When writing failed, the walk ended because it was cancelled, and has nothing to say.
	if walkErr := <-walked; err == nil {
		err = walkErr
	}
	if err != nil {
		return Manifest{}, err
	}
	return archive.close()
}

// open opens the tree. When it is a part of a repository, no link on the way there may lead out of that.
func (o Options) open(tree string) (*os.Root, error) {
	unopened := func(err error) error {
		return delivery.Errorf(delivery.BundleRejected, "bundle of %s: the tree cannot be opened: %w", tree, err)
	}
	if o.Within == "" {
		root, err := os.OpenRoot(tree)
		if err != nil {
			return nil, unopened(err)
		}
		return root, nil
	}
	relative, err := filepath.Rel(o.Within, tree)
	if err != nil || !filepath.IsLocal(relative) {
		return nil, delivery.Errorf(delivery.InvalidInput, "bundle: the tree %s does not lie within %s", tree, o.Within)
	}
	repository, err := os.OpenRoot(o.Within)
	if err != nil {
		return nil, unopened(err)
	}
	defer func() { _ = repository.Close() }()
	root, err := repository.OpenRoot(relative)
	if err != nil {
		return nil, unopened(err)
	}
	return root, nil
}

// above reads the .gitignore files of the folders between the whole repository and the tree. Prefix
// is where the tree lies in the repository, "" for the top.
func (o Options) above(tree string) (prefix string, above rules, err error) {
	if o.Within == "" {
		return "", nil, nil
	}
	relative, err := filepath.Rel(o.Within, tree)
	if err != nil || !filepath.IsLocal(relative) {
		return "", nil, delivery.Errorf(delivery.InvalidInput, "bundle: the tree %s does not lie within %s", tree, o.Within)
	}
	if relative == "." {
		return "", nil, nil
	}
	root, err := os.OpenRoot(o.Within)
	if err != nil {
		return "", nil, delivery.Errorf(delivery.BundleRejected, "bundle of %s: the repository cannot be opened: %w", tree, err)
	}
	defer func() { _ = root.Close() }()
	prefix = filepath.ToSlash(relative)
	at := ""
	for name := range strings.SplitSeq(prefix, "/") {
		content, err := readIgnore(root, path.Join(at, gitIgnore), path.Join(at, gitIgnore))
		if err != nil {
			return "", nil, err
		}
		above = append(above, parseRules(content, at)...)
		at = path.Join(at, name)
	}
	return prefix, above, nil
}

func (o Options) maxSize() int64 {
	if o.MaxSize > 0 {
		return o.MaxSize
	}
	return MaxSize
}

func (o Options) maxFiles() int {
	if o.MaxFiles > 0 {
		return o.MaxFiles
	}
	return MaxFiles
}

// workers are at most 16, because each of them holds about a megabyte of tables and buffers.
func (o Options) workers() int {
	if o.Workers > 0 {
		return min(o.Workers, 16)
	}
	return min(runtime.GOMAXPROCS(0), 16)
}
