package webhook

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/google/go-github/v60/github"
	"go.opentelemetry.io/otel/trace"
)

// delivered is what the log says of a request.
type delivered struct {
	id, event, repository, ref string
	signed                     bool
}

func newDelivery(request *http.Request) delivered {
	return delivered{id: bounded(github.DeliveryID(request)), event: bounded(github.WebHookType(request))}
}

// log writes one line, and nothing of the body that is not needed to find the event again.
func (r *Receiver) log(ctx context.Context, delivered delivered, answer Answer) {
	if r.Log == nil {
		return
	}
	level := slog.LevelInfo
	if answer.Status == StatusError {
		level = slog.LevelWarn
	}
	runs := make([]string, len(answer.Runs))
	for i, run := range answer.Runs {
		runs[i] = run.Run
	}
	attributes := []slog.Attr{
		slog.String("request", RequestID(ctx)),
		slog.String("delivery", delivered.id), slog.String("event", delivered.event), slog.Bool("signed", delivered.signed),
		slog.String("repository", bounded(delivered.repository)), slog.String("ref", bounded(delivered.ref)),
		slog.String("outcome", string(answer.Status)), slog.String("reason", answer.Reason),
		slog.Any("runs", runs), slog.Int("code", answer.code),
	}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		attributes = append(attributes, slog.String("trace", span.TraceID().String()))
	}
	if answer.err != nil {
		attributes = append(attributes, slog.Any("error", answer.err))
	}
	r.Log.LogAttrs(ctx, level, "webhook", attributes...)
}

// bounded keeps a text from outside from filling the log.
func bounded(text string) string {
	const most = 200
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
