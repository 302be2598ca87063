package beanstalk

import (
	"context"
	"sync"
	"time"

	"gravity/internal/delivery"
)

// Watcher looks at all environments that anyone waits for with one call, so that a thousand waits
// cost the account as many calls as one. It looks at the moments at which a wait could decide something;
// otherwise often while something changes and ever less often while nothing does, unless all waits are
// patient; and not at all while nobody waits. Among a thousand there is always one that could decide something, so
// that the more there are the longer it takes from one look to the next.
type Watcher struct {
	describe func(context.Context, []string) ([]delivery.Observation, error)
	pace     Pace

	mu      sync.Mutex
	watches map[*watch]struct{}
	waits   map[string]int // by the environment's name
	running bool
	// replan is closed and replaced when a watch names a moment for its next look.
	replan chan struct{}
}

// watch is one wait for one environment.
type watch struct {
	application, name string
	// due is the moment at which a look is wanted; zero when any will do.
	due time.Time
	// patient is true when its wait wants no look before that.
	patient bool
	// looks holds the newest look alone: whoever is slow to read misses nothing that still holds.
	looks chan look
}

// look is one answer of the platform, or the error instead of it.
type look struct {
	observed delivery.Observation
	err      error
}

// maxNames is how many environments are named in one call; the Query protocol's form grows with
// each, and 200 environments a region is AWS's usual quota. A call that names none is answered with all that the
// caller may see, in one answer.
const maxNames = 200

func newWatcher(describe func(context.Context, []string) ([]delivery.Observation, error), pace Pace) *Watcher {
	return &Watcher{describe: describe, pace: pace, watches: map[*watch]struct{}{}, waits: map[string]int{}, replan: make(chan struct{})}
}

// watch begins to look at an environment until stop is called. The first look comes at once, or
// within the fast pace where others wait already; at asks for a look at a certain moment and, where the wait
// is patient, for none before it.
func (w *Watcher) watch(application, name string) (looks <-chan look, at func(due time.Time, patient bool), stop func()) {
	added := &watch{application: application, name: name, looks: make(chan look, 1), due: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches[added] = struct{}{}
	w.waits[name]++
	w.plan()
	if !w.running {
		w.running = true
		go w.run()
	}
	at = func(due time.Time, patient bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !due.Equal(added.due) || patient != added.patient {
			added.due, added.patient = due, patient
			w.plan()
		}
	}
	return added.looks, at, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watches, added)
		if w.waits[name]--; w.waits[name] == 0 {
			delete(w.waits, name)
		}
	}
}

// plan has the next look planned anew.
func (w *Watcher) plan() {
	close(w.replan)
	w.replan = make(chan struct{})
}

// run looks until nobody watches any more.
func (w *Watcher) run() {
	interval := w.pace.Fast
	last := map[string]delivery.Observation{}
	for {
		names := w.names()
		if names == nil {
			return
		}
		changed := w.lookAt(names, last)
		looked := time.Now()
		if changed {
			interval = w.pace.Fast
		} else {
			interval = min(interval*3/2, w.pace.Slow)
		}
		if w.await(looked, interval) {
			interval = w.pace.Fast
		}
	}
}

// await waits for the moment of the next look. It reports whether that came out of turn.
func (w *Watcher) await(looked time.Time, interval time.Duration) (early bool) {
	for {
		next, early, replan := w.next(looked, interval)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
			return early
		case <-replan:
			timer.Stop()
		}
	}
}

// next plans the next look: in turn, or at the first moment that a watch wants, and shortly after its turn
// rather than twice. Waits that begin, or are tried again, one after another must not cost a call
// each, least of all while the platform asks for fewer, so there is some time between any two.
func (w *Watcher) next(looked time.Time, interval time.Duration) (at time.Time, early bool, replan <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	soonest := looked.Add(w.pace.apart(len(w.waits)))
	turn := looked.Add(interval)
	if turn.Before(soonest) {
		turn = soonest
	}
	at = turn
	var due time.Time
	patient := true
	for each := range w.watches {
		patient = patient && each.patient && !each.due.IsZero()
		if !each.due.IsZero() && (due.IsZero() || each.due.Before(due)) {
			due = each.due
		}
	}
	if patient && !due.IsZero() {
		if due.Before(soonest) {
			due = soonest
		}
		return due, false, w.replan
	}
	if !due.IsZero() && due.Before(turn.Add(w.pace.Fast)) {
		at = due
		if at.Before(soonest) {
			at = soonest
		}
	}
	return at, at.Before(turn), w.replan
}

// names lists what is watched, each once; nil ends the running. Whatever look was wanted by now is about to be made.
func (w *Watcher) names() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	seen := map[string]bool{}
	var names []string
	for each := range w.watches {
		if !each.due.After(now) {
			each.due = time.Time{}
		}
		if !seen[each.name] {
			seen[each.name] = true
			names = append(names, each.name)
		}
	}
	w.running = names != nil
	return names
}

// lookAt asks for the environments, and tells every watch. It reports whether anything changed since the last look.
func (w *Watcher) lookAt(names []string, last map[string]delivery.Observation) bool {
	// A call that hangs must not stop the waits of everyone.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	changed := false
	asked := names
	if len(names) > maxNames {
		asked = nil // for all of them
	}
	observed, err := w.describe(ctx, asked)
	byName := make(map[string][]delivery.Observation, len(observed))
	for _, o := range observed {
		byName[o.Name] = append(byName[o.Name], o)
	}
	for _, name := range names {
		for _, o := range byName[name] {
			if !same(last[name], o) {
				last[name] = o
				changed = true
			}
		}
	}
	w.tell(names, byName, err)
	return changed
}

// same compares what a wait decides by.
func same(a, b delivery.Observation) bool {
	return a.ID == b.ID && a.Status == b.Status && a.HealthStatus == b.HealthStatus && a.VersionLabel == b.VersionLabel &&
		a.UpdatedAt.Equal(b.UpdatedAt) && a.Abortable == b.Abortable
}

func (w *Watcher) tell(names []string, observed map[string][]delivery.Observation, failure error) {
	asked := make(map[string]bool, len(names))
	for _, name := range names {
		asked[name] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for each := range w.watches {
		if !asked[each.name] {
			continue
		}
		seen := look{err: failure}
		if failure == nil {
			seen.observed, seen.err = find(observed[each.name], each.application, each.name)
		}
		select {
		case <-each.looks: // replaced by the newer one
		default:
		}
		each.looks <- seen
	}
}
