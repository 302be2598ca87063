package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gravity/internal/delivery"
	"gravity/workflows"
)

// renderRun writes a run for people: where it stands, stage by stage, who answered, and why it failed.
func renderRun(w io.Writer, view runView, s style) {
	printf(w, "%s  %s\n", s.bold(view.RunID), clean(view.Revision.Message))
	var from []string
	if view.Revision.Author != "" {
		from = append(from, "by "+clean(view.Revision.Author))
	}
	if view.Revision.Ref != "" {
		from = append(from, "pushed to "+clean(strings.TrimPrefix(view.Revision.Ref, "refs/heads/")))
	}
	from = append(from, "started "+clock(view.StartedAt))
	if !view.EndedAt.IsZero() {
		from = append(from, "took "+took(view.EndedAt.Sub(view.StartedAt)))
	}
	printf(w, "%s\n", s.dim(strings.Join(from, ", ")))
	printf(w, "%s  %s\n\n", s.state(view.State), clean(view.Detail))

	rows := [][]string{{s.dim("STAGE"), s.dim("ENVIRONMENT"), s.dim("STATE"), ""}, {"build", "", s.state(view.Build), clean(view.Version)}}
	for _, stage := range view.Stages {
		detail := ""
		if stage.State != workflows.StatePending {
			detail = clean(stage.Detail)
		}
		rows = append(rows, []string{clean(stage.Stage), clean(stage.Environment), s.state(stage.State), detail})
	}
	table(w, "  ", rows)
	renderLive(w, view.Live, s)
	renderTests(w, view.Tests, s)
	renderAnswers(w, view.Answers, s)
	for _, stage := range view.Stages {
		renderEvidence(w, stage, s)
	}
	if view.Output != "" {
		printf(w, "\n%s\n", s.bold("the failed command printed"))
		for line := range strings.Lines(cleanLines(view.Output)) {
			printf(w, "  │ %s\n", strings.TrimRight(line, "\n"))
		}
	}
	if len(view.Logs) > 0 && view.Build == workflows.StateFailed {
		printf(w, "  %s\n", s.dim("all of it: starter logs "+strings.TrimPrefix(view.RunID, runPrefix)))
	}
}

// renderTests says what became of the tests: what failed by name, and what passed only when it was tried again.
func renderTests(w io.Writer, tests *workflows.TestStatus, s style) {
	if tests == nil || tests.String() == "" {
		return
	}
	printf(w, "\n%s  %s\n", s.bold("tests"), clean(tests.String()))
	for _, job := range tests.Jobs {
		if job.Name != "" && job.State != workflows.StateSucceeded {
			printf(w, "  %s  %s  %s\n", s.state(job.State), clean(job.Name), clean(job.Reason))
		}
	}
	for _, test := range tests.FailedTests {
		renderTest(w, s.red("✗"), test, s)
	}
	for _, test := range tests.FlakyTests {
		renderTest(w, s.paint("33", "flaky"), test, s)
	}
	for _, problem := range tests.Problems {
		printf(w, "  %s\n", s.dim("a report cannot be read: "+clean(problem)))
	}
}

func renderTest(w io.Writer, mark string, test workflows.NamedTest, s style) {
	line := clean(test.Name)
	if test.Job != "" {
		line += " (" + clean(test.Job) + ")"
	}
	if test.Message != "" {
		line += s.dim("  " + fit(clean(test.Message), 120))
	}
	printf(w, "  %s %s\n", mark, line)
}

func renderLive(w io.Writer, live []liveStep, s style) {
	for _, step := range live {
		if line := step.String(); line != "" {
			printf(w, "  %s\n", s.dim("→ "+line))
		}
	}
}

func renderAnswers(w io.Writer, answers []workflows.RecordedAnswer, s style) {
	if len(answers) > 0 {
		printf(w, "\n%s\n", s.bold("answers"))
	}
	for _, answer := range answers {
		printf(w, "  %s  %s\n", s.dim(clock(answer.At)), answered(answer))
	}
}

// answered is who said what, and why.
func answered(answer workflows.RecordedAnswer) string {
	line := answer.Verb + " by " + orElse(clean(answer.By), "somebody")
	if answer.Stage != "" {
		line += " (" + clean(answer.Stage) + ")"
	}
	if answer.Reason != "" {
		line += ": " + clean(answer.Reason)
	}
	return line
}

func renderEvidence(w io.Writer, stage workflows.StageStatus, s style) {
	if len(stage.Evidence) == 0 {
		return
	}
	printf(w, "\n%s\n", s.bold("evidence from "+clean(stage.Environment)))
	for _, line := range stage.Evidence {
		printf(w, "  - %s\n", clean(line))
	}
}

// renderRuns writes runs as a table.
func renderRuns(w io.Writer, runs []listed, s style) {
	if len(runs) == 0 {
		printf(w, "no runs yet; `starter deploy PIPELINE` starts one, and so does a push\n")
		return
	}
	rows := [][]string{{s.dim("RUN"), s.dim("STATE"), s.dim("STARTED"), s.dim("TOOK"), s.dim("CHANGE")}}
	for _, run := range runs {
		duration := ""
		if !run.goingOn() {
			duration = took(run.EndedAt.Sub(run.StartedAt))
		}
		rows = append(rows, []string{clean(shortID(run.RunID)), s.state(run.State), clock(run.StartedAt), duration, clean(run.Message)})
	}
	table(w, "", rows)
}

// renderEnvironments writes environments as a table.
func renderEnvironments(w io.Writer, environments []environmentView, s style) {
	if len(environments) == 0 {
		return
	}
	rows := [][]string{{s.dim("ENVIRONMENT"), s.dim("VERSION"), s.dim("WAITING"), ""}}
	for _, e := range environments {
		rows = append(rows, []string{
			clean(e.Application + "/" + e.Environment), orElse(clean(e.LeftOn), "unknown"), fmt.Sprint(len(e.Waiting)), standing(e, s),
		})
	}
	table(w, "", rows)
}

// standing says in a few words what an environment does.
func standing(e environmentView, s style) string {
	var said []string
	if e.Trouble != "" {
		said = append(said, s.red(clean(e.Trouble)))
	}
	if e.Frozen != nil {
		said = append(said, s.red("frozen")+" by "+clean(e.Frozen.By)+": "+clean(e.Frozen.Reason))
	}
	if e.Drift != nil {
		said = append(said, s.red("drift")+": "+clean(e.Drift.What))
	}
	if e.Running != nil {
		said = append(said, "deploying "+clean(e.Running.Version.Label))
	}
	return strings.Join(said, "; ")
}

// renderEnvironment writes one environment with its queue and its last deployments.
func renderEnvironment(w io.Writer, view environmentView, s style) {
	printf(w, "%s\n", s.bold(clean(view.Application+"/"+view.Environment)))
	printf(w, "  on         %s\n", orElse(clean(view.LeftOn), "unknown"))
	if view.Good != nil {
		printf(w, "  last good  %s\n", clean(view.Good.Label))
	}
	if view.Frozen != nil {
		printf(w, "  %s     by %s, %s: %s\n", s.red("frozen"), clean(view.Frozen.By), clock(view.Frozen.At), clean(view.Frozen.Reason))
	}
	if view.Drift != nil {
		printf(w, "  %s      since %s: %s\n", s.red("drift"), clock(view.Drift.Since), clean(view.Drift.What))
	}
	if view.Running != nil {
		printf(w, "  deploying  %s, since %s (%s)\n", clean(view.Running.Version.Label), clock(view.Running.At), clean(view.Running.Deployment))
	}
	renderLive(w, view.Live, s)
	for i, waiting := range view.Waiting {
		printf(w, "  waiting    %d. %s, since %s%s\n", i+1, clean(waiting.Version.Label), clock(waiting.At), askedFor(waiting.Request))
	}
	for _, older := range view.Superseded {
		printf(w, "  %s\n", s.dim("replaced   "+clean(older.Version)+" by "+clean(older.By)+", "+clock(older.At)))
	}
	if len(view.Recent) == 0 {
		return
	}
	printf(w, "\n%s\n", s.bold("last deployments"))
	var rows [][]string
	for _, record := range slices.Backward(view.Recent) {
		rows = append(rows, []string{s.dim(clock(record.At)), clean(record.Version.Label), outcome(record.Result.Outcome, s), clean(record.Result.Reason + askedBy(record))})
	}
	table(w, "  ", rows)
}

func outcome(outcome delivery.Outcome, s style) string {
	if outcome == delivery.OutcomeDeployed {
		return s.green(string(outcome))
	}
	return s.red(string(outcome))
}

// clock is a time as people read it here: without the date when it is today.
func clock(at time.Time) string {
	at = at.Local()
	if at.Format(time.DateOnly) == time.Now().Format(time.DateOnly) {
		return at.Format(time.TimeOnly)
	}
	return at.Format("2 Jan 15:04")
}

// took is a duration without the digits that nobody reads.
func took(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func orElse(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// askedBy says who asked for a rollback by hand, and why.
func askedBy(record workflows.DeploymentRecord) string {
	if record.By == "" {
		return ""
	}
	return "; asked for by " + record.By + ": " + record.Reason
}

// askedFor says why a request goes before others.
func askedFor(request delivery.Request) string {
	switch {
	case request.Rollback:
		return "; a rollback by " + clean(request.By) + ": " + clean(request.Reason)
	case request.JumpQueue:
		return "; a hotfix by " + clean(request.By) + ": " + clean(request.Reason)
	default:
		return ""
	}
}
