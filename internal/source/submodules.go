package source

import (
	"context"
	"net/url"
	"path"
	"path/filepath"
	"strings"

	"gravity/internal/delivery"
)

// Submodules nest at most maxDepth deep, and a repository has at most maxSubmodules of them.
const (
	maxDepth      = 5
	maxSubmodules = 100
)

// submodule is another repository's commit at a path of this one.
type submodule struct {
	path, address, sha string
}

// checkoutSubmodules brings in the submodules of a commit, each from a mirror of its own. Git's own
// way would write their repositories into the workspace and follow addresses that we did not check.
func (c *Cache) checkoutSubmodules(ctx context.Context, parent wanted, sha string, r Request, depth int) error {
	if depth == maxDepth {
		return delivery.Errorf(delivery.InvalidInput, "submodules of %s nest more than %d deep", parent.repository.address, maxDepth)
	}
	var found []submodule
	err := c.withMirror(ctx, parent.repository, func(m *mirror) error {
		var err error
		found, err = m.submodules(ctx, sha, parent.path)
		return err
	})
	if err != nil {
		return err
	}
	for _, s := range found {
		child, err := c.wanted(s.address, s.sha, "")
		if err == nil && child.repository.scheme == "file" && parent.repository.scheme != "file" {
			err = delivery.Errorf(delivery.InvalidInput, "the repository %q lies on the worker's own disk", cut(s.address))
		}
		if err != nil {
			return delivery.Errorf(delivery.TypeOf(err), "submodule %s of %s: %w", s.path, parent.repository.address, err)
		}
		into := filepath.Join(r.Into, filepath.FromSlash(s.path))
		err = c.withMirror(ctx, child.repository, func(m *mirror) error {
			if _, err := m.find(ctx, child); err != nil {
				return err
			}
			// Git has made an empty folder in its place; checkout insists on making it itself.
			if err := removeEmpty(r.Into, s.path); err != nil {
				return err
			}
			return m.checkout(ctx, tree{sha: child.sha, into: into, lfs: r.LFS})
		})
		if err != nil {
			return delivery.Errorf(delivery.TypeOf(err), "submodule %s of %s: %w", s.path, parent.repository.address, err)
		}
		below := r
		below.Into = into
		if err := c.checkoutSubmodules(ctx, child, child.sha, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// submodules lists the submodules of a commit that lie in the wanted part.
func (m *mirror) submodules(ctx context.Context, sha, part string) ([]submodule, error) {
	names, err := m.git(ctx, "config", "--blob", sha+":.gitmodules", "--no-includes", "--null", "--get-regexp", `^submodule\..*\.(path|url)$`)
	if err != nil || names == "" {
		return nil, ignoreExit(err) // most repositories have none
	}
	type pair struct{ path, address string }
	declared := map[string]*pair{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(names, "\x00"), "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		name, kind := strings.TrimSuffix(key, path.Ext(key)), path.Ext(key)
		if declared[name] == nil {
			declared[name] = &pair{}
		}
		if kind == ".path" {
			declared[name].path = value
		} else {
			declared[name].address = value
		}
	}
	var found []submodule
	for _, one := range declared {
		clean, err := checkPath(one.path)
		if err != nil || clean == "" || clean != strings.TrimSuffix(one.path, "/") {
			return nil, delivery.Errorf(delivery.InvalidInput, "a submodule of %s lies at %q, which is no folder of it", m.repository.address, cut(one.path))
		}
		if part != "" && clean != part && !strings.HasPrefix(clean, part+"/") {
			continue
		}
		listed, err := m.git(ctx, "ls-tree", "-z", "--full-tree", sha, "--", clean)
		if err != nil {
			return nil, err
		}
		fields := strings.Fields(listed)
		if len(fields) < 3 || fields[0] != "160000" {
			continue // declared, and not there
		}
		found = append(found, submodule{path: clean, address: m.resolve(one.address), sha: fields[2]})
		if len(found) > maxSubmodules {
			return nil, delivery.Errorf(delivery.InvalidInput, "%s has more than %d submodules", m.repository.address, maxSubmodules)
		}
	}
	return found, nil
}

// resolve makes an address that is relative to the parent's, ./x or ../x, a whole one.
func (m *mirror) resolve(address string) string {
	if !strings.HasPrefix(address, "./") && !strings.HasPrefix(address, "../") {
		return address
	}
	if host, inside, scp := strings.Cut(m.repository.address, ":"); scp && !strings.Contains(m.repository.address, "://") {
		return host + ":" + path.Join(inside, address)
	}
	parent, err := url.Parse(m.repository.address)
	if err != nil {
		return address
	}
	parent.Path = path.Join("/", parent.Path, address)
	return parent.String()
}
