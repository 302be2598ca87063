// Package github speaks with GitHub's API: it tells what became of a revision, asks who may do what,
// and finds pushes whose webhook never came. It keeps GitHub's rate limits: writes go one after the
// other, and what is told to wait comes back as a delivery.Error with the time to wait, so that the
// waiting costs no connection and no memory.
package github

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/bradleyfalzon/ghinstallation/v2"
	"github.com/google/go-github/v60/github"
	tokens "github.com/google/go-github/v88/github" // ghinstallation's own version

	"gravity/internal/delivery"
)

// DefaultURL is the API of github.com. GitHub Enterprise Server has its own at https://HOST/api/v3/.
const DefaultURL = "https://api.github.com/"

// Options say which GitHub is spoken with, and as whom: with a token or as a GitHub App.
type Options struct {
	// URL is the API's address. Default: DefaultURL.
	URL string
	// Host is the host in the clone URLs of this GitHub's repositories. Default: what follows from URL.
	Host string
	// Token answers with a token; it is asked before every request, so that tokens can be short-lived.
	Token func() (string, error)
	// AppID and AppKey are a GitHub App's number and private key (PEM). The tokens of its
	// installations are kept in memory alone, and renewed before their hour ends.
	AppID  int64
	AppKey []byte
	// WriteGap is the time between two requests that change something. Default: a second, which is
	// what GitHub asks for.
	WriteGap time.Duration
}

// Client speaks with one GitHub. It is safe for concurrent use.
type Client struct {
	options Options
	base    *url.URL
	plain   http.RoundTripper
	app     *ghinstallation.AppsTransport // nil with a token

	mutex sync.Mutex
	// apis has a client for each owner, since each installation of an App has limits of its own.
	// With a token there is one, under the empty name.
	apis map[string]*github.Client
	// installed are the App's installations, by owner.
	installed map[string]*ghinstallation.Transport
}

// New makes a client. Nothing is asked yet.
func New(o Options) (*Client, error) {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	base, err := url.Parse(strings.TrimSuffix(o.URL, "/") + "/")
	if err != nil || base.Host == "" || base.User != nil || (base.Scheme != "https" && base.Scheme != "http") {
		return nil, delivery.Errorf(delivery.InvalidInput, "GitHub's address %q is not one like %s", o.URL, DefaultURL)
	}
	if (o.Token == nil) == (o.AppID == 0) {
		return nil, delivery.Errorf(delivery.InvalidInput, "GitHub is spoken with by a token or as an App: give one of them")
	}
	if o.Host == "" {
		o.Host = strings.TrimPrefix(base.Host, "api.")
	}
	if o.WriteGap == 0 {
		o.WriteGap = time.Second
	}
	c := &Client{options: o, base: base, plain: transport(), apis: map[string]*github.Client{}, installed: map[string]*ghinstallation.Transport{}}
	if o.AppID == 0 {
		return c, nil
	}
	c.app, err = ghinstallation.NewAppsTransport(c.plain, o.AppID, o.AppKey)
	if err != nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "the GitHub App's key cannot be used: %w; it is the PEM file that GitHub made", err)
	}
	c.app.BaseURL = strings.TrimSuffix(base.String(), "/")
	return c, nil
}

// IsApp reports whether the client speaks as a GitHub App: only those may create check runs.
func (c *Client) IsApp() bool { return c.app != nil }

func transport() *http.Transport {
	plain := http.DefaultTransport.(*http.Transport).Clone()
	plain.ResponseHeaderTimeout = 20 * time.Second
	return plain
}

// api is the client for the owner of a repository or team. The repository helps to find the App's
// installation; it may be empty for an organization.
func (c *Client) api(ctx context.Context, owner, repository string) (*github.Client, error) {
	if c.app == nil {
		return c.kept("", func() (http.RoundTripper, error) {
			return &bearer{next: c.plain, host: c.base.Host, token: c.options.Token}, nil
		})
	}
	return c.kept(strings.ToLower(owner), func() (http.RoundTripper, error) {
		id, err := c.installation(ctx, owner, repository)
		if err != nil {
			return nil, err
		}
		installed := ghinstallation.NewFromAppsTransport(c.app, id)
		// Without options the library sends "null", which GitHub's description does not allow.
		installed.InstallationTokenOptions = &tokens.InstallationTokenOptions{}
		c.mutex.Lock()
		defer c.mutex.Unlock()
		c.installed[strings.ToLower(owner)] = installed
		return installed, nil
	})
}

// open is a repository and the client that may speak of it.
func (c *Client) open(ctx context.Context, cloneURL string) (*github.Client, repository, error) {
	r, err := c.repository(cloneURL)
	if err != nil {
		return nil, repository{}, err
	}
	api, err := c.api(ctx, r.owner, r.name)
	return api, r, err
}

// GitToken is what git shows to fetch a repository: the token, or one of the App's installation, which is renewed
// before its hour ends.
func (c *Client) GitToken(ctx context.Context, cloneURL string) (string, error) {
	r, err := c.repository(cloneURL)
	if err != nil {
		return "", err
	}
	if c.app == nil {
		return c.options.Token()
	}
	if _, err := c.api(ctx, r.owner, r.name); err != nil {
		return "", err
	}
	c.mutex.Lock()
	installed := c.installed[strings.ToLower(r.owner)]
	c.mutex.Unlock()
	token, err := installed.Token(ctx)
	return token, classify(err, "get a token to fetch %s", r)
}

// asApp is the client for what concerns the App itself, such as its webhook.
func (c *Client) asApp() (*github.Client, error) {
	if c.app == nil {
		return nil, delivery.Errorf(delivery.InvalidInput, "this needs a GitHub App, and a token was given")
	}
	return c.kept("/app", func() (http.RoundTripper, error) { return c.app, nil })
}

func (c *Client) kept(name string, authorized func() (http.RoundTripper, error)) (*github.Client, error) {
	c.mutex.Lock()
	found := c.apis[name]
	c.mutex.Unlock()
	if found != nil {
		return found, nil
	}
	next, err := authorized()
	if err != nil {
		return nil, err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.apis[name] == nil { // another one may have been quicker
		c.apis[name] = c.newAPI(next)
	}
	return c.apis[name], nil
}

func (c *Client) newAPI(authorized http.RoundTripper) *github.Client {
	made := github.NewClient(&http.Client{
		Transport:     newPacer(authorized, c.options.WriteGap),
		CheckRedirect: c.stay,
	})
	made.BaseURL = c.base
	made.UserAgent = "gravity"
	return made
}

// stay follows a renamed repository, and nothing that leads to another host: it would see the token.
func (c *Client) stay(request *http.Request, via []*http.Request) error {
	if request.URL.Host != c.base.Host || request.URL.Scheme != c.base.Scheme || len(via) > 5 {
		return fmt.Errorf("GitHub's API redirects to %s", request.URL.Host)
	}
	return nil
}

func (c *Client) installation(ctx context.Context, owner, repository string) (int64, error) {
	asApp, err := c.asApp()
	if err != nil {
		return 0, err
	}
	var found *github.Installation
	if repository != "" {
		found, _, err = asApp.Apps.FindRepositoryInstallation(ctx, owner, repository)
	} else {
		found, _, err = asApp.Apps.FindOrganizationInstallation(ctx, owner)
	}
	if err != nil {
		return 0, classify(err, "look for the GitHub App's installation at %s", owner)
	}
	return found.GetID(), nil
}

// bearer shows the token to the API's own host and no other.
type bearer struct {
	next  http.RoundTripper
	host  string
	token func() (string, error)
}

func (b *bearer) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Host != b.host {
		return nil, fmt.Errorf("the token is for %s, not for %s", b.host, request.URL.Host)
	}
	token, err := b.token()
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token)
	return b.next.RoundTrip(request)
}
