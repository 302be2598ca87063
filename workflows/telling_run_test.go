package workflows

import (
	"errors"
	"slices"
	"sync"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

func notified() PipelineInput {
	input := pipelineInput()
	input.Pipeline.Notify = []delivery.Receiver{{To: delivery.ToGitHub}}
	return input
}

// heard lets the Telling workflow be one that ends at once, so that each notice has to start it anew.
func (s *pipelineSuite) heard() *[]delivery.Notice {
	var mu sync.Mutex
	var notices []delivery.Notice
	s.env.OnWorkflow(TellingWorkflow, mock.Anything, mock.Anything).Return(func(_ workflow.Context, input TellingInput) (TellingResult, error) {
		mu.Lock()
		defer mu.Unlock()
		notices = append(notices, input.First)
		// The test environment runs children side by side, whichever was started first.
		slices.SortFunc(notices, func(a, b delivery.Notice) int { return a.Number - b.Number })
		return TellingResult{}, nil
	})
	return &notices
}

func (s *pipelineSuite) TestARunWithReceiversHandsOnItsStatesInOrderAndTheLastOneSurely() {
	notices := s.heard()
	status, failure := s.run(notified())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
	s.Greater(len(*notices), 1) // how many depends on how fast it changes: what is newest is sent
	number := 0
	for _, notice := range *notices {
		s.Greater(notice.Number, number)
		number = notice.Number
		s.Equal("https://github.com/example/site", notice.Repository)
		s.Equal("site", notice.Application)
	}
	last := (*notices)[len(*notices)-1]
	s.True(last.Ended)
	s.Equal("succeeded", last.State)
	s.Equal("succeeded", last.Stages[1].State)
}

func (s *pipelineSuite) TestARunIsNotFailedByAnybodyWhoCannotBeTold() {
	s.env.OnWorkflow(TellingWorkflow, mock.Anything, mock.Anything).Return(TellingResult{}, errors.New("broken"))
	status, failure := s.run(notified())
	s.Nil(failure)
	s.Equal(StateSucceeded, status.State)
}

func (s *pipelineSuite) TestARunWithoutReceiversStartsNothingBesideIt() {
	status, _ := s.run(pipelineInput()) // a Telling workflow would be run, and its steps are not there
	s.Equal(StateSucceeded, status.State)
}
