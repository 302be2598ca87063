package workflows

import (
	"testing"

	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

type catchUpSuite struct {
	workflowSuite
	heads   func(activities.HeadsInput) (activities.Heads, error)
	known   map[string]bool // runs
	push    func(activities.LookAtPushInput) (activities.SeenPush, error)
	green   bool
	looked  []activities.LookAtPushInput
	started []activities.StartRunInput
	start   func() (activities.StartedRun, error)
}

func TestCatchUp(t *testing.T) { suite.Run(t, new(catchUpSuite)) }

func (s *catchUpSuite) SetupTest() {
	s.workflowSuite.SetupTest()
	s.known, s.green, s.looked, s.started = map[string]bool{}, false, nil, nil
	s.push = func(in activities.LookAtPushInput) (activities.SeenPush, error) {
		return activities.SeenPush{
			Revision: delivery.Revision{SHA: in.After, Ref: "refs/heads/" + in.Branch}, LeftOut: make([]string, len(in.Pipelines)),
		}, nil
	}
	s.start = func() (activities.StartedRun, error) { return activities.StartedRun{}, nil }
	add := func(name string, step any) {
		s.env.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
	}
	add("Heads", func(in activities.HeadsInput) (activities.Heads, error) { return s.heads(in) })
	add("FindRun", func(in activities.FindRunInput) (activities.FoundRun, error) {
		return activities.FoundRun{Found: s.known[in.RunID]}, nil
	})
	add("LookAtPush", func(in activities.LookAtPushInput) (activities.SeenPush, error) {
		s.looked = append(s.looked, in)
		return s.push(in)
	})
	add("ChecksGreen", func(activities.ChecksGreenInput) (activities.Checks, error) {
		return activities.Checks{Green: s.green}, nil
	})
	add("StartRun", func(in activities.StartRunInput) (activities.StartedRun, error) {
		started, err := s.start()
		if err == nil {
			s.started = append(s.started, in)
			started.RunID = delivery.RunID(in.Pipeline.Name, in.Revision.SHA)
		}
		return started, err
	})
	s.now(activities.Head{Branch: "feature", SHA: "f2"}, activities.Head{Branch: "main", SHA: "m2"})
}

// now says what the branches point to.
func (s *catchUpSuite) now(heads ...activities.Head) {
	s.heads = func(activities.HeadsInput) (activities.Heads, error) {
		return activities.Heads{Heads: heads, Tags: []string{"new"}}, nil
	}
}

const caughtRepository = "https://github.com/example/site"

func before() *CatchUpResult {
	return &CatchUpResult{Repositories: []SeenRepository{{
		Repository: caughtRepository, Tags: []string{"old"},
		Heads: []activities.Head{{Branch: "feature", SHA: "f1"}, {Branch: "main", SHA: "m1"}},
	}}}
}

func (s *catchUpSuite) catchUp(before *CatchUpResult, pipelines ...delivery.Pipeline) CatchUpResult {
	if before != nil {
		s.env.SetLastCompletionResult(*before)
	}
	if len(pipelines) == 0 {
		pipelines = []delivery.Pipeline{eventPipeline("site")}
	}
	s.env.ExecuteWorkflow(CatchUp, CatchUpInput{Pipelines: pipelines})
	s.Require().NoError(s.env.GetWorkflowError())
	var result CatchUpResult
	s.Require().NoError(s.env.GetWorkflowResult(&result))
	return result
}

func (s *catchUpSuite) TestAPushWithoutARunIsStarted() {
	result := s.catchUp(before())
	s.Equal([]string{"run/site/m2"}, result.Started)
	s.Equal([]SeenRepository{{
		Repository: caughtRepository, Tags: []string{"new"},
		Heads: []activities.Head{{Branch: "feature", SHA: "f2"}, {Branch: "main", SHA: "m2"}},
	}}, result.Repositories)
	s.Require().Len(s.looked, 1, "a branch that no stage names is not looked at")
	s.Equal("m1", s.looked[0].Before)
	s.Equal(delivery.Revision{SHA: "m2", Ref: "refs/heads/main"}, s.started[0].Revision)
}

func (s *catchUpSuite) TestAPushThatHadItsWebhookCostsNoFurtherRequest() {
	s.known["run/site/m2"] = true
	s.Empty(s.catchUp(before()).Started)
	s.Empty(s.looked)
}

func (s *catchUpSuite) TestWhereNothingChangedNothingIsDone() {
	s.heads = func(in activities.HeadsInput) (activities.Heads, error) {
		s.Equal([]string{"old"}, in.Tags)
		return activities.Heads{Unchanged: true, Tags: in.Tags}, nil
	}
	result := s.catchUp(before())
	s.Equal(before().Repositories, result.Repositories, "and it is remembered")
	s.Empty(s.looked)
}

func (s *catchUpSuite) TestARepositorySeenForTheFirstTimeIsOnlyRemembered() {
	result := s.catchUp(nil)
	s.Empty(result.Started)
	s.Len(result.Repositories[0].Heads, 2)
	s.Equal([]string{"new"}, result.Repositories[0].Tags)
}

func (s *catchUpSuite) TestANewBranchThatAStageNamesIsStarted() {
	s.now(activities.Head{Branch: "release/8", SHA: "r1"})
	pipeline := eventPipeline("site")
	pipeline.Stages[0].Branches = []string{"release/*"}
	s.Equal([]string{"run/site/r1"}, s.catchUp(before(), pipeline).Started)
	s.Empty(s.looked[0].Before)
}

func (s *catchUpSuite) TestWhatWasLeftOutOnPurposeIsNotFoundMissing() {
	s.push = func(activities.LookAtPushInput) (activities.SeenPush, error) {
		return activities.SeenPush{LeftOut: []string{"its message says [skip ci]"}}, nil
	}
	result := s.catchUp(before())
	s.Empty(result.Started)
	s.Equal([]string{"new"}, result.Repositories[0].Tags, "and not looked at again")
}

func (s *catchUpSuite) TestAPushWhoseChecksAreNotGreenIsLookedAtAgain() {
	pipeline := eventPipeline("site")
	pipeline.Trigger.On = []string{delivery.OnChecks}
	result := s.catchUp(before(), pipeline)
	s.Empty(result.Started)
	s.Equal("m1", result.Repositories[0].head("main"))
	s.Empty(result.Repositories[0].Tags, "also where the branches do not change any more")
}

func (s *catchUpSuite) TestAPushWhoseChecksAreGreenIsStarted() {
	s.green = true
	pipeline := eventPipeline("site")
	pipeline.Trigger.On = []string{delivery.OnChecks}
	s.Equal([]string{"run/site/m2"}, s.catchUp(before(), pipeline).Started)
}

func (s *catchUpSuite) TestWhatCannotBeLookedAtIsLookedAtTheNextTime() {
	s.push = func(activities.LookAtPushInput) (activities.SeenPush, error) {
		return activities.SeenPush{}, temporal.NewNonRetryableApplicationError("no such commit", string(delivery.InvalidInput), nil)
	}
	result := s.catchUp(before())
	s.Contains(result.Problems[0], "no such commit")
	s.Equal("m1", result.Repositories[0].head("main"))
	s.Equal("f2", result.Repositories[0].head("feature"))
	s.Empty(result.Repositories[0].Tags)
}

func (s *catchUpSuite) TestAGitHubThatIsAwayKeepsWhatWasSeen() {
	s.heads = func(activities.HeadsInput) (activities.Heads, error) {
		return activities.Heads{}, temporal.NewNonRetryableApplicationError("GitHub is down", "", nil)
	}
	result := s.catchUp(before())
	s.Equal(before().Repositories, result.Repositories)
	s.Contains(result.Problems[0], "GitHub is down")
}

func (s *catchUpSuite) TestPipelinesOfOneRepositoryShareTheLook() {
	s.known["run/shop/m2"] = true
	result := s.catchUp(before(), eventPipeline("shop"), eventPipeline("site"), eventPipeline("docs"))
	s.Equal([]string{"run/site/m2", "run/docs/m2"}, result.Started)
	s.Len(s.looked, 1)
}

func (s *catchUpSuite) TestAWebhookThatComesMeanwhileIsNoProblem() {
	s.start = func() (activities.StartedRun, error) { return activities.StartedRun{Existing: true}, nil }
	result := s.catchUp(before())
	s.Empty(result.Started)
	s.Empty(result.Problems)
}
