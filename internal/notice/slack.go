package notice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"gravity/internal/delivery"
)

// Slack tells a channel: one message a run, which is kept current, and a reply in its thread at each
// moment that asks for people.
type Slack struct{ api *slack.Client }

// NewSlack makes the receiver; url is Slack's API, "" its own.
func NewSlack(token, url string) *Slack {
	options := []slack.Option{slack.OptionHTTPClient(&http.Client{Timeout: 15 * time.Second})}
	if url != "" {
		options = append(options, slack.OptionAPIURL(strings.TrimSuffix(url, "/")+"/"))
	}
	return &Slack{slack.New(token, options...)}
}

// Tell implements Receiver. Slack knows no way to ask whether a message was posted, so one whose
// answer was lost can be there twice.
func (s *Slack) Tell(ctx context.Context, m Message, memory Memory) error {
	if memory["execution"] != m.Execution {
		clear(memory)
		memory["execution"] = m.Execution
	}
	text := slackText(m)
	if memory["ts"] == "" {
		_, ts, err := s.api.PostMessageContext(ctx, m.Target, slack.MsgOptionText(text, false), slack.MsgOptionDisableLinkUnfurl())
		if err != nil {
			return slackError(err)
		}
		memory["ts"], memory["text"], memory["moment"] = ts, text, m.Moment()
		return nil
	}
	if !memory.told("text", text) {
		if _, _, _, err := s.api.UpdateMessageContext(ctx, m.Target, memory["ts"], slack.MsgOptionText(text, false)); err != nil {
			return slackError(err)
		}
		memory["text"] = text
	}
	if moment := m.Moment(); !memory.told("moment", moment) {
		said := escape(m.Pipeline + ": " + m.Detail)
		if _, _, err := s.api.PostMessageContext(ctx, m.Target, slack.MsgOptionText(said, false), slack.MsgOptionTS(memory["ts"])); err != nil {
			return slackError(err)
		}
		memory["moment"] = moment
	}
	return nil
}

func slackText(m Message) string {
	head := escape(title(m.Notice))
	if m.URL != "" {
		head = fmt.Sprintf("<%s|%s>", m.URL, strings.NewReplacer("|", "/").Replace(head))
	}
	lines := []string{"*" + head + "*", escape(m.Revision.Message)}
	for _, stage := range m.Stages {
		lines = append(lines, fmt.Sprintf("• %s: %s. %s", escape(stage.Stage), state(m.Notice, stage), escape(detail(m.Notice, stage))))
	}
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return line == "" }), "\n")
}

// escape keeps a text from outside from becoming a link or a call to everybody.
func escape(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "*", "·").Replace(delivery.Clip(text, 500))
}

func slackError(err error) error {
	var limited *slack.RateLimitedError
	var answered slack.SlackErrorResponse
	var status slack.StatusCodeError
	switch {
	case errors.As(err, &limited):
		return &delivery.Error{Type: delivery.Throttled, Message: "Slack asks to wait", Err: err, RetryAfter: max(limited.RetryAfter, time.Second)}
	case errors.As(err, &answered) && slices.Contains([]string{"ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}, answered.Err):
		return delivery.Errorf(delivery.Unavailable, "tell Slack: %w", err)
	case errors.As(err, &answered):
		return delivery.GaveUp(delivery.AccessDenied, "tell Slack: %w; look at the channel's ID, at the token's scope chat:write, and whether the app is in the channel", err)
	case errors.As(err, &status) && status.Code < 500:
		return delivery.GaveUp(delivery.AccessDenied, "tell Slack: %w", err)
	default:
		return delivery.Errorf(delivery.Unavailable, "tell Slack: %w", err)
	}
}
