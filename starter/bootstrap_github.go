package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"

	"gravity/internal/delivery"
)

// hookRequest is a webhook that is to be at GitHub.
type hookRequest struct {
	API        string // address of GitHub's API
	Token      string
	Repository string // its clone URL
	Address    string // of the receiver, with the path
	Secret     string
	Pace       time.Duration // between two looks at whether the ping has arrived
}

// hookEvents are what the receiver starts runs for.
var hookEvents = []string{"push"}

// registerWebhook makes sure that a repository has the webhook, with this secret, and that a ping of it arrives. It
// can be called again at any time: a webhook with the same address is brought up to date, not made twice.
func registerWebhook(ctx context.Context, r hookRequest) (said string, err error) {
	owner, name, err := ownerAndName(r.Repository)
	if err != nil {
		return "", err
	}
	api, err := github.NewClient(&http.Client{Timeout: 30 * time.Second}).WithAuthToken(r.Token).WithEnterpriseURLs(r.API, r.API)
	if err != nil {
		return "", wrongUse("--github-url is %q: %w", r.API, err)
	}
	if api.BaseURL, err = url.Parse(strings.TrimSuffix(r.API, "/") + "/"); err != nil { // as it was given, without a path of its own
		return "", wrongUse("--github-url is %q: %w", r.API, err)
	}
	doing := fmt.Sprintf("the webhook of %s/%s", owner, name)
	hook, err := findHook(ctx, api, owner, name, r.Address)
	if err != nil {
		return "", gitHubError(doing, err)
	}
	wanted := &github.Hook{Events: hookEvents, Active: github.Bool(true), Config: &github.HookConfig{
		URL: github.String(r.Address), ContentType: github.String("json"), InsecureSSL: github.String("0"), Secret: github.String(r.Secret)}}
	verb := "registered"
	if hook == nil {
		hook, _, err = api.Repositories.CreateHook(ctx, owner, name, wanted)
	} else {
		verb = "was registered"
		hook, _, err = api.Repositories.EditHook(ctx, owner, name, hook.GetID(), wanted)
	}
	if err != nil {
		return "", gitHubError(doing, err)
	}
	if err := pingHook(ctx, api, owner, name, hook.GetID(), r.Pace); err != nil {
		return "", gitHubError(doing, err)
	}
	return fmt.Sprintf("%s %s, and GitHub's ping arrived at %s", doing, verb, r.Address), nil
}

func findHook(ctx context.Context, api *github.Client, owner, name, address string) (*github.Hook, error) {
	options := &github.ListOptions{PerPage: 100}
	for {
		hooks, response, err := api.Repositories.ListHooks(ctx, owner, name, options)
		if err != nil {
			return nil, err
		}
		for _, hook := range hooks {
			if hook.GetConfig().GetURL() == address {
				return hook, nil
			}
		}
		if options.Page = response.NextPage; options.Page == 0 {
			return nil, nil
		}
	}
}

// pingPatience is how long a ping may take to arrive: GitHub sends it within seconds.
const pingPatience = 30 * time.Second

// pingHook has GitHub send a ping, and waits until it says how the receiver answered.
func pingHook(ctx context.Context, api *github.Client, owner, name string, id int64, pace time.Duration) error {
	if _, err := api.Repositories.PingHook(ctx, owner, name, id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	last := "it has not arrived"
	for {
		hook, _, err := api.Repositories.GetHook(ctx, owner, name, id)
		if err == nil {
			code, _ := hook.LastResponse["code"].(float64)
			if code == http.StatusOK {
				return nil
			}
			if message, _ := hook.LastResponse["message"].(string); message != "" {
				last = message
			}
		}
		select {
		case <-ctx.Done():
			return delivery.Errorf(delivery.Unavailable,
				"GitHub's ping does not get through: %s; make sure that GitHub reaches the receiver and that both have the same secret, and run starter bootstrap again", last)
		case <-ticker.C:
		}
	}
}

// ownerAndName reads both out of a clone URL.
func ownerAndName(repository string) (owner, name string, err error) {
	path := repository
	if parsed, parseErr := url.Parse(repository); parseErr == nil && parsed.Host != "" {
		path = parsed.Path
	} else if _, after, found := strings.Cut(repository, ":"); found { // git@host:owner/name
		path = after
	}
	parts := strings.Split(strings.Trim(strings.TrimSuffix(path, ".git"), "/"), "/")
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return "", "", wrongUse("%s is no repository of GitHub: it has webhooks of its own; --no-webhook registers none", repository)
	}
	return parts[0], parts[1], nil
}

// gitHubError says what to do.
func gitHubError(doing string, err error) error {
	var refused *github.ErrorResponse
	switch {
	case delivery.TypeOf(err) != "":
		return &delivery.Error{Type: delivery.TypeOf(err), Message: doing + ": " + err.Error(), Err: err}
	case errors.As(err, &refused) && (refused.Response.StatusCode == http.StatusNotFound || refused.Response.StatusCode == http.StatusForbidden || refused.Response.StatusCode == http.StatusUnauthorized):
		return delivery.Errorf(delivery.AccessDenied, "%s: GitHub answers %d: the token needs to administer the repository's webhooks (admin:repo_hook)", doing, refused.Response.StatusCode)
	default:
		return delivery.Errorf(delivery.Unavailable, "%s: %w", doing, err)
	}
}
