package alarms

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// account is an account with alarms, and composite ones.
type account struct {
	mu        sync.Mutex
	states    map[string]types.StateValue
	composite map[string]types.StateValue
	page      int // alarms a page; all of them when 0
	err       error
	hang      bool
	calls     [][]string
}

func (a *account) DescribeAlarms(ctx context.Context, in *cloudwatch.DescribeAlarmsInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	if a.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, in.AlarmNames)
	if a.err != nil {
		return nil, a.err
	}
	out := &cloudwatch.DescribeAlarmsOutput{}
	first := 0
	fmt.Sscan(aws.ToString(in.NextToken), &first)
	for i, name := range in.AlarmNames[first:] {
		if a.page > 0 && i == a.page {
			out.NextToken = aws.String(fmt.Sprint(first + i))
			break
		}
		if state, ok := a.states[name]; ok {
			out.MetricAlarms = append(out.MetricAlarms, types.MetricAlarm{AlarmName: aws.String(name), StateValue: state, StateReason: aws.String("Threshold\nCrossed")})
		}
		// As on AWS, composite alarms are answered to those alone who ask for them.
		if state, ok := a.composite[name]; ok && slices.Contains(in.AlarmTypes, types.AlarmTypeCompositeAlarm) {
			out.CompositeAlarms = append(out.CompositeAlarms, types.CompositeAlarm{AlarmName: aws.String(name), StateValue: state})
		}
	}
	return out, nil
}

func (a *account) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.calls)
}

func TestAlarmsOfEveryKindAreFoundAndThoseThatAreNotThereAreMissing(t *testing.T) {
	a := &account{states: map[string]types.StateValue{"errors": "OK", "latency": "INSUFFICIENT_DATA"}, composite: map[string]types.StateValue{"all": "ALARM"}}
	found, missing, err := NewFromAPI(a, time.Minute).States(t.Context(), []string{"latency", "gone", "all", "errors"})
	require.NoError(t, err)
	assert.Equal(t, []string{"gone"}, missing)
	require.Len(t, found, 3)
	assert.Equal(t, "latency", found[0].Name)
	assert.False(t, found[0].Raised(), "without data, nobody knows")
	assert.False(t, found[0].Quiet())
	assert.True(t, found[1].Raised())
	assert.True(t, found[2].Quiet())
	assert.Equal(t, "Threshold Crossed", found[2].Reason)
}

func TestMoreAlarmsThanFitIntoOneCallOrOnePageAreAllRead(t *testing.T) {
	a := &account{states: map[string]types.StateValue{}, page: 30}
	var names []string
	for i := range 250 {
		names = append(names, fmt.Sprintf("alarm-%03d", i))
		a.states[names[i]] = types.StateValueOk
	}
	found, missing, err := NewFromAPI(a, time.Minute).States(t.Context(), names)
	require.NoError(t, err)
	assert.Empty(t, missing)
	assert.Len(t, found, 250)
	for _, call := range a.calls {
		assert.LessOrEqual(t, len(call), maxNames)
	}
}

func TestManyWhoAskCostAsManyCallsAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &account{states: map[string]types.StateValue{"a": "OK", "b": "OK", "c": "ALARM"}}
		c := NewFromAPI(a, 10*time.Second)
		for _, names := range [][]string{{"a"}, {"b"}, {"c"}} { // three bakes come to know of each other
			_, _, err := c.Recent(t.Context(), names)
			require.NoError(t, err)
		}
		before := a.count()
		for range 6 {
			time.Sleep(11 * time.Second)
			var all sync.WaitGroup
			for range 100 {
				for _, names := range [][]string{{"a"}, {"b"}, {"c", "a"}} {
					all.Go(func() {
						_, _, err := c.Recent(t.Context(), names)
						assert.NoError(t, err)
					})
				}
			}
			all.Wait()
		}
		assert.Equal(t, 6, a.count()-before, "one a round")
		time.Sleep(2 * time.Minute)
		_, _, err := c.Recent(t.Context(), []string{"a"})
		require.NoError(t, err)
		assert.Equal(t, []string{"a"}, a.calls[len(a.calls)-1], "those whom nobody asked for lately are forgotten")
	})
}

func TestARaisedAlarmAndOneThatWasDeletedAreComplainedOf(t *testing.T) {
	a := &account{states: map[string]types.StateValue{"errors": "ALARM", "quiet": "OK", "unknown": "INSUFFICIENT_DATA"}}
	for _, test := range []struct {
		names []string
		says  string
	}{
		{nil, ""},
		{[]string{"quiet", "unknown"}, ""},
		{[]string{"quiet", "errors"}, "alarm errors is raised: Threshold Crossed"},
		{[]string{"quiet", "gone"}, "there is no alarm gone any more"},
	} {
		text, err := NewFromAPI(a, time.Minute).Raised(t.Context(), test.names)
		require.NoError(t, err)
		assert.Equal(t, test.says, text)
	}
}

func TestErrorsOfCloudWatchHaveATypeByWhichSomebodyDecides(t *testing.T) {
	for code, want := range map[string]delivery.ErrorType{
		"Throttling": delivery.Throttled, "AccessDenied": delivery.AccessDenied, "ExpiredToken": delivery.AccessDenied, "ValidationError": delivery.InvalidInput,
	} {
		a := &account{err: &smithy.GenericAPIError{Code: code, Message: "no"}}
		_, _, err := NewFromAPI(a, time.Minute).States(t.Context(), []string{"errors"})
		assert.Equal(t, want, delivery.TypeOf(err), code)
	}
	a := &account{err: fmt.Errorf("connection reset")}
	_, _, err := NewFromAPI(a, time.Minute).States(t.Context(), []string{"errors"})
	assert.Equal(t, delivery.Unavailable, delivery.TypeOf(err))
}

func TestACallThatIsNeverAnsweredHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewFromAPI(&account{hang: true}, time.Minute)
		began := time.Now()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				_, _, err := c.Recent(ctx, []string{"errors"})
				assert.Equal(t, delivery.Unavailable, delivery.TypeOf(err))
			})
		}
		all.Wait()
		assert.LessOrEqual(t, time.Since(began), 15*time.Second)
	})
}
