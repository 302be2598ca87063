// Package source gets revisions out of git repositories. It keeps a bare mirror per repository,
// fetches what is new and no more, and writes one revision's files into an empty folder: without
// the repository itself, so that what runs there can neither read nor change its history.
//
// Everything in a repository is taken for hostile. The git program runs without hooks, without
// filters of the repository's choosing, without the user's configuration, and with credentials in
// its environment alone.
package source

import (
	"context"
	"log/slog"
	"path"
	"regexp"
	"strings"
	"time"

	"gravity/internal/delivery"
)

// Cache keeps a bare mirror per repository below Root. Any number of processes may share it.
type Cache struct {
	// Root is the folder of the mirrors. It is made when it is missing.
	Root string
	// AllowLocal permits file:// and plain paths as repositories, and http:// to this machine: for
	// the stack on one machine, and for tests.
	AllowLocal bool
	// Credentials answers with what git shows to an https repository; an empty token means none.
	// It is asked once per fetch, so that short-lived tokens work.
	Credentials func(ctx context.Context, repository string) (username, token string, err error)
	// FetchTimeout bounds one exchange with the other side. Default 10m.
	FetchTimeout time.Duration
	// MaxSize bounds all mirrors together, in bytes: those unused for longest are removed. One that
	// is in use stays, whatever its size. Default DefaultMaxSize.
	MaxSize int64
	// MaxTreeSize and MaxTreeFiles bound what one checkout writes. Defaults: DefaultMaxTreeSize
	// bytes, DefaultMaxTreeFiles files.
	MaxTreeSize  int64
	MaxTreeFiles int
	// KnownHosts is the file of the host keys that ssh accepts, and Identity the private key that it
	// shows. Default: those of the worker's own account.
	KnownHosts, Identity string
	// Log receives what operators should know: mirrors made, repaired and removed. Default: nothing.
	Log *slog.Logger

	maxPacks int // for tests; otherwise the constant
}

// Defaults of a cache that says nothing else.
const (
	DefaultMaxSize      = 20 << 30
	DefaultMaxTreeSize  = 4 << 30
	DefaultMaxTreeFiles = 500_000
)

// Request is a wish for the files of one revision.
type Request struct {
	// Repository is the clone URL: https://, ssh:// or git@host:path, without credentials.
	Repository string
	// SHA is a commit hash of 4 to 40 hexadecimal digits. Empty: the head of Ref.
	SHA string
	// Ref is a branch or a tag, with or without refs/heads/ or refs/tags/. The commit must be
	// reachable from it. Empty: any branch or tag will do, and without SHA the default branch.
	Ref string
	// Path is the part of the repository that is wanted; the files directly in the folders above it
	// come with it. Default: everything.
	Path string
	// Submodules brings the submodules in, each from a mirror of its own. Their addresses are held to
	// the same rules as Repository.
	Submodules bool
	// LFS brings in the files that Git LFS keeps elsewhere. It needs git-lfs on the worker. Without
	// it, their pointers are checked out.
	LFS bool
	// Into is the folder to make. It must not exist, and is removed again when the checkout fails.
	Into string
}

// Checkout writes the files of a revision into a new folder and answers with the complete revision.
//
// A commit that is not in the repository is RevisionNotFound, and so is one that no branch or tag
// holds: hosts like GitHub hand out commits of forks under the parent's address, and those were
// never reviewed. Other errors have the type InvalidInput, AccessDenied, Throttled or Unavailable.
func (c *Cache) Checkout(ctx context.Context, r Request) (delivery.Revision, error) {
	wanted, err := c.wanted(r.Repository, r.SHA, r.Ref)
	if err != nil {
		return delivery.Revision{}, err
	}
	if wanted.path, err = checkPath(r.Path); err != nil {
		return delivery.Revision{}, err
	}
	var revision delivery.Revision
	err = c.withMirror(ctx, wanted.repository, func(m *mirror) error {
		var err error
		if revision, err = m.find(ctx, wanted); err != nil {
			return err
		}
		return m.checkout(ctx, tree{sha: revision.SHA, part: wanted.path, into: r.Into, lfs: r.LFS})
	})
	if err == nil && r.Submodules {
		if err = c.checkoutSubmodules(ctx, wanted, revision.SHA, r, 0); err != nil {
			_ = removeAll(r.Into)
		}
	}
	if evictErr := c.evict(ctx); evictErr != nil {
		c.log().WarnContext(ctx, "old mirrors are not removed", "error", evictErr)
	}
	return revision, err
}

// Resolve finds the revision that a hash, branch, tag or full ref stands for; nothing stands for
// the head of the default branch. When a branch is named like a hash, the branch wins.
func (c *Cache) Resolve(ctx context.Context, repository, revisionOrRef string) (delivery.Revision, error) {
	sha, ref := "", revisionOrRef
	if fullHash.MatchString(revisionOrRef) {
		sha, ref = revisionOrRef, ""
	}
	wanted, err := c.wanted(repository, sha, ref)
	if err != nil {
		return delivery.Revision{}, err
	}
	if abbreviatedHash.MatchString(ref) {
		wanted.maybe = strings.ToLower(ref)
	}
	wanted.current = true
	var revision delivery.Revision
	err = c.withMirror(ctx, wanted.repository, func(m *mirror) error {
		var err error
		revision, err = m.find(ctx, wanted)
		return err
	})
	return revision, err
}

// wanted is a request that was checked.
type wanted struct {
	repository repository
	sha        string // lower case, perhaps abbreviated
	ref        string // as given
	maybe      string // an abbreviated hash, to be tried when ref names nothing
	path       string // "" for everything
	// current asks for the branches as they are now, even when the commit is there: which of them
	// holds a commit decides which stages it may reach.
	current bool
}

var (
	fullHash        = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)
	abbreviatedHash = regexp.MustCompile(`^[0-9a-fA-F]{4,40}$`)
	// refName allows less than git does: nothing that any tool could take for an option or a pattern.
	refName = regexp.MustCompile(`^[\pL\pN_][\pL\pN_./@+#=,%!-]*$`)
)

func (c *Cache) wanted(address, sha, ref string) (wanted, error) {
	repository, err := c.parse(address)
	if err != nil {
		return wanted{}, err
	}
	if sha != "" && !abbreviatedHash.MatchString(sha) {
		return wanted{}, delivery.Errorf(delivery.InvalidInput, "%q is not a commit hash: give 4 to 40 hexadecimal digits", cut(sha))
	}
	if ref != "" && !validRef(ref) {
		return wanted{}, delivery.Errorf(delivery.InvalidInput, "%q is not the name of a branch or tag", cut(ref))
	}
	if strings.HasPrefix(ref, "refs/") && !strings.HasPrefix(ref, "refs/heads/") && !strings.HasPrefix(ref, "refs/tags/") {
		return wanted{}, delivery.Errorf(delivery.InvalidInput, "%q is neither a branch nor a tag: only those are deployed", cut(ref))
	}
	return wanted{repository: repository, sha: strings.ToLower(sha), ref: ref}, nil
}

func validRef(ref string) bool {
	if len(ref) > 255 || !refName.MatchString(ref) || strings.Contains(ref, "..") || strings.Contains(ref, "@{") || strings.HasSuffix(ref, ".") {
		return false
	}
	for name := range strings.SplitSeq(ref, "/") {
		if name == "" || name[0] == '.' || name[0] == '-' || strings.HasSuffix(name, ".lock") {
			return false
		}
	}
	return true
}

// checkPath makes sure that a pipeline's path stays in the repository, and answers "" for all of it.
func checkPath(part string) (string, error) {
	if part == "" || part == "." || part == "./" {
		return "", nil
	}
	clean := path.Clean(part)
	if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(clean, "\x00\n\r\\*?[]!#\"") {
		return "", delivery.Errorf(delivery.InvalidInput, "the path %q must be a folder of the repository, written like services/shop", cut(part))
	}
	for name := range strings.SplitSeq(clean, "/") {
		if strings.EqualFold(name, ".git") {
			return "", delivery.Errorf(delivery.InvalidInput, "the path %q leads into git's own files", cut(part))
		}
	}
	if clean == "." {
		return "", nil
	}
	return clean, nil
}

func (c *Cache) log() *slog.Logger {
	if c.Log != nil {
		return c.Log
	}
	return slog.New(slog.DiscardHandler)
}

func (c *Cache) fetchTimeout() time.Duration {
	if c.FetchTimeout > 0 {
		return c.FetchTimeout
	}
	return 10 * time.Minute
}

// cut keeps what came from outside from filling a message.
func cut(text string) string {
	const longest = 200
	if len(text) > longest {
		return strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}
