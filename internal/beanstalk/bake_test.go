package beanstalk

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// The rules of these tests: lag 5 s, steady 30 s, settle 5 min, a bake of an hour.
func TestVigil(t *testing.T) {
	const s, m = time.Second, time.Minute
	ill := health("Severe")
	alarm := Complaint{Text: "alarm errors is raised", Cause: delivery.AlarmRaised, Final: true}
	check := Complaint{Text: "the check failed", Cause: delivery.CheckFailed}
	type baked struct {
		after     time.Duration
		what      delivery.Observation
		complaint Complaint
	}
	look := func(after time.Duration, changes ...func(*delivery.Observation)) baked {
		return baked{after: after, what: at(after, append([]func(*delivery.Observation){well}, changes...)...).what}
	}
	with := func(b baked, complaint Complaint) baked { b.complaint = complaint; return b }
	coming := func(status, version, deployment string) func(*delivery.Observation) {
		return func(o *delivery.Observation) {
			o.Instances = append(o.Instances, delivery.Instance{ID: "i-9", HealthStatus: status, VersionLabel: version, Deployment: deployment})
		}
	}
	cases := []struct {
		name    string
		looks   []baked
		verdict delivery.Verdict
		cause   delivery.ErrorType
		reason  string
	}{
		{name: "a version that stays well until the end is good", looks: []baked{look(0), look(30 * m), look(60 * m)}, verdict: delivery.VerdictHealthy},
		{name: "before the end nothing is said", looks: []baked{look(0), look(59 * m)}},
		{name: "one bad look is a blip", looks: []baked{look(0), look(10*s, ill), look(20 * s), look(60 * m)}, verdict: delivery.VerdictHealthy},
		{name: "one bad look is a blip even if the last good one is long ago", looks: []baked{look(0), look(10*m, ill)}},
		{name: "bad looks for less than the steady time are a blip", looks: []baked{look(0), look(10*s, ill), look(20*s, ill), look(29*s, ill)}},
		{name: "bad looks for the steady time are a failure", looks: []baked{look(0), look(10*s, ill), look(20*s, ill), look(30*s, ill)},
			verdict: delivery.VerdictUnhealthy, reason: "did not stay healthy on v2: its health is Severe"},
		{name: "a good look between starts the time anew", looks: []baked{look(0), look(10*s, ill), look(20 * s), look(30*s, ill), look(40*s, ill)}},
		{name: "what is open at the end is seen through, to a failure", looks: []baked{look(0), look(59*m + 50*s), look(60*m, ill), look(60*m+15*s, ill), look(60*m+20*s, ill)}, verdict: delivery.VerdictUnhealthy},
		{name: "what is open at the end is seen through, to health", looks: []baked{look(0), look(59*m + 50*s), look(60*m, ill), look(60*m + 15*s)}, verdict: delivery.VerdictHealthy},
		{name: "a raised alarm has waited already", looks: []baked{look(0), with(look(10*s), alarm)}, verdict: delivery.VerdictUnhealthy, cause: delivery.AlarmRaised, reason: "alarm errors is raised"},
		{name: "one failed check is a blip", looks: []baked{look(0), with(look(10*s), check), look(20 * s)}},
		{name: "checks that go on failing are a failure", looks: []baked{look(0), with(look(10*s), check), with(look(30*s), check)}, verdict: delivery.VerdictUnhealthy, cause: delivery.CheckFailed, reason: "the check failed"},
		{name: "an instance that is coming up is no fault of the version's", looks: []baked{look(0), look(1*m, coming("Pending", "", "")), look(3*m, coming("Pending", "v2", "In Progress")), look(5*m, coming("NoData", "", "")), look(60 * m)}, verdict: delivery.VerdictHealthy},
		{name: "an instance on which the deployment failed is", looks: []baked{look(0), look(10*s, coming("Severe", "v2", "Failed")), look(30*s, coming("Severe", "v2", "Failed"))}, verdict: delivery.VerdictUnhealthy, reason: "the deployment on instance i-9 is Failed"},
		{name: "an instance on another version is no health", looks: []baked{look(0), look(10*s, coming("Ok", "v1", "Deployed")), look(30*s, coming("Ok", "v1", "Deployed"))}, verdict: delivery.VerdictUnhealthy, reason: "i-9 runs v1"},
		{name: "no settled instance at all is no health", looks: []baked{look(0), look(10*s, running()), look(30*s, running())}, verdict: delivery.VerdictUnhealthy, reason: "no instance reports"},
		{name: "an update that the platform makes by itself is waited out", looks: []baked{look(0), look(10*m, updating, ill), look(20*m, updating, ill), look(21*m, ill), look(23*m, ill), look(24 * m), look(60 * m)}, verdict: delivery.VerdictHealthy},
		{name: "an update from which health does not come back is a failure", looks: []baked{look(0), look(10*m, updating), look(11*m, ill), look(15*m, ill)}, verdict: delivery.VerdictUnhealthy},
		{name: "an update that goes on at the end is waited for", looks: []baked{look(0), look(60*m, updating), look(70*m, updating), look(80 * m)}, verdict: delivery.VerdictHealthy},
		{name: "but not for ever", looks: []baked{look(0), look(60*m, updating), look(121*m, updating)}, verdict: delivery.VerdictLate, cause: delivery.Drift},
		{name: "another version is somebody's doing", looks: []baked{look(0), look(10*m, label("v7")), look(10*m+5*s, label("v7"))}, verdict: delivery.VerdictNotUpdated, cause: delivery.Drift, reason: "somebody deployed v7 on shop-production during its bake"},
		{name: "one answer with another version may lag behind", looks: []baked{look(0), look(10*m, label("v1")), look(10*m + 5*s), look(60 * m)}, verdict: delivery.VerdictHealthy},
		{name: "an environment created anew is another one", looks: []baked{look(0), look(10*m, func(o *delivery.Observation) { o.ID = "e-anew" })}, verdict: delivery.VerdictNotUpdated, cause: delivery.Drift, reason: "created anew"},
		{name: "an environment that is terminated is waited for no longer", looks: []baked{look(0), look(10*m, status("Terminating"))}, verdict: delivery.VerdictNotUpdated, cause: delivery.Drift, reason: "terminated"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			began := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
			v := &vigil{
				environmentID: "e-1", version: "v2", until: began.Add(time.Hour), patience: time.Hour, grace: 5 * time.Second, good: began,
				health: delivery.Health{Accept: []string{"Ok", "Info"}, Steady: delivery.Duration(30 * s), Settle: delivery.Duration(5 * m)},
			}
			var ruled ruling
			for i, look := range test.looks {
				require.Equal(t, open, ruled, "decided before look %d", i+1)
				ruled = v.rule(sight{Observation: look.what, complaint: look.complaint}, began.Add(look.after))
			}
			assert.Equal(t, test.verdict, ruled.verdict, ruled.reason)
			assert.Equal(t, test.cause, ruled.cause)
			assert.Contains(t, ruled.reason, test.reason)
		})
	}
}

// bakeOfV2 is a bake at the pace that suits AWS, on a clock of its own.
func bakeOfV2(until time.Time) BakeWatch {
	return BakeWatch{
		Application: "shop", Environment: "shop-production", EnvironmentID: "e-1", Version: "v2", Until: until, Patience: time.Hour,
		Health: delivery.Health{Accept: []string{"Ok", "Info"}, Steady: delivery.Duration(30 * time.Second), Settle: delivery.Duration(5 * time.Minute)},
	}
}

func TestABakeEndsAtItsEndAndAsksLittleMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Minute) // the watcher goes to rest
		api := &fakeAPI{}
		api.script(with(onV1(), well, changed))
		heart := &pulse{last: time.Now()}
		until := time.Now().Add(time.Hour)
		proof, err := NewFromAPI(api, DefaultPace).Bake(t.Context(), bakeOfV2(until), heart.report)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictHealthy, proof.Verdict)
		assert.WithinDuration(t, until, time.Now(), time.Second)
		assert.Less(t, heart.longest, heartbeatTimeout)
		assert.LessOrEqual(t, api.count("DescribeEnvironments"), 370, "shared with every other wait")
		assert.LessOrEqual(t, api.count("DescribeInstancesHealth"), 125, "one in 30 s")
	})
}

func TestAFailedBakeIsNoticedWithinTheSteadyTime(t *testing.T) {
	for _, after := range []time.Duration{10 * time.Minute, 10*time.Minute + 3*time.Second, 10*time.Minute + 9*time.Second} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(2 * time.Minute) // the watcher goes to rest
			api := &fakeAPI{}
			api.script(with(onV1(), well, changed))
			var failed time.Time
			time.AfterFunc(after, func() {
				failed = time.Now()
				api.then(with(onV1(), well, changed, health("Severe")))
			})
			proof, err := NewFromAPI(api, DefaultPace).Bake(t.Context(), bakeOfV2(time.Now().Add(time.Hour)), ignored)
			require.NoError(t, err)
			assert.Equal(t, delivery.VerdictUnhealthy, proof.Verdict)
			took := time.Since(failed)
			assert.LessOrEqual(t, took, 30*time.Second+500*time.Millisecond, "the steady time is not exceeded")
			assert.Greater(t, took, 15*time.Second, "nor cut to nothing")
		})
	}
}

func TestANewComplaintIsLookedIntoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Minute) // the watcher goes to rest
		api := &fakeAPI{}
		api.script(with(onV1(), well, changed))
		var raised atomic.Bool
		said := make(chan struct{}, 1)
		var at time.Time
		time.AfterFunc(10*time.Minute+time.Second, func() { at = time.Now(); raised.Store(true); said <- struct{}{} })
		bake := bakeOfV2(time.Now().Add(time.Hour))
		bake.Changed = said
		bake.Also = func() Complaint {
			if raised.Load() {
				return Complaint{Text: "alarm errors is raised", Cause: delivery.AlarmRaised, Final: true}
			}
			return Complaint{}
		}
		proof, err := NewFromAPI(api, DefaultPace).Bake(t.Context(), bake, ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictUnhealthy, proof.Verdict)
		assert.Equal(t, delivery.AlarmRaised, proof.Cause)
		assert.LessOrEqual(t, time.Since(at), DefaultPace.Fast)
	})
}

func TestABakeTakenOverAfterItsEndStillLooks(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), well, changed))
		proof, err := NewFromAPI(api, quick).Bake(limited(t), bakeOfV2(time.Now().Add(-time.Hour)), ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictHealthy, proof.Verdict)
		assert.NotZero(t, api.count("DescribeInstancesHealth"))
	})
}

func TestAFailedBakeComesWithTheLogsThatWereAskedForMeanwhile(t *testing.T) {
	sample := serveLogs(t, tailSample)
	api := &fakeAPI{}
	api.script(with(onV1(), well, changed, health("Severe"), func(o *delivery.Observation) {
		o.Instances[0].Causes = []string{"Following services are not running: web."}
	}))
	sample.answer(api)
	bake := bakeOfV2(time.Now().Add(time.Hour))
	bake.Health.Steady = delivery.Duration(500 * time.Millisecond)
	proof, err := NewFromAPI(api, quick).Bake(limited(t), bake, ignored)
	require.NoError(t, err)
	assert.Equal(t, delivery.VerdictUnhealthy, proof.Verdict)
	evidence := strings.Join(proof.Evidence, "\n")
	assert.Contains(t, evidence, "Following services are not running: web.")
	assert.Contains(t, evidence, "i-1 web.stdout.log: panic: no database")
	assert.Equal(t, 1, api.count("RequestEnvironmentInfo"))
}
