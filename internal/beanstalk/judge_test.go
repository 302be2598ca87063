package beanstalk

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// seen is an observation and how long after the first one it was made.
type seen struct {
	after time.Duration
	what  delivery.Observation
}

// at makes it v2's turn: an observation after the update to v2 was accepted.
func at(after time.Duration, changes ...func(*delivery.Observation)) seen {
	return seen{after, with(onV1(), append([]func(*delivery.Observation){changed}, changes...)...)}
}

var (
	updating = status("Updating")
	well     = func(o *delivery.Observation) { label("v2")(o); running("v2", "v2")(o) }
)

func instanceHas(change func(*delivery.Instance)) func(*delivery.Observation) {
	return func(o *delivery.Observation) { well(o); change(&o.Instances[1]) }
}

// The rules of these tests: lag 5 s, steady 30 s, settle 5 min, deadline 1 h.
func TestJudge(t *testing.T) {
	const s, m = time.Second, time.Minute
	undecided := delivery.Verdict("")
	cases := []struct {
		name    string
		started Started
		looks   []seen
		verdict delivery.Verdict
		reason  string
	}{
		{
			name:    "Ready on the wanted version and steadily healthy is good",
			looks:   []seen{at(0, updating), at(5*m, well), at(5*m+29*s, well), at(5*m+30*s, well)},
			verdict: delivery.VerdictHealthy, reason: "Ok for 30s on 2 instances",
		},
		{
			name:    "healthy for less than the steady time is not good yet",
			looks:   []seen{at(0, updating), at(5*m, well), at(5*m+29*s, well)},
			verdict: undecided,
		},
		{
			name:    "an environment created anew under the same name is another one",
			looks:   []seen{at(0, updating), at(5*m, well, func(o *delivery.Observation) { o.ID = "e-anew" })},
			verdict: delivery.VerdictNotUpdated, reason: "created anew",
		},
		{
			name:    "Ready on the old version is a failure although it is Ready and Green",
			looks:   []seen{at(0, updating), at(5 * m), at(5*m + 6*s)},
			verdict: delivery.VerdictNotUpdated, reason: "Ready on v1 instead of v2",
		},
		{
			name:    "one look at the old version is no failure: the label may follow late",
			looks:   []seen{at(0, updating), at(5 * m)},
			verdict: undecided,
		},
		{
			name:    "the old version seen for less than the lag is no failure",
			looks:   []seen{at(0, updating), at(5 * m), at(5*m + 4*s)},
			verdict: undecided,
		},
		{
			name:    "a label that follows late still becomes good",
			looks:   []seen{at(0, updating), at(5 * m), at(5*m+3*s, well), at(5*m+33*s, well)},
			verdict: delivery.VerdictHealthy,
		},
		{
			name:    "an answer from before the update is no failure",
			looks:   []seen{{0, onV1()}, {10 * s, onV1()}, {29 * s, onV1()}},
			verdict: undecided,
		},
		{
			name:    "an update that never shows is a failure in the end",
			looks:   []seen{{0, onV1()}, {10 * s, onV1()}, {31 * s, onV1()}},
			verdict: delivery.VerdictNotUpdated,
		},
		{
			name:    "an update that began and ended unseen counts as over after the lag",
			looks:   []seen{at(0), at(6 * s)},
			verdict: delivery.VerdictNotUpdated,
		},
		{
			name:    "Green while the platform still updates is no health",
			looks:   []seen{at(0, updating, well), at(1*m, updating, well), at(50*m, updating, well)},
			verdict: undecided,
		},
		{
			name:    "health Info while the platform still updates is no health",
			looks:   []seen{at(0, updating, well, health("Info")), at(50*m, updating, well, health("Info"))},
			verdict: undecided,
		},
		{
			name:    "health Warning in yellow while the platform still updates is no failure",
			looks:   []seen{at(0, updating), at(1*m, updating, health("Warning")), at(20*m, updating, health("Warning")), at(25*m, well), at(25*m+30*s, well)},
			verdict: delivery.VerdictHealthy,
		},
		{
			name:    "even health Severe while the platform still updates is no failure: the platform decides about its update",
			looks:   []seen{at(0, updating), at(1*m, updating, health("Severe")), at(30*m, updating, health("Severe"))},
			verdict: undecided,
		},
		{
			name:    "an update still going on at the deadline is late",
			looks:   []seen{at(0, updating), at(60*m, updating), at(60*m+1*s, updating)},
			verdict: delivery.VerdictLate, reason: "still updating at the deadline",
		},
		{
			name:    "an update being aborted at the deadline is late too",
			looks:   []seen{at(0, updating), at(61*m, status("Aborting"))},
			verdict: delivery.VerdictLate,
		},
		{
			name:    "an update that ended right at the deadline may still settle",
			looks:   []seen{at(0, updating), at(60*m, well), at(60*m+30*s, well)},
			verdict: delivery.VerdictHealthy,
		},
		{
			name:    "an environment that is being terminated is not waited for",
			looks:   []seen{at(0, updating), at(1*m, status("Terminating"))},
			verdict: delivery.VerdictNotUpdated, reason: "being terminated",
		},
		{
			name:    "no instances are no health",
			looks:   []seen{at(0, updating), at(5*m, label("v2")), at(6*m, label("v2"))},
			verdict: undecided,
		},
		{
			name:    "no instances at all until the time to settle is over are a failure",
			looks:   []seen{at(0, updating), at(5*m, label("v2")), at(10*m, label("v2"))},
			verdict: delivery.VerdictUnhealthy, reason: "no instance reports",
		},
		{
			name:    "one instance on another version is no health",
			looks:   []seen{at(0, updating), at(5*m, label("v2"), running("v2", "v1")), at(10*m, label("v2"), running("v2", "v1"))},
			verdict: delivery.VerdictUnhealthy, reason: "instance i-2 runs v1",
		},
		{
			name:    "an instance that does not say what it runs is no health",
			looks:   []seen{at(0, updating), at(5*m, label("v2"), running("v2", "")), at(10*m, label("v2"), running("v2", ""))},
			verdict: delivery.VerdictUnhealthy, reason: "instance i-2 runs unknown",
		},
		{
			name: "an instance that still deploys is no health",
			looks: []seen{
				at(0, updating), at(5*m, instanceHas(func(i *delivery.Instance) { i.Deployment = "In Progress" })),
				at(6*m, instanceHas(func(i *delivery.Instance) { i.Deployment = "In Progress" })),
			},
			verdict: undecided,
		},
		{
			name: "an instance that failed to deploy is no health",
			looks: []seen{
				at(0, updating), at(5*m, instanceHas(func(i *delivery.Instance) { i.Deployment = "Failed" })),
				at(10*m, instanceHas(func(i *delivery.Instance) { i.Deployment = "Failed" })),
			},
			verdict: delivery.VerdictUnhealthy, reason: "the deployment on instance i-2 is Failed",
		},
		{
			name: "an instance that falls ill begins the steady time anew",
			looks: []seen{
				at(0, updating), at(5*m, well),
				at(5*m+20*s, instanceHas(func(i *delivery.Instance) { i.HealthStatus = "Severe" })), at(5*m+40*s, well),
			},
			verdict: undecided,
		},
		{
			name: "an instance that is ill at the end of the time to settle is a failure",
			looks: []seen{
				at(0, updating), at(5*m, instanceHas(func(i *delivery.Instance) { i.HealthStatus = "Severe" })),
				at(10*m, instanceHas(func(i *delivery.Instance) { i.HealthStatus, i.Causes = "Severe", []string{"ELB health is failing"} })),
			},
			verdict: delivery.VerdictUnhealthy, reason: "the health of instance i-2 is Severe (ELB health is failing)",
		},
		{
			name: "a flap of health begins the steady time anew",
			looks: []seen{
				at(0, updating), at(5*m, well), at(5*m+20*s, well, health("Warning")), at(5*m+25*s, well), at(5*m+54*s, well),
			},
			verdict: undecided,
		},
		{
			name: "health that flaps once and then holds is good",
			looks: []seen{
				at(0, updating), at(5*m, well), at(5*m+20*s, well, health("Warning")), at(5*m+25*s, well), at(5*m+55*s, well),
			},
			verdict: delivery.VerdictHealthy,
		},
		{
			name:    "health that comes late within the time to settle is good",
			looks:   []seen{at(0, updating), at(5*m, well, health("Severe")), at(9*m+50*s, well), at(10*m+20*s, well)},
			verdict: delivery.VerdictHealthy,
		},
		{
			name:    "health that never comes is a failure when the time to settle is over",
			looks:   []seen{at(0, updating), at(5*m, well, health("Degraded")), at(9*m+59*s, well, health("Degraded")), at(10*m, well, health("Degraded"))},
			verdict: delivery.VerdictUnhealthy, reason: "did not become healthy on v2 within 5m0s of its update: its health is Degraded",
		},
		{
			name:    "health without data is no health",
			looks:   []seen{at(0, updating), at(5*m, well, health("NoData")), at(10*m, well, health("NoData"))},
			verdict: delivery.VerdictUnhealthy,
		},
		{
			name:    "health that is not told is no health",
			looks:   []seen{at(0, updating), at(5*m, well, health("")), at(10*m, well, health(""))},
			verdict: delivery.VerdictUnhealthy, reason: "its health is unknown",
		},
		{
			name:    "an update that begins while health is proven starts the proof anew",
			looks:   []seen{at(0, updating), at(5*m, well), at(5*m+20*s, well, updating), at(5*m+30*s, well), at(5*m+40*s, well)},
			verdict: undecided,
		},
		{
			name:    "a time to settle begins with the last update, not the first",
			looks:   []seen{at(0, updating), at(5*m, well, health("Severe")), at(9*m, updating), at(20*m, well, health("Severe")), at(24*m, well, health("Severe"))},
			verdict: undecided,
		},
		{
			name:    "an environment proven as it is needs no update to be seen",
			started: Started{Ended: true, Before: monday},
			looks:   []seen{{0, with(onV1(), well)}, {30 * s, with(onV1(), well)}},
			verdict: delivery.VerdictHealthy,
		},
		{
			name:    "an environment proven as it is fails soon on another version",
			started: Started{Ended: true, Before: monday},
			looks:   []seen{{0, onV1()}, {6 * s, onV1()}},
			verdict: delivery.VerdictNotUpdated,
		},
		{
			name:    "an adopted update that is over already is proven like one that was sent",
			started: Started{Adopted: true, Before: monday},
			looks:   []seen{at(0, well), at(30*s, well)},
			verdict: delivery.VerdictHealthy,
		},
		{
			name:    "the same version sent again is not good before the update shows",
			looks:   []seen{{0, with(onV1(), well)}, {30 * s, with(onV1(), well)}, {4 * m, with(onV1(), well)}},
			verdict: undecided,
		},
		{
			name:    "the same version sent again is good after its update",
			looks:   []seen{{0, with(onV1(), well)}, at(3*s, well, updating), at(5*m, well), at(5*m+30*s, well)},
			verdict: delivery.VerdictHealthy,
		},
		{
			name: "answers that contradict each other for ever end as late",
			looks: []seen{
				at(0, updating), at(30*m, well), at(40 * m), at(50*m, well), at(60 * m), at(65*m, well), at(65*m + 20*s), at(65*m+31*s, well),
			},
			verdict: delivery.VerdictLate,
		},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			began := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
			started := test.started
			if started == (Started{}) {
				started = Started{Before: monday, RequestID: "r-1"}
			}
			j := &judge{environmentID: onV1().ID,
				version: "v2", started: started, deadline: began.Add(time.Hour), grace: 5 * time.Second,
				health: delivery.Health{
					Accept: []string{"Ok", "Info"}, Steady: delivery.Duration(30 * time.Second), Settle: delivery.Duration(5 * time.Minute),
				},
			}
			var ruled ruling
			for i, look := range test.looks {
				require.Equal(t, open, ruled, "decided before look %d", i+1)
				ruled = j.rule(sight{Observation: look.what}, began.Add(look.after))
			}
			assert.Equal(t, test.verdict, ruled.verdict, ruled.reason)
			assert.Contains(t, ruled.reason, test.reason)
		})
	}
}

func TestTheJudgeAsksForInstancesOnlyWhereTheRestIsAsItShouldBe(t *testing.T) {
	j := &judge{version: "v2"}
	assert.False(t, j.needsInstances(with(onV1(), updating, label("v2"))))
	assert.False(t, j.needsInstances(onV1()))
	assert.True(t, j.needsInstances(with(onV1(), label("v2"))))
}
