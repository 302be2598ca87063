package proof

import (
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/internal/proof/lab"
)

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
