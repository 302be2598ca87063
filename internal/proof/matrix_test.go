package proof

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
)

// moment is when a failure happens.
type moment string

const (
	before     moment = "before the deployment"
	atStart    moment = "as the update begins"
	halfWay    moment = "half-way through the update"
	inHealth   moment = "in the wait for health"
	inCheck    moment = "in the check"
	inBake     moment = "in the bake"
	inRollback moment = "in the rollback"

	// Blue-green has these as well.
	atSwap   moment = "as the swap begins"
	inSwap   moment = "half-way through the swap"
	inPublic moment = "in the check at the users' address"
	inRetire moment = "as the old environment is to be ended"
)

// promise is what the failure table says of a case.
type promise struct {
	outcomes []delivery.Outcome
	// left are the labels that the environment may be left on, of old, new and byHand.
	left []string
	// updates are how many updates Gravity may have begun; nil leaves that open.
	updates []int
	// unsafe is set where no strategy promises that users notice nothing: the failure itself is what they notice.
	unsafe bool
	// pairs are what may have been begun in blue-green: by Gravity, and updates by somebody else.
	pairs []lab.Changes
}

const (
	oldLabel = "good-1"
	byHand   = "good-hand"
)

var (
	deployed  = promise{outcomes: []delivery.Outcome{delivery.OutcomeDeployed}, left: []string{"new"}, updates: []int{1}}
	untouched = promise{outcomes: []delivery.Outcome{delivery.OutcomeUntouched}, left: []string{oldLabel}, updates: []int{0}}
	takenBack = promise{outcomes: []delivery.Outcome{delivery.OutcomeTakenBack, delivery.OutcomeRolledBack}, left: []string{oldLabel}, updates: []int{1, 2}}
	returned  = promise{outcomes: []delivery.Outcome{delivery.OutcomeRolledBack}, left: []string{oldLabel}, updates: []int{2}}
	attention = promise{outcomes: []delivery.Outcome{delivery.OutcomeNeedsAttention}}
)

func (p promise) noticed() promise { p.unsafe = true; return p }

func (p promise) on(labels ...string) promise { p.left = labels; return p }

func (p promise) after(updates ...int) promise { p.updates = updates; return p }

// begun is what may have been begun in blue-green, one of them.
func (p promise) begun(changes ...lab.Changes) promise { p.pairs = changes; return p }

// failure is one row of the matrix: what goes wrong, and what is promised for it. A row makes a case
// for each of its moments and every strategy.
type failure struct {
	name    string
	moments []moment
	// version is how the new version behaves: see behave.
	version string
	// prepare changes the story before it begins; happen is what happens at the moment.
	prepare func(*story)
	happen  func(*story, workflow.Context)
	promise func(delivery.Strategy, moment) promise
	// pairMoments are further ones for blue-green, and pair is its promise where it is not what follows from that
	// of the others: see promiseOf.
	pairMoments []moment
	pair        func(moment) promise
	// also checks what this row alone promises.
	also func(*story, delivery.Result)
}

// momentsOf are the moments of a row for a strategy.
func (f failure) momentsOf(strategy delivery.Strategy) []moment {
	if strategy == delivery.BlueGreen {
		return slices.Concat(f.moments, f.pairMoments)
	}
	return f.moments
}

// promiseOf is what a case promises. Blue-green begins no updates: it makes one environment, swaps, and ends one. Until
// the swap it is only asked beside its users, who notice nothing of what is found there.
func (f failure) promiseOf(strategy delivery.Strategy, at moment) promise {
	switch {
	case strategy != delivery.BlueGreen:
		return f.promise(strategy, at)
	case f.pair != nil:
		return f.pair(at)
	}
	p := f.promise(strategy, at)
	swapped := slices.Contains([]moment{inSwap, inPublic, inRetire, inBake}, at)
	switch p.outcomes[0] {
	case delivery.OutcomeDeployed:
		return p.begun(lab.Changes{Made: 1, Swapped: 1, Ended: 1})
	case delivery.OutcomeUntouched:
		return p.begun(lab.Changes{})
	case delivery.OutcomeTakenBack, delivery.OutcomeRolledBack:
		if swapped {
			return p.begun(lab.Changes{Made: 1, Swapped: 2, Ended: 1})
		}
		p.unsafe = false
		return p.begun(lab.Changes{Made: 1, Ended: 1})
	default:
		return p.begun(lab.Changes{Made: 1, Ended: 1})
	}
}

// always is the same promise for every strategy and moment.
func always(p promise) func(delivery.Strategy, moment) promise {
	return func(delivery.Strategy, moment) promise { return p }
}

// onPair is the same promise of blue-green for every moment.
func onPair(p promise) func(moment) promise { return func(moment) promise { return p } }

// inPlace reports whether a strategy changes instances that are there: half an update is a mixed fleet.
func inPlace(strategy delivery.Strategy) bool {
	return strategy == delivery.Rolling || strategy == delivery.RollingWithAdditionalBatch || strategy == delivery.AllAtOnce
}

func TestWhateverGoesWrongWheneverItDoesTheEnvironmentEndsAsPromised(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of deployments")
	}
	lengths := typicalLengths(t)
	began := time.Now()
	cases := 0
	var requests, hours atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for _, f := range slices.Concat(failures(), bakes()) {
			for _, strategy := range delivery.Strategies() {
				for _, at := range f.momentsOf(strategy) {
					cases++
					t.Run(fmt.Sprintf("%s, %s, %s, %s", strategy, f.version, f.name, at), func(t *testing.T) {
						t.Parallel()
						inBubble(t, func(t *testing.T, r *lab.Region) {
							s := newStory(t, r, strategy, f, at, lengths[strategy])
							s.play()
							requests.Add(int64(s.users.requests))
							hours.Add(int64(time.Since(s.began)))
							t.Logf("%s of the platform's time", time.Since(s.began))
							s.keeps(f.promiseOf(strategy, at))
						})
					})
				}
			}
		}
	})
	t.Logf("%d cases, %d requests of users, %s of the platform's time in %s", cases, requests.Load(), time.Duration(hours.Load()).Round(time.Minute), time.Since(began).Round(time.Second))
	require.GreaterOrEqual(t, cases, 450)
	require.Positive(t, requests.Load())
}

// typicalLengths is how long a good update takes with each strategy.
func typicalLengths(t *testing.T) map[delivery.Strategy]time.Duration {
	lengths := map[delivery.Strategy]time.Duration{}
	var mu sync.Mutex
	for _, strategy := range delivery.Strategies() {
		inBubble(t, func(t *testing.T, r *lab.Region) {
			s := newStory(t, r, strategy, failure{version: "good"}, before, 0)
			s.play()
			require.Equal(t, delivery.OutcomeDeployed, s.results[0].Outcome, s.results[0].Reason)
			mu.Lock()
			defer mu.Unlock()
			lengths[strategy] = s.ready.Sub(s.began)
		})
	}
	t.Logf("lengths of good updates: %v", lengths)
	return lengths
}

// newStory prepares an environment that is well on its old version, and everything of a case.
func newStory(t *testing.T, r *lab.Region, strategy delivery.Strategy, f failure, at moment, length time.Duration) *story {
	version := func(label string) delivery.Version {
		registered, err := r.Version(label)
		require.NoError(t, err)
		return registered
	}
	s := &story{TB: t, region: r, strategy: strategy, old: version(oldLabel), new: version(f.version + "-2"), next: version("good-3")}
	version(byHand)
	require.NoError(t, r.Create(environment, oldLabel, strategy, tick))
	observed, err := r.Look(environment)
	require.NoError(t, err)
	s.address = observed.Address
	s.stage = delivery.Pipeline{Stages: []delivery.Stage{{
		Name: "production", Environment: environment, Strategy: strategy,
		Health: delivery.Health{Check: &delivery.Check{Path: "/"}},
	}}}.WithDefaults().Stages[0]
	if f.prepare != nil {
		f.prepare(s)
	}
	s.prepared, s.also = time.Now(), f.also
	switch {
	case f.happen == nil:
	case at == before:
		f.happen(s, nil)
	default:
		s.act, s.reached = f.happen, reaches(at, length)
		s.hold = map[moment]string{inCheck: "Check", inPublic: "Check", atSwap: "Swap", inRollback: settles(strategy)}[at]
	}
	return s
}

// reaches tells when a moment has come.
func reaches(at moment, length time.Duration) func(*story) bool {
	return func(s *story) bool {
		switch at {
		case atStart:
			return s.begunStep("AwaitHealth")
		case halfWay:
			return s.begunStep("AwaitHealth") && time.Since(s.began) > length/2
		case inHealth:
			return s.isReady() && !s.begunStep("Check")
		case inCheck:
			return s.begunStep("Check")
		case inBake:
			began := s.begun("Bake")
			return len(began) > 0 && time.Since(began[0]) > 5*time.Minute
		case inRollback:
			return s.begunStep(settles(s.strategy))
		case atSwap, inSwap:
			return s.begunStep("Swap")
		case inPublic:
			return len(s.begun("Check")) > 1
		case inRetire:
			return s.begunStep("Retire")
		default:
			return true
		}
	}
}

// settles is the step that a rollback begins with.
func settles(strategy delivery.Strategy) string {
	if strategy == delivery.BlueGreen {
		return "SettlePair"
	}
	return "Settle"
}

// keeps checks a story's end against its promise, by the platform's own word.
func (s *story) keeps(p promise) {
	s.Helper()
	require.True(s, s.act == nil || s.acted, "the moment came; the story: %s", s.describe())
	require.NotEmpty(s, s.results, "the deployment ended within %s; the story: %s", patience, s.describe())
	s.suffer(aws.Faults{})
	result := s.results[0]
	assert.Contains(s, p.outcomes, result.Outcome, s.describe())
	left := result.LeftOn
	if left == s.new.Label {
		left = "new"
	}
	if len(p.left) > 0 && !slices.Equal(p.left, []string{""}) {
		assert.Contains(s, p.left, left, s.describe())
	}
	s.isTrue(result)
	if strategyPromisesSilence(s.strategy) && !p.unsafe {
		assert.Zero(s, s.users.failed, "users noticed something: %s; the story: %s", s.users.first, s.describe())
	}
	if s.strategy != delivery.BlueGreen && p.updates != nil {
		assert.Contains(s, p.updates, s.updatesAtResult, s.describe())
	}
	if s.strategy == delivery.BlueGreen {
		assert.Contains(s, p.pairs, s.changes, s.describe())
		if !slices.Equal(p.left, []string{""}) {
			assert.Equal(s, s.live, result.LeftOn, "what users are said to be left on is what they have; the story: %s", s.describe())
		}
	}
	if s.also != nil {
		s.also(s, result)
	}
}

// isTrue checks that what a result claims is so: the environment of a proven version is well on it after the
// next deployment was taken in turn, and one that needs a person is frozen.
func (s *story) isTrue(result delivery.Result) {
	s.Helper()
	assert.Nil(s, s.status.Running, "the queue is not stuck")
	if result.Outcome == delivery.OutcomeNeedsAttention {
		if assert.NotNil(s, s.status.Frozen, "an environment that needs a person is frozen; the story: %s", s.describe()) {
			assert.NotEmpty(s, s.status.Frozen.Reason)
		}
		assert.Len(s, s.status.Waiting, 1, "the next one waits until somebody has looked")
		return
	}
	assert.Nil(s, s.status.Frozen, s.describe())
	if result.Outcome != delivery.OutcomeUntouched {
		assert.Empty(s, s.proven, "what is said to be proven is so; the story: %s", s.describe())
	}
	if !assert.Len(s, s.results, 2, "the next deployment had its turn; the story: %s", s.describe()) {
		return
	}
	next := s.results[1]
	if next.Outcome == delivery.OutcomeDeployed {
		assert.Equal(s, s.next.Label, next.LeftOn)
		assert.Empty(s, s.whyNotWell(s.next.Label), "what is said to be proven is so; the story: %s", s.describe())
	}
}

// strategyPromisesSilence reports whether users notice nothing of a deployment, whether it succeeds or is taken back.
func strategyPromisesSilence(strategy delivery.Strategy) bool { return strategy != delivery.AllAtOnce }

// describe tells a story for whoever has to find out why it ended otherwise.
func (s *story) describe() string {
	var lines []string
	for _, result := range s.results {
		lines = append(lines, fmt.Sprintf("%s (%s), on %s: %s", result.Outcome, result.Cause, result.LeftOn, result.Reason))
		lines = append(lines, result.Evidence...)
	}
	steps := "steps:"
	for _, step := range s.steps {
		steps += " " + step.name
	}
	lines = append(lines, steps, fmt.Sprintf("changes when the first ended: %+v; live was %s", s.changes, s.live))
	for _, name := range slices.Compact([]string{environment, s.updated()}) {
		events, err := s.region.Events(name)
		if err != nil {
			lines = append(lines, err.Error())
		}
		for _, event := range events {
			lines = append(lines, name+" "+event.At.Format(time.TimeOnly)+" "+event.Message)
		}
	}
	return "\n" + strings.Join(lines, "\n")
}
