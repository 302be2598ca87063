package process

import (
	"gravity/activities"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/notice"
)

// Notices are the credentials by which receivers are told. What is empty is not told.
type Notices struct {
	// SlackToken is a bot's token with the scope chat:write.
	SlackToken string
	// SlackURL is Slack's API. Default: its own.
	SlackURL string
	// WebhookSecret signs what is sent to webhooks.
	WebhookSecret []byte
	// RunURL is where a run is seen.
	RunURL func(runID string) string
}

// telling puts the receivers together: one line for each kind.
func (o Options) telling(platform *beanstalk.Client) *activities.Telling {
	receivers := notice.Receivers{delivery.ToSNS: notice.NewSNS(o.AWS)}
	if o.GitHub != nil {
		receivers[delivery.ToGitHub] = &notice.GitHub{Client: o.GitHub}
	}
	if o.Notices.SlackToken != "" {
		receivers[delivery.ToSlack] = notice.NewSlack(o.Notices.SlackToken, o.Notices.SlackURL)
	}
	if len(o.Notices.WebhookSecret) > 0 {
		receivers[delivery.ToWebhook] = &notice.Webhook{Secret: o.Notices.WebhookSecret}
	}
	return &activities.Telling{Receivers: receivers, Addresses: platform, RunURL: o.Notices.RunURL}
}
