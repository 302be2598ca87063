package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// TestStatus is what became of a run's tests: one result, however many jobs there were.
type TestStatus struct {
	// Jobs has one entry for each combination of the matrix. A test without one is a single job that has no name.
	Jobs []TestJob `json:"jobs"`
	// Tests and the rest are counted from the reports that the command wrote, if any.
	Tests   int `json:"tests,omitempty"`
	Passed  int `json:"passed,omitempty"`
	Skipped int `json:"skipped,omitempty"`
	Failed  int `json:"failed,omitempty"`
	// FailedTests names the first of those that failed.
	FailedTests []NamedTest `json:"failedTests,omitempty"`
	// Flaky says that something passed only when it was tried again, and FlakyTests names what failed before.
	Flaky      bool        `json:"flaky,omitempty"`
	FlakyTests []NamedTest `json:"flakyTests,omitempty"`
	// Problems are reports that could not be read.
	Problems []string `json:"problems,omitempty"`
}

// TestJob is one job of a test.
type TestJob struct {
	Name  string   `json:"name,omitempty"`
	State RunState `json:"state"`
	// Reason says why it failed.
	Reason string `json:"reason,omitempty"`
	// Attempts is how often it ran, where that is more than once.
	Attempts int  `json:"attempts,omitempty"`
	Flaky    bool `json:"flaky,omitempty"`
}

// NamedTest is a test by its name, and the job in which it failed.
type NamedTest struct {
	activities.FailedTest
	Job string `json:"job,omitempty"`
}

// What a status names at most, since it travels as a whole.
const (
	maxNamedTests = 50
	maxProblems   = 10
)

// jobOutcome is how one job ended, or what kept it from ending.
type jobOutcome struct {
	ended  bool
	result activities.CommandResult
	err    error
}

func (o jobOutcome) passed() bool { return o.ended && o.err == nil && o.result.Passed }

// test runs the pipeline's test in all its jobs. All of them must pass.
func (r *run) test(ctx workflow.Context, workspace activities.Workspace, version delivery.Version) error {
	test := r.input.Pipeline.Test
	if test == nil {
		return nil
	}
	r.note(ctx, "test: "+test.Run)
	jobs := []delivery.Job{{}}
	if len(test.Matrix) > 0 && changed(ctx, changeParallelTestsAndCaches) {
		jobs = test.Jobs()
	}
	if len(r.jobs) != len(jobs) {
		r.jobs = make([]jobOutcome, len(jobs))
	}
	r.runJobs(ctx, workspace, version, jobs)
	return r.testVerdict(ctx, jobs)
}

// runJobs runs the jobs side by side, and waits for all of them: one that fails does not end the
// others, so that everything that is wrong is known at once. The first has the workspace in which
// the bundle will be made; the others find workers of their own.
func (r *run) runJobs(ctx workflow.Context, workspace activities.Workspace, version delivery.Version, jobs []delivery.Job) {
	all := workflow.NewWaitGroup(ctx)
	for i, job := range jobs {
		if i > 0 && r.jobs[i].passed() {
			continue // before the first one's worker was lost
		}
		r.jobs[i] = jobOutcome{}
		all.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer all.Done()
			var outcome jobOutcome
			if i == 0 {
				outcome.result, outcome.err = r.testJob(ctx, workspace, version, job)
			} else {
				outcome.result, outcome.err = r.jobElsewhere(ctx, version, job)
			}
			outcome.ended = true
			r.jobs[i] = outcome
			r.status.Tests = summarize(jobs, r.jobs)
			r.note(ctx, "test: "+r.status.Tests.String())
		})
	}
	r.status.Tests = summarize(jobs, r.jobs)
	r.show(ctx)
	all.Wait(ctx)
}

// testJob runs one job in a workspace.
func (r *run) testJob(ctx workflow.Context, workspace activities.Workspace, version delivery.Version, job delivery.Job) (activities.CommandResult, error) {
	test := r.input.Pipeline.Test
	return r.command(ctx, workspace, version, activities.RunInput{
		Name: strings.TrimSpace("test " + job.Name), Command: test.Command(), Variables: job.Variables,
		Reports: test.Reports, Retries: test.Retries,
	})
}

// jobElsewhere runs one job on a worker of its own, and on another one when that is lost.
func (r *run) jobElsewhere(ctx workflow.Context, version delivery.Version, job delivery.Job) (activities.CommandResult, error) {
	for host := 1; ; host++ {
		result, err := r.jobOnOneHost(ctx, version, job)
		if err == nil || !hostLost(err) {
			return result, err
		}
		if host == maxBuildHosts {
			return result, lostTooOften("test " + job.Name)
		}
		workflow.GetLogger(ctx).Warn("the host of a test job is lost; beginning again on another", "job", job.Name, "error", err)
	}
}

func (r *run) jobOnOneHost(ctx workflow.Context, version delivery.Version, job delivery.Job) (activities.CommandResult, error) {
	workspace, err := r.checkout(ctx, version.Revision)
	if err != nil {
		return activities.CommandResult{}, err
	}
	var result activities.CommandResult
	if err = r.prepare(ctx, workspace, version); err == nil {
		result, err = r.testJob(ctx, workspace, version, job)
	}
	if err == nil || !hostLost(err) {
		r.removeWorkspace(ctx, workspace)
	}
	return result, err
}

// testVerdict is the one result of all jobs. A test that failed is said before anything else, since
// it is final; what else went wrong may pass.
func (r *run) testVerdict(ctx workflow.Context, jobs []delivery.Job) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	test := r.input.Pipeline.Test
	var failed []string
	var trouble error
	for i, outcome := range r.jobs {
		switch {
		case outcome.err != nil && trouble == nil:
			trouble = outcome.err
		case outcome.err == nil && !outcome.result.Passed:
			failed = append(failed, jobs[i].Name)
			if r.status.Output == "" {
				r.status.Output = outcome.result.Tail
			}
		}
	}
	if len(failed) == 0 {
		return trouble
	}
	reason := r.status.Tests.Jobs[0].Reason
	if len(jobs) > 1 {
		reason = fmt.Sprintf("%d of %d jobs failed (%s)", len(failed), len(jobs), listed(failed))
	}
	message := fmt.Sprintf("test: %s: %s", reason, test.Run)
	if names := r.status.Tests.failedNames(); len(names) > 0 {
		message += "; failed tests: " + listed(names)
	}
	return delivery.Errorf(delivery.TestsFailed, "%s", message)
}

// summarize makes one status of what the jobs have come to so far.
func summarize(jobs []delivery.Job, outcomes []jobOutcome) *TestStatus {
	status := &TestStatus{}
	for i, outcome := range outcomes {
		job := TestJob{Name: jobs[i].Name, State: StateBuilding, Reason: outcome.result.Reason, Attempts: outcome.result.Attempts}
		switch {
		case outcome.err != nil:
			job.State, job.Reason = StateFailed, delivery.Clip(sentence(outcome.err), 300)
		case outcome.passed():
			job.State, job.Flaky = StateSucceeded, outcome.result.Attempts > 1
		case outcome.ended:
			job.State = StateFailed
		}
		status.Jobs = append(status.Jobs, job)
		status.Flaky = status.Flaky || job.Flaky
		status.add(job.Name, outcome.result)
	}
	return status
}

func (s *TestStatus) add(job string, result activities.CommandResult) {
	for _, test := range result.FlakyTests {
		if len(s.FlakyTests) < maxNamedTests {
			s.FlakyTests = append(s.FlakyTests, NamedTest{test, job})
		}
	}
	report := result.Report
	if report == nil {
		return
	}
	s.Tests += report.Tests
	s.Passed += report.Passed
	s.Skipped += report.Skipped
	s.Failed += report.Failed
	for _, test := range report.FailedTests {
		if len(s.FailedTests) < maxNamedTests {
			s.FailedTests = append(s.FailedTests, NamedTest{test, job})
		}
	}
	for _, problem := range report.Problems {
		if len(s.Problems) < maxProblems {
			s.Problems = append(s.Problems, problem)
		}
	}
}

// state is the state of all jobs together. What passed at a second attempt has not simply passed.
func (s *TestStatus) state() string {
	state := StateSucceeded
	for _, job := range s.Jobs {
		switch {
		case job.State == StateBuilding:
			return "running"
		case job.State != StateSucceeded:
			state = job.State
		}
	}
	if state == StateSucceeded && s.Flaky {
		return "flaky"
	}
	return string(state)
}

// String is all of it in one line: "2 of 3 jobs passed, 1 failed (SHARD=2); 120 tests, 3 failed".
func (s *TestStatus) String() string {
	var passed int
	var failed, flaky []string
	for _, job := range s.Jobs {
		if job.State == StateSucceeded {
			passed++
		}
		if job.State == StateFailed {
			failed = append(failed, job.Name)
		}
		if job.Flaky {
			flaky = append(flaky, strings.TrimSpace(fmt.Sprintf("%s passed at attempt %d", job.Name, job.Attempts)))
		}
	}
	var said []string
	if len(s.Jobs) > 1 {
		said = append(said, fmt.Sprintf("%d of %d jobs passed", passed, len(s.Jobs)))
		if len(failed) > 0 {
			said[0] += fmt.Sprintf(", %d failed (%s)", len(failed), listed(failed))
		}
	}
	if s.Tests > 0 {
		said = append(said, fmt.Sprintf("%d tests, %d failed, %d skipped", s.Tests, s.Failed, s.Skipped))
	}
	if names := s.failedNames(); len(names) > 0 {
		said = append(said, "failed: "+listed(names))
	}
	if s.Flaky {
		said = append(said, "flaky: "+listed(flaky))
		if names := namesOf(s.FlakyTests); len(names) > 0 {
			said[len(said)-1] += " (" + listed(names) + " failed before)"
		}
	}
	return strings.Join(said, "; ")
}

func (s *TestStatus) failedNames() []string { return namesOf(s.FailedTests) }

func namesOf(tests []NamedTest) []string {
	names := make([]string, len(tests))
	for i, test := range tests {
		names[i] = test.Name
	}
	return names
}

// maxListed is how many names a sentence has.
const maxListed = 5

// listed writes names in a sentence, and how many more there are.
func listed(names []string) string {
	if more := len(names) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), more)
	}
	return strings.Join(names, ", ")
}
