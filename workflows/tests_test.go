package workflows

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

// matrix is a pipeline whose test has 3 jobs.
func matrix() PipelineInput {
	input := pipelineInput()
	input.Pipeline.Test.Reports = []string{"junit.xml"}
	input.Pipeline.Test.Matrix = []delivery.Axis{{Variable: "SHARD", Values: []string{"1", "2", "3"}}}
	return input
}

// hosts gives every checkout a worker of its own, and remembers which job ran where.
func (s *pipelineSuite) hosts(run func(ctx context.Context, in activities.RunInput) (activities.CommandResult, error)) (where func() map[string][]string) {
	var mutex sync.Mutex
	count := 0
	ran := map[string][]string{}
	s.steps.checkout = func(in activities.CheckoutInput) (activities.Workspace, error) {
		mutex.Lock()
		defer mutex.Unlock()
		count++
		revision := in.Revision
		revision.CommittedAt = beforeUpdate
		return activities.Workspace{TaskQueue: fmt.Sprint("host-", count), Directory: fmt.Sprint("/w/", count), Revision: revision, Bucket: "bundles"}, nil
	}
	s.steps.run = func(ctx context.Context, in activities.RunInput) (activities.CommandResult, error) {
		mutex.Lock()
		ran[in.Name] = append(ran[in.Name], in.Workspace.TaskQueue)
		mutex.Unlock()
		return run(ctx, in)
	}
	return func() map[string][]string {
		mutex.Lock()
		defer mutex.Unlock()
		return ran
	}
}

func report(tests int, failed ...string) *activities.TestReport {
	found := &activities.TestReport{Tests: tests, Passed: tests - len(failed), Failed: len(failed)}
	for _, name := range failed {
		found.FailedTests = append(found.FailedTests, activities.FailedTest{Name: name, Message: "it broke"})
	}
	return found
}

func (s *pipelineSuite) TestTheJobsOfAMatrixRunOnWorkersOfTheirOwnAndComeBackAsOneResult() {
	where := s.hosts(func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Name == "build" {
			return activities.CommandResult{Passed: true}, nil
		}
		s.Len(in.Variables, 1)
		s.Equal("test SHARD="+in.Variables[0].Value, in.Name)
		return activities.CommandResult{Passed: true, Report: report(10), Log: &activities.CommandLog{Command: in.Name, Bucket: in.Workspace.Bucket, Key: in.Log, Size: 7}}, nil
	})
	status, failure := s.run(matrix())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	ran := where()
	s.Len(ran["build"], 3, "each workspace is built before it is tested")
	used := map[string]bool{}
	for _, job := range []string{"test SHARD=1", "test SHARD=2", "test SHARD=3"} {
		s.Require().Len(ran[job], 1, job)
		used[ran[job][0]] = true
	}
	s.Len(used, 3)
	s.Require().NotNil(status.Tests)
	s.Equal(30, status.Tests.Tests)
	s.Equal(30, status.Tests.Passed)
	s.Len(status.Tests.Jobs, 3)
	s.Len(status.Logs, 3, "those that were not kept, of the builds, are not spoken of")
	for _, log := range status.Logs {
		s.Contains(log.Key, "test-SHARD=")
		s.EqualValues(7, log.Size)
	}
	s.Equal("3 of 3 jobs passed; 30 tests, 0 failed, 0 skipped", status.Tests.String())
	called := s.steps.called()
	s.Equal(3, count(called, "Remove"), "every workspace is cleared")
	s.Equal(1, count(called, "Upload"))
	s.Less(slices.Index(called, "Run make test"), slices.Index(called, "Bundle"))
}

func count(calls []string, call string) int {
	n := 0
	for _, each := range calls {
		if each == call {
			n++
		}
	}
	return n
}

func (s *pipelineSuite) TestAJobThatFailsDoesNotEndTheOthersAndFailedTestsAreNamed() {
	s.hosts(func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		switch in.Name {
		case "test SHARD=1":
			return activities.CommandResult{Reason: "failed with exit code 1", Tail: "first", Report: report(5, "shop.TestPrices")}, nil
		case "test SHARD=3":
			return activities.CommandResult{Reason: "timed out after 10m0s", Tail: "third", Report: report(5, "shop.TestTax", "shop.TestTotal")}, nil
		default:
			return activities.CommandResult{Passed: true, Report: report(5)}, nil
		}
	})
	status, failure := s.run(matrix())
	s.Equal(string(delivery.TestsFailed), failure.Type())
	s.Equal("test: 2 of 3 jobs failed (SHARD=1, SHARD=3): make test; failed tests: shop.TestPrices, shop.TestTax, shop.TestTotal", status.Detail)
	s.Equal(StateFailed, status.Build)
	s.Equal("first", status.Output)
	s.Equal([]RunState{StateFailed, StateSucceeded, StateFailed}, []RunState{status.Tests.Jobs[0].State, status.Tests.Jobs[1].State, status.Tests.Jobs[2].State})
	s.Equal("timed out after 10m0s", status.Tests.Jobs[2].Reason)
	s.Equal("SHARD=3", status.Tests.FailedTests[1].Job)
	s.Equal(3, status.Tests.Failed)
	s.Equal("failed", status.Tests.state())
	s.NotContains(s.steps.called(), "Upload")
	s.Equal(3, count(s.steps.called(), "Remove"))
}

func (s *pipelineSuite) TestTheFailedTestsOfASingleJobAreNamedInTheReason() {
	s.steps.run = func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		var failed []string
		for i := range 8 {
			failed = append(failed, fmt.Sprint("Test", i))
		}
		return activities.CommandResult{Passed: in.Name == "build", Reason: "failed with exit code 1", Report: report(20, failed...)}, nil
	}
	status, _ := s.run(pipelineInput())
	s.Equal("test: failed with exit code 1: make test; failed tests: Test0, Test1, Test2, Test3, Test4 and 3 more", status.Detail)
	s.Len(status.Tests.FailedTests, 8)
}

func (s *pipelineSuite) TestAFlakyTestIsReportedAsFlakyAndNeverAsPassedSilently() {
	s.steps.run = func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Name == "build" {
			return activities.CommandResult{Passed: true}, nil
		}
		s.Equal(2, in.Retries)
		return activities.CommandResult{Passed: true, Attempts: 2, Report: report(5), FlakyTests: []activities.FailedTest{{Name: "shop.TestPrices"}}}, nil
	}
	input := pipelineInput()
	input.Pipeline.Test.Retries = 2
	status, failure := s.run(input)
	s.Nil(failure)
	s.True(status.Tests.Flaky)
	s.Equal("flaky", status.Tests.state())
	s.Equal("5 tests, 0 failed, 0 skipped; flaky: passed at attempt 2 (shop.TestPrices failed before)", status.Tests.String())
	s.Contains(status.table("default"), "| test | flaky |")
}

func (s *pipelineSuite) TestAJobWhoseHostIsLostBeginsAgainOnAnotherAndTheOthersAreNotRepeated() {
	lost := 0
	where := s.hosts(func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Name == "test SHARD=2" && lost < 2 {
			lost++
			return activities.CommandResult{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_HEARTBEAT, nil)
		}
		return activities.CommandResult{Passed: true}, nil
	})
	status, failure := s.run(matrix())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	ran := where()
	s.Len(ran["test SHARD=2"], 3)
	s.Len(ran["test SHARD=1"], 1)
	s.Len(ran["test SHARD=3"], 1)
}

func (s *pipelineSuite) TestAJobThatLosesItsHostAgainAndAgainFailsTheRunOnce() {
	where := s.hosts(func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Name == "test SHARD=2" {
			return activities.CommandResult{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_HEARTBEAT, nil)
		}
		return activities.CommandResult{Passed: true}, nil
	})
	status, failure := s.run(matrix())
	s.Equal(string(delivery.WorkspaceLost), failure.Type())
	s.Contains(status.Detail, "test SHARD=2 lost its worker 3 times")
	s.Len(where()["test SHARD=2"], 3, "the whole build is not begun again for it")
	s.NotContains(s.steps.called(), "Upload")
}

func (s *pipelineSuite) TestWhenTheFirstJobsHostIsLostTheOthersResultsStay() {
	lost := false
	where := s.hosts(func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Name == "test SHARD=1" && !lost {
			lost = true
			return activities.CommandResult{}, temporal.NewTimeoutError(enums.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
		}
		return activities.CommandResult{Passed: true}, nil
	})
	status, failure := s.run(matrix())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	s.Len(where()["test SHARD=1"], 2)
	s.Len(where()["test SHARD=2"], 1)
}

func (s *pipelineSuite) TestABuildThatFailsInAJobFailsTheRunAsSuch() {
	builds := 0
	s.hosts(func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Name == "build" {
			builds++
			return activities.CommandResult{Passed: builds != 2, Reason: "failed with exit code 2"}, nil
		}
		return activities.CommandResult{Passed: true}, nil
	})
	_, failure := s.run(matrix())
	s.Equal(string(delivery.BuildFailed), failure.Type())
	s.Contains(failure.Message(), "build: failed with exit code 2: make")
}

func (s *pipelineSuite) TestAnAbortEndsAllJobs() {
	var once sync.Once
	s.hosts(func(ctx context.Context, in activities.RunInput) (activities.CommandResult, error) {
		if in.Name == "build" {
			return activities.CommandResult{Passed: true}, nil
		}
		once.Do(func() { s.env.SignalWorkflow(AbortSignal, Answer{By: "ana"}) })
		<-ctx.Done()
		return activities.CommandResult{}, ctx.Err()
	})
	status, _ := s.run(matrix())
	s.Equal(StateAborted, status.State)
	s.NotEmpty(status.Logs, "why it was aborted is in its logs")
	s.NotContains(s.steps.called(), "Upload")
}

func (s *pipelineSuite) TestACacheThatWasNotFoundIsSavedOnceTheTestsHavePassed() {
	input := pipelineInput()
	input.Pipeline.Cache = &delivery.Cache{Files: []string{"go.sum"}}
	found, saved := false, errors.New("S3 is away")
	begin := func() []string {
		s.SetupTest()
		s.steps.checkout = func(in activities.CheckoutInput) (activities.Workspace, error) {
			s.Equal([]string{"go.sum"}, in.Cache.Files)
			s.Equal("site", in.Pipeline)
			revision := in.Revision
			revision.CommittedAt = beforeUpdate
			return activities.Workspace{TaskQueue: "host-1", Revision: revision, Cache: &activities.WorkspaceCache{Key: "k", Found: found}}, nil
		}
		s.steps.save = func() error { return temporal.NewNonRetryableApplicationError(saved.Error(), "", nil) }
		status, failure := s.run(input)
		s.Nil(failure, "that it cannot be saved costs time and nothing else")
		s.Equal(StateSucceeded, status.State)
		return s.steps.called()
	}
	called := begin()
	s.Greater(slices.Index(called, "SaveCache"), slices.Index(called, "Run make test"))
	s.Less(slices.Index(called, "SaveCache"), slices.Index(called, "Remove"))
	found = true
	s.NotContains(begin(), "SaveCache")
}

func (s *pipelineSuite) TestWhatAPipelineAsksForReachesItsCommands() {
	input := pipelineInput()
	input.Pipeline.Sandbox = delivery.Sandbox{Memory: 100, Network: delivery.NetworkNone}
	input.Pipeline.Checkout = delivery.Checkout{Submodules: true, LFS: true}
	input.Pipeline.Bucket = "bundles"
	checkout := s.steps.checkout
	s.steps.checkout = func(in activities.CheckoutInput) (activities.Workspace, error) {
		s.Equal(input.Pipeline.Checkout, in.Checkout)
		workspace, err := checkout(in)
		workspace.Bucket = in.Bucket
		return workspace, err
	}
	var names []string
	s.steps.run = func(_ context.Context, in activities.RunInput) (activities.CommandResult, error) {
		names = append(names, in.Name)
		s.Equal(input.Pipeline.Sandbox, in.Sandbox)
		s.Equal(map[string]string{"build": "01-build.log", "test": "02-test.log"}[in.Name], path.Base(in.Log))
		return activities.CommandResult{Passed: true}, nil
	}
	upload := s.steps.upload
	s.steps.upload = func(in activities.UploadInput) (delivery.Version, error) {
		s.Equal("make test", in.Provenance.Test)
		s.Equal("https://github.com/example/site", in.Provenance.Repository)
		s.True(strings.HasPrefix(in.Provenance.Run, "default-test-workflow-id"))
		return upload(in)
	}
	_, failure := s.run(input)
	s.Nil(failure)
	s.Equal([]string{"build", "test"}, names)
}
