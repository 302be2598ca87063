package delivery

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestADurationReadsAndWritesAsPeopleDo(t *testing.T) {
	encoded, err := json.Marshal(Command{Run: "true", Timeout: Duration(90 * time.Second)})
	require.NoError(t, err)
	require.JSONEq(t, `{"run":"true","timeout":"1m30s"}`, string(encoded))

	var decoded Command
	require.NoError(t, json.Unmarshal(encoded, &decoded))
	require.Equal(t, 90*time.Second, decoded.Timeout.Std())
}

func TestADurationRefusesWhatIsNoDuration(t *testing.T) {
	for _, text := range []string{"", "10", "-5m", "soon"} {
		var d Duration
		require.Error(t, d.UnmarshalText([]byte(text)), "%q", text)
	}
}

func TestAVersionLabelIsTheSameForTheSameRevisionAndSortsByAge(t *testing.T) {
	at := time.Date(2026, 11, 23, 15, 4, 5, 0, time.FixedZone("east", 2*60*60))
	revision := Revision{SHA: strings.Repeat("ab", 20), CommittedAt: at}
	label := VersionLabel("site", revision)
	require.Equal(t, "site-20261123T130405Z-abababababab", label)

	revision.CommittedAt = at.UTC()
	require.Equal(t, label, VersionLabel("site", revision))
	revision.CommittedAt = at.Add(time.Second)
	require.Less(t, label, VersionLabel("site", revision))
}

func TestACommitMessageIsCutToItsFirstLine(t *testing.T) {
	require.Equal(t, "mend the thing", FirstLine("\n mend the thing \n\nand more"))
	cut := FirstLine(strings.Repeat("é", MaxMessageLength))
	require.LessOrEqual(t, len(cut), MaxMessageLength)
	require.True(t, strings.HasSuffix(cut, "é…"))
}

func TestDefaultsFillWhatIsLeftOutAndKeepTheRest(t *testing.T) {
	given := Pipeline{Test: &Test{Run: "go test ./..."}, Stages: []Stage{
		{Name: "production", Drift: DriftOverwrite, Gate: Gate{Approval: &Approval{}}, Health: Health{Check: &Check{Status: 204}}},
	}}
	filled := given.WithDefaults()
	stage := filled.Stages[0]

	require.Equal(t, DefaultCommandTimeout, filled.Test.Timeout)
	require.Equal(t, DriftOverwrite, stage.Drift)
	require.Equal(t, QueueLatest, stage.Queue)
	require.Equal(t, DefaultApprovalTimeout, stage.Gate.Approval.Timeout)
	require.Equal(t, 204, stage.Health.Check.Status)
	require.Equal(t, "/", stage.Health.Check.Path)
	require.Zero(t, given.Test.Timeout, "the given pipeline is left alone")
	require.Zero(t, given.Stages[0].Gate.Approval.Timeout, "the given pipeline is left alone")
}

func TestABranchReachesTheStagesThatNameIt(t *testing.T) {
	pipeline := Pipeline{Stages: []Stage{
		{Name: "staging", Branches: []string{"main", "release/*"}},
		{Name: "production", Branches: []string{"main"}},
	}}
	require.Len(t, pipeline.StagesFor("main"), 2)
	require.Len(t, pipeline.StagesFor("release/7"), 1)
	require.Empty(t, pipeline.StagesFor("feature"))
}
