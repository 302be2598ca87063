package measures

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

var (
	monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	sunday = monday.AddDate(0, 0, 6)
)

// at is a deployment that began at an hour of the week, took an hour, and whose commit was made two hours earlier.
func at(hour int, version string, outcome delivery.Outcome) Deployment {
	began := monday.Add(time.Duration(hour) * time.Hour)
	return Deployment{
		Pipeline: "shop", Environment: "shop-production", Version: version, Outcome: outcome,
		CommittedAt: began.Add(-2 * time.Hour), StartedAt: began, EndedAt: began.Add(time.Hour),
	}
}

func one(t *testing.T, deployments ...Deployment) Measure {
	t.Helper()
	measured := Compute(deployments, monday, monday.AddDate(0, 0, 7))
	require.Len(t, measured, 1)
	return measured[0]
}

func TestAWeekOfGoodDeployments(t *testing.T) {
	m := one(t, at(9, "v1", delivery.OutcomeDeployed), at(33, "v2", delivery.OutcomeDeployed))
	require.Equal(t, 2, m.Deployments)
	require.InDelta(t, 2.0/7, m.PerDay, 1e-9)
	require.Equal(t, 3*time.Hour, time.Duration(m.LeadTime))
	require.Zero(t, m.FailureRate)
	require.Zero(t, m.TimeToRestore)
	require.Len(t, m.Days, 7)
	require.Equal(t, Day{Date: "2026-11-03", Succeeded: 1}, m.Days[1])
}

func TestWhatWasTakenBackIsAFailureThatWasRestoredAtItsEnd(t *testing.T) {
	m := one(t, at(9, "v1", delivery.OutcomeDeployed), at(20, "v2", delivery.OutcomeTakenBack), at(30, "v3", delivery.OutcomeRolledBack))
	require.Equal(t, 1, m.Succeeded)
	require.Equal(t, 2, m.Failed)
	require.InDelta(t, 2.0/3, m.FailureRate, 1e-9)
	require.Equal(t, time.Hour, time.Duration(m.TimeToRestore))
}

func TestAVersionThatAPersonRolledBackFailedAndTheRollbackIsNoChange(t *testing.T) {
	m := one(t, at(9, "v1", delivery.OutcomeDeployed), at(20, "v2", delivery.OutcomeDeployed), at(23, "v1", delivery.OutcomeDeployed))
	require.Equal(t, 2, m.Deployments)
	require.Equal(t, 1, m.Failed)
	require.Equal(t, 3*time.Hour, time.Duration(m.TimeToRestore), "from when v2 was there until v1 was there again")
	require.Equal(t, 3*time.Hour, time.Duration(m.LeadTime))
}

func TestWhatNeedsAttentionIsRestoredByTheNextGoodDeployment(t *testing.T) {
	m := one(t, at(9, "v1", delivery.OutcomeDeployed), at(20, "v2", delivery.OutcomeNeedsAttention), at(40, "v3", delivery.OutcomeDeployed))
	require.Equal(t, 21*time.Hour, time.Duration(m.TimeToRestore))
	open := one(t, at(20, "v2", delivery.OutcomeNeedsAttention))
	require.Zero(t, open.TimeToRestore, "not mended yet")
	require.InDelta(t, 1, open.FailureRate, 0)
}

func TestWhatChangedNothingCountsForNothing(t *testing.T) {
	require.Empty(t, Compute([]Deployment{at(9, "v1", delivery.OutcomeUntouched), at(9, "v1", delivery.OutcomeSuperseded)}, monday, sunday))
}

func TestThePeriodBoundsWhatIsCountedButNotWhatIsKnown(t *testing.T) {
	m := one(t, at(-20, "v1", delivery.OutcomeDeployed), at(5, "v2", delivery.OutcomeDeployed), at(9, "v1", delivery.OutcomeDeployed))
	require.Equal(t, 1, m.Deployments, "v1 was there before, so that it is a rollback")
	require.Equal(t, 1, m.Failed)
}

func TestEveryPipelineAndEnvironmentIsMeasuredByItself(t *testing.T) {
	other := at(9, "v1", delivery.OutcomeTakenBack)
	other.Environment = "shop-staging"
	measured := Compute([]Deployment{at(9, "v1", delivery.OutcomeDeployed), other}, monday, sunday)
	require.Len(t, measured, 2)
	require.Equal(t, "shop-production", measured[0].Environment)
	require.Zero(t, measured[0].Failed)
	encoded, err := json.Marshal(measured[0])
	require.NoError(t, err)
	require.Contains(t, string(encoded), `"leadTimeSeconds":10800`)
}
