package webhook

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// FuzzReceiver holds two promises for any body: the receiver answers with JSON and one of its own
// codes, and what it starts is a branch of a configured repository at a full hash.
func FuzzReceiver(f *testing.F) {
	f.Add(sample(f, "push.json", nil), "push", true)
	f.Add(sample(f, "push.json", nil), "push", false)
	f.Add(sample(f, "ping.json", nil), "ping", true)
	f.Add([]byte(`{"ref":"refs/heads/main","after":"`+sha+`","repository":{"clone_url":"https://github.com/octocat/other"}}`), "push", true)
	f.Fuzz(func(t *testing.T, body []byte, event string, signed bool) {
		receiver := receiver(&runs{})
		receiver.Start = func(_ context.Context, p delivery.Pipeline, r delivery.Revision, _ string) (Started, error) {
			require.True(t, signed)
			require.Equal(t, "push", event)
			require.Regexp(t, `^([0-9a-f]{40}|[0-9a-f]{64})$`, r.SHA)
			require.NotEmpty(t, p.StagesFor(r.Branch()))
			require.LessOrEqual(t, len(r.Message), delivery.MaxMessageLength)
			require.LessOrEqual(t, len(r.Author), delivery.MaxMessageLength)
			return Started{RunID: delivery.RunID(p.Name, r.SHA)}, nil
		}
		r := request("push", body)
		r.Header["X-Github-Event"] = []string{event}
		if !signed {
			r.Header.Set("X-Hub-Signature-256", Sign([]byte("x"), body))
		}
		code, answer := send(t, receiver, r)
		require.Contains(t, []int{http.StatusOK, http.StatusAccepted, http.StatusBadRequest, http.StatusUnauthorized}, code)
		require.NotEmpty(t, answer.Status)
		if !signed {
			require.Equal(t, http.StatusUnauthorized, code)
		}
	})
}
