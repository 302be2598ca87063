package source

import (
	"context"
	"strconv"
	"strings"
	"time"

	"gravity/internal/delivery"
)

// everything is what a mirror holds: branches and tags, and not what hosts keep elsewhere, such as
// the heads of pull requests.
var everything = []string{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"}

// find makes sure that the mirror holds the wanted revision, and reads it.
func (m *mirror) find(ctx context.Context, w wanted) (delivery.Revision, error) {
	// What is wanted by its full hash and is there needs no network.
	if len(w.sha) == 40 && !w.current && m.exists() {
		if revision, err := m.held(ctx, w.sha, w.ref); err != nil || revision.SHA != "" {
			return revision, err
		}
	}
	release, err := m.lockFetch(ctx)
	if err != nil {
		return delivery.Revision{}, err
	}
	defer release()
	switch {
	case len(w.sha) == 40:
		return m.findHash(ctx, w)
	case w.sha != "":
		return m.findAbbreviated(ctx, w.sha, w.ref)
	default:
		return m.findRef(ctx, w)
	}
}

// findHash looks for a full hash: here, where it was said to be, and everywhere.
func (m *mirror) findHash(ctx context.Context, w wanted) (delivery.Revision, error) {
	// Another run may have fetched it while this one waited.
	if revision, err := m.held(ctx, w.sha, w.ref); !w.current && (err != nil || revision.SHA != "") {
		return revision, err
	}
	if full := fullRef(w.ref); full != "" {
		err := m.fetch(ctx, "+"+full+":"+full)
		if err != nil && !says(err, missingRef) {
			return delivery.Revision{}, err
		}
		if revision, err := m.held(ctx, w.sha, w.ref); err != nil || revision.SHA != "" {
			return revision, err
		}
	}
	if err := m.fetch(ctx, everything...); err != nil {
		return delivery.Revision{}, err
	}
	revision, err := m.held(ctx, w.sha, w.ref)
	if err == nil && revision.SHA == "" {
		err = m.notFound(w.sha, w.ref)
	}
	return revision, err
}

func (m *mirror) findAbbreviated(ctx context.Context, abbreviated, ref string) (delivery.Revision, error) {
	// Only a mirror that is up to date knows whether the digits mean one commit.
	if err := m.fetch(ctx, everything...); err != nil {
		return delivery.Revision{}, err
	}
	commits, err := m.commitsLike(ctx, abbreviated)
	if err != nil {
		return delivery.Revision{}, err
	}
	var found []delivery.Revision
	for _, sha := range commits {
		revision, err := m.held(ctx, sha, ref)
		if err != nil {
			return delivery.Revision{}, err
		}
		if revision.SHA != "" {
			found = append(found, revision)
		}
	}
	switch len(found) {
	case 0:
		return delivery.Revision{}, m.notFound(abbreviated, ref)
	case 1:
		return found[0], nil
	default:
		return delivery.Revision{}, delivery.Errorf(delivery.InvalidInput, "%s means %d commits in %s, such as %s and %s: give more digits",
			abbreviated, len(found), m.repository.address, found[0].Short(), found[1].Short())
	}
}

// commitsLike lists the commits whose hash begins with the given digits; at most 20.
func (m *mirror) commitsLike(ctx context.Context, digits string) ([]string, error) {
	objects, err := m.git(ctx, "rev-parse", "--disambiguate="+digits)
	if err != nil || objects == "" {
		return nil, err
	}
	types, err := git{dir: m.dir, arguments: []string{"cat-file", "--batch-check=%(objecttype) %(objectname)"}, input: strings.NewReader(objects + "\n")}.run(ctx)
	if err != nil {
		return nil, err
	}
	var commits []string
	for line := range strings.Lines(types) {
		if sha, isCommit := strings.CutPrefix(strings.TrimSpace(line), "commit "); isCommit && len(commits) < 20 {
			commits = append(commits, sha)
		}
	}
	return commits, nil
}

// findRef fetches a branch or tag, or the default branch, and reads its head.
func (m *mirror) findRef(ctx context.Context, w wanted) (delivery.Revision, error) {
	candidates := []string{fullRef(w.ref)}
	if w.ref == "" {
		head, err := m.defaultBranch(ctx)
		if err != nil {
			return delivery.Revision{}, err
		}
		candidates = []string{head}
	} else if candidates[0] == "" {
		candidates = []string{"refs/heads/" + w.ref, "refs/tags/" + w.ref}
	}
	for _, ref := range candidates {
		err := m.fetch(ctx, "+"+ref+":"+ref)
		if says(err, missingRef) {
			continue
		}
		if err != nil {
			return delivery.Revision{}, err
		}
		return m.read(ctx, ref, ref)
	}
	if w.maybe != "" {
		return m.findAbbreviated(ctx, w.maybe, "")
	}
	return delivery.Revision{}, delivery.Errorf(delivery.RevisionNotFound, "%s is no branch or tag of %s: push it, or check the name", w.ref, m.repository.address)
}

// defaultBranch asks the host which branch it is.
func (m *mirror) defaultBranch(ctx context.Context) (string, error) {
	remote, err := m.cache.remoteSettings(ctx, m.repository)
	if err != nil {
		return "", err
	}
	output, err := git{dir: m.dir, settings: remote, ssh: m.cache.ssh(), timeout: m.cache.fetchTimeout(),
		arguments: []string{"ls-remote", "--symref", "--end-of-options", m.repository.address, "HEAD"}}.run(ctx)
	if err != nil {
		return "", remoteError(m.repository, err)
	}
	for line := range strings.Lines(output) {
		target, isSymref := strings.CutPrefix(strings.TrimSpace(line), "ref: ")
		if ref, _, ok := strings.Cut(target, "\t"); isSymref && ok && strings.HasPrefix(ref, "refs/heads/") && validRef(ref) {
			return ref, nil
		}
	}
	return "", delivery.Errorf(delivery.RevisionNotFound, "%s has no default branch: push a commit, or name a branch", m.repository.address)
}

// held reads a commit that the mirror holds and that the ref, or when none is given any branch or
// tag, contains. A revision without a hash means that there is none.
func (m *mirror) held(ctx context.Context, sha, ref string) (delivery.Revision, error) {
	if _, err := m.git(ctx, "cat-file", "-e", sha+"^{commit}"); err != nil {
		// Missing and damaged look alike here. What is damaged shows when it is fetched again.
		return delivery.Revision{}, ignoreExit(err)
	}
	patterns := []string{"refs/heads", "refs/tags"}
	if full := fullRef(ref); full != "" {
		patterns = []string{full}
	} else if ref != "" {
		patterns = []string{"refs/heads/" + ref, "refs/tags/" + ref}
	}
	containing, err := m.git(ctx, append([]string{"for-each-ref", "--contains=" + sha, "--format=%(refname)"}, patterns...)...)
	if err != nil || containing == "" {
		return delivery.Revision{}, err
	}
	return m.read(ctx, sha, preferred(strings.Split(containing, "\n"), ref))
}

// preferred picks the ref to show for a commit that several contain.
func preferred(refs []string, given string) string {
	for _, want := range []string{given, "refs/heads/" + given, "refs/tags/" + given, "refs/heads/main", "refs/heads/master"} {
		for _, ref := range refs {
			if ref == want {
				return ref
			}
		}
	}
	return refs[0]
}

// read reads a commit's data for people.
func (m *mirror) read(ctx context.Context, name, ref string) (delivery.Revision, error) {
	output, err := m.git(ctx, "log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%H%x00%ct%x00%an%x00%ae%x00%ce%x00%B", "--end-of-options", name+"^{commit}", "--")
	if err != nil {
		return delivery.Revision{}, err
	}
	fields := strings.SplitN(output, "\x00", 6)
	if len(fields) != 6 || !fullHash.MatchString(fields[0]) {
		return delivery.Revision{}, &gitError{command: "log", stderr: "an answer that makes no sense"}
	}
	seconds, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return delivery.Revision{}, &gitError{command: "log", stderr: "a time that makes no sense"}
	}
	return delivery.Revision{
		SHA: fields[0], Ref: ref,
		Author:      delivery.FirstLine(printable(fields[2])),
		People:      delivery.People(printable(fields[3]), printable(fields[4])),
		Message:     printable(delivery.FirstLine(fields[5])),
		CommittedAt: time.Unix(seconds, 0).UTC(),
	}, nil
}

func (m *mirror) notFound(sha, ref string) error {
	where := m.repository.address
	if ref != "" {
		where = ref + " of " + where
	}
	return delivery.Errorf(delivery.RevisionNotFound, "revision %s is not in %s: push it, or check the hash", sha, where)
}

// fullRef is a ref that was given in full, or "".
func fullRef(ref string) string {
	if strings.HasPrefix(ref, "refs/") {
		return ref
	}
	return ""
}

// ignoreExit drops the error of a git command that ended with an exit code, and keeps all others.
func ignoreExit(err error) error {
	if damaged(err) {
		return nil
	}
	return err
}

// printable drops the control characters that a commit's author may have put into a terminal's way.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}
