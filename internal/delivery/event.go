package delivery

import (
	"encoding/json"
	"time"
)

// EventKind is what happened at GitHub.
type EventKind string

const (
	// EventCommand is a comment that asks for something.
	EventCommand EventKind = "command"
	// EventChecks is a check or workflow that became green; whether all of them are has to be asked.
	EventChecks EventKind = "checks"
	// EventRelease is a release; which commit its tag stands for has to be asked.
	EventRelease EventKind = "release"
)

// GitHubEvent is something at GitHub that takes a question back to GitHub before anything may happen: who
// may command, whether all is green, what a tag stands for.
type GitHubEvent struct {
	// ID names what happened, such as comment/987: it is handled once, however often it is delivered.
	ID   string    `json:"id"`
	Kind EventKind `json:"kind"`
	// Repository is the clone URL.
	Repository string `json:"repository"`
	// Pipelines are those of the repository that it concerns, with their rules as they were then.
	Pipelines []Pipeline `json:"pipelines"`
	At        time.Time  `json:"at"`
	// Revision is what it is about, as far as the event says.
	Revision Revision `json:"revision,omitzero"`
	// Command is set for an EventCommand.
	Command *Comment `json:"command,omitempty"`
}

// Comment is a comment that asks for something.
type Comment struct {
	// ID is GitHub's number of the comment, Number that of the issue or pull request under which it stands.
	ID     int64 `json:"id"`
	Number int   `json:"number"`
	// PullRequest is false under an issue.
	PullRequest bool   `json:"pullRequest"`
	Login       string `json:"login"`
	// Verb is deploy, approve, abort or rollback.
	Verb string `json:"verb"`
	// Target is the stage or environment that it names, Text what else stands on the line.
	Target string `json:"target,omitempty"`
	Text   string `json:"text,omitempty"`
}

// EventID is the workflow ID under which an event is handled.
func EventID(event GitHubEvent) string { return "github/" + event.ID }

// ownPayload is the payload of the deployments that Gravity creates at GitHub.
type ownPayload struct {
	// Gravity is the passage of a revision that it tells of.
	Gravity string `json:"gravity"`
}

// OwnDeployment is the payload by which a deployment at GitHub is known as Gravity's own.
func OwnDeployment(passage string) any { return ownPayload{Gravity: passage} }

// IsOwnDeployment reports whether a deployment's payload is one of OwnDeployment.
func IsOwnDeployment(payload []byte) bool { return ownPassage(payload) != "" }

// IsOwnDeploymentOf reports whether a deployment's payload is the one of a passage.
func IsOwnDeploymentOf(payload []byte, passage string) bool {
	return passage != "" && ownPassage(payload) == passage
}

// ownPassage reads a payload. GitHub gives it back as an object, or as a text that holds one.
func ownPassage(payload []byte) string {
	var own ownPayload
	if json.Unmarshal(payload, &own) == nil {
		return own.Gravity
	}
	var text string
	if json.Unmarshal(payload, &text) != nil || json.Unmarshal([]byte(text), &own) != nil {
		return ""
	}
	return own.Gravity
}
