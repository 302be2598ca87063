package workflows

import (
	"fmt"
	"time"

	"gravity/internal/delivery"
)

func hotfix(label, id string) delivery.Request {
	request := request(label, id)
	request.JumpQueue = true
	return request
}

func everyRequest(label, id string) delivery.Request {
	request := request(label, id)
	request.Stage.Queue = delivery.QueueAll
	return request
}

func (s *environmentSuite) TestRollbacksGoFirstThenHotfixesThenEverythingElse() {
	s.at(0, DeployUpdate, everyRequest("v1", "1"))
	s.at(time.Minute, DeployUpdate, everyRequest("v2", "2"))
	s.at(2*time.Minute, DeployUpdate, hotfix("v3", "3"))
	back := request("v0", "4")
	back.Rollback = true
	s.at(3*time.Minute, DeployUpdate, back)
	s.at(4*time.Minute, DeployUpdate, hotfix("v5", "5"))
	s.at(5*time.Minute, DeployUpdate, everyRequest("v6", "6"))
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1", "v0", "v3", "v5", "v6"}, s.deployed, "v2 was replaced by the hotfix, which is newer")
}

func (s *environmentSuite) TestAHotfixIsNeitherReplacedNorOvertaken() {
	older := hotfix("v2", "2")
	older.Version.Revision.CommittedAt = beforeUpdate
	newer := request("v3", "3")
	newer.Version.Revision.CommittedAt = afterUpdate
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Minute, DeployUpdate, newer)
	s.at(2*time.Minute, DeployUpdate, older)
	s.at(3*time.Minute, DeployUpdate, newer)
	last := request("v4", "4")
	last.Version.Revision.CommittedAt = afterUpdate.Add(time.Hour)
	s.at(4*time.Minute, DeployUpdate, last)
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1", "v2", "v4"}, s.deployed)
}

func (s *environmentSuite) TestWhatWasReplacedByWhatIsOnRecord() {
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Minute, DeployUpdate, request("v2", "2"))
	s.at(2*time.Minute, DeployUpdate, request("v3", "3"))
	status := s.serve(EnvironmentInput{})
	s.Require().Len(status.Superseded, 1)
	s.Equal("v2", status.Superseded[0].Version)
	s.Equal("v3", status.Superseded[0].By)
	s.Equal("run/site/v3", status.Superseded[0].ByRunID)
}

func (s *environmentSuite) TestADeploymentWhoseWindowClosedMeanwhileDoesNotStart() {
	late := everyRequest("v2", "2")
	late.StartBy = s.env.Now().Add(takes / 2)
	s.at(0, DeployUpdate, everyRequest("v1", "1"))
	s.at(time.Minute, DeployUpdate, late)
	s.serve(EnvironmentInput{})
	s.Equal([]string{"v1"}, s.deployed)
	s.Require().Len(s.told, 2)
	s.Equal(delivery.WindowClosed, s.told[1].Cause)
	s.Equal(delivery.OutcomeUntouched, s.told[1].Outcome)
}

func (s *environmentSuite) TestVersionsThatWereGoodAreWhatCanBeRolledBackTo() {
	s.outcome = func(in DeploymentInput) (delivery.Result, error) {
		version := in.Request.Version
		if version.Label == "v2" {
			result := delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeTakenBack, Cause: delivery.Unhealthy, LeftOn: in.LeftOn, Good: in.Good}
			return result, toTemporal(&delivery.Error{Type: delivery.Unhealthy, Message: "ill"}, result)
		}
		return delivery.Result{RequestID: in.Request.ID, Outcome: delivery.OutcomeDeployed, LeftOn: version.Label, Good: &version}, nil
	}
	for i := range 4 {
		s.at(time.Duration(i)*time.Hour, DeployUpdate, request(fmt.Sprintf("v%d", i), fmt.Sprint(i)))
	}
	s.at(5*time.Hour, DeployUpdate, request("v1", "again"))
	status := s.serve(EnvironmentInput{})
	var labels []string
	for _, proven := range status.Proven {
		labels = append(labels, proven.Label)
	}
	s.Equal([]string{"v0", "v3", "v1"}, labels)
}

func (s *environmentSuite) TestDriftIsShownUntilTheNextDeployment() {
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Hour, DriftUpdate, Drifted{What: "on v9"})
	var between EnvironmentStatus
	s.env.RegisterDelayedCallback(func() {
		encoded, err := s.env.QueryWorkflow(StatusQuery)
		s.Require().NoError(err)
		s.Require().NoError(encoded.Get(&between))
	}, 2*time.Hour)
	s.at(3*time.Hour, DeployUpdate, request("v2", "2"))
	status := s.serve(EnvironmentInput{})
	s.Require().NotNil(between.Drift)
	s.Equal("on v9", between.Drift.What)
	s.Nil(status.Drift)
}

func (s *environmentSuite) TestWhatSeemsDriftDuringADeploymentIsNone() {
	s.at(0, DeployUpdate, request("v1", "1"))
	s.at(time.Minute, DriftUpdate, Drifted{What: "on v9"})
	s.Nil(s.serve(EnvironmentInput{}).Drift)
}
