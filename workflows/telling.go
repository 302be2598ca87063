package workflows

import (
	"errors"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// TellingWorkflow is the name under which Telling is registered.
const TellingWorkflow = "Telling"

// NoticeSignal brings a Telling workflow a newer delivery.Notice. Only runs send it.
const NoticeSignal = "notice"

// TellingInput starts a Telling workflow.
type TellingInput struct {
	Receivers []delivery.Receiver `json:"receivers"`
	First     delivery.Notice     `json:"first"`
}

// TellingResult is what could not be told, by receiver.
type TellingResult struct {
	Untold []string `json:"untold,omitempty"`
}

// Telling tells a run's receivers what becomes of it. It is a workflow of its own, so that a receiver that is slow,
// asks to wait or is gone can neither slow nor fail the run. Each receiver is told by one step at a time,
// so nothing comes out of order; of what it missed meanwhile it is told the newest.
//
// It accepts NoticeSignal. It completes when the run has ended and everybody was told, or when what was left
// could not be told for giveUpTelling; it never fails.
func Telling(ctx workflow.Context, input TellingInput) (TellingResult, error) {
	t := &telling{latest: input.First, addresses: map[string]string{}}
	t.setup(ctx)
	return t.run(ctx, input.Receivers)
}

const (
	// giveUpTelling is how long the newest notice is tried to be told.
	giveUpTelling = 6 * time.Hour
	// tellingSilence is after how long without a word the run is looked at: somebody may have terminated it.
	tellingSilence = 24 * time.Hour
	// The pause between two attempts doubles from the first to the second.
	firstTellingPause = 2 * time.Second
	maxTellingPause   = 5 * time.Minute
)

// telling is the state of one Telling workflow.
type telling struct {
	latest    delivery.Notice
	heard     int               // counts the notices
	addresses map[string]string // by environment; read by key alone
	orphaned  bool              // the run was ended from outside, and will not say so
	result    TellingResult
}

// setup listens before anything blocks.
func (t *telling) setup(ctx workflow.Context) {
	workflow.Go(ctx, func(ctx workflow.Context) {
		notices := workflow.GetSignalChannel(ctx, NoticeSignal)
		for {
			var next delivery.Notice
			notices.Receive(ctx, &next)
			t.hear(next)
		}
	})
}

func (t *telling) hear(next delivery.Notice) {
	if next.Newer(t.latest) {
		t.latest = next
		t.heard++
	}
}

// run has one coroutine for each receiver, and one that notices when the run is gone.
func (t *telling) run(ctx workflow.Context, receivers []delivery.Receiver) (TellingResult, error) {
	left := len(receivers)
	for _, receiver := range receivers {
		workflow.Go(ctx, func(ctx workflow.Context) {
			t.keepTelling(ctx, receiver)
			left--
		})
	}
	for left > 0 {
		heard := t.heard
		if _, err := workflow.AwaitWithTimeout(ctx, tellingSilence, func() bool { return left == 0 || t.heard > heard }); err != nil {
			return t.result, err
		}
		if left > 0 && t.heard == heard && !t.latest.Ended && !t.running(ctx) {
			t.orphaned = true
		}
	}
	// What came with the last task is of a newer passage of the same revision, whose run starts another Telling when
	// this one is gone.
	return t.result, nil
}

func (t *telling) running(ctx workflow.Context) bool {
	var runs *activities.Runs
	var found activities.FoundRun
	err := workflow.ExecuteActivity(requestOptions(ctx, "does the run go on?"), runs.FindRun, activities.FindRunInput{RunID: t.latest.RunID}).Get(ctx, &found)
	return err != nil || found.Running
}

// over reports that nothing more is to come for whoever was told a notice.
func (t *telling) over(told delivery.Notice) bool {
	return t.orphaned || told.Ended && !t.latest.Newer(told)
}

// keepTelling brings one receiver from notice to notice until the run has ended.
func (t *telling) keepTelling(ctx workflow.Context, receiver delivery.Receiver) {
	var memory activities.Memory
	var told delivery.Notice
	occasions := map[string]bool{} // those told of; read by key alone
	for first := true; first || !t.over(told); first = false {
		if !first {
			err := workflow.Await(ctx, func() bool { return t.latest.Newer(told) || t.orphaned })
			if err != nil || !t.latest.Newer(told) {
				return
			}
		}
		told = t.tellNewest(ctx, receiver, occasions, &memory)
	}
}

// tellNewest tells a receiver the newest notice, again and again until it is told or time is up, and
// answers with the one that it came to.
func (t *telling) tellNewest(ctx workflow.Context, receiver delivery.Receiver, occasions map[string]bool, memory *activities.Memory) delivery.Notice {
	pause := firstTellingPause
	since := workflow.Now(ctx)
	for {
		current := t.latest
		occasion := occasionOf(current)
		if !wants(receiver, current) || len(receiver.On) > 0 && occasions[occasion] {
			return current
		}
		told, err := t.tell(ctx, receiver, t.addressed(ctx, current), *memory)
		if err == nil {
			*memory = told.Memory
		}
		if err == nil && told.Problem == "" {
			occasions[occasion] = true
			return current
		}
		reason := told.Problem
		if err != nil {
			reason = sentence(err)
		}
		workflow.GetLogger(ctx).Warn("a receiver is not told yet", "receiver", receiver.To, "notice", current.Number, "reason", reason)
		if told.Hopeless || ctx.Err() != nil || workflow.Now(ctx).Sub(since) > giveUpTelling {
			if !t.latest.Newer(current) {
				t.result.Untold = append(t.result.Untold, receiver.To+": "+reason)
				return current
			}
			since = workflow.Now(ctx)
		}
		// A newer notice does not hurry: who asked to wait asked for all of them.
		if err := workflow.Sleep(ctx, max(pause, told.RetryAfter.Std())); err != nil {
			return current
		}
		pause = min(2*pause, maxTellingPause)
	}
}

func (t *telling) tell(ctx workflow.Context, receiver delivery.Receiver, n delivery.Notice, memory activities.Memory) (activities.Told, error) {
	var steps *activities.Telling
	var told activities.Told
	err := workflow.ExecuteActivity(tellingOptions(ctx, "tell "+receiver.To+": "+n.State), steps.Tell, activities.TellInput{
		Receiver: receiver, Notice: n, Memory: memory,
	}).Get(ctx, &told)
	return told, err
}

// wants reports whether a receiver is told of a notice at all.
func wants(receiver delivery.Receiver, n delivery.Notice) bool {
	return len(receiver.On) == 0 || slices.Contains(receiver.On, n.Moment())
}

// occasionOf tells one moment from another of the same kind: a run can wait at several gates, and begins once.
func occasionOf(n delivery.Notice) string {
	occasion := n.Execution + " " + n.Moment()
	for _, stage := range n.Stages {
		if n.Moment() == delivery.MomentWaiting && stage.State == n.State {
			occasion += " " + stage.Stage
		}
	}
	return occasion
}

// addressed fills in where the environments of stages that are reached are found, asking once for each.
func (t *telling) addressed(ctx workflow.Context, n delivery.Notice) delivery.Notice {
	stages := slices.Clone(n.Stages)
	for i := range stages {
		stage := &stages[i]
		if stage.URL != "" || stage.State == delivery.NoticePending || stage.State == delivery.NoticeWaiting {
			continue
		}
		known, asked := t.addresses[stage.Environment]
		if !asked {
			t.addresses[stage.Environment] = "" // whoever comes meanwhile does without
			var steps *activities.Telling
			var found activities.Address
			err := workflow.ExecuteActivity(addressOptions(ctx, "where is "+stage.Environment), steps.FindAddress, activities.AddressInput{
				Application: n.Application, Environment: stage.Environment,
			}).Get(ctx, &found)
			if err == nil {
				known = found.URL
				t.addresses[stage.Environment] = known
			}
		}
		stage.URL = known
	}
	n.Stages = stages
	return n
}

// tellingOptions: a few calls to somebody outside. Trying again is the workflow's affair, since there may be
// something newer to tell; only the loss of a worker is retried here.
func tellingOptions(ctx workflow.Context, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           GitHubQueue,
		StartToCloseTimeout: 2 * time.Minute,
		WaitForCancellation: true,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumAttempts: 3},
		Summary:             summary,
	})
}

// addressOptions: it is good to have, and not worth waiting for.
func addressOptions(ctx workflow.Context, summary string) workflow.Context {
	return stepOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              GitHubQueue,
		StartToCloseTimeout:    20 * time.Second,
		ScheduleToCloseTimeout: time.Minute,
		RetryPolicy:            networkRetry,
		Summary:                summary,
	})
}

// tellingChildOptions: it outlives the run, and a run of the same revision finds it while it is still at work.
func tellingChildOptions(ctx workflow.Context, runID string) workflow.Context {
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            delivery.TellingID(runID),
		TaskQueue:             Queue,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		StaticSummary:         "tell of " + runID,
	})
}

// alreadyThere reports that a child was not started because its ID is at work.
func alreadyThere(err error) bool {
	var existing *temporal.ChildWorkflowExecutionAlreadyStartedError
	return errors.As(err, &existing)
}
