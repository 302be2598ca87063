package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// zero stands for "there is none" in before and after.
const zero = "0000000000000000000000000000000000000000"

// maxCommits is how many commits GitHub lists in one event.
const maxCommits = 2048

// change is one ref that a push moved.
type change struct{ ref, before, after string }

// compare lists the differences in the order of the refs' names.
func compare(before, after map[string]string) []change {
	var changes []change
	for ref, sha := range after {
		if old, ok := before[ref]; !ok {
			changes = append(changes, change{ref, zero, sha})
		} else if old != sha {
			changes = append(changes, change{ref, old, sha})
		}
	}
	for ref, old := range before {
		if _, ok := after[ref]; !ok {
			changes = append(changes, change{ref, old, zero})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return strings.Compare(a.ref, b.ref) })
	return changes
}

// pushEvent has the fields of GitHub's push event that a receiver can use, under GitHub's names.
// It is written out here because go-github's type leaves out what is empty, where GitHub sends
// false, null and [].
type pushEvent struct {
	Ref        string          `json:"ref"`
	Before     string          `json:"before"`
	After      string          `json:"after"`
	BaseRef    *string         `json:"base_ref"`
	Created    bool            `json:"created"`
	Deleted    bool            `json:"deleted"`
	Forced     bool            `json:"forced"`
	Compare    string          `json:"compare"`
	Commits    []eventCommit   `json:"commits"`
	HeadCommit *eventCommit    `json:"head_commit"`
	Repository eventRepository `json:"repository"`
	Pusher     eventPerson     `json:"pusher"`
	Sender     eventUser       `json:"sender"`
}

type eventCommit struct {
	ID        string      `json:"id"`
	TreeID    string      `json:"tree_id"`
	Distinct  bool        `json:"distinct"`
	Message   string      `json:"message"`
	Timestamp string      `json:"timestamp"`
	URL       string      `json:"url"`
	Author    eventPerson `json:"author"`
	Committer eventPerson `json:"committer"`
	Added     []string    `json:"added"`
	Removed   []string    `json:"removed"`
	Modified  []string    `json:"modified"`
}

type eventPerson struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Username string `json:"username,omitempty"`
}

type eventUser struct {
	Login string `json:"login"`
	ID    int64  `json:"id"`
	Type  string `json:"type"`
}

type eventRepository struct {
	ID            int64     `json:"id"`
	Name          string    `json:"name"`
	FullName      string    `json:"full_name"`
	Private       bool      `json:"private"`
	Owner         eventUser `json:"owner"`
	HTMLURL       string    `json:"html_url"`
	URL           string    `json:"url"`
	CloneURL      string    `json:"clone_url"`
	PushedAt      int64     `json:"pushed_at"` // Unix seconds, in this event alone
	DefaultBranch string    `json:"default_branch"`
	MasterBranch  string    `json:"master_branch"`
}

// event describes a change as GitHub does.
func (h *Host) event(ctx context.Context, r *repository, c change) (pushEvent, error) {
	event := pushEvent{
		Ref: c.ref, Before: c.before, After: c.after,
		Created: c.before == zero, Deleted: c.after == zero,
		Commits:    []eventCommit{},
		Repository: h.describe(r),
		Pusher:     eventPerson{Name: strings.ToLower(authorName), Email: authorEmail},
		Sender:     eventUser{Login: strings.ToLower(authorName), ID: 1, Type: "User"},
	}
	home := event.Repository.HTMLURL
	event.Compare = home + "/compare/" + short(c.before) + "..." + short(c.after)
	if event.Deleted {
		return event, nil
	}
	var err error
	if event.Created {
		event.Commits, err = r.newCommits(ctx, home, c)
	} else {
		if event.Forced, err = r.forced(ctx, c); err != nil {
			return pushEvent{}, err
		}
		event.Commits, err = r.commits(ctx, home, "--max-count="+strconv.Itoa(maxCommits), "--reverse", c.after, "^"+c.before)
	}
	if err != nil {
		return pushEvent{}, err
	}
	head, err := r.commits(ctx, home, "--max-count=1", c.after)
	if len(head) > 0 { // a tag may point to something that is no commit
		event.HeadCommit = &head[0]
	}
	return event, err
}

func (h *Host) describe(r *repository) eventRepository {
	owner, name, _ := strings.Cut(r.fullName, "/")
	home := h.URL() + "/" + r.fullName
	return eventRepository{
		ID: number(r.fullName), Name: name, FullName: r.fullName,
		Owner:   eventUser{Login: owner, ID: number(owner), Type: "Organization"},
		HTMLURL: home, URL: home, CloneURL: h.CloneURL(r.fullName),
		PushedAt: time.Now().Unix(), DefaultBranch: "main", MasterBranch: "main",
	}
}

// number is an ID that stays the same over restarts.
func number(name string) int64 {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(name))
	return int64(sum.Sum32())
}

// forced reports that the old commit is not part of the new history.
func (r *repository) forced(ctx context.Context, c change) (bool, error) {
	_, err := r.git.run(ctx, "merge-base", "--is-ancestor", c.before, c.after)
	var exit *exec.ExitError
	if errors.As(err, &exit) { // 1: it is not; 128: one of them is no commit, so a tag was moved
		return true, nil
	}
	return false, err
}

// newCommits of a ref that was created are those that no ref had before.
func (r *repository) newCommits(ctx context.Context, home string, c change) ([]eventCommit, error) {
	arguments := []string{"--max-count=" + strconv.Itoa(maxCommits), "--reverse", c.after}
	for ref, sha := range r.told {
		if ref != c.ref {
			arguments = append(arguments, "^"+sha)
		}
	}
	return r.commits(ctx, home, arguments...)
}

// commits reads commits as `git log` selects them. Fields are parted by NUL bytes, which neither
// a message nor a path can hold; 0x1e begins a commit where a NUL alone could not.
func (r *repository) commits(ctx context.Context, home string, selection ...string) ([]eventCommit, error) {
	arguments := []string{"log", "-z", "--name-status", "--no-renames", "--root",
		"--format=%x1e%H%x00%T%x00%aN%x00%aE%x00%cN%x00%cE%x00%cI%x00%B%x00"}
	output, err := r.git.feed(ctx, nil, append(append(arguments, selection...), "--")...)
	if err != nil {
		return nil, fmt.Errorf("read the commits of %s: %w", r.fullName, err)
	}
	commits := []eventCommit{}
	fields := bytes.Split(output, []byte{0})
	for at := 0; at+7 < len(fields); {
		id := strings.TrimLeft(string(fields[at]), "\n\x1e")
		text := func(i int) string { return strings.ToValidUTF8(string(fields[at+i]), "\uFFFD") }
		commit := eventCommit{
			ID: id, TreeID: text(1), Distinct: true, Message: strings.TrimRight(text(7), "\n"),
			Timestamp: text(6), URL: home + "/commit/" + id,
			Author: eventPerson{Name: text(2), Email: text(3)}, Committer: eventPerson{Name: text(4), Email: text(5)},
			Added: []string{}, Removed: []string{}, Modified: []string{},
		}
		for at += 8; at < len(fields) && !bytes.HasPrefix(fields[at], []byte{0x1e}); {
			at += commit.file(fields[at:])
		}
		commits = append(commits, commit)
	}
	return commits, nil
}

// file takes a status and a path, and answers with how many fields that were.
func (c *eventCommit) file(fields [][]byte) int {
	status := strings.TrimSpace(string(fields[0]))
	if status == "" || len(fields) < 2 {
		return 1
	}
	path := strings.ToValidUTF8(string(fields[1]), "\uFFFD")
	switch status[0] {
	case 'A':
		c.Added = append(c.Added, path)
	case 'D':
		c.Removed = append(c.Removed, path)
	default:
		c.Modified = append(c.Modified, path)
	}
	return 2
}

func short(sha string) string { return sha[:12] }
