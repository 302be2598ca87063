package beanstalk

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// A connection can stop answering without ending. These tests wait on a clock of their own, at the
// pace that suits AWS.

// heartbeatTimeout is after how long without a report a wait passes for dead.
const heartbeatTimeout = 20 * time.Second

// pulse records the longest silence between two reports of a wait.
type pulse struct {
	last    time.Time
	longest time.Duration
}

func (p *pulse) report(Progress) {
	p.longest = max(p.longest, time.Since(p.last))
	p.last = time.Now()
}

func TestAWaitSurvivesCallsThatAreNeverAnswered(t *testing.T) {
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	cases := []struct {
		name    string
		silence func(*fakeAPI)
	}{
		{"looks at environments", func(api *fakeAPI) {
			api.environments = func(ctx context.Context, _ []string) ([]types.EnvironmentDescription, error) { return nil, hang(ctx) }
		}},
		{"reports of health", func(api *fakeAPI) {
			api.health = func(ctx context.Context) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error) {
				return nil, hang(ctx)
			}
		}},
		{"reports of instances", func(api *fakeAPI) {
			api.instances = func(ctx context.Context, _ string) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
				return nil, hang(ctx)
			}
		}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer time.Sleep(2 * time.Minute) // the watcher goes to rest
				api := &fakeAPI{}
				api.script(with(onV1(), well, changed))
				test.silence(api)
				heart := &pulse{last: time.Now()}
				began := time.Now()
				_, err := NewFromAPI(api, DefaultPace).AwaitHealth(t.Context(), toV2(time.Now().Add(time.Hour)), heart.report)
				require.Error(t, err)
				assert.Equal(t, delivery.Unavailable, delivery.TypeOf(err))
				assert.Less(t, time.Since(began), 15*time.Minute)
				assert.Less(t, heart.longest, heartbeatTimeout, "it must not pass for dead")
			})
		})
	}
}

func TestAWaitShowsThatItLivesWhileNothingHappensForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Minute) // the watcher goes to rest
		api := &fakeAPI{}
		api.script(with(onV1(), status("Updating"), changed))
		heart := &pulse{last: time.Now()}
		wait := toV2(time.Now().Add(3 * time.Hour))
		proof, err := NewFromAPI(api, DefaultPace).AwaitHealth(t.Context(), wait, heart.report)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictLate, proof.Verdict)
		assert.Less(t, time.Since(wait.Deadline), time.Minute)
		assert.Less(t, heart.longest, heartbeatTimeout)
		assert.Less(t, api.count("DescribeEnvironments"), 1200, "at the slow pace: one in 10 s")
		assert.Less(t, api.count("DescribeEvents"), 400, "one in 30 s")
	})
}

func TestAnEndlessListOfInstancesDoesNotHoldUpAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Minute) // the watcher goes to rest
		api := &fakeAPI{}
		api.script(with(onV1(), well, changed))
		api.instances = func(ctx context.Context, _ string) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(100 * time.Millisecond):
				token := "again"
				return &elasticbeanstalk.DescribeInstancesHealthOutput{NextToken: &token}, nil
			}
		}
		_, err := NewFromAPI(api, DefaultPace).AwaitHealth(t.Context(), toV2(time.Now().Add(time.Hour)), ignored)
		assert.Equal(t, delivery.Unavailable, delivery.TypeOf(err))
	})
}

func TestVerdictsComeEvenWhenEvidenceDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(2 * time.Minute) // the watcher goes to rest
		api := &fakeAPI{}
		api.script(with(onV1(), changed))
		began := time.Now()
		api.silent = "DescribeEvents"
		proof, err := NewFromAPI(api, DefaultPace).AwaitHealth(t.Context(), toV2(time.Now().Add(time.Hour)), ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictNotUpdated, proof.Verdict)
		assert.Less(t, time.Since(began), 5*time.Minute)
	})
}
