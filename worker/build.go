package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"gravity/internal/source"
)

// gitHubApp says as which GitHub App git shows itself.
type gitHubApp struct {
	id      int64
	keyFile string
	app     *source.GitHubApp // once it was checked
}

// sandbox is what builds may use of the machine.
type sandbox struct {
	mirrorsGB, cachesGB, memoryMB int
	engine                        string
	asWorker, localRepositories   bool
}

// buildFlags are those that concern builds.
func (s *settings) buildFlags(flags *flag.FlagSet) {
	flags.Int64Var(&s.gitHub.id, "git-app-id", 0, "")
	flags.StringVar(&s.gitHub.keyFile, "git-app-key-file", "", "")
	flags.StringVar(&s.sshKeyFile, "ssh-key-file", "", "")
	flags.StringVar(&s.knownHosts, "ssh-known-hosts", "", "")
	flags.IntVar(&s.sandbox.mirrorsGB, "mirrors-gb", 20, "")
	flags.IntVar(&s.sandbox.cachesGB, "caches-gb", 10, "")
	flags.IntVar(&s.sandbox.memoryMB, "command-memory-mb", 0, "")
	flags.StringVar(&s.sandbox.engine, "container-engine", "docker", "")
	flags.BoolVar(&s.sandbox.asWorker, "commands-as-worker", false, "")
	flags.BoolVar(&s.sandbox.localRepositories, "local-repositories", false, "")
}

// checkBuild makes sure of the credentials before anything is started with them.
func (s *settings) checkBuild() error {
	switch {
	case s.sandbox.mirrorsGB < 1 || s.sandbox.cachesGB < 1:
		return errors.New("--mirrors-gb and --caches-gb are at least 1: builds need both")
	case s.sandbox.memoryMB < 0:
		return fmt.Errorf("--command-memory-mb is %d: leave it out for the default", s.sandbox.memoryMB)
	case (s.gitHub.id == 0) != (s.gitHub.keyFile == ""):
		return errors.New("--git-app-id and --git-app-key-file belong together: give both, or neither")
	case s.gitHub.id != 0 && s.gitTokenFile != "":
		return errors.New("--git-token-file and --git-app-id exclude each other: git shows one or the other")
	}
	for flag, path := range map[string]string{"--ssh-key-file": s.sshKeyFile, "--ssh-known-hosts": s.knownHosts} {
		if path == "" {
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return fmt.Errorf("%s: %s is no file", flag, path)
		}
	}
	if s.gitTokenFile != "" {
		if _, err := s.token(); err != nil {
			return err
		}
	}
	if s.gitHub.id == 0 {
		return nil
	}
	key, err := readSecret(s.gitHub.keyFile)
	if err != nil {
		return fmt.Errorf("reading the GitHub App's key: %w", err)
	}
	s.gitHub.app = &source.GitHubApp{Host: s.gitHost, ID: s.gitHub.id, Key: key}
	return s.gitHub.app.Check()
}

// maxToken bounds what is read of a token file, in bytes.
const maxToken = 16 << 10

func (s settings) token() (string, error) { return tokenFrom(s.gitTokenFile, "git token") }

// tokenFrom reads a file that holds one line; what names it in messages.
func tokenFrom(path, what string) (string, error) {
	content, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", what, err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" || len(content) > maxToken || strings.ContainsAny(token, "\r\n") {
		return "", fmt.Errorf("the %s file %s must hold one line, the token", what, path)
	}
	return token, nil
}

// readSecret reads a file that holds a secret, and a little more than one may have.
func readSecret(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxToken+1))
}
