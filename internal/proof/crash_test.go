package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
)

// crashPace looks seldom enough for the boundaries of a deployment to be a few dozen.
var crashPace = beanstalk.Pace{Fast: 100 * time.Millisecond, Slow: 200 * time.Millisecond, Events: time.Second, Lag: 100 * time.Millisecond}

// scene is a lab with one environment, whose worker is a process that can be killed.
type scene struct {
	*lab.Lab
	t         *testing.T
	directory string
	labels    int

	mu     sync.Mutex
	worker *workerProcess
	// at decides, at each boundary, whether the worker may go on; it may do anything before it answers.
	at func(w *workerProcess, name string) bool
}

// newScene starts a lab with an environment that is well on its first version, deployed by Gravity.
func newScene(t *testing.T, faults aws.Faults, seed uint64) *scene {
	pace := aws.TestPace()
	pace.Boot = 200 * time.Millisecond
	directory := t.TempDir()
	l, err := lab.Start(t.Context(), lab.Options{Directory: directory, NoWorker: true, AWS: aws.Options{Pace: pace, Seed: seed}})
	require.NoError(t, err)
	s := &scene{Lab: l, t: t, directory: directory}
	t.Cleanup(func() {
		s.mu.Lock()
		s.worker.kill()
		s.mu.Unlock()
		require.NoError(t, l.Close())
	})
	s.begin()
	first := s.version("good")
	require.NoError(t, l.Create(environment, first.Label, delivery.Immutable, 20*time.Millisecond))
	s.deploy(s.version("good"), 1)
	require.NoError(t, l.Server.SetFaults(faults))
	return s
}

// begin starts a worker.
func (s *scene) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worker = startWorker(s.t, s.Lab, s.directory, func(w *workerProcess, name string) bool {
		s.mu.Lock()
		at := s.at
		s.mu.Unlock()
		return at == nil || at(w, name)
	})
}

// replace kills the worker, and starts another one.
func (s *scene) replace() {
	s.mu.Lock()
	s.worker.kill()
	s.mu.Unlock()
	s.begin()
}

// watch sets what happens at boundaries from now on.
func (s *scene) watch(at func(*workerProcess, string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = at
}

// version registers the next version of a kind; see lab.Region.
func (s *scene) version(kind string) delivery.Version {
	s.labels++
	for {
		version, err := s.Version(fmt.Sprintf("%s-%d", kind, s.labels))
		if err == nil || strings.Contains(err.Error(), "already exists") {
			return version
		}
		require.NoError(s.t, s.t.Context().Err(), err)
	}
}

// deploy asks for a deployment, waits for its end, and checks all that is promised of it: how it ends, on
// what the environment is left, that this is so, how many updates it took, and that the queue goes on.
func (s *scene) deploy(version delivery.Version, updates int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Minute)
	defer cancel()
	good := strings.HasPrefix(version.Label, "good")
	before := s.updates()
	deployment, err := s.Deploy(ctx, lab.Stage(environment, delivery.Immutable, quickly), version)
	require.NoError(s.t, err)
	record, status, err := s.Await(ctx, environment, deployment)
	require.NoError(s.t, err)
	result := record.Result
	said := fmt.Sprintf("%s of %s: %s: %v", result.Outcome, version.Label, result.Reason, result.Evidence)
	if good {
		require.Equal(s.t, delivery.OutcomeDeployed, result.Outcome, said)
		require.Equal(s.t, version.Label, result.LeftOn, said)
	} else {
		require.Contains(s.t, []delivery.Outcome{delivery.OutcomeRolledBack, delivery.OutcomeTakenBack}, result.Outcome, said)
	}
	require.Equal(s.t, result.LeftOn, status.Good.Label, said)
	require.Nil(s.t, status.Frozen, said)
	require.Empty(s.t, status.Waiting, said)
	well := ""
	require.Eventually(s.t, func() bool { // an answer that was lost is asked for again
		well = s.WhyNotWell(environment, result.LeftOn)
		return well == ""
	}, time.Minute, 20*time.Millisecond, "%s; but %s", said, well)
	begun := s.updates() - before
	if result.Outcome == delivery.OutcomeTakenBack {
		updates = 1 // the platform needed no second one
	}
	require.Equal(s.t, updates, begun, "each update is begun once; %s", said)
}

// updates counts what the platform has begun, whatever becomes of answers.
func (s *scene) updates() (count int) {
	require.Eventually(s.t, func() bool {
		var err error
		count, err = s.Updates(environment)
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	return count
}

// boundaries are those of one deployment: "AwaitHealth beats 3" is the third heartbeat of its wait for health.
func (s *scene) boundaries(kind string, updates int) []string {
	var names []string
	counts := map[string]int{}
	s.watch(func(_ *workerProcess, name string) bool {
		counts[name]++
		names = append(names, fmt.Sprintf("%s %d", name, counts[name]))
		return true
	})
	s.deploy(s.version(kind), updates)
	s.watch(nil)
	return names
}

// strike does something once, at a boundary of the deployment that comes next; it answers whether the worker goes on.
func (s *scene) strike(boundary string, do func() bool) (struck func() bool) {
	var done atomic.Bool
	counts := map[string]int{}
	s.watch(func(_ *workerProcess, name string) bool {
		counts[name]++
		if !done.Load() && fmt.Sprintf("%s %d", name, counts[name]) == boundary {
			done.Store(true)
			return do()
		}
		return true
	})
	return done.Load
}

// long reports whether the tests that take minutes are wanted: where changes land, or on request.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() || os.Getenv("CI") == "" && os.Getenv("GRAVITY_PROOF") == "" {
		t.Skip("takes minutes: set GRAVITY_PROOF=1 to run it")
	}
}

// shards is how many scenes work side by side: they mostly wait for timeouts.
const shards = 6

// sharded deals tasks out to scenes of their own.
func sharded[T any](t *testing.T, faults aws.Faults, seed uint64, tasks []T, do func(s *scene, task T)) {
	// Not by t.Parallel, which allows one a core: a kill costs seconds of waiting, and hardly any work.
	var all sync.WaitGroup
	for shard := range shards {
		all.Go(func() {
			t.Run(fmt.Sprintf("shard %d", shard), func(t *testing.T) {
				s := newScene(t, faults, seed+uint64(shard))
				for i := shard; i < len(tasks); i += shards {
					do(s, tasks[i])
				}
			})
		})
	}
	all.Wait()
}

// kinds of deployments that are struck, with the updates that each takes.
var struckKinds = map[string]int{"good": 1, "broken": 2}

// blow is one kill: at which boundary of which kind of deployment.
type blow struct{ kind, boundary string }

// blows lists every boundary of one deployment of each kind.
func blows(t *testing.T) []blow {
	var all []blow
	t.Run("boundaries", func(t *testing.T) {
		s := newScene(t, aws.Faults{}, 1)
		for _, kind := range []string{"good", "broken"} {
			for _, boundary := range s.boundaries(kind, struckKinds[kind]) {
				all = append(all, blow{kind, boundary})
			}
		}
	})
	require.NotEmpty(t, all)
	return all
}

// struckAtEveryBoundary strikes at each boundary in a deployment of its own. A heartbeat more or less is a matter
// of the machine's speed, so a few boundaries may not come again.
func struckAtEveryBoundary(t *testing.T, strike func(s *scene) (goOn bool)) {
	all := blows(t)
	var hit atomic.Int64
	t.Run("kills", func(t *testing.T) {
		sharded(t, aws.Faults{}, 100, all, func(s *scene, b blow) {
			struck := s.strike(b.boundary, func() bool { return strike(s) })
			s.deploy(s.version(b.kind), struckKinds[b.kind])
			s.watch(nil)
			if struck() {
				hit.Add(1)
			}
		})
	})
	t.Logf("%d boundaries, %d kills", len(all), hit.Load())
	require.GreaterOrEqual(t, int(hit.Load()), len(all)*8/10)
}

func TestAWorkerKilledAtAnyBoundaryOfADeploymentChangesNothingOfItsEnd(t *testing.T) {
	long(t)
	struckAtEveryBoundary(t, func(s *scene) bool {
		s.replace()
		return false
	})
}

func TestATemporalServerKilledAtAnyBoundaryOfADeploymentChangesNothingOfItsEnd(t *testing.T) {
	long(t)
	struckAtEveryBoundary(t, func(s *scene) bool {
		require.NoError(s.t, s.Temporal.Kill())
		require.NoError(s.t, s.Temporal.Restart(context.Background()))
		return true
	})
}

// atRandom strikes each of a hundred deployments at a random moment.
func atRandom(t *testing.T, strike func(s *scene)) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	moments := rand.New(rand.NewPCG(seed, 1))
	type task struct {
		kind  string
		after time.Duration
	}
	var tasks []task
	for range 100 {
		kind := "good"
		if moments.IntN(4) == 0 {
			kind = "broken"
		}
		tasks = append(tasks, task{kind, time.Duration(moments.Int64N(int64(1500 * time.Millisecond)))})
	}
	sharded(t, aws.Faults{}, seed, tasks, func(s *scene, task task) {
		version := s.version(task.kind)
		var struck sync.WaitGroup
		struck.Go(func() {
			time.Sleep(task.after) // the moment is what is random
			strike(s)
		})
		s.deploy(version, struckKinds[task.kind])
		struck.Wait()
	})
}

func TestAWorkerKilledAtRandomInAHundredDeploymentsChangesNothingOfTheirEnds(t *testing.T) {
	long(t)
	atRandom(t, (*scene).replace)
}

func TestATemporalServerKilledAtRandomInAHundredDeploymentsChangesNothingOfTheirEnds(t *testing.T) {
	long(t)
	atRandom(t, func(s *scene) {
		require.NoError(s.t, s.Temporal.Kill())
		require.NoError(s.t, s.Temporal.Restart(context.Background()))
	})
}

// A fifth of all calls to AWS fail: some before anything was changed, some after.
func TestAHundredDeploymentsEndAsTheyShouldThoughAFifthOfAllCallsToAWSFails(t *testing.T) {
	long(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	faults := aws.Faults{ThrottleCalls: 0.05, FailCalls: 0.05, DropCalls: 0.05, LoseAnswers: 0.07}
	kinds := make([]string, 100)
	for i := range kinds {
		kinds[i] = []string{"good", "good", "good", "broken"}[i%4]
	}
	sharded(t, faults, seed, kinds, func(s *scene, kind string) { s.deploy(s.version(kind), struckKinds[kind]) })
}
