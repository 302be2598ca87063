// Package cloudformation has the templates that come with Gravity, so that `starter provision` needs
// no files beside the program. A team can deploy the same files by AWS's own tools.
package cloudformation

import (
	"embed"
	"io/fs"
	"strings"

	"gravity/internal/delivery"
)

//go:embed *.yaml
var files embed.FS

// Names are the templates' names: environment for environment.yaml, and so on, sorted.
func Names() []string {
	found, _ := fs.Glob(files, "*.yaml") // the pattern is right
	for i, name := range found {
		found[i] = strings.TrimSuffix(name, ".yaml")
	}
	return found
}

// Template is a template's text. The error is of type InvalidInput and says which there are.
func Template(name string) ([]byte, error) {
	text, err := files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "Gravity has no template %q: there are %s", name, strings.Join(Names(), ", "))
	}
	return text, nil
}
