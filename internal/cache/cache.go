// Package cache keeps what a project's tools download and compile, from one build to the next. What
// is kept is found again by a key made of the lock files' content, so that it never changes once it
// is there: a worker keeps it as one compressed file, and S3 keeps it for the other workers. Every
// build gets a copy of its own, which its commands may do with as they like.
//
// A cache is written by the project's code. Its key holds the pipeline and the branch, so that
// nothing is found that somebody else's code has written.
package cache

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"gravity/internal/delivery"
)

// Remote keeps caches for all workers: S3.
type Remote interface {
	// Download writes an object into the file, or answers false when there is none.
	Download(ctx context.Context, bucket, key string, into io.WriterAt) (bool, error)
	// Upload writes an object unless it is there.
	Upload(ctx context.Context, bucket, key string, content io.Reader) error
}

// Store keeps caches in a folder of the worker, and in a bucket for the others.
type Store struct {
	// Folder of this worker's copies. It is made when it is missing.
	Folder string
	// Remote keeps them for all workers. Nil: only this worker's copies are found.
	Remote Remote
	// MaxSize bounds the copies together, in bytes: those unused for longest are removed. Default DefaultMaxSize.
	MaxSize int64
	// MaxCache and MaxFiles bound one cache, unpacked. Larger ones are not kept.
	MaxCache int64
	MaxFiles int
	// Log receives what operators should know. Default: nothing.
	Log *slog.Logger
}

// Defaults of a store that says nothing else.
const (
	DefaultMaxSize  = 10 << 30
	DefaultMaxCache = 4 << 30
	DefaultMaxFiles = 300_000
)

// Prefix is where caches lie in a bucket.
const Prefix = "gravity/caches/"

// suffix names the format of a copy.
const suffix = ".tar.zst"

// Key finds the cache of a build: scope says whose it is, and the files below tree that match the
// patterns decide which. Files are read without following links out of the tree.
func Key(tree string, patterns []string, scope ...string) (string, error) {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return "", delivery.Errorf(delivery.WorkspaceLost, "look for lock files: %w", err)
	}
	defer func() { _ = root.Close() }()
	var found []string
	for _, pattern := range patterns {
		if !fs.ValidPath(pattern) || !doublestar.ValidatePattern(pattern) {
			return "", delivery.Errorf(delivery.InvalidInput, "the lock file pattern %q is not a path below the pipeline's folder", pattern)
		}
		paths, err := doublestar.Glob(root.FS(), pattern, doublestar.WithFilesOnly(), doublestar.WithNoFollow())
		if err != nil {
			return "", fmt.Errorf("look for lock files like %q: %w", pattern, err)
		}
		found = append(found, paths...)
	}
	slices.Sort(found)
	sum := sha256.New()
	// Each part with its length, so that no two lists of parts read the same.
	part := func(text string) { _, _ = fmt.Fprintf(sum, "%d:%s", len(text), text) }
	for _, text := range append([]string{runtime.GOOS, runtime.GOARCH}, scope...) {
		part(text)
	}
	for _, path := range slices.Compact(found) {
		content, err := digest(root, path)
		if err != nil {
			return "", delivery.Errorf(delivery.InvalidInput, "the lock file %q cannot be read: %w", path, err)
		}
		part(path)
		part(content)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// maxLockFile bounds what is read of a lock file, in bytes.
const maxLockFile = 64 << 20

func digest(root *os.Root, path string) (string, error) {
	info, err := root.Lstat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxLockFile {
		return "", errors.New("it is no plain file of at most 64 MB")
	}
	file, err := root.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(file, maxLockFile)); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Restore unpacks a cache into a folder that exists and is empty. It answers false, and leaves the
// folder empty, when there is none, or when what there is cannot be used.
func (s *Store) Restore(ctx context.Context, bucket, key, into string) (bool, error) {
	path, err := s.copyOf(ctx, bucket, key)
	if err != nil || path == "" {
		return false, err
	}
	err = s.unpack(ctx, path, into)
	if err == nil {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // when it was used last
		return true, nil
	}
	emptied := empty(into)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if emptied != nil {
		return false, emptied
	}
	// A copy that is damaged is of no use to anybody.
	s.log().WarnContext(ctx, "a cache is damaged and removed", "file", path, "error", err)
	return false, os.Remove(path)
}

// copyOf is this worker's copy of a cache, fetched from the bucket when it is not there; "" when
// there is none anywhere.
func (s *Store) copyOf(ctx context.Context, bucket, key string) (string, error) {
	path := filepath.Join(s.Folder, key+suffix)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if s.Remote == nil {
		return "", nil
	}
	if err := os.MkdirAll(s.Folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of caches: %w", err)
	}
	file, err := os.CreateTemp(s.Folder, "fetched-")
	if err != nil {
		return "", fmt.Errorf("fetch a cache: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	found, err := s.Remote.Download(ctx, bucket, Prefix+key+suffix, file)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("fetch a cache: %w", closeErr)
	}
	if err != nil || !found {
		return "", err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return "", fmt.Errorf("fetch a cache: %w", err)
	}
	s.evict(ctx, path)
	return path, nil
}

// Save keeps what is in a folder under a key, here and in the bucket. What is there already stays.
func (s *Store) Save(ctx context.Context, bucket, key, from string) error {
	path := filepath.Join(s.Folder, key+suffix)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := s.keep(ctx, path, from); err != nil {
			return err
		}
	}
	if s.Remote == nil {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("upload a cache: %w", err)
	}
	defer func() { _ = file.Close() }()
	return s.Remote.Upload(ctx, bucket, Prefix+key+suffix, file)
}

func (s *Store) keep(ctx context.Context, path, from string) error {
	if err := os.MkdirAll(s.Folder, 0o700); err != nil {
		return fmt.Errorf("make the folder of caches: %w", err)
	}
	file, err := os.CreateTemp(s.Folder, "packed-")
	if err != nil {
		return fmt.Errorf("keep a cache: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	err = s.pack(ctx, from, file)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("keep a cache: %w", closeErr)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("keep a cache: %w", err)
	}
	s.evict(ctx, path)
	return nil
}

// abandonedAfter is when a file that was being written cannot be any more.
const abandonedAfter = 24 * time.Hour

// evict removes the copies that were unused for longest until the rest fit; not the one just made.
func (s *Store) evict(ctx context.Context, keep string) {
	entries, err := os.ReadDir(s.Folder)
	if err != nil {
		return
	}
	type candidate struct {
		path string
		info fs.FileInfo
	}
	var candidates []candidate
	var total int64
	for _, entry := range entries {
		path := filepath.Join(s.Folder, entry.Name())
		info, err := entry.Info()
		if err != nil {
			continue
		}
		if filepath.Ext(path) != filepath.Ext(suffix) {
			if time.Since(info.ModTime()) > abandonedAfter {
				_ = os.Remove(path)
			}
			continue
		}
		total += info.Size()
		candidates = append(candidates, candidate{path, info})
	}
	slices.SortFunc(candidates, func(a, b candidate) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, oldest := range candidates {
		if total <= cmp.Or(s.MaxSize, DefaultMaxSize) {
			return
		}
		if oldest.path == keep || os.Remove(oldest.path) != nil {
			continue
		}
		total -= oldest.info.Size()
		s.log().InfoContext(ctx, "a cache is removed to make room", "file", oldest.path, "bytes", oldest.info.Size())
	}
}

func (s *Store) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.New(slog.DiscardHandler)
}
