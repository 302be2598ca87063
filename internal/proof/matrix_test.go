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
	"gravity/internal/local/aws/faults"
	"gravity/internal/proof/lab"
	"gravity/workflows"
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

// begun in blue-green.
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

// suffer makes something go wrong at the stand-in.
func suffer(f func(*story) aws.Faults) func(*story, workflow.Context) {
	return func(s *story, _ workflow.Context) { s.suffer(f(s)) }
}

// of makes a fault of the new version's instances.
func of(kind faults.Kind) func(*story) aws.Faults {
	return func(s *story) aws.Faults {
		return aws.Faults{Instances: []faults.Instance{{Kind: kind, Version: s.new.Label}}}
	}
}

// passing is trouble with AWS that is over after some time.
func passing(f aws.Faults, length time.Duration) func(*story, workflow.Context) {
	return func(s *story, _ workflow.Context) {
		s.suffer(f)
		time.AfterFunc(length, func() { s.suffer(aws.Faults{}) })
	}
}

// abort is what `starter abort` sends.
func abort(_ *story, ctx workflow.Context) {
	workflow.SignalExternalWorkflow(ctx, deploymentID, "", workflows.AbortSignal, workflows.Answer{By: "ana", Reason: "wrong day"})
}

// cancel is what Temporal's own command and web UI send.
func cancel(_ *story, ctx workflow.Context) {
	workflow.RequestCancelExternalWorkflow(ctx, deploymentID, "")
}

var deploymentID = delivery.DeploymentID(lab.Application, environment, 1)

func somebodyDeploys(label string) func(*story, workflow.Context) {
	return func(s *story, _ workflow.Context) {
		require.NoError(s, s.region.Server.ManualChange(environment, label))
	}
}

// drifted is an environment that somebody has brought to another version by hand.
func drifted(policy delivery.DriftPolicy) func(*story) {
	return func(s *story) {
		s.stage.Drift = policy
		require.NoError(s, s.region.Server.ManualChange(environment, byHand))
		for s.region.WhyNotWell(environment, byHand) != "" {
			time.Sleep(tick)
		}
		require.NoError(s, s.region.Settled(environment))
	}
}

// swapsByHand moves the users' address back to where it was.
func swapsByHand(s *story, _ workflow.Context) {
	s.unfaulted(func() { require.NoError(s, s.region.Swap(environment, s.updated())) })
}

func terminate(s *story, _ workflow.Context) {
	require.NoError(s, s.region.Terminate(environment))
}

// oldFallsIll makes the old version no better than the new one.
func oldFallsIll(s *story, _ workflow.Context) {
	s.suffer(aws.Faults{Instances: []faults.Instance{
		{Kind: faults.Broken, Version: s.new.Label}, {Kind: faults.Hang, Version: s.old.Label},
	}})
}

// illBefore is an environment whose proven version has fallen ill since.
func illBefore(s *story) {
	s.suffer(aws.Faults{Instances: []faults.Instance{{Kind: faults.Hang, Version: s.old.Label}}})
	for s.region.WhyNotWell(environment, s.old.Label) == "" {
		time.Sleep(tick)
	}
}

func failures() []failure {
	all := []moment{atStart, halfWay, inHealth, inCheck}
	ofPair := []moment{atSwap, inSwap, inPublic, inRetire}
	takesBackUnnoticed := always(takenBack)
	return []failure{
		{name: "nothing", version: "good", moments: []moment{before}, promise: always(deployed)},
		{name: "fails its health check", version: "sick", moments: []moment{before}, promise: takesBackUnnoticed},
		{name: "never serves", version: "stuck", moments: []moment{before}, promise: takesBackUnnoticed},
		{name: "fails to deploy", version: "failing", moments: []moment{before}, promise: takesBackUnnoticed},
		{name: "never boots", version: "good", moments: []moment{before}, happen: suffer(of(faults.NeverBoots)),
			promise: func(strategy delivery.Strategy, _ moment) promise {
				if inPlace(strategy) && strategy != delivery.RollingWithAdditionalBatch {
					return deployed // they boot nothing
				}
				return takenBack
			}},
		{name: "is healthy to the balancer and broken to users", version: "good", moments: []moment{before}, happen: suffer(of(faults.Broken)),
			promise: always(takenBack.noticed())},
		{name: "crashes", version: "good", moments: all, pairMoments: []moment{inSwap, inPublic}, happen: suffer(of(faults.Crash)), promise: always(takenBack.noticed())},
		{name: "hangs", version: "good", moments: all, pairMoments: []moment{inSwap, inPublic}, happen: suffer(of(faults.Hang)), promise: always(takenBack.noticed())},
		{name: "breaks", version: "good", moments: all, pairMoments: []moment{inSwap, inPublic}, happen: suffer(of(faults.Broken)), promise: always(takenBack.noticed())},
		{name: "update never ends", version: "good", moments: []moment{before, atStart, halfWay},
			happen: suffer(func(*story) aws.Faults { return aws.Faults{NeverEnd: []string{environment}} }),
			promise: func(strategy delivery.Strategy, at moment) promise {
				if at == halfWay && inPlace(strategy) {
					return attention // part of the fleet has the new version, and the way back, an update as well, does not end either
				}
				return takenBack
			},
			pair: onPair(deployed.begun(lab.Changes{Made: 1, Swapped: 1, Ended: 1}))}, // it begins none
		{name: "aborted by a person", version: "good", moments: all, pairMoments: ofPair, happen: abort, promise: takesBackUnnoticed},
		{name: "aborted by a person", version: "sick", moments: []moment{inRollback}, happen: abort, promise: takesBackUnnoticed},
		{name: "cancelled through Temporal", version: "good", moments: all, pairMoments: ofPair, happen: cancel, promise: takesBackUnnoticed},
		{name: "cancelled through Temporal", version: "sick", moments: []moment{inRollback}, happen: cancel, promise: takesBackUnnoticed},
		{name: "busy with an update to the same version", version: "good", moments: []moment{before}, happen: somebodyDeploys(oldLabel),
			promise: always(deployed.after(2)), // one of them is somebody else's
			pair:    onPair(deployed.begun(lab.Changes{Made: 1, Swapped: 1, Ended: 1, Updated: 1}))},
		{name: "busy with an update to another version", version: "good", moments: []moment{before}, happen: somebodyDeploys(byHand),
			promise: always(untouched.on(byHand).after(1)),
			pair:    onPair(untouched.on(byHand).begun(lab.Changes{Updated: 1}))},
		{name: "busy for ever", version: "good", moments: []moment{before}, happen: func(s *story, ctx workflow.Context) {
			suffer(func(*story) aws.Faults { return aws.Faults{NeverEnd: []string{environment}} })(s, ctx)
			somebodyDeploys(byHand)(s, ctx)
		}, promise: always(untouched.after(1)), pair: onPair(untouched.begun(lab.Changes{Updated: 1}))},
		{name: "drifted, to stop at", version: "good", moments: []moment{before}, prepare: drifted(delivery.DriftStop), promise: always(untouched.on(byHand))},
		{name: "drifted, to adopt", version: "good", moments: []moment{before}, prepare: drifted(delivery.DriftAdopt), promise: always(deployed)},
		{name: "drifted, to overwrite", version: "good", moments: []moment{before}, prepare: drifted(delivery.DriftOverwrite), promise: always(deployed)},
		{name: "drifted, to adopt, and fails its health check", version: "sick", moments: []moment{before}, prepare: drifted(delivery.DriftAdopt),
			promise: always(takenBack.on(byHand))},
		{name: "somebody deploys by hand", version: "good", moments: []moment{inHealth}, happen: somebodyDeploys(byHand),
			promise: always(takenBack.after(2, 3)),
			pair:    onPair(untouched.on(byHand).begun(lab.Changes{Made: 1, Ended: 1, Updated: 1}))}, // on the live one
		{name: "swap never ends", version: "good", pairMoments: []moment{atSwap},
			happen: suffer(func(*story) aws.Faults { return aws.Faults{NeverEnd: []string{environment}} }),
			pair:   onPair(attention.on(oldLabel).begun(lab.Changes{Made: 1}))}, // users have the old one, and it takes no change
		{name: "swap takes an hour", version: "good", pairMoments: []moment{atSwap},
			happen: passing(aws.Faults{NeverEnd: []string{environment}}, time.Hour),
			pair:   onPair(takenBack.begun(lab.Changes{Made: 1, Swapped: 2, Ended: 1}))}, // it came after it was given up
		{name: "somebody deploys by hand beside", version: "good", pairMoments: []moment{inHealth},
			happen: func(s *story, _ workflow.Context) {
				require.NoError(s, s.region.Server.ManualChange(s.updated(), byHand))
			},
			pair: onPair(takenBack.begun(lab.Changes{Made: 1, Ended: 1, Updated: 1}))},
		{name: "somebody swaps back by hand", version: "good", pairMoments: []moment{inRetire}, happen: swapsByHand,
			pair: onPair(takenBack.begun(lab.Changes{Made: 1, Swapped: 2, Ended: 1}))},
		{name: "somebody ends the new environment", version: "good", pairMoments: []moment{inHealth},
			happen: func(s *story, _ workflow.Context) { require.NoError(s, s.region.Terminate(s.updated())) },
			pair:   onPair(takenBack.begun(lab.Changes{Made: 1, Ended: 1}))},
		{name: "somebody ends the new environment", version: "good", pairMoments: []moment{inPublic},
			happen: func(s *story, _ workflow.Context) { require.NoError(s, s.region.Terminate(s.updated())) },
			pair:   onPair(attention.on("").noticed().begun(lab.Changes{Made: 1, Swapped: 1, Ended: 1}))},
		{name: "breaks, and the old version falls ill", version: "good", pairMoments: []moment{inPublic}, happen: oldFallsIll,
			pair: onPair(attention.noticed().begun(lab.Changes{Made: 1, Swapped: 1}))},
		{name: "terminated", version: "good", moments: []moment{before, inHealth}, happen: terminate,
			promise: func(_ delivery.Strategy, at moment) promise {
				if at == before {
					return untouched.on("").after(0).noticed()
				}
				return attention.on("").noticed()
			},
			pair: func(at moment) promise {
				if at == before {
					return untouched.on("").noticed().begun(lab.Changes{Ended: 1})
				}
				// What is left of the pair is the new one, and ending it would leave nothing.
				return attention.on("").noticed().begun(lab.Changes{Made: 1, Ended: 1})
			}},
		{name: "half of the calls throttled", version: "good", moments: append([]moment{before}, all...), pairMoments: ofPair,
			happen: passing(aws.Faults{ThrottleCalls: 0.5}, 10*time.Minute), promise: always(deployed)},
		{name: "half of the calls throttled", version: "sick", moments: []moment{inRollback},
			happen: passing(aws.Faults{ThrottleCalls: 0.5}, 10*time.Minute), promise: takesBackUnnoticed},
		{name: "the API is away for ten minutes", version: "good", moments: []moment{before, atStart, halfWay}, pairMoments: ofPair,
			happen: passing(aws.Faults{FailCalls: 1}, 10*time.Minute), promise: always(deployed)},
		{name: "the API is away for ten minutes", version: "sick", moments: []moment{inRollback},
			happen: passing(aws.Faults{FailCalls: 1}, 10*time.Minute), promise: takesBackUnnoticed},
		{name: "answers are lost", version: "good", moments: []moment{before, atStart, halfWay}, pairMoments: ofPair,
			happen: passing(aws.Faults{LoseAnswers: 0.4}, 10*time.Minute), promise: always(deployed)},
		{name: "answers are lost", version: "sick", moments: []moment{before, inRollback},
			happen: passing(aws.Faults{LoseAnswers: 0.4}, 30*time.Minute), promise: takesBackUnnoticed},
		{name: "connections break", version: "good", moments: []moment{before, halfWay}, pairMoments: ofPair,
			happen: passing(aws.Faults{DropCalls: 0.4}, 10*time.Minute), promise: always(deployed)},
		{name: "answers are late", version: "good", moments: []moment{before},
			happen: passing(aws.Faults{SlowCalls: 0.5, Delay: faults.Duration(4 * time.Second)}, 30*time.Minute), promise: always(deployed)},
		{name: "reads lag behind", version: "good", moments: []moment{before},
			happen: passing(aws.Faults{StaleReads: faults.Duration(4 * time.Second)}, time.Hour), promise: always(deployed)},
		{name: "reads lag behind", version: "sick", moments: []moment{before},
			happen: passing(aws.Faults{StaleReads: faults.Duration(4 * time.Second)}, 3*time.Hour), promise: takesBackUnnoticed},
		{name: "the old version is ill", version: "good", moments: []moment{before}, prepare: illBefore, promise: always(deployed.noticed())},
		{name: "the old version is ill, and the new one too", version: "sick", moments: []moment{before}, prepare: illBefore,
			promise: always(attention.noticed())},
		{name: "the rollback fails too", version: "good", moments: []moment{inRollback}, prepare: func(s *story) {
			s.suffer(of(faults.Broken)(s))
		}, happen: oldFallsIll, promise: always(attention.noticed())},
	}
}

// bakes are the failures of stages with a bake, which an environment without one would be left with.
func bakes() []failure {
	during := []moment{inBake}
	returns := always(returned)
	left := onPair(untouched.on(byHand).begun(lab.Changes{Made: 1, Swapped: 1, Updated: 1}))
	return []failure{
		{name: "nothing, with a bake", version: "good", moments: []moment{before}, prepare: baking, promise: always(deployed), also: bakedFor(bake, time.Hour)},
		{name: "a newer request", version: "good", moments: during, prepare: baking,
			happen: func(s *story, _ workflow.Context) { s.askNow = true }, promise: always(deployed), also: bakedFor(0, bake/2)},
		{name: "crashes", version: "good", moments: during, prepare: baking, happen: suffer(of(faults.Crash)), promise: always(returned.noticed())},
		{name: "hangs", version: "good", moments: during, prepare: baking, happen: suffer(of(faults.Hang)), promise: always(returned.noticed())},
		{name: "breaks", version: "good", moments: during, prepare: baking, happen: suffer(of(faults.Broken)), promise: always(returned.noticed())},
		{name: "an alarm", version: "good", moments: during, prepare: baking, happen: func(s *story, _ workflow.Context) {
			require.NoError(s, s.region.Server.SetAlarm(alarm, "ALARM", "too few orders"))
		}, promise: returns, also: func(s *story, result delivery.Result) {
			assert.Equal(s, delivery.AlarmRaised, result.Cause)
			assert.Contains(s, result.Reason, "too few orders")
		}},
		{name: "aborted by a person", version: "good", moments: during, prepare: baking, happen: abort, promise: returns},
		{name: "cancelled through Temporal", version: "good", moments: during, prepare: baking, happen: cancel, promise: returns},
		{name: "somebody deploys by hand", version: "good", moments: during, prepare: baking,
			happen: func(s *story, _ workflow.Context) {
				require.NoError(s, s.region.Server.ManualChange(s.updated(), byHand))
			},
			promise: always(untouched.on(byHand).after(2)), pair: left},
		{name: "breaks, after the old version has fallen ill", version: "good", moments: during, prepare: baking,
			happen: func(s *story, ctx workflow.Context) {
				s.suffer(aws.Faults{Instances: []faults.Instance{{Kind: faults.Hang, Version: s.old.Label}}})
				time.AfterFunc(5*time.Minute, func() { oldFallsIll(s, ctx) }) // by then the platform has noticed
			},
			promise: always(attention.noticed()), pair: onPair(attention.noticed().begun(lab.Changes{Made: 1, Swapped: 1}))},
		{name: "terminated", version: "good", moments: during, prepare: baking,
			happen:  func(s *story, _ workflow.Context) { require.NoError(s, s.region.Terminate(s.updated())) },
			promise: always(attention.on("").noticed()),
			pair:    onPair(attention.on("").noticed().begun(lab.Changes{Made: 1, Swapped: 1, Ended: 1}))},
		{name: "the API is away for ten minutes", version: "good", moments: during, prepare: baking,
			happen: passing(aws.Faults{FailCalls: 1}, 10*time.Minute), promise: always(deployed)},
		{name: "the old version was ill, and the new one breaks", version: "good", moments: during, prepare: func(s *story) {
			baking(s)
			illBefore(s)
		}, happen: oldFallsIll, promise: always(attention.noticed()), pair: onPair(attention.noticed().begun(lab.Changes{Made: 1, Swapped: 1}))},
	}
}

// bake is long enough for what happens five minutes after its beginning, and for its consequences.
const bake, alarm = 30 * time.Minute, "orders"

// baking gives the stage a bake that an alarm watches. The next version is asked for afterwards, since it would end the bake.
func baking(s *story) {
	s.stage.Bake, s.stage.Health.Alarms, s.later = delivery.Duration(bake), []string{alarm}, true
	require.NoError(s, s.region.Server.SetAlarm(alarm, "OK", "enough orders"))
}

// bakedFor checks how long a bake was.
func bakedFor(least, most time.Duration) func(*story, delivery.Result) {
	return func(s *story, result delivery.Result) {
		began := s.begun("Bake")
		if !assert.NotEmpty(s, began, s.describe()) {
			return
		}
		assert.Equal(s, least == 0, strings.Contains(result.Reason, "bake ended early"), result.Reason)
		assert.GreaterOrEqual(s, s.endedAt.Sub(began[0])+tick, least) // the step begins a moment later
		assert.Less(s, s.endedAt.Sub(began[0]), most)
	}
}

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
