// Package pinned builds programs of others from the versions that the modules under tools/ pin, once a version, into
// the user's cache folder.
package pinned

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Program is one of them.
type Program struct {
	// Folder under tools/ whose module pins it.
	Folder string
	// Name of its binary, in front of the version.
	Name string
	// Module that it is part of, whose version counts, and its Package.
	Module, Package string
	// Version is a variable of the program that takes its version, for one that does not know it by itself. Optional.
	Version string
	// Title in sentences, and how long a first build Takes.
	Title, Takes string
}

// ErrNoSource says that the working directory is not inside Gravity's source tree, which has the pins.
var ErrNoSource = errors.New("is not inside Gravity's source tree")

// Binary answers with the path of the binary, and builds it when there is none yet of the pinned version: in minutes,
// which is told through progress (which may be nil). Two processes never build the same one at the same time.
func (p Program) Binary(ctx context.Context, progress func(string)) (string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	directory, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	tree, err := p.tree(directory)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder for %s (set HOME): %w", p.Title, err)
	}
	return p.fromSource(ctx, tree, filepath.Join(cache, "gravity"), progress)
}

var ourModule = regexp.MustCompile(`(?m)^module gravity\s*$`)

// tree looks upwards for the module gravity and the module of the pin in it; parts of the tree, such as site/, are
// modules of their own.
func (p Program) tree(directory string) (string, error) {
	for at := directory; ; at = filepath.Dir(at) {
		content, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && ourModule.Match(content) {
			if _, err := os.Stat(p.pin(at)); err == nil {
				return at, nil
			}
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s %w", directory, ErrNoSource)
		}
	}
}

func (p Program) pin(tree string) string { return filepath.Join(tree, "tools", p.Folder, "go.mod") }
