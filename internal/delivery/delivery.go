// Package delivery holds the words of Gravity as plain Go types: pipelines, revisions, versions,
// stages, deployments, and the errors that decide what is retried. Every other package speaks in
// them. It imports the standard library only, does no I/O, and its values are what workflows store:
// a field, once released, keeps its meaning forever.
package delivery

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Revision is one commit of a repository.
type Revision struct {
	// SHA is the full, lower-case commit hash.
	SHA string `json:"sha"`
	// Ref is the full name it was pushed to, such as refs/heads/main.
	Ref string `json:"ref,omitempty"`
	// Author is the name of who wrote the commit; it comes from outside and is only ever displayed.
	Author string `json:"author,omitempty"`
	// People are the logins and addresses of those who had a hand in the revision: author, committer,
	// and who pushed it. A four-eyes gate takes no approval from them.
	People []string `json:"people,omitempty"`
	// Message is the first line of the commit message, at most MaxMessageLength bytes.
	Message string `json:"message,omitempty"`
	// CommittedAt is the committer's time, part of the version label. Zero until the checkout read it.
	CommittedAt time.Time `json:"committedAt,omitzero"`
}

// MaxMessageLength bounds the commit message that travels through workflow histories.
const MaxMessageLength = 200

// Short is the abbreviated hash that people read: 12 digits, unique in any repository of real size.
func (r Revision) Short() string {
	if len(r.SHA) > 12 {
		return r.SHA[:12]
	}
	return r.SHA
}

// Branch is the branch name of Ref, or "" when Ref is not a branch.
func (r Revision) Branch() string {
	if branch, ok := strings.CutPrefix(r.Ref, "refs/heads/"); ok {
		return branch
	}
	return ""
}

// Involves reports whether somebody had a hand in the revision, as far as is known. Case makes no difference, and
// neither does whether a login or the address of that login is given.
func (r Revision) Involves(login string) bool {
	for _, person := range append([]string{r.Author}, r.People...) {
		if person != "" && (strings.EqualFold(person, login) || strings.EqualFold(localPart(person), localPart(login))) {
			return true
		}
	}
	return false
}

// maxPeople and maxPerson bound what a revision keeps of them, in names and bytes a name.
const (
	maxPeople = 8
	maxPerson = 100
)

// People lists logins and addresses, each once, without those that are empty.
func People(known ...string) []string {
	var people []string
	for _, person := range known {
		person = Clip(strings.TrimSpace(person), maxPerson)
		same := func(other string) bool { return strings.EqualFold(other, person) }
		if person != "" && len(people) < maxPeople && !slices.ContainsFunc(people, same) {
			people = append(people, person)
		}
	}
	return people
}

// localPart is the login in an address: ana of ana@example.com, and of GitHub's own
// 1234+ana@users.noreply.github.com.
func localPart(address string) string {
	local, _, isAddress := strings.Cut(address, "@")
	if _, login, numbered := strings.Cut(local, "+"); isAddress && numbered && strings.HasSuffix(address, "@users.noreply.github.com") {
		return login
	}
	return local
}

// FirstLine cuts a commit message down to what Revision.Message holds.
func FirstLine(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	return Clip(strings.TrimSpace(line), MaxMessageLength)
}

// Clip shortens a text from outside to limit bytes of valid UTF-8, with an ellipsis where it cut.
func Clip(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit-len("…")], "") + "…"
	}
	return text
}

// Version is an immutable source bundle and the Beanstalk application version that points to it.
// It is made once per revision and used by every stage.
type Version struct {
	Application string   `json:"application"`
	Label       string   `json:"label"`
	Bucket      string   `json:"bucket,omitempty"`
	Key         string   `json:"key,omitempty"`
	Digest      string   `json:"digest,omitempty"` // SHA-256 of the bundle, hexadecimal
	Size        int64    `json:"size,omitempty"`   // bytes
	Revision    Revision `json:"revision,omitzero"`
}

// VersionLabel names the version of a revision: pipeline, commit time, short hash. The same
// revision always has the same label, so registering it twice finds the first; and labels of one
// pipeline sort by age in the Beanstalk console. Beanstalk allows 100 characters.
func VersionLabel(pipeline string, revision Revision) string {
	return fmt.Sprintf("%s-%s-%s", pipeline, revision.CommittedAt.UTC().Format("20060102T150405Z"), revision.Short())
}

// RunID is the workflow ID of the run of a revision through a pipeline. Because it names the
// revision and nothing else, a webhook delivered five times starts one run.
func RunID(pipeline, sha string) string { return "run/" + pipeline + "/" + sha }

// EnvironmentID is the workflow ID of the entity workflow that owns a Beanstalk environment.
func EnvironmentID(application, environment string) string {
	return "environment/" + application + "/" + environment
}

// EnvironmentName names a Beanstalk environment and its application.
type EnvironmentName struct {
	Application string `json:"application"`
	Environment string `json:"environment"`
}

// DeploymentID is the workflow ID of the number-th deployment on an environment.
func DeploymentID(application, environment string, number int) string {
	return fmt.Sprintf("deployment/%s/%s/%d", application, environment, number)
}
