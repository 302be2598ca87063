package stacks

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// turn takes a stack's operation one step on.
func (s *Stacks) turn(of *stack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || of.Work == nil {
		return
	}
	if len(of.Work.Tasks) == 0 {
		s.finish(of)
		s.keep(of)
		return
	}
	t := &of.Work.Tasks[0]
	switch {
	case !t.Begun:
		s.begin(of, t)
	case t.Since.IsZero():
		s.ask(of, t, true) // the stand-in ended before the call was answered
	default:
		s.look(of, t)
	}
	s.keep(of)
}

// begin readies a task's resource, says so, and makes the call.
func (s *Stacks) begin(of *stack, t *task) {
	r, err := s.subject(of, t)
	if err != nil {
		s.fail(of, t, r, err)
		return
	}
	if r == nil { // nothing changes, or nothing was there
		s.done(of)
		return
	}
	t.Begun, t.At = true, s.now()
	if t.Action == actionDelete && s.spared(of, r) {
		s.note(of, r, types.ResourceStatusDeleteSkipped, "")
		s.drop(of, r)
		s.done(of)
		return
	}
	s.note(of, r, inProgress(t.Action), "")
	if reason := s.ground.Faults.StackFault(of.Name, r.Logical, t.Action); reason != "" {
		s.keep(of)
		s.timers[of.ID] = s.ground.Clock.AfterFunc(s.ground.Step, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !s.closed && of.Work != nil {
				s.fail(of, t, r, fmt.Errorf("%s", reason))
				s.keep(of)
			}
		})
		return
	}
	s.keep(of) // before the call: what is found later is known to be ours
	s.ask(of, t, false)
}

// subject is the resource that a task is about, with the properties that it is to have.
func (s *Stacks) subject(of *stack, t *task) (*resource, error) {
	switch t.Action {
	case actionDelete:
		for _, r := range append(slices.Clone(of.Resources), of.Old...) {
			if r.Logical == t.Logical && r.Physical == t.Physical {
				return r, nil
			}
		}
		return nil, nil
	case actionUpdate:
		if t.Target != nil {
			return of.resource(t.Logical), nil
		}
	}
	p, err := s.read(of, of.Current)
	if err != nil {
		return nil, err
	}
	wanted, err := p.properties(t.Logical)
	there := of.resource(t.Logical)
	fresh := p.blank(t.Logical)
	fresh.Properties = wanted
	if err != nil {
		return there, err
	}
	if there == nil {
		return fresh, s.place(of, fresh)
	}
	change := s.change(there, fresh, wanted)
	there.Retain, there.KeepOld = fresh.Retain, fresh.KeepOld
	switch {
	case change == nil:
		return nil, nil
	case change.Replacement == types.ReplacementTrue:
		of.Old = append(of.Old, there)
		of.Resources = slices.DeleteFunc(of.Resources, func(r *resource) bool { return r == there })
		t.Action = actionCreate
		return fresh, s.place(of, fresh)
	}
	changed := *there
	t.Target = &changed
	t.Target.Properties = wanted
	return there, nil
}

// place gives a new resource its physical ID, and puts it into the stack.
func (s *Stacks) place(of *stack, r *resource) error {
	r.Updated = s.now()
	of.Resources = append(of.Resources, r)
	r.Physical = s.physical(of, r)
	for _, other := range s.stacks {
		for _, taken := range other.Resources {
			if taken != r && taken.Type == r.Type && taken.Physical == r.Physical && !other.gone() {
				return fmt.Errorf("%s already exists in stack %s", r.Physical, other.ID)
			}
		}
	}
	return nil
}

// spared tells whether a resource's policy keeps it.
func (s *Stacks) spared(of *stack, r *resource) bool {
	switch of.Work.Phase {
	case deletingAll:
		return r.Retain
	case cleaning:
		replaced := of.resource(r.Logical) != nil
		return replaced && r.KeepOld || !replaced && r.Retain
	default:
		return false
	}
}

// ask makes a task's call. Again tells that it may have been made before.
func (s *Stacks) ask(of *stack, t *task, again bool) {
	r := s.handled(of, t)
	h := s.handler(r.Type)
	working, before, action := *r, r.Properties, t.Action
	if t.Target != nil {
		working.Properties = t.Target.Properties
	}
	s.elsewhere(func(ctx context.Context) error {
		switch action {
		case actionCreate:
			return h.make(ctx, &working, again)
		case actionUpdate:
			return h.change(ctx, &working, before)
		default:
			return h.remove(ctx, &working)
		}
	}, func(err error) {
		if err != nil {
			s.fail(of, t, r, err)
		} else {
			t.Since = s.now()
			s.wake(of, s.documented(duration(r.Type, action)))
		}
		s.keep(of)
	})
}

// look asks whether what was called for has come about.
func (s *Stacks) look(of *stack, t *task) {
	r := s.handled(of, t)
	h := s.handler(r.Type)
	working, action, since := *r, t.Action, t.At
	if t.Target != nil {
		working.Properties = t.Target.Properties
	}
	settled := false
	s.elsewhere(func(ctx context.Context) (err error) {
		settled, err = h.settled(ctx, &working, action, since)
		return err
	}, func(err error) {
		switch {
		case err != nil:
			s.fail(of, t, r, err)
		case !settled:
			s.wake(of, s.ground.Step)
		default:
			s.completed(of, t, r, working)
		}
		s.keep(of)
	})
}

// handled finds a task's resource again.
func (s *Stacks) handled(of *stack, t *task) *resource {
	for _, r := range append(slices.Clone(of.Resources), of.Old...) {
		if r.Logical == t.Logical && (t.Action != actionDelete || r.Physical == t.Physical) {
			return r
		}
	}
	return &resource{Logical: t.Logical, Physical: t.Physical}
}

// completed takes a task's result over.
func (s *Stacks) completed(of *stack, t *task, r *resource, working resource) {
	if t.Action == actionDelete {
		s.note(of, r, types.ResourceStatusDeleteComplete, "")
		s.drop(of, r)
		s.done(of)
		return
	}
	r.Properties, r.Attributes, r.Updated = working.Properties, working.Attributes, s.now()
	s.describeAttributes(r)
	status := types.ResourceStatusCreateComplete
	if t.Action == actionUpdate {
		status = types.ResourceStatusUpdateComplete
	}
	s.note(of, r, status, "")
	s.done(of)
}

func (s *Stacks) done(of *stack) {
	of.Work.Tasks = slices.Delete(of.Work.Tasks, 0, 1)
	s.wake(of, 0)
}

func (s *Stacks) drop(of *stack, gone *resource) {
	is := func(r *resource) bool { return r == gone }
	of.Resources, of.Old = slices.DeleteFunc(of.Resources, is), slices.DeleteFunc(of.Old, is)
}

// fail ends a task, and decides what follows for the stack.
func (s *Stacks) fail(of *stack, t *task, r *resource, err error) {
	if r == nil {
		r = &resource{Logical: t.Logical, Physical: t.Physical}
	}
	s.note(of, r, failed(t.Action), err.Error())
	w := of.Work
	verb := map[string]string{actionCreate: "create", actionUpdate: "update", actionDelete: "delete"}[t.Action]
	reason := fmt.Sprintf("The following resource(s) failed to %s: [%s]. ", verb, r.Logical)
	switch w.Phase {
	case creating:
		s.status(of, types.StackStatusRollbackInProgress, reason+"Rollback requested by user.")
		w.Phase, w.Tasks = rollingBack, removals(of.Resources)
	case updating:
		s.status(of, types.StackStatusUpdateRollbackInProgress, reason)
		s.takeBack(of)
	case rollingBack:
		s.status(of, types.StackStatusRollbackFailed, reason)
		of.Work = nil
		return
	case takingBack:
		s.status(of, types.StackStatusUpdateRollbackFailed, reason)
		of.Stuck, of.Work = of.Work, nil
		return
	case cleaning: // what could not be cleaned up stays behind, as on AWS
		s.drop(of, r)
		w.Tasks = w.Tasks[1:]
	case deletingAll:
		s.status(of, types.StackStatusDeleteFailed, reason)
		of.Work = nil
		return
	}
	s.wake(of, s.ground.Step)
}

// removals deletes resources, the newest first.
func removals(resources []*resource) []task {
	var tasks []task
	for _, r := range slices.Backward(resources) {
		if r.Physical != "" {
			tasks = append(tasks, task{Action: actionDelete, Logical: r.Logical, Physical: r.Physical})
		}
	}
	return tasks
}

// takeBack turns an update around: what was made goes, what was changed or replaced is as before.
func (s *Stacks) takeBack(of *stack) {
	w := of.Work
	w.Phase, w.Tasks = takingBack, nil
	var kept []*resource
	var made []*resource
	for _, r := range of.Resources {
		earlier := w.Earlier[r.Logical]
		switch {
		case earlier == nil:
			made = append(made, r)
		case earlier.Physical != r.Physical:
			made = append(made, r)
			kept = append(kept, earlier)
		default:
			kept = append(kept, r)
			if !same(asAny(earlier.Properties), asAny(r.Properties)) || r.Status == types.ResourceStatusUpdateFailed {
				w.Tasks = append(w.Tasks, task{Action: actionUpdate, Logical: r.Logical, Target: earlier})
			}
		}
	}
	slices.Reverse(w.Tasks)
	w.Tasks = append(w.Tasks, removals(made)...)
	of.Resources, of.Old = kept, made
	of.Current = *w.Before
}

func asAny(properties map[string]any) any { return properties }

// finish ends an operation, or goes on to its next phase.
func (s *Stacks) finish(of *stack) {
	w := of.Work
	switch w.Phase {
	case creating, updating:
		if err := s.tell(of); err != nil {
			s.fail(of, &task{Action: actionUpdate, Logical: of.Name}, &resource{Logical: of.Name}, err)
			return
		}
		if w.Phase == creating {
			of.Work = nil
			s.status(of, types.StackStatusCreateComplete, "")
			return
		}
		s.status(of, types.StackStatusUpdateCompleteCleanupInProgress, "")
		w.Phase, w.Tasks = cleaning, removals(of.Old)
		s.wake(of, s.ground.Step)
		return
	case cleaning:
		of.Old = nil
		s.status(of, types.StackStatusUpdateComplete, "")
	case rollingBack:
		of.Resources = nil
		s.status(of, types.StackStatusRollbackComplete, "")
	case takingBack:
		of.Old = nil
		if err := s.tell(of); err != nil {
			s.ground.Log.Error("outputs after a rollback", "stack", of.Name, "error", err)
		}
		s.status(of, types.StackStatusUpdateRollbackComplete, "")
	case deletingAll:
		of.Deleted = s.now()
		s.status(of, types.StackStatusDeleteComplete, "")
	}
	of.Work = nil
}

// tell brings the outputs up to date.
func (s *Stacks) tell(of *stack) error {
	p, err := s.read(of, of.Current)
	if err != nil {
		return err
	}
	of.Outputs, err = p.outputs()
	return err
}

// note records what happens to a resource.
func (s *Stacks) note(of *stack, r *resource, status types.ResourceStatus, reason string) {
	r.Status, r.Reason = status, reason
	s.write(of, event{Logical: r.Logical, Physical: r.Physical, Type: r.Type, Status: status, Reason: reason})
}

// status records what happens to the stack as a whole.
func (s *Stacks) status(of *stack, status types.StackStatus, reason string) {
	of.Status, of.Reason, of.Updated = status, reason, s.now()
	s.write(of, event{Logical: of.Name, Physical: of.ID, Type: "AWS::CloudFormation::Stack", Status: types.ResourceStatus(status), Reason: reason})
}

func (s *Stacks) write(of *stack, e event) {
	e.ID, e.At = s.uuid(), s.now()
	of.Events = append(of.Events, e)
}

func inProgress(action string) types.ResourceStatus {
	return types.ResourceStatus(strings.ToUpper(action) + "_IN_PROGRESS")
}

func failed(action string) types.ResourceStatus {
	return types.ResourceStatus(strings.ToUpper(action) + "_FAILED")
}

// start begins an operation on a stack.
func (s *Stacks) start(of *stack, phase phase, tasks []task, status types.StackStatus, token *string) error {
	of.Work = &work{Phase: phase, Tasks: tasks, Token: aws.ToString(token)}
	of.Stuck = nil
	s.status(of, status, "")
	if err := s.save(of); err != nil {
		return err
	}
	s.wake(of, s.ground.Step)
	return nil
}
