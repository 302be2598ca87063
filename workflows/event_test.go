package workflows

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"gravity/activities"
	"gravity/internal/delivery"
)

const (
	eventSHA  = "abababababababababababababababababababab"
	mergedSHA = "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
)

type eventSuite struct {
	workflowSuite
	may     bool
	pull    activities.FoundPullRequest
	checks  map[string]activities.Checks // by what is asked for
	started []activities.StartRunInput
	told    []activities.TellRunInput
	tell    func(activities.TellRunInput) error
	status  string
	asked   []activities.AskInput
	replies []activities.ReplyInput
}

func TestGitHubEvent(t *testing.T) { suite.Run(t, new(eventSuite)) }

func (s *eventSuite) SetupTest() {
	s.workflowSuite.SetupTest()
	s.may, s.checks, s.status = true, map[string]activities.Checks{}, "null"
	s.pull = activities.FoundPullRequest{Number: 12, HeadSHA: eventSHA, HeadRef: "feature/x", BaseRef: "main", Open: true}
	s.started, s.told, s.asked, s.replies = nil, nil, nil, nil
	s.tell = func(activities.TellRunInput) error { return nil }
	add := func(name string, step any) {
		s.env.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
	}
	add("MayWrite", func(activities.MayWriteInput) (activities.Permission, error) {
		return activities.Permission{May: s.may}, nil
	})
	add("PullRequest", func(activities.PullRequestInput) (activities.FoundPullRequest, error) { return s.pull, nil })
	add("ChecksGreen", func(in activities.ChecksGreenInput) (activities.Checks, error) { return s.checks[in.Names[0]], nil })
	add("Resolve", func(activities.ResolveInput) (activities.Resolved, error) {
		return activities.Resolved{SHA: mergedSHA}, nil
	})
	add("StartRun", func(in activities.StartRunInput) (activities.StartedRun, error) {
		s.started = append(s.started, in)
		return activities.StartedRun{RunID: delivery.RunID(in.Pipeline.Name, in.Revision.SHA)}, nil
	})
	add("TellRun", func(in activities.TellRunInput) error {
		s.told = append(s.told, in)
		return s.tell(in)
	})
	add("Status", func(activities.StatusInput) (json.RawMessage, error) { return json.RawMessage(s.status), nil })
	add("Reply", func(in activities.ReplyInput) error {
		s.replies = append(s.replies, in)
		return nil
	})
	s.steps.ask = func(in activities.AskInput) (Receipt, error) {
		s.asked = append(s.asked, in)
		return Receipt{}, nil
	}
}

func eventPipeline(name string) delivery.Pipeline {
	return delivery.Pipeline{
		Name: name, Repository: "https://github.com/example/site", Application: "site", Trigger: delivery.Trigger{Checks: []string{name + " ci"}},
		Stages: []delivery.Stage{
			{Name: "staging", Environment: name + "-staging", Requests: []string{"feature/*"}},
			{Name: "production", Environment: name + "-production"},
		},
	}.WithDefaults()
}

func command(verb, target string) delivery.GitHubEvent {
	return delivery.GitHubEvent{
		ID: "comment/987", Kind: delivery.EventCommand, Repository: "https://github.com/example/site",
		Pipelines: []delivery.Pipeline{eventPipeline("site")},
		Command:   &delivery.Comment{ID: 987, Number: 12, PullRequest: true, Login: "ana", Verb: verb, Target: target, Text: "because"},
	}
}

func (s *eventSuite) handle(event delivery.GitHubEvent) EventResult {
	s.env.ExecuteWorkflow(GitHubEvent, event)
	s.Require().NoError(s.env.GetWorkflowError())
	var result EventResult
	s.Require().NoError(s.env.GetWorkflowResult(&result))
	return result
}

// refused handles a command that must be refused, with the reason in the reply.
func (s *eventSuite) refused(event delivery.GitHubEvent, reason string) {
	result := s.handle(event)
	s.False(result.Done)
	s.Contains(result.Text, reason)
	s.Require().Len(s.replies, 1)
	s.False(s.replies[0].Done)
	s.Contains(s.replies[0].Text, "Not done: ")
	s.Empty(s.started)
	s.Empty(s.asked)
}

func (s *eventSuite) TestADeployTakesThePullRequestsCommitUpToTheStage() {
	s.True(s.handle(command("deploy", "staging")).Done)
	s.Require().Len(s.started, 1)
	s.Equal(delivery.Revision{SHA: eventSHA, Ref: "refs/heads/feature/x"}, s.started[0].Revision)
	s.Equal("staging", s.started[0].Until)
	s.Equal("comment/987", s.started[0].Name)
	s.Equal([]activities.ReplyInput{{Repository: "https://github.com/example/site", Number: 12, Comment: 987, Done: true}}, s.replies)
}

func (s *eventSuite) TestAMergedPullRequestIsWhatItBecame() {
	s.pull.Merged, s.pull.Open, s.pull.MergeSHA, s.pull.Fork = true, false, mergedSHA, true
	s.True(s.handle(command("deploy", "site-production")).Done)
	s.Equal(delivery.Revision{SHA: mergedSHA, Ref: "refs/heads/main"}, s.started[0].Revision)
	s.Equal("production", s.started[0].Until)
}

func (s *eventSuite) TestWhoMayNotWriteMayNotCommand() {
	s.may = false
	s.refused(command("deploy", "staging"), "ana may not write")
}

func (s *eventSuite) TestWhoMayNotWriteMayNotApprove() {
	s.may = false
	s.refused(command("approve", ""), "ana may not write")
	s.Empty(s.told)
}

func (s *eventSuite) TestAForksCodeIsNeverDeployed() {
	s.pull.Fork = true
	s.refused(command("deploy", "staging"), "comes from a fork")
}

func (s *eventSuite) TestAStageTakesOnlyItsOwnBranches() {
	s.refused(command("deploy", "production"), "stage production takes no branch feature/x")
}

func (s *eventSuite) TestAStageThatThereIsNotIsSaid() {
	s.refused(command("deploy", "moon"), "has a stage moon")
}

func (s *eventSuite) TestAClosedPullRequestIsNotDeployed() {
	s.pull.Open = false
	s.refused(command("deploy", "staging"), "closed without being merged")
}

func (s *eventSuite) TestACommandUnderAnIssueHasNoCommit() {
	event := command("approve", "")
	event.Command.PullRequest = false
	s.refused(event, "under a pull request")
}

func (s *eventSuite) TestAnApprovalReachesTheRunWithItsAuthorAndReason() {
	result := s.handle(command("approve", ""))
	s.True(result.Done)
	s.Equal([]string{"run/site/" + eventSHA}, result.Runs)
	s.Equal(ApproveUpdate, s.told[0].Update)
	s.Equal("comment/987", s.told[0].UpdateID, "told twice, it is one approval")
	s.Equal(map[string]any{"by": "ana", "reason": "because"}, s.told[0].Argument)
}

func (s *eventSuite) TestAnApprovalThatTheRunRefusesIsRefusedWithItsReason() {
	s.tell = func(activities.TellRunInput) error {
		return temporal.NewNonRetryableApplicationError("the run waits at no gate now: it is deploying", string(delivery.InvalidInput), nil)
	}
	s.refused(command("approve", ""), "waits at no gate now")
}

func (s *eventSuite) TestAnAbortIsSignalledToTheRun() {
	s.env.OnSignalExternalWorkflow(mock.Anything, "run/site/"+eventSHA, "", AbortSignal, Answer{By: "ana", Reason: "because"}).Return(nil).Once()
	s.True(s.handle(command("abort", "")).Done)
}

func (s *eventSuite) TestARollbackAsksTheQueueForTheVersionOfBefore() {
	status, err := json.Marshal(EnvironmentStatus{
		Application: "site", Environment: "site-production", LeftOn: "two",
		Recent: []DeploymentRecord{
			{Version: version("one"), Result: delivery.Result{Outcome: delivery.OutcomeDeployed}},
			{Version: version("two"), Result: delivery.Result{Outcome: delivery.OutcomeDeployed}},
		},
	})
	s.Require().NoError(err)
	s.status = string(status)
	event := command("rollback", "production")
	event.Command.PullRequest = false // an issue is as good
	result := s.handle(event)
	s.True(result.Done)
	s.Contains(s.replies[0].Text, "site-production goes back to one")
	s.Require().Len(s.asked, 1)
	s.Equal("environment/site/site-production", s.asked[0].WorkflowID)
	asked := s.asked[0].Argument.(map[string]any)
	s.Equal("rollback/comment/987", asked["id"])
	s.Equal("ana", asked["by"])
	s.Equal("one", asked["version"].(map[string]any)["label"])
	s.Equal(true, asked["rollback"])
}

func (s *eventSuite) TestARollbackOfWhatWasNeverDeployedIsRefused() {
	s.refused(command("rollback", "production"), "nothing was ever deployed")
}

func (s *eventSuite) TestGreenChecksStartThePipelinesThatWaitForThem() {
	s.checks["site ci"] = activities.Checks{Green: true}
	s.checks["shop ci"] = activities.Checks{Pending: []string{"shop ci"}}
	result := s.handle(delivery.GitHubEvent{
		ID: "workflow-run/1/1", Kind: delivery.EventChecks, Repository: "https://github.com/example/site",
		Pipelines: []delivery.Pipeline{eventPipeline("shop"), eventPipeline("site")},
		Revision:  delivery.Revision{SHA: eventSHA, Ref: "refs/heads/main"},
	})
	s.Equal([]string{"run/site/" + eventSHA}, result.Runs)
	s.Contains(result.Text, "shop: not green yet: shop ci")
	s.Empty(s.replies)
}

func (s *eventSuite) TestAReleaseStartsTheCommitOfItsTag() {
	result := s.handle(delivery.GitHubEvent{
		ID: "release/1", Kind: delivery.EventRelease, Repository: "https://github.com/example/site",
		Pipelines: []delivery.Pipeline{eventPipeline("site")}, Revision: delivery.Revision{Ref: "refs/tags/v1", Message: "The first"},
	})
	s.Equal([]string{"run/site/" + mergedSHA}, result.Runs)
	s.Equal(delivery.Revision{SHA: mergedSHA, Ref: "refs/tags/v1", Message: "The first"}, s.started[0].Revision)
}
