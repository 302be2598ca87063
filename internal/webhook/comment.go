package webhook

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"gravity/internal/delivery"
)

// maxCommandAge is how old a command may be. Somebody who said "approve" yesterday looked at yesterday's run.
const maxCommandAge = time.Hour

// comment is the part of GitHub's issue_comment payload that decides something.
type comment struct {
	Action     string     `json:"action"`
	Repository repository `json:"repository"`
	Issue      struct {
		Number      int       `json:"number"`
		PullRequest *struct{} `json:"pull_request"`
	} `json:"issue"`
	Comment struct {
		ID        int64  `json:"id"`
		Body      string `json:"body"`
		CreatedAt moment `json:"created_at"`
		User      user   `json:"user"`
	} `json:"comment"`
}

func (e comment) about() (repository, ref string) {
	return e.Repository.name(), fmt.Sprintf("#%d", e.Issue.Number)
}
func (e comment) at() time.Time { return e.Comment.CreatedAt.Time }

// comment hands on a command. Whether who wrote it may give it is asked at GitHub, when it is carried out.
func (r *Receiver) comment(ctx context.Context, e comment) Answer {
	command, ok := parseCommand(e.Comment.Body)
	switch {
	case e.Action != "created":
		return ignored("only a new comment can be a command; write another one")
	case !ok:
		return ignored("the comment is no command")
	case e.Comment.User.bot():
		return ignored("bots command nothing")
	case e.Issue.Number <= 0 || e.Comment.ID <= 0 || e.Comment.User.Login == "" || e.at().IsZero():
		return refused(http.StatusBadRequest, "the comment lacks its number, its author or its time")
	case r.now().Sub(e.at()) > maxCommandAge:
		return refused(http.StatusGone, "the command is over an hour old; write another one")
	}
	pipelines, none := r.serving(e.Repository, "")
	if none != nil {
		return *none
	}
	command.ID, command.Number, command.PullRequest = e.Comment.ID, e.Issue.Number, e.Issue.PullRequest != nil
	command.Login = delivery.Clip(e.Comment.User.Login, 100)
	return r.hand(ctx, delivery.GitHubEvent{
		ID: fmt.Sprintf("comment/%d", e.Comment.ID), Kind: delivery.EventCommand, Repository: e.Repository.CloneURL,
		Pipelines: pipelines, At: e.at(), Command: &command,
	})
}

var commandForm = regexp.MustCompile(`^/(deploy|approve|abort|rollback)(?:[ \t]+(.*))?$`)

// parseCommand reads the first line of a comment. deploy and rollback name a stage or environment first.
func parseCommand(body string) (delivery.Comment, bool) {
	line, _, _ := strings.Cut(strings.TrimLeft(body, " \t\r\n"), "\n")
	found := commandForm.FindStringSubmatch(strings.TrimRight(line, " \t\r"))
	if found == nil {
		return delivery.Comment{}, false
	}
	command := delivery.Comment{Verb: found[1], Text: strings.TrimSpace(found[2])}
	if command.Verb == "deploy" || command.Verb == "rollback" {
		command.Target, command.Text, _ = strings.Cut(command.Text, " ")
		if command.Target == "" {
			return delivery.Comment{}, false
		}
	}
	command.Target, command.Text = delivery.Clip(command.Target, 100), delivery.Clip(strings.TrimSpace(command.Text), 500)
	return command, true
}
