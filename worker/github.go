package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"gravity/internal/github"
)

// githubSettings say as whom the worker speaks with GitHub's API: nobody, a token, or an App.
type githubSettings struct {
	tokenFile  string
	app        int64
	appKeyFile string
	url        string
}

func (s *githubSettings) flags(flags *flag.FlagSet) {
	flags.StringVar(&s.tokenFile, "github-token-file", "", "")
	flags.Int64Var(&s.app, "github-app", 0, "")
	flags.StringVar(&s.appKeyFile, "github-app-key-file", "", "")
	flags.StringVar(&s.url, "github-url", github.DefaultURL, "")
}

// client makes the client, or nil where nobody is spoken as. A token is read once to see that it is there.
func (s *githubSettings) client() (*github.Client, error) {
	options := github.Options{URL: s.url, AppID: s.app}
	switch {
	case (s.app == 0) != (s.appKeyFile == ""):
		return nil, errors.New("--github-app and --github-app-key-file belong together: give both, or neither")
	case s.app != 0 && s.tokenFile != "":
		return nil, errors.New("give either --github-token-file or --github-app, not both")
	case s.app != 0:
		key, err := readKey(s.appKeyFile)
		if err != nil {
			return nil, err
		}
		options.AppKey = key
	case s.tokenFile != "":
		options.Token = func() (string, error) { return tokenFrom(s.tokenFile, "GitHub token") }
		if _, err := options.Token(); err != nil {
			return nil, err
		}
	default:
		return nil, nil
	}
	return github.New(options)
}

func readKey(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the GitHub App's key: %w", err)
	}
	defer func() { _ = file.Close() }()
	key, err := io.ReadAll(io.LimitReader(file, maxToken))
	if err != nil {
		return nil, fmt.Errorf("reading the GitHub App's key: %w", err)
	}
	return key, nil
}

// gitCredentials lets git fetch as the GitHub App, or by the API's token, where it was given no token of its own.
func gitCredentials(client *github.Client) func(context.Context, string) (string, string, error) {
	if client == nil {
		return nil
	}
	return func(ctx context.Context, repository string) (username, token string, err error) {
		if !strings.HasPrefix(repository, "https://") || !client.Hosts(repository) {
			return "", "", nil
		}
		token, err = client.GitToken(ctx, repository)
		return "x-access-token", token, err
	}
}
