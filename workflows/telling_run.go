package workflows

import (
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// teller keeps a run's Telling workflow informed. It has a coroutine of its own, so that the run never
// waits for it, and sends what is newest: a run that changes quickly is told in fewer steps.
type teller struct {
	changes int // counts what show was called for
	sent    int // the change that was sent last
	gone    bool
}

// startTelling begins to tell, where the pipeline has receivers.
func (r *run) startTelling(ctx workflow.Context) {
	if len(r.input.Pipeline.Notify) == 0 || workflow.GetVersion(ctx, changeTelling, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return
	}
	r.telling = &teller{}
	outlasting, _ := workflow.NewDisconnectedContext(ctx)
	workflow.Go(outlasting, r.keepTelling)
}

// tell notes that there is something new.
func (r *run) tell() {
	if r.telling != nil {
		r.telling.changes++
	}
}

// awaitTold waits, at the end of a run, until its last notice is on its way: Temporal drops what a
// workflow that completes has not sent.
func (r *run) awaitTold(ctx workflow.Context) {
	if t := r.telling; t != nil {
		_ = workflow.Await(ctx, func() bool { return t.gone || t.sent == t.changes }) // the context is disconnected
	}
}

// keepTelling hands on one notice after the other.
func (r *run) keepTelling(ctx workflow.Context) {
	t := r.telling
	defer func() { t.gone = true }()
	for {
		if err := workflow.Await(ctx, func() bool { return t.changes > t.sent }); err != nil {
			return
		}
		number := t.changes
		if !r.handOn(ctx, r.notice(ctx, number)) {
			workflow.GetLogger(ctx).Warn("receivers are not told any more")
			return
		}
		t.sent = number
		if r.status.State.Ended() && t.changes == number {
			return
		}
	}
}

// handOn brings a notice to the Telling workflow, starting it when it is not there, or was ended.
func (r *run) handOn(ctx workflow.Context, n delivery.Notice) bool {
	runID := delivery.RunID(r.input.Pipeline.Name, r.input.Revision.SHA)
	signal := func() bool {
		return workflow.SignalExternalWorkflow(ctx, delivery.TellingID(runID), "", NoticeSignal, n).Get(ctx, nil) == nil
	}
	if r.telling.sent > 0 && signal() {
		return true
	}
	// One of an earlier passage of the revision may still be at work, and may end just now.
	for range 3 {
		err := workflow.ExecuteChildWorkflow(tellingChildOptions(ctx, runID), TellingWorkflow, TellingInput{
			Receivers: r.input.Pipeline.Notify, First: n,
		}).GetChildWorkflowExecution().Get(ctx, nil)
		if err == nil || alreadyThere(err) && signal() {
			return true
		}
	}
	return false
}

// maxNoticeOutput bounds the output that is told, in bytes: receivers show its end.
const maxNoticeOutput = 8 << 10

// notice is the run's status as it is told.
func (r *run) notice(ctx workflow.Context, number int) delivery.Notice {
	s := r.status
	n := delivery.Notice{
		RunID: s.RunID, Execution: workflow.GetInfo(ctx).WorkflowExecution.RunID, Number: number,
		Pipeline: s.Pipeline, Application: s.Application, Repository: r.input.Pipeline.Repository, Path: r.input.Pipeline.Path,
		Revision: s.Revision, Version: s.Version, State: string(s.State), Ended: s.State.Ended(), Detail: delivery.Clip(s.Detail, 1000),
		Build: string(s.Build), StartedAt: s.StartedAt, At: workflow.Now(ctx),
	}
	if s.Tests != nil {
		n.FailedTests, n.FlakyTests = toldTests(s.Tests.FailedTests), toldTests(s.Tests.FlakyTests)
	}
	if n.Ended {
		n.Output = delivery.Clip(s.Output[max(0, len(s.Output)-maxNoticeOutput):], maxNoticeOutput)
	}
	for i, stage := range s.Stages {
		told := delivery.NoticeStage{
			Stage: stage.Stage, Environment: stage.Environment, State: string(stage.State), Detail: delivery.Clip(stage.Detail, 1000),
			LeftOn: stage.LeftOn, Evidence: stage.Evidence,
		}
		if check := r.stages[i].Health.Check; check != nil {
			told.URL = check.URL
		}
		n.Stages = append(n.Stages, told)
	}
	return n
}

// maxToldTests bounds the tests that are told, and maxToldMessage what each says, in bytes: a check at GitHub takes
// 50 annotations, and the whole notice travels as one payload.
const (
	maxToldTests   = 20
	maxToldMessage = 500
)

func toldTests(tests []NamedTest) []delivery.NoticeTest {
	var told []delivery.NoticeTest
	for _, test := range tests[:min(len(tests), maxToldTests)] {
		name := test.Name
		if test.Job != "" {
			name += " (" + test.Job + ")"
		}
		told = append(told, delivery.NoticeTest{Name: delivery.Clip(name, maxToldMessage), Message: delivery.Clip(test.Message, maxToldMessage)})
	}
	return told
}
