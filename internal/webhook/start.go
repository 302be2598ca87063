package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"gravity/internal/delivery"
)

// start starts runs, one for each pipeline. One that cannot be started does not keep the others from
// it: when the event is delivered again, they are found and only the missing one starts.
func (r *Receiver) start(ctx context.Context, starts []Start) Answer {
	answer := Answer{Status: StatusExisting, code: http.StatusAccepted}
	var failures []error
	for _, start := range starts {
		started, err := r.Start(ctx, start)
		if err != nil {
			failures = append(failures, fmt.Errorf("pipeline %s: %w", start.Pipeline.Name, err))
			continue
		}
		answer.Runs = append(answer.Runs, r.seen(start.Pipeline.Name, started))
		if !started.Existing {
			answer.Status = StatusStarted
		}
	}
	if answer.Status == StatusExisting {
		answer.Reason = "the revision has its run already; `starter deploy` with --again runs it once more"
	}
	if len(failures) > 0 {
		answer.Status, answer.err = StatusError, errors.Join(failures...)
		answer.code, answer.Reason = verdict(failures)
	}
	return answer
}

func (r *Receiver) seen(pipeline string, started Started) Run {
	run := Run{Pipeline: pipeline, Run: started.RunID}
	if r.RunURL != nil {
		run.URL = r.RunURL(started.RunID)
	}
	return run
}

// hand gives on an event that takes a question back to GitHub. The answer does not wait for it.
func (r *Receiver) hand(ctx context.Context, event delivery.GitHubEvent) Answer {
	started, err := r.Hand(ctx, event)
	if err != nil {
		answer := Answer{Status: StatusError, err: err}
		answer.code, answer.Reason = verdict([]error{err})
		return answer
	}
	answer := Answer{Status: StatusAccepted, code: http.StatusAccepted, Runs: []Run{r.seen("", started)}}
	if started.Existing {
		answer.Status, answer.Reason = StatusExisting, "this was delivered before, and is handled once"
	}
	return answer
}

// verdict is the status code and the public reason of what could not be started. The reason
// names no inner address or credential: only what carries a type was written for people.
func verdict(failures []error) (code int, reason string) {
	code = http.StatusInternalServerError
	var reasons []string
	for _, failure := range failures {
		var typed *delivery.Error
		isTyped := errors.As(failure, &typed)
		switch {
		case isTyped && typed.Type.Retryable(), errors.Is(failure, context.DeadlineExceeded):
			code = http.StatusServiceUnavailable
			reasons = append(reasons, "a run cannot be started at the moment; deliver it again")
		case isTyped:
			reasons = append(reasons, typed.Message)
		default:
			reasons = append(reasons, "a run could not be started; the receiver's log says why")
		}
	}
	return code, strings.Join(reasons, "; ")
}
