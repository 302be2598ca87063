package github

import (
	"net/url"
	"regexp"
	"strings"

	"gravity/internal/delivery"
)

// repository is the owner and the name of a repository at the client's GitHub.
type repository struct{ owner, name string }

func (r repository) String() string { return r.owner + "/" + r.name }

var (
	scpForm  = regexp.MustCompile(`^[^@/]+@([^:/]+):(.+)$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
)

// repository reads a clone URL, in any of the forms that gravity.yaml takes. One on another host is
// none of this client's business: its token must not go there.
func (c *Client) repository(cloneURL string) (repository, error) {
	host, path := split(cloneURL)
	if !strings.EqualFold(host, c.options.Host) {
		return repository{}, delivery.Errorf(delivery.InvalidInput, "repository %s is not at %s, so nothing can be told or asked there", cloneURL, c.options.Host)
	}
	owner, name, _ := strings.Cut(strings.TrimSuffix(strings.Trim(path, "/"), ".git"), "/")
	if !nameForm.MatchString(owner) || !nameForm.MatchString(name) {
		return repository{}, delivery.Errorf(delivery.InvalidInput, "repository %s has no owner and name as GitHub's have", cloneURL)
	}
	return repository{owner, name}, nil
}

// Hosts reports whether a repository is at the client's GitHub.
func (c *Client) Hosts(cloneURL string) bool {
	_, err := c.repository(cloneURL)
	return err == nil
}

func split(cloneURL string) (host, path string) {
	if parts := scpForm.FindStringSubmatch(cloneURL); parts != nil {
		return parts[1], parts[2]
	}
	parsed, err := url.Parse(cloneURL)
	if err != nil {
		return "", ""
	}
	switch parsed.Scheme {
	case "ssh":
		host = parsed.Hostname()
	case "https":
		host = strings.TrimSuffix(parsed.Host, ":443")
	default:
		host = strings.TrimSuffix(parsed.Host, ":80")
	}
	if strings.EqualFold(host, "ssh.github.com") { // GitHub's SSH on port 443
		host = "github.com"
	}
	return host, parsed.Path
}
