package beanstalk

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestStartUpdate(t *testing.T) {
	const v2 = "v2"
	updating := status("Updating")
	cases := []struct {
		name string
		// looks are what the platform answers, one after the other.
		looks      []delivery.Observation
		sentBefore bool
		// answer is what the platform says to the update itself.
		answer error
		sent   int
		want   Started
		fails  delivery.ErrorType
	}{
		{
			name:  "an environment that nobody touched gets the update once",
			looks: []delivery.Observation{onV1()},
			sent:  1, want: Started{Before: monday},
		},
		{
			name:  "nothing is sent while somebody else's update is under way",
			looks: []delivery.Observation{with(onV1(), updating, changed)},
			want:  Started{Busy: true, Before: monday},
		},
		{
			name:  "nothing is sent after somebody else's update to another version",
			looks: []delivery.Observation{with(onV1(), label("v7"), changed)},
			want:  Started{Busy: true, Before: monday},
		},
		{
			name:  "nothing is sent after a change that left the version as it was",
			looks: []delivery.Observation{with(onV1(), changed)},
			want:  Started{Busy: true, Before: monday},
		},
		{
			name:  "an update to the wanted version is adopted, whoever sent it",
			looks: []delivery.Observation{with(onV1(), updating, label(v2), changed)},
			want:  Started{Adopted: true, Before: monday},
		},
		{
			name:  "an earlier attempt's update that is under way is adopted, though the label is the old one still",
			looks: []delivery.Observation{with(onV1(), updating, changed)}, sentBefore: true,
			want: Started{Adopted: true, Before: monday},
		},
		{
			name:  "an earlier attempt's update that is over already is adopted",
			looks: []delivery.Observation{with(onV1(), label(v2), changed)}, sentBefore: true,
			want: Started{Adopted: true, Before: monday},
		},
		{
			name:  "an earlier attempt's update that the platform took back is adopted, so that it counts as failed",
			looks: []delivery.Observation{with(onV1(), changed)}, sentBefore: true,
			want: Started{Adopted: true, Before: monday},
		},
		{
			name:  "an earlier attempt's update that shows after a while is adopted",
			looks: []delivery.Observation{onV1(), with(onV1(), updating, changed)}, sentBefore: true,
			want: Started{Adopted: true, Before: monday},
		},
		{
			name:  "an earlier attempt that did not reach the platform is repeated, after a second look",
			looks: []delivery.Observation{onV1(), onV1()}, sentBefore: true,
			sent: 1, want: Started{Before: monday},
		},
		{
			name:  "somebody else's update to a third version is never taken for an earlier attempt's",
			looks: []delivery.Observation{with(onV1(), updating, label("v7"), changed)}, sentBefore: true,
			want: Started{Busy: true, Before: monday},
		},
		{
			name:  "an environment made anew under the same name is not sent an update meant for the old one",
			looks: []delivery.Observation{with(onV1(), recreated)},
			want:  Started{Busy: true, Before: monday},
		},
		{
			name:  "an environment made anew has nothing to adopt from an earlier attempt",
			looks: []delivery.Observation{with(onV1(), recreated, label(v2))}, sentBefore: true,
			want: Started{Busy: true, Before: monday},
		},
		{
			name:  "an update refused because another began in this moment is somebody else's",
			looks: []delivery.Observation{onV1()}, answer: errMustBeReady,
			sent: 1, want: Started{Busy: true, Before: monday},
		},
		{
			name:  "an update refused because an earlier attempt's began is adopted",
			looks: []delivery.Observation{onV1(), onV1()}, sentBefore: true, answer: errMustBeReady,
			sent: 1, want: Started{Adopted: true, Before: monday},
		},
		{
			name:  "throttling is told, and repeated by nobody here",
			looks: []delivery.Observation{onV1()}, answer: errThrottled,
			sent: 1, fails: delivery.Throttled,
		},
		{
			name:  "a lost answer is told, and the update is not sent again at once",
			looks: []delivery.Observation{onV1()}, answer: errLost,
			sent: 1, fails: delivery.Unavailable,
		},
		{
			name:  "a version that was deleted meanwhile is told",
			looks: []delivery.Observation{onV1()}, answer: refused("InvalidParameterValue", "No Application Version named 'v2' found."),
			sent: 1, fails: delivery.VersionNotFound,
		},
		{
			name:  "an environment of another application under the same name is not ours",
			looks: []delivery.Observation{with(onV1(), func(o *delivery.Observation) { o.Application = "blog" })},
			fails: delivery.EnvironmentNotFound,
		},
		{
			name:  "an environment that was terminated is not there",
			looks: []delivery.Observation{with(onV1(), status("Terminated"))},
			fails: delivery.EnvironmentNotFound,
		},
	}
	for _, test := range cases {
		runInBubble(t, test.name, func(t *testing.T) {
			api := &fakeAPI{}
			api.script(test.looks...)
			announced := 0
			api.update = func(_ context.Context, in *elasticbeanstalk.UpdateEnvironmentInput) error {
				assert.Equal(t, 1, announced, "an update must be announced before it is sent")
				assert.Equal(t, "e-1", aws.ToString(in.EnvironmentId))
				assert.Equal(t, v2, aws.ToString(in.VersionLabel))
				return test.answer
			}
			started, err := NewFromAPI(api, quick).StartUpdate(limited(t), onV1(), v2, test.sentBefore, func() { announced++ })

			assert.Equal(t, test.fails, delivery.TypeOf(err))
			if test.fails == "" {
				require.NoError(t, err)
				assert.Equal(t, test.want, started)
			}
			assert.Equal(t, test.sent, api.count("UpdateEnvironment"))
			assert.Equal(t, test.sent, announced, "what is not sent is not announced")
		})
	}
}

func TestAnUpdateWhoseAnswerWasLostIsAdoptedByTheNextAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(onV1())
		api.update = func(context.Context, *elasticbeanstalk.UpdateEnvironmentInput) error {
			api.then(with(onV1(), status("Updating"), changed)) // it was accepted all the same
			return errLost
		}
		client := NewFromAPI(api, quick)
		sent := false
		announce := func() { sent = true }
		_, err := client.StartUpdate(limited(t), onV1(), "v2", sent, announce)
		require.Equal(t, delivery.Unavailable, delivery.TypeOf(err))

		started, err := client.StartUpdate(limited(t), onV1(), "v2", sent, announce)
		require.NoError(t, err)
		assert.True(t, started.Adopted)
		assert.Equal(t, 1, api.count("UpdateEnvironment"))
	})
}

func TestAnAbortThatArrivesWhileTheUpdateIsAnnouncedKeepsItFromBeingSent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(onV1())
		ctx, cancel := context.WithCancel(limited(t))
		_, err := NewFromAPI(api, quick).StartUpdate(ctx, onV1(), "v2", false, cancel)
		require.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, api.count("UpdateEnvironment"))
	})
}

func TestAnAbortDuringTheSecondLookIsAnAbort(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		ctx, cancel := context.WithCancel(limited(t))
		api.environments = func(context.Context, []string) ([]types.EnvironmentDescription, error) {
			cancel()
			return described(onV1()), nil
		}
		_, err := NewFromAPI(api, quick).StartUpdate(ctx, onV1(), "v2", true, func() {})
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, delivery.TypeOf(err), "an abort is no fault of the platform")
		assert.Zero(t, api.count("UpdateEnvironment"))
	})
}

// The SDK repeats calls by itself unless it is told not to, and would send an update whose answer was lost again.
func TestTheSDKNeverRepeatsAChangeByItself(t *testing.T) {
	options := elasticbeanstalk.Options{}
	once(&options)
	assert.Equal(t, 1, options.Retryer.MaxAttempts())
}
