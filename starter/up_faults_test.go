package main

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
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
		{flags: platformFlags{faults: `{"instances": [{"kind": "sulks"}]}`}, says: `no kind of instance fault "sulks"`},
		{flags: platformFlags{faults: `{"stacks": [{"stack": "gravity-site"}]}`}, says: "needs the reason"},
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

func TestEveryFaultThereIsCanBeGivenByFlag(t *testing.T) {
	all := aws.Faults{
		CallsPerSecond: 5, Burst: 10, CallRates: map[string]faults.Rate{"DescribeEvents": {PerSecond: 1, Burst: 2}},
		ThrottleCalls: 0.1, ThrottlingCode: "ThrottlingException", FailCalls: 0.1, DropCalls: 0.1, LoseAnswers: 0.1,
		SlowCalls: 0.1, Delay: faults.Duration(time.Second), StaleReads: faults.Duration(time.Minute), LoseRequests: 0.1,
		SkipRollback: true, NeverEnd: []string{"site-staging"},
		Instances:     []faults.Instance{{Kind: faults.NeverBoots, Zone: "us-east-1a"}, {Kind: faults.Flap, Period: faults.Duration(time.Minute)}},
		ManualChanges: []faults.ManualChange{{Environment: "site-staging", Version: "v1", After: faults.Duration(time.Hour)}},
		Stacks:        []faults.Stack{{Stack: "gravity-site", Resource: "Bucket", Action: "create", Reason: "the name is taken"}},
	}
	value := reflect.ValueOf(all)
	for i := range value.NumField() {
		require.False(t, value.Field(i).IsZero(), "%s is not in this test", value.Type().Field(i).Name)
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	parsed, err := (&platformFlags{faults: string(text)}).parse()
	require.NoError(t, err)
	require.Equal(t, all, parsed)
}
