package workflows

import (
	"context"
	"sync"
	"time"

	"github.com/stretchr/testify/suite"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/internal/delivery"
)

// workflowSuite gives every test a fresh environment and steps that all succeed.
type workflowSuite struct {
	suite.Suite
	testsuite.WorkflowTestSuite
	env   *testsuite.TestWorkflowEnvironment
	door  *door // of env
	steps *steps
}

func (s *workflowSuite) SetupTest() {
	s.env = s.newEnvironment()
	Register(s.env)
	s.steps = happySteps()
	s.steps.register(s.env)
}

// newEnvironment gives tests the time that they take beside others, with the race detector, on a busy machine.
func (s *workflowSuite) newEnvironment() *testsuite.TestWorkflowEnvironment {
	const patience = 20 * time.Second
	if s.door != nil {
		s.door.close()
	}
	s.door = newDoor()
	env := s.NewTestWorkflowEnvironment()
	env.SetTestTimeout(patience)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: patience, Interceptors: []interceptor.WorkerInterceptor{s.door}})
	return env
}

func (s *workflowSuite) TearDownTest() {
	s.door.close()
	s.env.AssertExpectations(s.T())
}

// steps stands in for the activities: a function each, which a test replaces, and the order in
// which they were called.
type steps struct {
	mu    sync.Mutex
	calls []string

	ready    func(activities.AwaitReadyInput) (delivery.Observation, error)
	precheck func(activities.PrecheckInput) (activities.Prechecked, error)
	update   func(activities.UpdateInput) (activities.Update, error)
	health   func(context.Context, activities.AwaitHealthInput) (delivery.Proof, error)
	settle   func(activities.SettleInput) (delivery.Observation, error)
	check    func(activities.CheckInput) error
	probe    func(activities.ProbeInput) error
	bake     func(context.Context, activities.BakeInput) (delivery.Proof, error)
	find     func(delivery.Version) (activities.FoundVersion, error)
	checkout func(activities.CheckoutInput) (activities.Workspace, error)
	run      func(context.Context, activities.RunInput) (activities.CommandResult, error)
	save     func() error
	upload   func(activities.UploadInput) (delivery.Version, error)
	ask      func(activities.AskInput) (Receipt, error)
	prune    func(activities.PruneInput) (activities.Pruned, error)
	quiet    func(activities.AwaitQuietInput) (activities.Loud, error)
	checks   func(activities.AwaitChecksInput) (activities.Checks, error)
	member   func(activities.IsMemberInput) (activities.Membership, error)

	live   func(activities.AwaitLiveInput) (delivery.Observation, error)
	beside func(activities.MakeBesideInput) (delivery.Observation, error)
	swap   func(context.Context, activities.SwapInput) (delivery.Observation, error)
	pair   func(activities.SettlePairInput) (activities.Pair, error)
	drain  func(activities.DrainInput) error
	retire func(context.Context, activities.RetireInput) (activities.Retired, error)
}

const goodLabel, newLabel = "site-1", "site-2"

var (
	beforeUpdate = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	afterUpdate  = beforeUpdate.Add(time.Minute)
)

func observation(label, health string, at time.Time) delivery.Observation {
	return delivery.Observation{
		Application: "site", Name: "site-production", ID: "e-1", Status: "Ready",
		HealthStatus: health, VersionLabel: label, Address: "site.example", UpdatedAt: at,
	}
}

func happySteps() *steps {
	return &steps{
		ready: func(activities.AwaitReadyInput) (delivery.Observation, error) {
			return observation(goodLabel, "Ok", beforeUpdate), nil
		},
		precheck: func(in activities.PrecheckInput) (activities.Prechecked, error) {
			return activities.Prechecked{Good: in.Good}, nil
		},
		update: func(in activities.UpdateInput) (activities.Update, error) {
			return activities.Update{RequestID: "r-1", Before: in.Found.UpdatedAt}, nil
		},
		health: func(_ context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
			return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observation(in.Version, "Ok", afterUpdate)}, nil
		},
		settle: func(activities.SettleInput) (delivery.Observation, error) {
			return observation(newLabel, "Ok", afterUpdate), nil
		},
		check: func(activities.CheckInput) error { return nil },
		probe: func(activities.ProbeInput) error { return nil },
		bake: func(_ context.Context, in activities.BakeInput) (delivery.Proof, error) {
			return delivery.Proof{Verdict: delivery.VerdictHealthy, Observed: observation(in.Version.Label, "Ok", afterUpdate)}, nil
		},
		find: func(delivery.Version) (activities.FoundVersion, error) { return activities.FoundVersion{}, nil },
		checkout: func(in activities.CheckoutInput) (activities.Workspace, error) {
			revision := in.Revision
			revision.CommittedAt = beforeUpdate
			return activities.Workspace{TaskQueue: "host-1", Directory: "/w/1", Path: in.Path, Revision: revision}, nil
		},
		run: func(context.Context, activities.RunInput) (activities.CommandResult, error) {
			return activities.CommandResult{Passed: true}, nil
		},
		save: func() error { return nil },
		upload: func(in activities.UploadInput) (delivery.Version, error) {
			version := in.Version
			version.Bucket, version.Key = "bundles", version.Label+".zip"
			return version, nil
		},
		ask:   func(activities.AskInput) (Receipt, error) { return Receipt{}, nil },
		prune: func(activities.PruneInput) (activities.Pruned, error) { return activities.Pruned{}, nil },
		quiet: func(activities.AwaitQuietInput) (activities.Loud, error) { return activities.Loud{}, nil },
		checks: func(activities.AwaitChecksInput) (activities.Checks, error) {
			return activities.Checks{Green: true}, nil
		},
		member: func(activities.IsMemberInput) (activities.Membership, error) { return activities.Membership{}, nil },
	}
}

func (s *steps) note(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
}

// called lists the calls so far.
func (s *steps) called() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

func (s *steps) register(env *testsuite.TestWorkflowEnvironment) {
	add := func(name string, step any) {
		env.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
	}
	add("AwaitReady", func(in activities.AwaitReadyInput) (delivery.Observation, error) {
		s.note("AwaitReady")
		return s.ready(in)
	})
	add("Precheck", func(in activities.PrecheckInput) (activities.Prechecked, error) {
		s.note("Precheck")
		return s.precheck(in)
	})
	add("Update", func(in activities.UpdateInput) (activities.Update, error) {
		s.note("Update " + in.Version)
		return s.update(in)
	})
	add("AwaitHealth", func(ctx context.Context, in activities.AwaitHealthInput) (delivery.Proof, error) {
		s.note("AwaitHealth " + in.Version)
		return s.health(ctx, in)
	})
	add("Settle", func(in activities.SettleInput) (delivery.Observation, error) {
		s.note("Settle")
		return s.settle(in)
	})
	add("Check", func(in activities.CheckInput) error {
		s.note("Check " + in.Version.Label)
		return s.check(in)
	})
	add("Probe", func(in activities.ProbeInput) error {
		s.note("Probe " + in.Version.Label)
		return s.probe(in)
	})
	add("Bake", func(ctx context.Context, in activities.BakeInput) (delivery.Proof, error) {
		s.note("Bake " + in.Version.Label)
		return s.bake(ctx, in)
	})
	add("AwaitLive", func(in activities.AwaitLiveInput) (delivery.Observation, error) {
		s.note("AwaitLive")
		return s.live(in)
	})
	add("MakeBeside", func(in activities.MakeBesideInput) (delivery.Observation, error) {
		s.note("MakeBeside " + in.Name + " " + in.Version)
		return s.beside(in)
	})
	add("Swap", func(ctx context.Context, in activities.SwapInput) (delivery.Observation, error) {
		s.note("Swap " + in.From.Name + " " + in.To.Name)
		return s.swap(ctx, in)
	})
	add("SettlePair", func(in activities.SettlePairInput) (activities.Pair, error) {
		s.note("SettlePair")
		return s.pair(in)
	})
	add("Drain", func(in activities.DrainInput) error {
		s.note("Drain " + in.Name)
		return s.drain(in)
	})
	add("Retire", func(ctx context.Context, in activities.RetireInput) (activities.Retired, error) {
		s.note("Retire " + in.Name)
		return s.retire(ctx, in)
	})
	add("FindVersion", func(version delivery.Version) (activities.FoundVersion, error) {
		s.note("FindVersion")
		return s.find(version)
	})
	add("RegisterVersion", func(version delivery.Version) (delivery.Version, error) {
		s.note("RegisterVersion")
		return version, nil
	})
	add("Checkout", func(in activities.CheckoutInput) (activities.Workspace, error) {
		s.note("Checkout")
		return s.checkout(in)
	})
	add("Run", func(ctx context.Context, in activities.RunInput) (activities.CommandResult, error) {
		s.note("Run " + in.Command.Run)
		return s.run(ctx, in)
	})
	add("SaveCache", func(activities.SaveCacheInput) error {
		s.note("SaveCache")
		return s.save()
	})
	add("Bundle", func(activities.BundleInput) (activities.Bundled, error) {
		s.note("Bundle")
		return activities.Bundled{Digest: "abc", Size: 3}, nil
	})
	add("Upload", func(in activities.UploadInput) (delivery.Version, error) {
		s.note("Upload")
		return s.upload(in)
	})
	add("Remove", func(activities.RemoveInput) error {
		s.note("Remove")
		return nil
	})
	add("Prune", func(in activities.PruneInput) (activities.Pruned, error) {
		s.note("Prune")
		return s.prune(in)
	})
	add("AwaitQuiet", func(in activities.AwaitQuietInput) (activities.Loud, error) {
		s.note("AwaitQuiet")
		return s.quiet(in)
	})
	add("AwaitChecks", func(in activities.AwaitChecksInput) (activities.Checks, error) {
		s.note("AwaitChecks")
		return s.checks(in)
	})
	add("IsMember", func(in activities.IsMemberInput) (activities.Membership, error) {
		s.note("IsMember " + in.Login + " " + in.Team)
		return s.member(in)
	})
	add("Ask", func(in activities.AskInput) (Receipt, error) {
		s.note("Ask " + in.Update)
		return s.ask(in)
	})
}

// stage is a production stage with every rule filled in.
func stage() delivery.Stage {
	return delivery.Pipeline{Stages: []delivery.Stage{{
		Name: "production", Environment: "site-production",
		Health: delivery.Health{Check: &delivery.Check{Path: "/health"}},
	}}}.WithDefaults().Stages[0]
}

func version(label string) delivery.Version {
	return delivery.Version{Application: "site", Label: label}
}
