// Package config loads gravity.yaml: the pipelines, the environments they deploy to and who must
// approve. The file belongs to whoever operates Gravity and is never read from a pushed revision:
// a push can change what is deployed, not where to or who has to agree.
//
// The file is checked whole before anything starts, and every problem is reported at once, with
// line and column.
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"gravity/internal/delivery"
)

// DefaultPath is where the file is looked for when nobody says otherwise.
const DefaultPath = "gravity.yaml"

// maxFileSize bounds what is read, in bytes. A file of a thousand pipelines stays below it.
const maxFileSize = 1 << 20

// File is a gravity.yaml that was found right, with the defaults filled in.
type File struct {
	// Pipelines in the order of the file.
	Pipelines []delivery.Pipeline `yaml:"pipelines"`
	// Stacks are the CloudFormation stacks that the pipelines stand on.
	Stacks []delivery.Stack `yaml:"stacks,omitempty"`
	// Path is the file it was read from.
	Path string `yaml:"-"`
}

// Option changes what Load and Parse accept.
type Option func(*options)

type options struct{ localRepositories bool }

// LocalRepositories accepts repositories that are folders of this machine (/srv/git/site.git). It is
// for work on one machine; on a server, a path would let the file's author read the server's disk.
func LocalRepositories() Option { return func(o *options) { o.localRepositories = true } }

// Load reads and checks a file. What is wrong inside the file comes back as Problems; a file that
// is missing or too large as a delivery.Error of type InvalidInput.
func Load(path string, options ...Option) (File, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, delivery.Errorf(delivery.InvalidInput, "there is no configuration: %w; name the file with --config", err)
	}
	if err != nil {
		return File{}, delivery.Errorf(delivery.InvalidInput, "read the configuration: %w", err)
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return File{}, delivery.Errorf(delivery.InvalidInput, "read the configuration: %w", err)
	}
	return Parse(path, data, options...)
}

// Parse checks the contents of a file; name is what problems call it.
func Parse(name string, data []byte, chosen ...Option) (File, error) {
	var o options
	for _, option := range chosen {
		option(&o)
	}
	d := decoder{file: name, positions: map[string]position{}}
	parsed := d.decode(data)
	for i, pipeline := range parsed.Pipelines {
		parsed.Pipelines[i] = pipeline.WithDefaults()
	}
	for i, stack := range parsed.Stacks {
		parsed.Stacks[i] = stack.WithDefaults()
	}
	d.check(parsed, o)
	if len(d.problems) > 0 {
		return File{}, d.problems.sorted()
	}
	parsed.Path = name
	return parsed, nil
}

// Pipeline finds a pipeline by name. The error is of type InvalidInput and names the nearest one.
func (f File) Pipeline(name string) (delivery.Pipeline, error) {
	names := make([]string, 0, len(f.Pipelines))
	for _, pipeline := range f.Pipelines {
		if pipeline.Name == name {
			return pipeline, nil
		}
		names = append(names, pipeline.Name)
	}
	advice := fmt.Sprintf("it has %s", listed(names))
	if near := nearest(name, names); near != "" {
		advice = fmt.Sprintf("did you mean %q?", near)
	}
	return delivery.Pipeline{}, delivery.Errorf(delivery.InvalidInput, "%s has no pipeline %q; %s", f.Path, clipped(name), advice)
}

// Matching lists the pipelines of a repository, in the order of the file. The repository may be
// written in any form that means the same one: https://github.com/o/r, git@github.com:o/r.git,
// ssh://git@github.com/o/r. A repository in no known form has no pipelines.
func (f File) Matching(repository string) []delivery.Pipeline {
	wanted, ok := identity(repository)
	if !ok {
		return nil
	}
	var found []delivery.Pipeline
	for _, pipeline := range f.Pipelines {
		if own, ok := identity(pipeline.Repository); ok && own == wanted {
			found = append(found, pipeline)
		}
	}
	return found
}

// listed joins names for a sentence, without making it endless.
func listed(names []string) string {
	const most = 8
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
