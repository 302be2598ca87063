package beanstalk

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// ignored is for waits that nobody looks at.
func ignored(Progress) {}

func soon() time.Time { return time.Now().Add(50 * time.Millisecond) }

func late() time.Time { return time.Now().Add(-time.Second) }

// toV2 waits for the health of v2 within milliseconds.
func toV2(deadline time.Time) HealthWait {
	return HealthWait{
		Application: "shop", Environment: "shop-production", Version: "v2", Started: Started{RequestID: "r-1", Before: monday},
		Deadline: deadline, Health: delivery.Health{
			Accept: []string{"Ok", "Info"}, Steady: delivery.Duration(5 * time.Millisecond), Settle: delivery.Duration(30 * time.Millisecond),
		},
	}
}

func TestAwaitReady(t *testing.T) {
	updating := with(onV1(), status("Updating"))
	runInBubble(t, "an environment that is Ready is not waited for", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(onV1())
		observed, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-production", soon(), ignored)
		require.NoError(t, err)
		assert.Equal(t, onV1(), observed)
		assert.Equal(t, 1, api.count("DescribeEnvironments"))
	})
	runInBubble(t, "somebody else's update is waited out", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(updating, updating, updating, with(onV1(), label("v7")))
		observed, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-production", time.Now().Add(5*time.Second), ignored)
		require.NoError(t, err)
		assert.Equal(t, "v7", observed.VersionLabel)
	})
	runInBubble(t, "an update that outlasts the patience ends the waiting for good", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(updating)
		_, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-production", soon(), ignored)
		var busy *delivery.Error
		require.ErrorAs(t, err, &busy)
		assert.Equal(t, delivery.EnvironmentBusy, busy.Type)
		assert.False(t, busy.Retryable(), "the time for it is over")
		assert.Contains(t, busy.Message, "still Updating")
	})
	runInBubble(t, "an environment that became Ready at the last moment is Ready", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(onV1())
		_, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-production", late(), ignored)
		require.NoError(t, err)
	})
	runInBubble(t, "an environment that does not exist is not waited for", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(onV1())
		_, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-prod", soon(), ignored)
		assert.Equal(t, delivery.EnvironmentNotFound, delivery.TypeOf(err))
	})
	runInBubble(t, "an abort ends the waiting", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(updating)
		ctx, cancel := context.WithCancel(limited(t))
		_, err := NewFromAPI(api, quick).AwaitReady(ctx, "shop", "shop-production", time.Now().Add(time.Hour), func(Progress) { cancel() })
		require.ErrorIs(t, err, context.Canceled)
	})
	runInBubble(t, "trouble with the platform is waited out, and shown", func(t *testing.T) {
		api := &fakeAPI{}
		var calls atomic.Int32
		api.environments = func(context.Context, []string) ([]types.EnvironmentDescription, error) {
			if calls.Add(1) < maxTrouble-2 {
				return nil, errThrottled
			}
			return described(onV1()), nil
		}
		var trouble []string
		_, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-production", soon(), func(p Progress) {
			if p.Trouble != "" {
				trouble = append(trouble, p.Trouble)
			}
		})
		require.NoError(t, err)
		require.NotEmpty(t, trouble)
		assert.Contains(t, trouble[0], "Rate exceeded")
	})
	runInBubble(t, "trouble that lasts ends the attempt, so that another worker may try", func(t *testing.T) {
		api := &fakeAPI{environments: func(context.Context, []string) ([]types.EnvironmentDescription, error) { return nil, errLost }}
		_, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-production", time.Now().Add(time.Hour), ignored)
		var typed *delivery.Error
		require.ErrorAs(t, err, &typed)
		assert.Equal(t, delivery.Unavailable, typed.Type)
		assert.True(t, typed.Retryable())
	})
	runInBubble(t, "missing rights end the attempt at once", func(t *testing.T) {
		api := &fakeAPI{}
		_, err := NewFromAPI(api, quick).AwaitReady(limited(t), "shop", "shop-production", time.Now().Add(time.Hour), ignored)
		assert.Equal(t, delivery.AccessDenied, delivery.TypeOf(err))
		assert.Equal(t, 1, api.count("DescribeEnvironments"))
	})
}

func TestAwaitHealth(t *testing.T) {
	updating := with(onV1(), status("Updating"), changed)
	onV2 := with(onV1(), well, changed)
	hour := func() time.Time { return time.Now().Add(time.Hour) }
	cases := []struct {
		name     string
		looks    []delivery.Observation
		deadline func() time.Time
		verdict  delivery.Verdict
		reason   string
	}{
		{"an update that ends healthy is good", []delivery.Observation{onV1(), updating, updating, onV2}, hour, delivery.VerdictHealthy, "healthy on v2"},
		{"an update that the platform takes back is a failure", []delivery.Observation{onV1(), updating, with(onV1(), changed)}, hour, delivery.VerdictNotUpdated, "Ready on v1 instead of v2"},
		{"a version that stays ill is a failure", []delivery.Observation{updating, with(onV2, health("Severe"))}, hour, delivery.VerdictUnhealthy, "Severe"},
		{"a version that one instance does not run is a failure", []delivery.Observation{updating, with(onV2, running("v2", "v1"))}, hour, delivery.VerdictUnhealthy, "i-2 runs v1"},
		{"an update at its deadline is late", []delivery.Observation{updating}, soon, delivery.VerdictLate, "at the deadline"},
		{"a terminated environment is a failure", []delivery.Observation{updating, with(onV1(), status("Terminating"))}, hour, delivery.VerdictNotUpdated, "terminated"},
	}
	for _, test := range cases {
		runInBubble(t, test.name, func(t *testing.T) {
			api := &fakeAPI{}
			api.script(test.looks...)
			proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(test.deadline()), ignored)
			require.NoError(t, err)
			assert.Equal(t, test.verdict, proof.Verdict, proof.Reason)
			assert.Contains(t, proof.Reason, test.reason)
			assert.Equal(t, "e-1", proof.Observed.ID)
			assert.Zero(t, api.count("UpdateEnvironment")+api.count("AbortEnvironmentUpdate"), "a wait changes nothing")
		})
	}
}

func TestAnEnvironmentThatVanishesWhileItIsWaitedForIsNotWaitedForFurther(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), status("Updating")), with(onV1(), status("Terminated")))
		_, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
		assert.Equal(t, delivery.EnvironmentNotFound, delivery.TypeOf(err))
	})
}

func TestAHealthReportThatFailsForAMomentDoesNotEndTheWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), well, changed))
		answer := api.health
		var calls atomic.Int32
		api.health = func(ctx context.Context) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error) {
			if calls.Add(1) == 2 {
				return nil, errThrottled
			}
			return answer(ctx)
		}
		proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictHealthy, proof.Verdict)
	})
}

func TestBasicHealthReportingIsExplained(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), well, changed))
		api.health = func(context.Context) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error) {
			return nil, refused("InvalidRequestException", "DescribeEnvironmentHealth is not supported.")
		}
		_, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
		assert.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
		assert.ErrorContains(t, err, "set SystemType in aws:elasticbeanstalk:healthreporting:system to enhanced")
	})
}

func TestWhatAWaitSeesIsTold(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), status("Updating"), changed), with(onV1(), well, changed))
		api.events = func(*elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error) {
			return []types.EventDescription{{Message: aws.String("Environment update is starting.")}}, nil
		}
		var told []Progress
		_, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), func(p Progress) { told = append(told, p) })
		require.NoError(t, err)
		require.NotEmpty(t, told)
		assert.Equal(t, Progress{Environment: "shop-production", Status: "Updating", Health: "Ok", Version: "v1", Event: "Environment update is starting."}, told[0])
		last := told[len(told)-1]
		assert.Equal(t, "Ready", last.Status)
		assert.Equal(t, 2, last.Instances)
	})
}

func TestAFailureComesWithWhatThePlatformSaidOfIt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		ill := with(onV1(), changed, label("v2"), health("Severe"), func(o *delivery.Observation) { o.Causes = []string{"100 % of the requests fail with HTTP 5xx."} })
		ill.Instances = []delivery.Instance{{ID: "i-9", HealthStatus: "Severe", VersionLabel: "v2", Deployment: "Deployed", Causes: []string{"ELB health is failing."}}}
		api.script(ill)
		api.events = func(in *elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error) {
			if in.EndTime != nil {
				return nil, nil // the update before this one
			}
			assert.Equal(t, monday, aws.ToTime(in.StartTime), "on the platform's clock")
			said := func(minute int, severity types.EventSeverity, request, message string) types.EventDescription {
				return types.EventDescription{
					EventDate: aws.Time(monday.Add(time.Duration(minute) * time.Minute)), Severity: severity, RequestId: aws.String(request), Message: aws.String(message),
				}
			}
			return []types.EventDescription{ // newest first
				said(64, types.EventSeverityWarn, "", "Environment health has transitioned from Ok to Severe."),
				said(63, types.EventSeverityError, "r-1", "Instance deployment failed."),
				said(60, types.EventSeverityInfo, "r-1", "Environment update is starting."),
				said(2, types.EventSeverityWarn, "r-0", "A warning of the update before."),
			}, nil
		}
		proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
		require.NoError(t, err)
		assert.Equal(t, []string{
			"10:03:00 ERROR Instance deployment failed.",
			"10:04:00 WARN Environment health has transitioned from Ok to Severe.",
			"Severe: 100 % of the requests fail with HTTP 5xx.",
			"i-9 Severe: ELB health is failing.",
			"the instances' logs could not be read: asking for the instances' logs: InsufficientPrivilegesException: RequestEnvironmentInfo is not part of this test",
		}, proof.Evidence)
	})
}

func TestAFailureIsNoLessOneWhenItsEventsCannotBeRead(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), changed))
		api.events = func(*elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error) {
			return nil, errThrottled
		}
		proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictNotUpdated, proof.Verdict)
		require.Len(t, proof.Evidence, 1)
		assert.Contains(t, proof.Evidence[0], "the events could not be read")
	})
}

func TestEvidenceIsBounded(t *testing.T) {
	api := &fakeAPI{}
	long := strings.Repeat("é", 10_000)
	ill := with(onV1(), changed, label("v2"), health("Severe"))
	for range 100 {
		ill.Causes = append(ill.Causes, long)
		ill.Instances = append(ill.Instances, delivery.Instance{ID: "i-1", HealthStatus: "Severe", VersionLabel: "v2", Deployment: "Deployed", Causes: ill.Causes})
	}
	api.script(ill)
	api.events = func(*elasticbeanstalk.DescribeEventsInput) ([]types.EventDescription, error) {
		events := make([]types.EventDescription, 100)
		for i := range events {
			events[i] = types.EventDescription{Severity: types.EventSeverityFatal, Message: aws.String(long)}
		}
		return events, nil
	}
	proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
	require.NoError(t, err)
	assert.LessOrEqual(t, len(proof.Evidence), maxEvidence)
	total := len(proof.Reason)
	for _, line := range proof.Evidence {
		assert.LessOrEqual(t, len(line), maxLine)
	}
	for _, i := range proof.Observed.Instances {
		total += len(strings.Join(i.Causes, ""))
	}
	assert.Less(t, total, 300_000, "a workflow's history has to hold it")
}

func TestSettle(t *testing.T) {
	updating := with(onV1(), status("Updating"), changed, abortable)
	aborting := with(onV1(), status("Aborting"), changed)
	hour := func() time.Time { return time.Now().Add(time.Hour) }
	accepted := func(*elasticbeanstalk.AbortEnvironmentUpdateInput) error { return nil }

	runInBubble(t, "an update under way is aborted once, and its end waited for", func(t *testing.T) {
		api := &fakeAPI{abort: accepted}
		api.script(updating, updating, updating, aborting, aborting, with(onV1(), changed))
		settled, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		assert.Equal(t, "v1", settled.VersionLabel)
		assert.Equal(t, 1, api.count("AbortEnvironmentUpdate"))
	})
	runInBubble(t, "an update that cannot be aborted any more is waited for", func(t *testing.T) {
		api := &fakeAPI{abort: func(*elasticbeanstalk.AbortEnvironmentUpdateInput) error {
			return refused("InvalidParameterValue", "Environment named shop-production is in an invalid state for this operation. Must be pending deployment.")
		}}
		api.script(updating, updating, with(onV1(), well, changed))
		settled, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		assert.Equal(t, "v2", settled.VersionLabel)
		assert.Equal(t, 1, api.count("AbortEnvironmentUpdate"))
	})
	runInBubble(t, "an update that is not known to be ours is waited for, and not aborted", func(t *testing.T) {
		api := &fakeAPI{abort: accepted}
		api.script(updating, updating, with(onV1(), well, changed))
		_, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), false, hour(), ignored)
		require.NoError(t, err)
		assert.Zero(t, api.count("AbortEnvironmentUpdate"))
	})
	runInBubble(t, "what cannot be aborted is not tried to be", func(t *testing.T) {
		api := &fakeAPI{abort: accepted}
		api.script(with(onV1(), status("Updating"), changed), with(onV1(), changed))
		_, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		assert.Zero(t, api.count("AbortEnvironmentUpdate"))
	})
	runInBubble(t, "an abort that was throttled is tried again", func(t *testing.T) {
		api := &fakeAPI{}
		var calls atomic.Int32
		api.abort = func(*elasticbeanstalk.AbortEnvironmentUpdateInput) error {
			if calls.Add(1) == 1 {
				return errThrottled
			}
			api.then(aborting, with(onV1(), changed))
			return nil
		}
		api.script(updating)
		_, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		assert.Equal(t, 2, api.count("AbortEnvironmentUpdate"))
	})
	runInBubble(t, "a second look finds the update that the first did not show", func(t *testing.T) {
		api := &fakeAPI{abort: accepted}
		api.script(onV1(), updating, aborting, with(onV1(), changed))
		settled, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		assert.Equal(t, monday.Add(time.Hour), settled.UpdatedAt)
	})
	runInBubble(t, "what the second look shows is what counts", func(t *testing.T) {
		api := &fakeAPI{}
		began := time.Now()
		done := with(onV1(), well, changed)
		api.script(done) // health and instances
		api.environments = func(context.Context, []string) ([]types.EnvironmentDescription, error) {
			if time.Since(began) < quick.Lag { // answers lag behind the update
				return described(onV1()), nil
			}
			return described(done), nil
		}
		settled, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		assert.Equal(t, "v2", settled.VersionLabel, "it must not pass for untouched")
	})
	runInBubble(t, "an environment that nothing happened to is settled as it is", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), running("v1")))
		settled, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		assert.Equal(t, monday, settled.UpdatedAt)
		assert.GreaterOrEqual(t, api.count("DescribeEnvironments"), 2, "one look may lag behind")
		assert.Len(t, settled.Instances, 1)
	})
	runInBubble(t, "an environment that does not become Ready ends the waiting for good", func(t *testing.T) {
		api := &fakeAPI{abort: accepted}
		api.script(updating)
		_, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, soon(), ignored)
		var busy *delivery.Error
		require.ErrorAs(t, err, &busy)
		assert.Equal(t, delivery.EnvironmentBusy, busy.Type)
		assert.False(t, busy.Retryable())
	})
	runInBubble(t, "an environment whose health cannot be read is settled still", func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), changed))
		api.health = nil
		settled, err := NewFromAPI(api, quick).Settle(limited(t), onV1(), true, hour(), ignored)
		require.NoError(t, err)
		require.Len(t, settled.Causes, 1)
		assert.Contains(t, settled.Causes[0], "its health could not be read")
	})
}
