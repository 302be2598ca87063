package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
)

func TestFaultsAreReadFromFlags(t *testing.T) {
	for _, each := range []struct {
		flags platformFlags
		want  aws.Faults
		says  string
	}{
		{flags: platformFlags{loseRequests: 0.5, skipRollback: true}, want: aws.Faults{LoseRequests: 0.5, SkipRollback: true}},
		{flags: platformFlags{faults: `{"throttleCalls": 0.2, "neverEnd": ["*"]}`}, want: aws.Faults{ThrottleCalls: 0.2, NeverEnd: []string{"*"}}},
		{flags: platformFlags{faults: `{"throttle": 1}`}, says: "throttle"},
		{flags: platformFlags{faults: `{`}, says: "--faults"},
		{flags: platformFlags{loseRequests: 1.5}, says: "share between 0 and 1"},
	} {
		faults, err := each.flags.parse()
		if each.says != "" {
			require.ErrorContains(t, err, each.says)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, each.want, faults)
	}
}
