package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/internal/local/git"
	"gravity/workflows"
)

// Whatever the strategy does on its own, the environment ends on a version that is proven there.
func TestEveryStrategyEndsOnAVersionThatIsProven(t *testing.T) {
	for _, strategy := range delivery.Strategies() {
		t.Run(string(strategy), func(t *testing.T) {
			w := newWorld(t, func(o *stackOptions) {
				slowly(o)
				o.Platform.Step = 300 * time.Millisecond // in-place updates boot nothing
				oneStage := siteConfig[:strings.Index(siteConfig, "      - name: production")]
				config := oneStage + "        strategy: " + string(strategy) + "\n"
				require.NoError(t, os.WriteFile(filepath.Join(o.Site, "gravity.yaml"), []byte(config), 0o644))
			})
			head, err := w.working.Head(t.Context())
			require.NoError(t, err)
			first, err := startRun(t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
			require.NoError(t, err)
			require.Equal(t, workflows.StateSucceeded, w.ended(first.RunID).State)

			good := w.ended(w.push("a good change", goodChange))
			require.Equal(t, workflows.StateSucceeded, good.State, good.Detail)
			w.provenOn(good.Version)

			ill := w.ended(w.push("a change that fails its health check", untestedChange))
			require.Equal(t, workflows.StateFailed, ill.State, ill.Detail)
			require.Equal(t, good.Version, ill.Stages[0].LeftOn, ill.Detail)
			w.provenOn(good.Version)

			w.stall()
			aborts := w.platform.Calls()["AbortEnvironmentUpdate"]
			runID := w.push("a change of mind", func(g *git.Working) error {
				return g.Replace("Procfile", "--page indx.html", "--page index.html")
			})
			w.eventually("the update is under way", func() bool { return w.observe("site-staging").Status == "Updating" })
			require.NoError(t, w.client.SignalWorkflow(t.Context(), runID, "", workflows.AbortSignal, workflows.Answer{By: "ana"}))
			w.eventually("the deployment is taken back", func() bool {
				if strategy == delivery.BlueGreen { // a swap cannot be aborted
					return w.phase(4) == workflows.PhaseRollback
				}
				return w.platform.Calls()["AbortEnvironmentUpdate"] > aborts
			})
			w.goOn()
			aborted := w.ended(runID)
			require.Equal(t, workflows.StateAborted, aborted.State, aborted.Detail)
			w.provenOn(good.Version)
		})
	}
}

// provenOn checks by the platform's own word what a deployment claims to have proven.
func (w *world) provenOn(version string) {
	w.t.Helper()
	observed := w.observe("site-staging")
	require.True(w.t, observed.Ready())
	require.Equal(w.t, version, observed.VersionLabel)
	require.Len(w.t, observed.Instances, 2)
	for _, instance := range observed.Instances {
		require.Equal(w.t, version, instance.VersionLabel)
		require.Equal(w.t, "Deployed", instance.Deployment)
		require.Contains(w.t, []string{"Ok", "Info"}, instance.HealthStatus)
	}
}
