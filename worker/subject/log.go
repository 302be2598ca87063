package subject

import (
	"context"
	"log/slog"
)

// workflowID is the key under which Temporal's SDK names a workflow.
const workflowID = "WorkflowID"

// The keys that are added.
const (
	run         = "run"
	pipeline    = "pipeline"
	environment = "environment"
	revision    = "revision"
)

// Handler adds to each line what it is about, unless the line says so itself.
func (s *Subjects) Handler(next slog.Handler) slog.Handler {
	return &handler{Handler: next, subjects: s}
}

type handler struct {
	slog.Handler
	subjects *Subjects
	given    []slog.Attr // of WithAttrs: what the SDK says of a workflow and of a step
}

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, record slog.Record) error {
	about, said := Of(ctx), map[string]bool{}
	look := func(attribute slog.Attr) bool {
		said[attribute.Key] = true
		if attribute.Key == workflowID && about == (Subject{}) {
			about = h.subjects.of(attribute.Value.String())
		}
		return true
	}
	for _, attribute := range h.given {
		look(attribute)
	}
	record.Attrs(look)

	record = record.Clone()
	for _, each := range []struct{ key, value string }{
		{run, about.Run}, {pipeline, about.Pipeline}, {environment, about.Environment}, {revision, about.Revision},
	} {
		if each.value != "" && !said[each.key] {
			record.AddAttrs(slog.String(each.key, each.value))
		}
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attributes), subjects: h.subjects, given: append(h.given[:len(h.given):len(h.given)], attributes...)}
}

// WithGroup implements slog.Handler. What is added is then part of the group.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{Handler: h.Handler.WithGroup(name), subjects: h.subjects, given: h.given}
}
