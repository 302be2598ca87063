package beanstalk

import (
	"context"
	"sync"
	"time"

	"gravity/internal/delivery"
)

// Watcher looks at all environments that anyone waits for with one call, so that a thousand waits
// cost the account as many calls as one. It looks often while something changes and ever less
// often while nothing does, and not at all while nobody waits.
type Watcher struct {
	describe func(context.Context, []string) ([]delivery.Observation, error)
	pace     Pace

	mu      sync.Mutex
	watches map[*watch]struct{}
	running bool
	// hurry is closed and replaced when a watch begins, to look soon.
	hurry chan struct{}
	// wishes has an entry after a wish.
	wishes chan struct{}
}

// watch is one wait for one environment.
type watch struct {
	application, name string
	// looks holds the newest look alone: whoever is slow to read misses nothing that still holds.
	looks chan look
	// wished is when its wait wants the next look; zero leaves that to the watcher.
	wished time.Time
}

// look is one answer of the platform, or the error instead of it.
type look struct {
	observed delivery.Observation
	err      error
}

// maxNames is how many environments are named in one call; the Query protocol's form grows with
// each, and 200 environments a region is AWS's usual quota.
const maxNames = 200

func newWatcher(describe func(context.Context, []string) ([]delivery.Observation, error), pace Pace) *Watcher {
	return &Watcher{describe: describe, pace: pace, watches: map[*watch]struct{}{}, hurry: make(chan struct{}), wishes: make(chan struct{}, 1)}
}

// watch begins to look at an environment until stop is called. The first look comes at once, or
// within the fast pace where others wait already.
//
// Whoever calls wish after a look says when the next one is wanted, in place of the watcher's own pace.
func (w *Watcher) watch(application, name string) (looks <-chan look, wish func(time.Time), stop func()) {
	added := &watch{application: application, name: name, looks: make(chan look, 1)}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watches[added] = struct{}{}
	close(w.hurry)
	w.hurry = make(chan struct{})
	if !w.running {
		w.running = true
		go w.run()
	}
	return added.looks, func(at time.Time) { w.wish(added, at) }, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watches, added)
	}
}

func (w *Watcher) wish(of *watch, at time.Time) {
	w.mu.Lock()
	of.wished = at
	w.mu.Unlock()
	select {
	case w.wishes <- struct{}{}:
	default: // it looks at all wishes anyway
	}
}

// due is when the next look is: at the earliest wish, or an interval after the last one where a wait has none.
func (w *Watcher) due(looked time.Time, interval time.Duration) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	var earliest time.Time
	for each := range w.watches {
		at := each.wished
		if !at.After(looked) {
			at = looked.Add(interval) // none, or one that this look has fulfilled
		}
		earliest = sooner(at, earliest)
	}
	if least := looked.Add(w.pace.Fast); earliest.Before(least) {
		return least
	}
	return earliest
}

// run looks until nobody watches any more.
func (w *Watcher) run() {
	interval := w.pace.Fast
	last := map[string]delivery.Observation{}
	for {
		names, hurry := w.names()
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
		if w.rest(looked, interval, hurry) {
			interval = w.pace.Fast
		}
	}
}

// rest waits until the next look is due, and reports whether a wait has begun meanwhile.
func (w *Watcher) rest(looked time.Time, interval time.Duration, hurry <-chan struct{}) bool {
	for {
		timer := time.NewTimer(time.Until(w.due(looked, interval)))
		select {
		case <-timer.C:
			return false
		case <-w.wishes:
			timer.Stop()
		case <-hurry:
			// Waits that begin, or are tried again, one after another must not cost a call each; least of
			// all while the platform asks for fewer.
			timer.Stop()
			time.Sleep(time.Until(looked.Add(w.pace.Fast)))
			return true
		}
	}
}

// names lists what is watched, each once; nil ends the running.
func (w *Watcher) names() ([]string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[string]bool{}
	var names []string
	for each := range w.watches {
		if !seen[each.name] {
			seen[each.name] = true
			names = append(names, each.name)
		}
	}
	w.running = names != nil
	return names, w.hurry
}

// lookAt asks for the environments, and tells every watch. It reports whether anything changed since the last look.
func (w *Watcher) lookAt(names []string, last map[string]delivery.Observation) bool {
	// A call that hangs must not stop the waits of everyone.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	changed := false
	for len(names) > 0 {
		batch := names[:min(len(names), maxNames)]
		names = names[len(batch):]
		observed, err := w.describe(ctx, batch)
		for _, o := range observed {
			if !same(last[o.Name], o) {
				last[o.Name] = o
				changed = true
			}
		}
		w.tell(batch, observed, err)
	}
	return changed
}

// same compares what a wait decides by.
func same(a, b delivery.Observation) bool {
	return a.ID == b.ID && a.Status == b.Status && a.HealthStatus == b.HealthStatus && a.VersionLabel == b.VersionLabel &&
		a.UpdatedAt.Equal(b.UpdatedAt) && a.Abortable == b.Abortable
}

func (w *Watcher) tell(names []string, observed []delivery.Observation, failure error) {
	asked := map[string]bool{}
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
			seen.observed, seen.err = find(observed, each.application, each.name)
		}
		select {
		case <-each.looks: // replaced by the newer one
		default:
		}
		each.looks <- seen
	}
}
