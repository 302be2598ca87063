package delivery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMatrixHasAJobForEachCombination(t *testing.T) {
	test := Test{Run: "make test", Matrix: []Axis{
		{Variable: "SHARD", Values: []string{"1", "2"}}, {Variable: "RACE", Values: []string{"on", "off", "both ways"}},
	}}
	jobs := test.Jobs()
	names := make([]string, len(jobs))
	for i, job := range jobs {
		names[i] = job.Name
		require.Len(t, job.Variables, 2)
	}
	require.Equal(t, []string{
		"SHARD=1 RACE=on", "SHARD=1 RACE=off", "SHARD=1 RACE=both ways", "SHARD=2 RACE=on", "SHARD=2 RACE=off", "SHARD=2 RACE=both ways",
	}, names)
	require.Equal(t, []Variable{{"SHARD", "1"}, {"RACE", "both ways"}}, jobs[2].Variables, "no job changes another's")
	require.Equal(t, []Job{{}}, Test{Run: "make test"}.Jobs())
}
