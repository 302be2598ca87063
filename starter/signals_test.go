package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/local/temporal"
	"gravity/workflows"
)

// Whoever has Temporal's own command line, or its web UI, which sends the same, needs none of ours.
func TestARunObeysSignalsOfTemporalsOwnCommandLine(t *testing.T) {
	w := newWorld(t, nil)
	w.release()
	binary, err := temporal.Binary(t.Context(), nil)
	require.NoError(t, err)
	for _, c := range []struct {
		signal string
		input  []string
		state  workflows.RunState
		reason string
	}{
		{workflows.RejectSignal, []string{"--input", `"not on a Friday"`}, workflows.StateRejected, "not on a Friday"},
		{workflows.AbortSignal, []string{"--input", `{"by": "ana", "reason": "wrong day"}`}, workflows.StateAborted, "wrong day"},
		{workflows.ApproveSignal, nil, workflows.StateSucceeded, ""},
	} {
		runID := w.push("a change for "+c.signal, goodChange)
		w.reaches(runID, workflows.StateWaiting)
		arguments := append([]string{"workflow", "signal", "--address", w.temporal.Address(), "--workflow-id", runID, "--name", c.signal}, c.input...)
		output, err := exec.CommandContext(t.Context(), binary, arguments...).CombinedOutput()
		require.NoError(t, err, string(output))
		status := w.ended(runID)
		require.Equal(t, c.state, status.State, status.Detail)
		require.Equal(t, c.signal, status.Answers[0].Verb)
		require.Equal(t, c.reason, status.Answers[0].Reason)
	}
}
