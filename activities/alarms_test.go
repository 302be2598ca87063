package activities

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/alarms"
	"gravity/internal/delivery"
)

// cloud is an account's alarms, by name.
type cloud struct{ states map[string]string }

func (c *cloud) client() *alarms.Client { return alarms.NewFromAPI(c, time.Millisecond) }

func (c *cloud) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	out := &cloudwatch.DescribeAlarmsOutput{}
	for _, name := range in.AlarmNames {
		if state, ok := c.states[name]; ok {
			out.MetricAlarms = append(out.MetricAlarms, types.MetricAlarm{AlarmName: aws.String(name), StateValue: types.StateValue(state)})
		}
	}
	return out, nil
}

func TestTheStatesOfAlarmsAreRead(t *testing.T) {
	a := &Alarms{Client: (&cloud{states: map[string]string{"errors": "ALARM"}}).client()}
	answer, err := newSteps(t, a).ExecuteActivity(a.AlarmStates, AlarmsInput{Names: []string{"errors", "gone"}})
	require.NoError(t, err)
	var states AlarmStates
	require.NoError(t, answer.Get(&states))
	require.Len(t, states.Alarms, 1)
	assert.True(t, states.Alarms[0].Raised())
	assert.Equal(t, []string{"gone"}, states.Missing)
}

func TestAnAlarmThatIsRaisedAfterTheUpdateIsNoHealth(t *testing.T) {
	for state, want := range map[string]delivery.Verdict{
		"ALARM": delivery.VerdictUnhealthy, "OK": delivery.VerdictHealthy, "INSUFFICIENT_DATA": delivery.VerdictHealthy,
	} {
		t.Run(state, func(t *testing.T) {
			p := newPlatform()
			p.environment.VersionLabel = aws.String("v2")
			b := p.steps()
			b.Alarms = (&cloud{states: map[string]string{"errors": state}}).client()
			answer, err := newSteps(t, b).ExecuteActivity(b.AwaitHealth, AwaitHealthInput{
				Application: "shop", Environment: "shop-production", EnvironmentID: "e-1", Version: "v2", Deadline: time.Now().Add(time.Hour),
				Started: Update{Ended: true},
				Health: delivery.Health{
					Accept: []string{"Ok"}, Steady: delivery.Duration(5 * time.Millisecond), Settle: delivery.Duration(30 * time.Millisecond), Alarms: []string{"errors"},
				},
			})
			require.NoError(t, err)
			var proof delivery.Proof
			require.NoError(t, answer.Get(&proof))
			assert.Equal(t, want, proof.Verdict, proof.Reason)
			if want == delivery.VerdictUnhealthy {
				assert.Equal(t, delivery.AlarmRaised, proof.Cause)
				assert.Contains(t, proof.Reason, "alarm errors is raised")
			} else {
				assert.NotEmpty(t, proof.Configuration, "what it was proven on is remembered")
			}
		})
	}
}
