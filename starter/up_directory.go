package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/gofrs/flock"
)

// markerName is the file that names a directory as one of `starter up`, and whose lock keeps a second one
// out. It is made before anything else, so that --fresh never removes what belongs to somebody else.
const markerName = "up.lock"

// takeDirectory makes a directory this process's own until it is released.
func takeDirectory(directory string) (release func(), err error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory: %w", err)
	}
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("looking into the directory: %w", err)
	}
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(entry os.DirEntry) bool { return entry.Name() == markerName }) {
		return nil, wrongUse("%s is no directory of `starter up`, and not empty: nothing in it was touched; name another with --directory", directory)
	}
	lock := flock.New(filepath.Join(directory, markerName), flock.SetPermissions(0o600))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the directory: %w", err)
	}
	if !taken {
		return nil, wrongUse("another `starter up` runs on %s: end it first, or name another directory with --directory", directory)
	}
	return func() { _ = lock.Close() }, nil // ends with the process at the latest
}

// emptyDirectory removes everything from a directory that was taken, but the marker, whose lock is held.
func emptyDirectory(directory string) error {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return fmt.Errorf("starting over: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == markerName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(directory, entry.Name())); err != nil {
			return fmt.Errorf("starting over: %w", err)
		}
	}
	return nil
}
