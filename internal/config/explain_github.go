package config

import (
	"fmt"
	"slices"
	"strings"

	"gravity/internal/delivery"
)

// atGitHub says what else starts a run, what is left out, and who is told.
func atGitHub(pipeline delivery.Pipeline) []string {
	var said []string
	for _, stage := range pipeline.Stages {
		if len(stage.Tags) > 0 {
			said = append(said, fmt.Sprintf("a tag like %s goes to %s", strings.Join(stage.Tags, " or "), stage.Name))
		}
		if len(stage.Requests) > 0 {
			said = append(said, fmt.Sprintf("a branch like %s goes to %s when somebody who may write to the repository asks for it", strings.Join(stage.Requests, " or "), stage.Name))
		}
	}
	if !pipeline.Starts(delivery.OnPush) {
		said = append(said, "a push alone starts nothing: "+strings.Join(pipeline.Trigger.On, " or ")+" does")
	}
	if pipeline.Starts(delivery.OnChecks) {
		checks := "all checks that the commit has"
		if len(pipeline.Trigger.Checks) > 0 {
			checks = strings.Join(pipeline.Trigger.Checks, " and ")
		}
		said = append(said, "it starts when green: "+checks)
	}
	if len(pipeline.Trigger.Paths) > 0 {
		said = append(said, "a push that changes nothing like "+strings.Join(pipeline.Trigger.Paths, ", ")+" does nothing")
	}
	if pipeline.Trigger.Bots == delivery.BotsIgnore {
		said = append(said, "a bot's push does nothing")
	}
	if !slices.Equal(pipeline.Trigger.Skip, delivery.DefaultSkip) {
		said = append(said, "a commit whose message says "+strings.Join(pipeline.Trigger.Skip, " or ")+" does nothing")
	}
	for _, receiver := range pipeline.Notify {
		if receiver.To == delivery.ToGitHub {
			said = append(said, "GitHub is told of every change, at the commit")
		} else {
			said = append(said, fmt.Sprintf("%s %s is told of: %s", receiver.To, receiver.Target, strings.Join(receiver.On, ", ")))
		}
	}
	for i := range said {
		said[i] = oneLine(said[i])
	}
	return said
}
