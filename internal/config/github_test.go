package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestTheKeysForGitHubAreReadAndSaidInWords(t *testing.T) {
	file := parsed(t, "        tags: [v*]\n        requests: [feature/*]\n", `    trigger: {on: [checks, release], checks: [unit, lint], paths: [shop/**, "!**/*.md"], skip: ["#hold"], bots: ignore}
    notify:
      - to: github
      - {to: slack, target: C024BE91L, on: [failed]}
      - {to: webhook, target: "https://hooks.example.com/gravity"}
      - {to: sns, target: "arn:aws:sns:eu-central-1:123456789012:releases.fifo"}
`)
	pipeline := file.Pipelines[0]
	require.Equal(t, delivery.Trigger{
		On: []string{"checks", "release"}, Checks: []string{"unit", "lint"}, Paths: []string{"shop/**", "!**/*.md"},
		Skip: []string{"#hold"}, Bots: delivery.BotsIgnore,
	}, pipeline.Trigger)
	require.Equal(t, []delivery.Receiver{
		{To: "github"}, {To: "slack", Target: "C024BE91L", On: []string{"failed"}},
		{To: "webhook", Target: "https://hooks.example.com/gravity", On: []string{"waiting", "succeeded", "failed"}},
		{To: "sns", Target: "arn:aws:sns:eu-central-1:123456789012:releases.fifo", On: []string{"waiting", "succeeded", "failed"}},
	}, pipeline.Notify)
	require.Empty(t, pipeline.Stages[0].Branches, "a stage for tags takes no branches by itself")
	var words strings.Builder
	file.Explain(&words)
	for _, sentence := range []string{
		"a tag like v* goes to staging", "a branch like feature/* goes to staging when somebody", "a push alone starts nothing: checks or release does",
		"it starts when green: unit and lint", "a push that changes nothing like shop/**, !**/*.md does nothing", "a bot's push does nothing",
		"whose message says #hold", "GitHub is told of every change", "slack C024BE91L is told of: failed",
	} {
		require.Contains(t, words.String(), sentence)
	}
}

func TestWrongKeysForGitHubAreToldWhatIsRight(t *testing.T) {
	for text, want := range map[string]string{
		"    trigger: {on: [pushes]}\n":                                    `"push"`,
		"    trigger: {paths: [\"a[\"]}\n":                                 "is no pattern",
		"    trigger: {paths: [/docs/**]}\n":                               "write docs/**",
		"    trigger: {skip: [\" \"]}\n":                                   "1 to 200 characters",
		"    trigger: {bots: never}\n":                                     "bots",
		"    notify: [{to: mail}]\n":                                       "mail",
		"    notify: [{target: C024BE91L}]\n":                              `"to"`,
		"    notify: [{to: github, target: x}]\n":                          "github takes no",
		"    notify: [{to: slack, target: \"#deploys\"}]\n":                "C024BE91L",
		"    notify: [{to: slack}]\n":                                      "slack needs",
		"    notify: [{to: sns, target: releases}]\n":                      "the ARN of a topic",
		"    notify: [{to: webhook, target: \"http://example.com\"}]\n":    "https://",
		"    notify: [{to: webhook, target: \"https://a:b@e.com/\"}]\n":    "without credentials",
		"    notify: [{to: slack, target: C024BE91L, on: [everything]}]\n": "everything",
	} {
		_, err := Parse("gravity.yaml", []byte(minimal("", text)))
		require.ErrorContains(t, err, want, text)
	}
}
