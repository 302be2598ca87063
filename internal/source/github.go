package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v88/github"

	"gravity/internal/delivery"
)

// GitHubApp shows git a token that is good for one repository, for reading alone, and for an hour.
// It takes the place of a token of a person's, which would be good for all that the person may do.
type GitHubApp struct {
	// Host is the one host that gets to see the tokens. Default github.com.
	Host string
	// API is the address of GitHub's API. Default: https://api.github.com, and for other hosts
	// https://HOST/api/v3.
	API string
	// ID is the app's number, and Key its private key as PEM.
	ID  int64
	Key []byte

	once          sync.Once
	apps          *ghinstallation.AppsTransport
	err           error
	mutex         sync.Mutex
	installations map[string]*ghinstallation.Transport // by owner/name, lower case
}

// appUsername is what GitHub wants beside an app's token.
const appUsername = "x-access-token"

// askGitHub bounds one question to GitHub's API.
const askGitHub = 30 * time.Second

// Check makes sure that the key is one.
func (a *GitHubApp) Check() error {
	a.once.Do(func() {
		a.apps, a.err = ghinstallation.NewAppsTransport(http.DefaultTransport, a.ID, a.Key)
		if a.err != nil {
			a.err = delivery.Errorf(delivery.InvalidInput, "the private key of GitHub App %d cannot be read: %w; give the PEM file that GitHub made", a.ID, a.err)
			return
		}
		a.apps.BaseURL = a.api()
		a.installations = map[string]*ghinstallation.Transport{}
	})
	return a.err
}

// Credentials is Cache.Credentials for the repositories of the app's host.
func (a *GitHubApp) Credentials(ctx context.Context, address string) (username, token string, err error) {
	owner, name, ours := a.repository(address)
	if !ours {
		return "", "", nil
	}
	if err := a.Check(); err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, askGitHub)
	defer cancel()
	installation, err := a.installation(ctx, owner, name)
	if err != nil {
		return "", "", err
	}
	// The library keeps the token, and asks for another one shortly before it expires.
	token, err = installation.Token(ctx)
	if err != nil {
		a.forget(owner, name) // the app may have been installed anew, under another number
		return "", "", fmt.Errorf("GitHub gives app %d no token for %s/%s: %w", a.ID, owner, name, withoutRequest(err))
	}
	return appUsername, token, nil
}

// repository is the owner and name of a repository on the app's host.
func (a *GitHubApp) repository(address string) (owner, name string, ours bool) {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != "https" && parsed.Scheme != "http" || !strings.EqualFold(parsed.Host, a.host()) {
		return "", "", false
	}
	owner, name, found := strings.Cut(strings.Trim(strings.TrimSuffix(parsed.Path, ".git"), "/"), "/")
	return owner, name, found && owner != "" && name != "" && !strings.Contains(name, "/")
}

// installation finds where the app is installed, once for each repository.
func (a *GitHubApp) installation(ctx context.Context, owner, name string) (*ghinstallation.Transport, error) {
	key := strings.ToLower(owner + "/" + name)
	a.mutex.Lock()
	known := a.installations[key]
	a.mutex.Unlock()
	if known != nil {
		return known, nil
	}
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	found, response, err := client.Apps.GetRepositoryInstallation(ctx, owner, name)
	if err != nil && response != nil && response.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("GitHub App %d is not installed for %s/%s: install it there, or give it this repository", a.ID, owner, name)
	}
	if err != nil {
		return nil, fmt.Errorf("look for the installation of GitHub App %d for %s/%s: %w", a.ID, owner, name, withoutRequest(err))
	}
	installation := ghinstallation.NewFromAppsTransport(a.apps, found.GetID())
	installation.InstallationTokenOptions = &github.InstallationTokenOptions{
		Repositories: []string{name},
		Permissions:  &github.InstallationPermissions{Contents: github.Ptr("read")},
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.installations[key] = installation
	return installation, nil
}

func (a *GitHubApp) client() (*github.Client, error) {
	client, err := github.NewClient(github.WithTransport(a.apps), github.WithURLs(github.Ptr(a.api()+"/"), nil))
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "the address %q of GitHub's API cannot be used: %w", a.api(), err)
	}
	return client, nil
}

func (a *GitHubApp) forget(owner, name string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	delete(a.installations, strings.ToLower(owner+"/"+name))
}

func (a *GitHubApp) host() string {
	if a.Host != "" {
		return a.Host
	}
	return "github.com"
}

func (a *GitHubApp) api() string {
	switch {
	case a.API != "":
		return strings.TrimSuffix(a.API, "/")
	case a.host() == "github.com":
		return "https://api.github.com"
	default:
		return "https://" + a.host() + "/api/v3"
	}
}

// withoutRequest keeps what went wrong, and drops the library's copy of the request and its headers.
func withoutRequest(err error) error {
	var refused *ghinstallation.HTTPError
	if errors.As(err, &refused) {
		return errors.New(cut(refused.Message))
	}
	return errors.New(cut(err.Error()))
}
