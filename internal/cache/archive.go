package cache

import (
	"archive/tar"
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"gravity/internal/delivery"
)

// census counts what a cache takes, and refuses what is too much.
type census struct {
	maxFiles int
	maxSize  int64
	files    int
	size     int64
}

func (s *Store) census() *census {
	return &census{maxFiles: cmp.Or(s.MaxFiles, DefaultMaxFiles), maxSize: cmp.Or(s.MaxCache, DefaultMaxCache)}
}

func (c *census) add(size int64) error {
	c.files++
	c.size += size
	if c.files > c.maxFiles || c.size > c.maxSize {
		return delivery.Errorf(delivery.InvalidInput, "the cache has more than the %d files or %d MB that are kept: let fewer tools use it", c.maxFiles, c.maxSize>>20)
	}
	return nil
}

// pack writes a folder as a compressed tar. It reads through os.Root, so that no link leads it out.
func (s *Store) pack(ctx context.Context, from string, output io.Writer) error {
	root, err := os.OpenRoot(from)
	if err != nil {
		return delivery.Errorf(delivery.WorkspaceLost, "keep a cache: %w", err)
	}
	defer func() { _ = root.Close() }()
	compressor, err := zstd.NewWriter(output, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return fmt.Errorf("keep a cache: %w", err)
	}
	archive := tar.NewWriter(compressor)
	counted := s.census()
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return packEntry(archive, root, name, entry, counted)
	})
	if err == nil {
		err = errors.Join(archive.Close(), compressor.Close())
	} else {
		_ = compressor.Close()
	}
	if err != nil && delivery.TypeOf(err) == "" {
		return fmt.Errorf("keep a cache: %w", err)
	}
	return err
}

// packEntry writes one file, folder or link. What else may lie in a cache is left out.
func packEntry(archive *tar.Writer, root *os.Root, name string, entry fs.DirEntry, counted *census) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX}
	switch {
	case info.IsDir():
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
		if err := counted.add(0); err != nil {
			return err
		}
		return archive.WriteHeader(header)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := root.Readlink(name)
		if err != nil || !staysInside(name, target) {
			return nil //nolint:nilerr // a cache that lacks a link is a cache that has less in it
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, target
		if err := counted.add(0); err != nil {
			return err
		}
		return archive.WriteHeader(header)
	case !info.Mode().IsRegular():
		return nil
	}
	file, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if info, err = file.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fs.ErrInvalid)
	}
	if err := counted.add(info.Size()); err != nil {
		return err
	}
	header.Typeflag, header.Size = tar.TypeReg, info.Size()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.CopyN(archive, file, info.Size())
	return err
}

// unpack writes a compressed tar below a folder, and nothing outside of it: whoever may write into
// the bucket wrote it.
func (s *Store) unpack(ctx context.Context, from, into string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	decompressor, err := zstd.NewReader(bufio.NewReaderSize(file, 1<<20), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return err
	}
	defer decompressor.Close()
	archive := tar.NewReader(decompressor)
	counted := s.census()
	for {
		header, err := archive.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if err := counted.add(header.Size); err != nil {
			return err
		}
		if err := unpackEntry(root, archive, header); err != nil {
			return fmt.Errorf("%q: %w", header.Name, err)
		}
	}
}

func unpackEntry(root *os.Root, archive *tar.Reader, header *tar.Header) error {
	name := path.Clean(header.Name)
	if !fs.ValidPath(name) || name == "." {
		return errors.New("is no path below the cache")
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755) // never without the right to write: what is below comes later
	case tar.TypeSymlink:
		if !staysInside(name, header.Linkname) {
			return errors.New("is a link that leads out of the cache")
		}
		return root.Symlink(header.Linkname, name)
	case tar.TypeReg:
	default:
		return errors.New("is neither a file nor a folder nor a link")
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(header.Mode&0o777)|0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, archive); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	// Tools drop what is old from their caches.
	return root.Chtimes(name, header.ModTime, header.ModTime)
}

// staysInside reports whether a link's target, as it is written, stays below the cache.
func staysInside(name, target string) bool {
	if target == "" || path.IsAbs(target) || strings.ContainsAny(target, "\x00\\") {
		return false
	}
	joined := path.Join(path.Dir(name), target)
	return joined != ".." && !strings.HasPrefix(joined, "../")
}

// empty removes what is in a folder.
func empty(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := root.RemoveAll(entry.Name()); err != nil {
			return err
		}
	}
	return nil
}
