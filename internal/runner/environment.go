package runner

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The environment of a project's command is made new, never inherited: a worker's own variables
// hold cloud credentials, tokens and the addresses of what it may reach. These names pass, and no
// others; everything else a command needs is given in Command.Variables.
//
// HOME and TMPDIR are not among them. A command gets folders of its own for both, because the
// worker's home is where .aws, .netrc, .ssh and .docker lie.
var allowed = []string{
	// Where programs are, and how they speak.
	"PATH", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "USER", "LOGNAME",
	// Go. Its caches are set by goCaches when they are not given.
	"GOROOT", "GOCACHE", "GOMODCACHE", "GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB",
	"GOINSECURE", "GOFLAGS", "GOTOOLCHAIN", "GOMAXPROCS", "GOMEMLIMIT", "CGO_ENABLED",
	// Where other languages keep their tools; none of these folders holds credentials.
	"JAVA_HOME", "RUSTUP_HOME", "NVM_DIR", "PYENV_ROOT", "RBENV_ROOT", "NODE_EXTRA_CA_CERTS",
	// The network: proxies and certificates.
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT",
}

// allowedPrefixes pass with whatever follows.
var allowedPrefixes = []string{"LC_"}

// withCredentials finds a user, and so perhaps a password, in the address of a proxy or registry.
// Such a variable is left out: a command that needs it is given one in Command.Variables.
var withCredentials = regexp.MustCompile(`(://|^)[^/?#\s,|@]+@`)

// environment is what a command sees: the allowed part of the worker's variables, what Gravity sets,
// and the given ones, which win.
func (c Command) environment(worker []string, scratch string) []string {
	variables := map[string]string{}
	for _, entry := range worker {
		name, value, _ := strings.Cut(entry, "=")
		if allows(name) && !withCredentials.MatchString(value) {
			variables[name] = value
		}
	}
	if variables["PATH"] == "" {
		variables["PATH"] = "/usr/local/bin:/usr/bin:/bin"
	}
	switch {
	case c.Caches != "":
		caches(c.Caches, variables)
	case c.Account != nil:
		// The worker's own caches are closed to others.
		delete(variables, "GOCACHE")
		delete(variables, "GOMODCACHE")
	default:
		goCaches(worker, variables)
	}
	variables["HOME"] = filepath.Join(scratch, "home")
	variables["TMPDIR"] = filepath.Join(scratch, "tmp")
	variables["PWD"] = c.Dir
	variables["CI"] = "true"
	// The workspace may lie inside another repository, whose files are no business of the command.
	variables["GIT_CEILING_DIRECTORIES"] = filepath.Dir(c.Tree)
	variables["GIT_TERMINAL_PROMPT"] = "0"
	maps.Copy(variables, c.Variables)

	entries := make([]string, 0, len(variables))
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		entries = append(entries, name+"="+variables[name])
	}
	return entries
}

func allows(name string) bool {
	return slices.Contains(allowed, name) ||
		slices.ContainsFunc(allowedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// caches points the usual tools at folders that outlive the command.
func caches(folder string, variables map[string]string) {
	variables["GRAVITY_CACHE"] = folder // for tools that are not among these
	for name, below := range map[string]string{
		"GOCACHE": "go-build", "GOMODCACHE": "go-mod", "npm_config_cache": "npm", "YARN_CACHE_FOLDER": "yarn",
		"PIP_CACHE_DIR": "pip", "GRADLE_USER_HOME": "gradle", "CARGO_HOME": "cargo", "BUNDLE_USER_CACHE": "bundler", "COMPOSER_CACHE_DIR": "composer",
	} {
		variables[name] = filepath.Join(folder, below)
	}
}

// goCaches points Go at the worker's caches, which it would otherwise look for in the new, empty
// home: without them every test of a Go project compiles the standard library first.
func goCaches(worker []string, variables map[string]string) {
	given := map[string]string{}
	for _, entry := range worker {
		name, value, _ := strings.Cut(entry, "=")
		given[name] = value
	}
	if given["HOME"] == "" {
		return
	}
	cache := given["XDG_CACHE_HOME"]
	if cache == "" {
		cache = filepath.Join(given["HOME"], ".cache")
	}
	modules := filepath.Join(given["HOME"], "go", "pkg", "mod")
	if path := given["GOPATH"]; path != "" {
		modules = filepath.Join(filepath.SplitList(path)[0], "pkg", "mod")
	}
	for name, folder := range map[string]string{"GOCACHE": filepath.Join(cache, "go-build"), "GOMODCACHE": modules} {
		if _, set := variables[name]; set {
			continue
		}
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			variables[name] = folder
		}
	}
}
