package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
)

func TestTroubleWithTemporalSaysWhatToDo(t *testing.T) {
	g := newGlobals(nil, nil)
	g.where, g.namespace = "temporal:7233", "team"
	inner := temporal.NewApplicationError("web is frozen already", string(delivery.EnvironmentFrozen))
	denied := serviceerror.NewPermissionDenied("no", "")
	for says, err := range map[string]error{
		"does not allow it: look at TEMPORAL_API_KEY":                   temporal.NewApplicationErrorWithCause("asking: no", string(delivery.Unavailable), denied),
		"freezing: web is frozen already":                               temporal.NewApplicationErrorWithCause("asking: "+inner.Error(), "EnvironmentFrozen", inner),
		"freezing: no worker answers; start one with `go run ./worker`": fmt.Errorf("asking: %w", context.DeadlineExceeded),
		"Temporal at temporal:7233 does not answer":                     serviceerror.NewUnavailable("away"),
		"has no namespace team: create it, or set TEMPORAL_NAMESPACE":   serviceerror.NewNamespaceNotFound("team"),
		"Temporal at temporal:7233 does not allow it":                   denied,
		"`starter status` lists what there is":                          serviceerror.NewNotFound("gone"),
		"freezing: odd":                                                 errors.New("odd"),
	} {
		assert.ErrorContains(t, g.explain(err, "freezing"), says)
	}
	assert.NotContains(t, g.explain(temporal.NewApplicationErrorWithCause("asking: "+inner.Error(), "x", inner), "freezing").Error(), "retryable",
		"a refusal is shown in its own words")
	assert.ErrorContains(t, g.explainAsked(context.DeadlineExceeded, "freezing"), "it may still take effect")
	assert.ErrorContains(t, g.explainAsked(serviceerror.NewUnavailable("away"), "freezing"), "does not answer")
	assert.NoError(t, g.explain(nil, "freezing"))
}

func TestTheExitCodeTellsAFailedReleaseFromWrongUse(t *testing.T) {
	for want, errs := range map[int][]error{
		exitSuccess:     {nil},
		exitFailed:      {&failedRelease{"it failed"}, fmt.Errorf("watching: %w", &failedRelease{"it failed"})},
		exitUsage:       {wrongUse("no"), delivery.Errorf(delivery.Unavailable, "away"), errors.New("odd")},
		exitInterrupted: {errInterrupted, context.Canceled},
	} {
		for _, err := range errs {
			var stderr bytes.Buffer
			assert.Equal(t, want, newGlobals(nil, &stderr).report(err), "%v", err)
			assert.Equal(t, err == nil, stderr.Len() == 0)
		}
	}
	var stderr bytes.Buffer
	newGlobals(nil, &stderr).report(errors.New("first \x1b[2Jline\nsecond\x07"))
	assert.Equal(t, "starter: first line\nsecond\n", stderr.String(), "nothing in an error moves the cursor")
}
