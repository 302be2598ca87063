package config

import (
	"net/url"
	"regexp"

	"gravity/internal/delivery"
)

var (
	channelPattern = regexp.MustCompile(`^[CGD][A-Z0-9]{6,20}$`)
	topicPattern   = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$`)
)

// checkReceiver finds what is wrong with where a receiver is said to be, or "".
func checkReceiver(r delivery.Receiver) string {
	switch r.To {
	case delivery.ToGitHub:
		if r.Target != "" || len(r.On) > 0 {
			return `github takes no "target" and no "on": it is told of every change, at the commit`
		}
	case delivery.ToSlack:
		if !channelPattern.MatchString(r.Target) {
			return `slack needs the ID of a channel as "target", such as C024BE91L; Slack shows it at the end of the channel's details`
		}
	case delivery.ToSNS:
		if !topicPattern.MatchString(r.Target) {
			return `sns needs the ARN of a topic as "target", such as arn:aws:sns:eu-central-1:123456789012:releases`
		}
	case delivery.ToWebhook:
		parsed, err := url.Parse(r.Target)
		if err != nil || parsed.Host == "" || parsed.User != nil || !private(parsed) {
			return `webhook needs an https:// address as "target", without credentials: what is sent is signed`
		}
	}
	return ""
}

// private reports whether nobody on the way can read or change what is sent to an address.
func private(address *url.URL) bool {
	return address.Scheme == "https" || address.Scheme == "http" && onThisMachine(address.Hostname())
}
