package source

import (
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"gravity/internal/delivery"
)

// repository is a clone URL that was checked.
type repository struct {
	// address as git takes it, and as it is shown: it holds no credentials.
	address string
	// scheme is https, http, ssh or file.
	scheme string
}

// scpLike is git@host:path, the short form of ssh.
var scpLike = regexp.MustCompile(`^([A-Za-z0-9._][A-Za-z0-9._-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*):([^-:/\s][^\s]*|/[^\s]*)$`)

// parse checks a clone URL. Git itself takes much more: options, programs to run, other transports.
func (c *Cache) parse(address string) (repository, error) {
	invalid := func(reason string) (repository, error) {
		return repository{}, delivery.Errorf(delivery.InvalidInput, "the repository %q %s", withoutCredentials(cut(address)), reason)
	}
	switch {
	case address == "":
		return invalid("is missing: give its clone URL")
	case strings.HasPrefix(address, "-") || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return invalid("is not a clone URL")
	case strings.Contains(address, "::"):
		return invalid("names a program to run: give an https or ssh URL")
	case !strings.Contains(address, "://"):
		if filepath.IsAbs(address) {
			return c.local(address, address)
		}
		if scpLike.MatchString(address) {
			return repository{address: address, scheme: "ssh"}, nil
		}
		return invalid("is not a clone URL: give https://host/path, ssh://host/path or git@host:path")
	}
	parsed, err := url.Parse(address)
	if err != nil || strings.HasPrefix(parsed.Host, "-") {
		return invalid("is not a clone URL")
	}
	if parsed.RawQuery != "" || parsed.Fragment != "" {
		return invalid("has a query or a fragment, which a clone URL has not")
	}
	if _, secret := parsed.User.Password(); secret || parsed.User != nil && parsed.Scheme != "ssh" {
		return invalid("holds credentials: take them out, and give the worker a token")
	}
	switch parsed.Scheme {
	case "https", "ssh":
		if parsed.Hostname() == "" || strings.HasPrefix(parsed.User.Username(), "-") || parsed.Path == "" || strings.HasPrefix(parsed.Path, "/-") {
			return invalid("is not a clone URL")
		}
		return repository{address: address, scheme: parsed.Scheme}, nil
	case "http":
		if c.AllowLocal && isLoopback(parsed.Hostname()) {
			return repository{address: address, scheme: "http"}, nil
		}
		return invalid("is not encrypted: use https")
	case "file":
		return c.local(address, parsed.Path)
	default:
		return invalid("has the scheme " + cut(parsed.Scheme) + ": use https or ssh")
	}
}

func (c *Cache) local(address, path string) (repository, error) {
	if !c.AllowLocal || !filepath.IsAbs(path) {
		return repository{}, delivery.Errorf(delivery.InvalidInput,
			"the repository %q lies on the worker's own disk, which is allowed for the stack on one machine only: give an https or ssh URL", cut(address))
	}
	// The file:// form makes git speak its protocol, instead of linking and trusting the files there.
	return repository{address: (&url.URL{Scheme: "file", Path: path}).String(), scheme: "file"}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

var userinfo = regexp.MustCompile(`://[^/@\s]*@`)

// withoutCredentials takes a user and a password out of every URL in a text.
func withoutCredentials(text string) string { return userinfo.ReplaceAllString(text, "://…@") }
