package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// condition is one thing, beside people's approval, that a gate can ask for. It blocks until that holds,
// and reports whether it had to; past until it fails as Rejected. A stage that does not ask for it
// costs no event.
type condition func(ctx workflow.Context, at *stop, until time.Time) (waited bool, err error)

// conditions are asked for in this order: the cheap and the slow ones first, those that can change
// again last.
var conditions = []condition{rested, checksGreen, alarmsQuiet, windowOpen}

// stop is a run that stands at the gate of one of its stages.
type stop struct {
	run      *run
	number   int
	stage    delivery.Stage
	status   *StageStatus
	startsBy time.Time
}

// passGate waits until the stage's gate is open: first for people, then for everything else at the
// same time. It answers with when it closes again; zero: it does not.
func (r *run) passGate(ctx workflow.Context, number int) (time.Time, error) {
	at := &stop{run: r, number: number, stage: r.stages[number], status: &r.status.Stages[number]}
	if at.status.Approved.IsZero() { // asked once, also when the run comes back to its gate
		if err := r.passApproval(ctx, at.status, at.stage); err != nil {
			return time.Time{}, err
		}
	}
	until := workflow.Now(ctx).Add(at.stage.Gate.Timeout.Std())
	for again := true; again; {
		again = false
		for _, holds := range conditions {
			waited, err := holds(ctx, at, until)
			if err != nil {
				return time.Time{}, err
			}
			again = again || waited
		}
	}
	return at.startsBy, nil
}

// waits says what the gate waits for.
func (s *stop) waits(ctx workflow.Context, detail string) {
	s.run.enter(ctx, s.status, StateWaiting, detail)
}

// pause waits until a moment, or fails when that is too late.
func (s *stop) pause(ctx workflow.Context, moment, until time.Time, what string) error {
	if moment.After(until) {
		return delivery.Errorf(delivery.Rejected, "%s: the gate would open at %s, later than its timeout of %s allows (%s)",
			s.stage.Name, clockAndZone(moment), s.stage.Gate.Timeout, what)
	}
	return workflow.NewTimerWithOptions(ctx, moment.Sub(workflow.Now(ctx)), workflow.TimerOptions{
		Summary: s.stage.Name + " waits: " + what,
	}).Get(ctx, nil)
}

// rested: the version has been on the previous stage for long enough. A run that began behind that
// stage rests from its own beginning.
func rested(ctx workflow.Context, s *stop, until time.Time) (bool, error) {
	if s.stage.Gate.Rest == 0 {
		return false, nil
	}
	since := s.run.status.StartedAt
	if s.number > 0 && !s.run.status.Stages[s.number-1].Since.IsZero() {
		since = s.run.status.Stages[s.number-1].Since
	}
	rested := since.Add(s.stage.Gate.Rest.Std())
	if !rested.After(workflow.Now(ctx)) {
		return false, nil
	}
	s.waits(ctx, "rests until "+clockAndZone(rested))
	return true, s.pause(ctx, rested, until, "rest after the previous stage")
}

// windowOpen: it is a time at which people want deployments to start. Time zones come from the
// machine, which may know them better tomorrow, so what they said is put on record.
func windowOpen(ctx workflow.Context, s *stop, until time.Time) (bool, error) {
	windows := s.stage.Gate.Windows
	if windows == nil {
		return false, nil
	}
	type looked struct {
		delivery.Opening
		Trouble string
	}
	var next looked
	now := workflow.Now(ctx)
	err := workflow.SideEffect(ctx, func(workflow.Context) any {
		opening, err := windows.Next(now)
		if err != nil {
			return looked{Trouble: err.Error()}
		}
		return looked{Opening: opening}
	}).Get(&next)
	switch {
	case err != nil:
		return false, err
	case next.Trouble != "":
		return false, delivery.Errorf(delivery.InvalidInput, "%s: %s", s.stage.Name, next.Trouble)
	case !next.From.After(now):
		s.startsBy = next.To
		return false, nil
	}
	s.waits(ctx, "its window opens "+clockAndZone(next.From))
	return true, s.pause(ctx, next.From, until, "its window opens")
}

// clockAndZone is a moment as people at the gate read it, in the zone that it came in.
func clockAndZone(moment time.Time) string { return moment.Format("Mon 2 Jan 15:04 MST") }
