package workflows

import (
	"time"

	"gravity/activities"
	"gravity/internal/delivery"
)

func (s *pipelineSuite) TestNoTimerOutlivesWhatItWaitedFor() {
	var asked string
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		asked = in.Argument.(map[string]any)["id"].(string)
		return Receipt{}, nil
	}
	finish := func() {
		s.env.SignalWorkflow(FinishedSignal, delivery.Result{RequestID: asked, Outcome: delivery.OutcomeDeployed})
	}
	started, running := 0, map[string]bool{}
	s.env.SetOnTimerScheduledListener(func(id string, _ time.Duration) { started++; running[id] = true })
	s.env.SetOnTimerCanceledListener(func(id string) { delete(running, id) })
	s.env.RegisterDelayedCallback(finish, time.Minute)
	s.env.RegisterDelayedCallback(func() { s.env.SignalWorkflow(ApproveSignal, Answer{By: "ana"}) }, 2*time.Minute)
	s.env.RegisterDelayedCallback(func() {
		s.Equal(3, started, "two deployments and an approval were waited for")
		s.Len(running, 1, "one is still waited for")
		finish()
	}, 3*time.Minute)

	status, failure := s.run(gated(pipelineInput()))
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
}
