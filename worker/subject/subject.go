// Package subject makes each line of a worker's log say what it is about: the run, the pipeline, the environment and
// the revision. Lines are written by workflows, by steps, by what steps call, and by Temporal's SDK about all of
// them; none of these has to know, or could forget it.
//
// A workflow's subject is in its search attributes. A step gets it by a header of the command that starts it, since
// most steps run on a worker that does not have their workflow.
package subject

import (
	"context"
	"sync"
)

// Subject is what a workflow or a step works on. What does not apply is empty: a run has no single environment, and
// what schedules do by themselves has no run.
type Subject struct {
	Run         string `json:"run,omitempty"` // its workflow ID
	Pipeline    string `json:"pipeline,omitempty"`
	Environment string `json:"environment,omitempty"`
	Revision    string `json:"revision,omitempty"` // full SHA
}

type key struct{}

// Of is what the step of this context is about.
func Of(ctx context.Context) Subject {
	about, _ := ctx.Value(key{}).(Subject)
	return about
}

// Subjects are what the workflows are about of which a process had a task or a step lately. Temporal's SDK writes of
// a step that failed when it has left the step's context, and names the workflow's ID alone.
type Subjects struct {
	mutex sync.Mutex
	// by workflow ID; when the newer ones are many, the older ones are forgotten.
	newer, older map[string]Subject
}

// generation is how many workflows are remembered at least: more than a worker has steps and workflow tasks at once.
const generation = 5000

// New knows nothing yet.
func New() *Subjects { return &Subjects{newer: map[string]Subject{}} }

func (s *Subjects) remember(workflowID string, about Subject) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.newer) >= generation {
		s.older, s.newer = s.newer, map[string]Subject{}
	}
	s.newer[workflowID] = about
}

func (s *Subjects) of(workflowID string) Subject {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if about, ok := s.newer[workflowID]; ok {
		return about
	}
	return s.older[workflowID]
}
