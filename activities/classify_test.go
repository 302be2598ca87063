package activities

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
)

func TestWhatIsRetriedIsDecidedByTheTypeOfTheError(t *testing.T) {
	retried := map[delivery.ErrorType]bool{
		delivery.EnvironmentBusy: true, delivery.AccessDenied: true, delivery.Throttled: true, delivery.Unavailable: true,

		delivery.InvalidInput: false, delivery.RevisionNotFound: false, delivery.BuildFailed: false, delivery.TestsFailed: false,
		delivery.BundleRejected: false, delivery.WorkspaceLost: false, delivery.VersionConflict: false, delivery.VersionNotFound: false,
		delivery.EnvironmentNotFound: false, delivery.EnvironmentFrozen: false, delivery.Drift: false, delivery.UpdateFailed: false,
		delivery.Unhealthy: false, delivery.DeadlineExceeded: false, delivery.CheckFailed: false, delivery.Rejected: false,
		delivery.Aborted: false, delivery.Superseded: false, delivery.RolledBack: false, delivery.NeedsAttention: false,
	}
	for kind, retried := range retried {
		t.Run(string(kind), func(t *testing.T) {
			err := fmt.Errorf("deploying: %w", delivery.Errorf(kind, "shop-production: something happened"))
			var failure *temporal.ApplicationError
			require.ErrorAs(t, toTemporal(err), &failure)
			assert.Equal(t, string(kind), failure.Type())
			assert.Equal(t, !retried, failure.NonRetryable())
			assert.Equal(t, "deploying: shop-production: something happened", failure.Message(), "nothing that was said is lost")
		})
	}
}

func TestABusyEnvironmentIsAskedAgainWhenItMayBeReady(t *testing.T) {
	var failure *temporal.ApplicationError
	require.ErrorAs(t, toTemporal(delivery.Errorf(delivery.EnvironmentBusy, "it is Updating")), &failure)
	assert.GreaterOrEqual(t, failure.NextRetryDelay(), 10*time.Second, "an update takes minutes")
	assert.Equal(t, temporal.ApplicationErrorCategoryBenign, failure.Category())
}

func TestWaitingThatIsOverIsNotRetriedWhateverItWaitedFor(t *testing.T) {
	var failure *temporal.ApplicationError
	require.ErrorAs(t, toTemporal(delivery.GaveUp(delivery.EnvironmentBusy, "it is still Updating")), &failure)
	assert.True(t, failure.NonRetryable())
}

func TestWhatProjectsCauseIsNoAlarmToThoseWhoRunGravity(t *testing.T) {
	for kind, category := range map[delivery.ErrorType]temporal.ApplicationErrorCategory{
		delivery.BundleRejected: temporal.ApplicationErrorCategoryBenign,
		delivery.CheckFailed:    temporal.ApplicationErrorCategoryBenign,
		delivery.AccessDenied:   temporal.ApplicationErrorCategoryUnspecified,
		delivery.Unavailable:    temporal.ApplicationErrorCategoryUnspecified,
	} {
		var failure *temporal.ApplicationError
		require.ErrorAs(t, toTemporal(delivery.Errorf(kind, "something happened")), &failure)
		assert.Equal(t, category, failure.Category(), kind)
	}
}

func TestWhatNobodyClassifiedIsPassedOnAndSoRetried(t *testing.T) {
	unknown := errors.New("the disk is full")
	assert.Equal(t, unknown, toTemporal(unknown))
	assert.NoError(t, toTemporal(nil))
}

func TestAnAbortStaysAnAbort(t *testing.T) {
	require.ErrorIs(t, toTemporal(context.Canceled), context.Canceled)
	require.ErrorIs(t, toTemporal(delivery.Errorf(delivery.Unavailable, "fetching: %w", context.Canceled)), context.Canceled,
		"Temporal takes a step for cancelled by this alone")
}
