package config

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// scpForm is git's own short form for SSH: user@host:path.
var scpForm = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*)@([A-Za-z0-9][A-Za-z0-9.-]*):([^:].*)$`)

// hostForm keeps out of git's and ssh's arguments what they would take for an option.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9\[][A-Za-z0-9.:\]-]*$`)

// checkRepository finds what is wrong with a clone URL, or "".
func checkRepository(repository string, local bool) string {
	const forms = "write it as https://host/owner/name, ssh://git@host/owner/name or git@host:owner/name"
	if strings.ContainsAny(repository, " \t\r\n\x00") {
		return "contains a space; " + forms
	}
	if strings.HasPrefix(repository, "/") || strings.HasPrefix(repository, "file:") {
		if local {
			return ""
		}
		return "is a path of this machine, which is only for local use; " + forms
	}
	if scpForm.MatchString(repository) {
		return ""
	}
	parsed, err := url.Parse(repository)
	if err != nil || !hostForm.MatchString(parsed.Host) || strings.Trim(parsed.Path, "/") == "" {
		return "is no clone URL; " + forms
	}
	_, hasPassword := parsed.User.Password()
	switch {
	case parsed.RawQuery != "" || parsed.Fragment != "":
		return "has a ? or # part, which no clone URL has; " + forms
	case parsed.Scheme == "ssh" && !hasPassword && !strings.HasPrefix(parsed.User.Username(), "-"):
		return ""
	case parsed.User != nil:
		// A token is usually given as the user name, so any user name counts as one.
		return "carries credentials; remove them, and give the worker access by a credential helper or a key"
	case parsed.Scheme == "https", parsed.Scheme == "http" && onThisMachine(parsed.Hostname()):
		return ""
	case parsed.Scheme == "http":
		return "is not encrypted, so what is deployed could be changed on the way; use https://"
	}
	return "is in no form that Gravity clones; " + forms
}

func onThisMachine(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// identity is what all ways to write one repository have in common: host/owner/name in lower case,
// without .git. Case is ignored as GitHub does; two repositories that differ by case alone would
// share their pushes, and the checkout would then find no such revision.
func identity(repository string) (string, bool) {
	repository = strings.TrimSpace(repository)
	if local, isFile := strings.CutPrefix(repository, "file://"); isFile || strings.HasPrefix(repository, "/") {
		return strings.TrimSuffix(path.Clean(local), ".git"), true
	}
	if parts := scpForm.FindStringSubmatch(repository); parts != nil {
		return hostAndPath(parts[2], parts[3]), true
	}
	parsed, err := url.Parse(repository)
	if err != nil || parsed.Host == "" || strings.Trim(parsed.Path, "/") == "" {
		return "", false
	}
	host := parsed.Host
	switch parsed.Scheme {
	case "ssh":
		host = parsed.Hostname() // the port belongs to the way there, not to the repository
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "git":
	default:
		return "", false
	}
	return hostAndPath(host, parsed.Path), true
}

func hostAndPath(host, name string) string {
	if strings.EqualFold(host, "ssh.github.com") { // GitHub's SSH on port 443
		host = "github.com"
	}
	name = strings.TrimSuffix(strings.Trim(name, "/"), ".git")
	return strings.ToLower(host + "/" + name)
}
