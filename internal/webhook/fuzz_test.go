package webhook

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// FuzzReceiver holds its promises for any body of any event: the receiver answers with JSON and one of its
// own codes; what it starts is a stage of a configured repository at a full hash; what it hands on is
// bounded; and what is not signed does nothing.
func FuzzReceiver(f *testing.F) {
	for event := range handlers {
		body := sample(f, event+".json", nil)
		f.Add(body, event, "application/json", true)
		f.Add(body, event, "application/json", false)
		f.Add(append([]byte("payload="), body...), event, "application/x-www-form-urlencoded", true)
	}
	f.Add([]byte(`{"ref":"refs/heads/main","after":"`+sha+`","repository":{"clone_url":"https://github.com/octocat/other"}}`), "push", "application/json", true)
	f.Fuzz(func(t *testing.T, body []byte, event, contentType string, signed bool) {
		receiver := eager(&runs{})
		receiver.Start = func(_ context.Context, start Start) (Started, error) {
			require.True(t, signed)
			require.Contains(t, []string{"push", "deployment", "check_run"}, event)
			r := start.Revision
			require.Regexp(t, `^([0-9a-f]{40}|[0-9a-f]{64})$`, r.SHA)
			if event != "check_run" { // its ref is that of the run of before
				require.NotEmpty(t, start.Pipeline.Reached(r.Ref, start.Until))
			}
			require.LessOrEqual(t, len(r.Message), delivery.MaxMessageLength)
			require.LessOrEqual(t, len(r.Author), delivery.MaxMessageLength)
			require.LessOrEqual(t, len(r.Ref), 1100)
			return Started{RunID: delivery.RunID(start.Pipeline.Name, r.SHA)}, nil
		}
		receiver.Hand = func(_ context.Context, handed delivery.GitHubEvent) (Started, error) {
			require.True(t, signed)
			require.Regexp(t, `^[a-z-]+/[0-9/-]+$`, handed.ID)
			require.NotEmpty(t, handed.Pipelines)
			if command := handed.Command; command != nil {
				require.Contains(t, []string{"deploy", "approve", "abort", "rollback"}, command.Verb)
				require.LessOrEqual(t, len(command.Text)+len(command.Target)+len(command.Login), 700)
			}
			return Started{RunID: delivery.EventID(handed)}, nil
		}
		r := request("push", body)
		r.Header["X-Github-Event"] = []string{event}
		r.Header["Content-Type"] = []string{contentType}
		if !signed {
			r.Header.Set("X-Hub-Signature-256", Sign([]byte("x"), body))
		}
		code, answer := send(t, receiver, r)
		require.Contains(t, []int{
			http.StatusOK, http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized, http.StatusGone, http.StatusUnsupportedMediaType,
		}, code)
		require.NotEmpty(t, answer.Status)
		if !signed {
			require.Equal(t, http.StatusUnauthorized, code)
		}
	})
}
