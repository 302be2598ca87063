package runner

import (
	"fmt"
	"os"
	"path/filepath"
)

// makeScratch makes the folders for a command's HOME and TMPDIR.
func makeScratch(below string) (string, error) {
	scratch, err := os.MkdirTemp(below, "gravity-run-")
	if err != nil {
		return "", fmt.Errorf("make a home for the command: %w", err)
	}
	for _, name := range []string{"home", "tmp"} {
		if err := os.Mkdir(filepath.Join(scratch, name), 0o700); err != nil {
			return "", fmt.Errorf("make a home for the command: %w", err)
		}
	}
	return scratch, nil
}

// giveTo makes folders, and everything in them, an account's own. Links are not followed.
func giveTo(account Account, folders ...string) error {
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, account.UID, account.GID)
		})
		if err != nil {
			return fmt.Errorf("give %s to the command's account: %w", folder, err)
		}
	}
	return nil
}

// removeScratch removes a folder even where the command took away its own right to write.
func removeScratch(folder string) {
	if os.RemoveAll(folder) == nil {
		return
	}
	_ = filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	_ = os.RemoveAll(folder)
}
