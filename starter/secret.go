package main

import (
	"io"
	"os"
	"strings"

	"gravity/internal/delivery"
)

// maxSecretFile bounds what is read of a file with secrets, in bytes.
const maxSecretFile = 64 << 10

// secretLines reads the lines of a file with one secret a line. Secrets come from files alone: arguments
// and the environment can be read by others on the machine.
func secretLines(path string) ([]string, error) {
	content, err := secretText(path)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return nil, wrongUse("%s is empty: it is to hold one secret a line", path)
	}
	return lines, nil
}

// secretText reads a whole file that holds a secret.
func secretText(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "reading a secret: %w", err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "reading a secret: %w", err)
	}
	if len(content) > maxSecretFile {
		return nil, wrongUse("%s is over 64 KiB: it is to hold a secret", path)
	}
	return content, nil
}

func firstLine(path string) (string, error) {
	lines, err := secretLines(path)
	if err != nil {
		return "", err
	}
	return lines[0], nil
}
