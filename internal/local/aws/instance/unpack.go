package instance

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Limits on what a source bundle unpacks to. A bundle is somebody's upload: nothing in it is taken
// on trust.
const (
	maxFiles    = 100_000
	maxUnpacked = 4 << 30 // bytes
)

// Unpack writes a ZIP file's content into a new folder. It refuses names and links that lead out
// of the folder, and bundles of unreasonable size.
func Unpack(file *os.File, folder string) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("read the source bundle: %w", err)
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return fmt.Errorf("the source bundle is no ZIP file: %w", err)
	}
	if len(archive.File) > maxFiles {
		return fmt.Errorf("the source bundle holds more than %d files", maxFiles)
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("unpack the source bundle: %w", err)
	}
	// A Root lets no name and no link lead out, whatever the order of the entries.
	root, err := os.OpenRoot(folder)
	if err != nil {
		return fmt.Errorf("unpack the source bundle: %w", err)
	}
	defer root.Close() //nolint:errcheck // nothing is written through the root itself
	left := int64(maxUnpacked)
	for _, entry := range archive.File {
		written, err := unpackEntry(root, entry, left)
		if err != nil {
			return fmt.Errorf("unpack %q from the source bundle: %w", entry.Name, err)
		}
		left -= written
	}
	return nil
}

func unpackEntry(root *os.Root, entry *zip.File, left int64) (int64, error) {
	name := filepath.FromSlash(strings.TrimSuffix(entry.Name, "/"))
	if !filepath.IsLocal(name) {
		return 0, errors.New("the name leads out of the bundle")
	}
	if entry.Mode().IsDir() {
		return 0, makeFolders(root, name)
	}
	if err := makeFolders(root, filepath.Dir(name)); err != nil {
		return 0, err
	}
	content, err := entry.Open()
	if err != nil {
		return 0, err
	}
	defer content.Close() //nolint:errcheck // read only
	if entry.Mode()&fs.ModeSymlink != 0 {
		return 0, unpackLink(root, name, content)
	}
	if !entry.Mode().IsRegular() {
		return 0, errors.New("neither a file, a folder nor a link")
	}
	return unpackFile(root, name, entry.Mode().Perm(), content, left)
}

func unpackFile(root *os.Root, name string, mode fs.FileMode, content io.Reader, left int64) (int64, error) {
	out, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode|0o600)
	if err != nil {
		return 0, err
	}
	written, err := io.Copy(out, io.LimitReader(content, left+1))
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err == nil && written > left {
		err = fmt.Errorf("the bundle unpacks to more than %d bytes", int64(maxUnpacked))
	}
	return written, err
}

func unpackLink(root *os.Root, name string, content io.Reader) error {
	target, err := io.ReadAll(io.LimitReader(content, 4096))
	if err != nil {
		return err
	}
	if !filepath.IsLocal(filepath.Join(filepath.Dir(name), string(target))) || filepath.IsAbs(string(target)) {
		return errors.New("the link leads out of the bundle")
	}
	return root.Symlink(string(target), name)
}

func makeFolders(root *os.Root, name string) error {
	if name == "." || name == "" {
		return nil
	}
	return root.MkdirAll(name, 0o755)
}
