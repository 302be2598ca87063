package instance

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

// command is one line of a Procfile or Buildfile.
type command struct {
	name string
	line string // for a shell
}

var commandLine = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+):\s*(\S.*?)\s*$`)

// parseCommands reads "name: command" lines; empty lines and comments do not count.
func parseCommands(file string, content []byte) ([]command, error) {
	var commands []command
	lines := bufio.NewScanner(bytes.NewReader(content))
	for number := 1; lines.Scan(); number++ {
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		parts := commandLine.FindSubmatch(text)
		if parts == nil {
			return nil, fmt.Errorf("%s, line %d: expected \"name: command\"", file, number)
		}
		commands = append(commands, command{name: string(parts[1]), line: string(parts[2])})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return commands, nil
}

// processes are what an unpacked bundle runs: its Procfile's commands, or the program named
// "application", as the Go platform has it.
func processes(folder string) ([]command, error) {
	content, err := os.ReadFile(filepath.Join(folder, "Procfile"))
	if errors.Is(err, fs.ErrNotExist) {
		for _, name := range programs() {
			if info, err := os.Stat(filepath.Join(folder, name)); err == nil && info.Mode().IsRegular() {
				return []command{{name: "web", line: "./" + name}}, nil
			}
		}
		return nil, errors.New("the bundle has neither a Procfile nor a program named application")
	}
	if err != nil {
		return nil, fmt.Errorf("read the Procfile: %w", err)
	}
	commands, err := parseCommands("Procfile", content)
	if err == nil && len(commands) == 0 {
		err = errors.New("the Procfile names no process")
	}
	return commands, err
}

// builds are the commands that run once before the processes start.
func builds(folder string) ([]command, error) {
	content, err := os.ReadFile(filepath.Join(folder, "Buildfile"))
	if errors.Is(err, fs.ErrNotExist) {
		return goBuild(folder), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the Buildfile: %w", err)
	}
	return parseCommands("Buildfile", content)
}

// goSource is what the Go platform builds by itself when a bundle says nothing of how it is run.
const goSource = "application.go"

func goBuild(folder string) []command {
	if _, err := os.Stat(filepath.Join(folder, goSource)); err != nil || runsByItself(folder) {
		return nil
	}
	return []command{{name: "build", line: "go build -o " + programs()[0] + " " + goSource}}
}

// programs are where the Go platform looks for the program of a bundle without a Procfile.
func programs() []string { return []string{"bin/application", "application"} }

// runsByItself tells whether a bundle says what runs, or has it.
func runsByItself(folder string) bool {
	for _, name := range append(programs(), "Procfile") {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			return true
		}
	}
	return false
}

// hooks are the files of one kind of platform hook, in the order of their names.
func hooks(folder, kind string) ([]command, error) {
	entries, err := os.ReadDir(filepath.Join(folder, ".platform", "hooks", kind))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the %s hooks: %w", kind, err)
	}
	var found []command
	for _, entry := range entries {
		if entry.IsDir() {
			continue
		}
		path := filepath.Join(".platform", "hooks", kind, entry.Name())
		// The platform makes hooks executable, whatever the bundle says.
		if err := os.Chmod(filepath.Join(folder, path), 0o755); err != nil { //nolint:gosec // a program
			return nil, fmt.Errorf("make the hook %s executable: %w", entry.Name(), err)
		}
		found = append(found, command{name: kind + " hook " + entry.Name(), line: "exec ./" + shellQuote(path)})
	}
	return found, nil
}
