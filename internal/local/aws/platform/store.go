package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// load reads every application and environment from the data folder.
func (p *Platform) load() error {
	err := eachFile(filepath.Join(p.options.DataDir, "applications"), func(data []byte) error {
		var a Application
		if err := json.Unmarshal(data, &a); err != nil {
			return err
		}
		p.applications[a.Name] = &a
		return nil
	})
	if err != nil {
		return err
	}
	return eachFile(filepath.Join(p.options.DataDir, "environments"), func(data []byte) error {
		var e Environment
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		e.saved = string(data)
		p.environments[e.ID] = &e
		return nil
	})
}

func eachFile(folder string, read func([]byte) error) error {
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return fmt.Errorf("read %s: %w", folder, err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the platform's state: %w", err)
		}
		if err := read(data); err != nil {
			return fmt.Errorf("read the platform's state from %s: %w", name, err)
		}
	}
	return nil
}

// save writes an environment to disk if anything of it has changed.
func (p *Platform) save(e *Environment) {
	data, err := json.Marshal(e)
	if err == nil && string(data) == e.saved {
		return
	}
	if err == nil {
		err = writeFile(p.environmentFile(e), data)
	}
	if err != nil {
		p.options.Log.Error("an environment could not be written to disk", "environment", e.Name, "error", err)
		return
	}
	e.saved = string(data)
}

// saveApplication writes an application with its versions to disk.
func (p *Platform) saveApplication(a *Application) error {
	data, err := json.Marshal(a)
	if err != nil {
		return internal(err)
	}
	if err := writeFile(p.applicationFile(a.Name), data); err != nil {
		return internal(err)
	}
	return nil
}

func (p *Platform) environmentFile(e *Environment) string {
	return filepath.Join(p.options.DataDir, "environments", e.ID+".json")
}

func (p *Platform) applicationFile(name string) string {
	return filepath.Join(p.options.DataDir, "applications", url.PathEscape(name)+".json")
}

// countStart counts how often the platform was started on its data folder.
func countStart(path string) (uint64, error) {
	var starts uint64
	data, err := os.ReadFile(path)
	if err == nil {
		starts, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("read how often the platform was started: %w", err)
	}
	if err := writeFile(path, []byte(strconv.FormatUint(starts+1, 10)+"\n")); err != nil {
		return 0, fmt.Errorf("write how often the platform was started: %w", err)
	}
	return starts, nil
}

// removeFile removes a file that may be gone already.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeFile puts a file in place whole or not at all.
func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
