package proof

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/cluster"
	"gravity/internal/proof/chaos"
	"gravity/internal/proof/lab"
)

// It is the short form of `go run ./internal/bench chaos`.
func TestWhateverIsKilledAtRandomEveryDeploymentEndsAsPromised(t *testing.T) {
	long(t)
	seed := rand.Uint64()
	platform, pace := chaos.Pace()
	options := lab.Options{Directory: t.TempDir(), Server: lab.PostgreSQL, NoWorker: true, AWS: aws.Options{Pace: platform}, Pace: pace}
	l, err := lab.Start(t.Context(), options)
	if errors.Is(err, cluster.ErrNoPostgreSQL) {
		t.Log("no PostgreSQL here: it is Temporal's development server that is killed, and no database")
		options.Server = lab.Development
		l, err = lab.Start(t.Context(), options)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	report, err := chaos.Run(t.Context(), chaos.Options{
		Lab: l, Seed: seed, For: 30 * time.Second, Workers: 2, Between: 3 * time.Second, Hurry: 8, Patience: 3 * time.Minute, Say: t.Logf,
	})
	require.NoError(t, err)
	t.Logf("killed: %v; ended: %v; the longest took %s", report.Kills, report.Ended, report.Longest)
	require.Empty(t, report.Broken)
	require.NotEmpty(t, report.Kills)
	require.Greater(t, report.Deployments(), 6, "more than the last ones")
}
