package main

import (
	"flag"
	"fmt"
	"net/url"
	"strings"

	"gravity/worker/process"
)

// noticeSettings say how receivers are told.
type noticeSettings struct {
	slackTokenFile string
	secretFile     string
	webUI          string
}

func (s *noticeSettings) flags(flags *flag.FlagSet) {
	flags.StringVar(&s.slackTokenFile, "slack-token-file", "", "")
	flags.StringVar(&s.secretFile, "notify-secret-file", "", "")
	flags.StringVar(&s.webUI, "web-ui", "", "")
}

// read reads the credentials; runs are those of a namespace.
func (s *noticeSettings) read(namespace string) (process.Notices, error) {
	var notices process.Notices
	if s.slackTokenFile != "" {
		token, err := tokenFrom(s.slackTokenFile, "Slack token")
		if err != nil {
			return notices, err
		}
		notices.SlackToken = token
	}
	if s.secretFile != "" {
		secret, err := tokenFrom(s.secretFile, "secret for notices")
		if err != nil {
			return notices, err
		}
		notices.WebhookSecret = []byte(secret)
	}
	if s.webUI == "" {
		return notices, nil
	}
	ui, err := url.Parse(s.webUI)
	if err != nil || ui.Host == "" || ui.User != nil {
		return notices, fmt.Errorf("--web-ui is %q: it is an address like https://temporal.example.com", s.webUI)
	}
	notices.RunURL = func(runID string) string {
		return strings.TrimSuffix(s.webUI, "/") + "/namespaces/" + url.PathEscape(namespace) + "/workflows/" + url.PathEscape(runID)
	}
	return notices, nil
}
