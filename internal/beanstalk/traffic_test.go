package beanstalk

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func percent(p float64) *float64 { return &p }

// measured is traffic as the platform answers it.
func measured(requests, failed int, p99 time.Duration) *types.ApplicationMetrics {
	return &types.ApplicationMetrics{
		Duration: aws.Int32(10), RequestCount: int32(requests),
		StatusCodes: &types.StatusCodes{Status2xx: aws.Int32(int32(requests - failed)), Status5xx: aws.Int32(int32(failed))},
		Latency:     &types.Latency{P50: aws.Float64(p99.Seconds() / 10), P99: aws.Float64(p99.Seconds())},
	}
}

func TestRequestsAreHeldToTheirLimits(t *testing.T) {
	limits := delivery.Requests{Errors: percent(1), Latency: delivery.Duration(500 * time.Millisecond), Percentile: "P99", Least: 20}
	cases := []struct {
		name    string
		metrics *types.ApplicationMetrics
		change  func(*delivery.Requests)
		says    string
	}{
		{name: "within all limits", metrics: measured(1000, 10, 500*time.Millisecond)},
		{name: "more failures than may be", metrics: measured(1000, 11, 0), says: "1.1 % of 1000 requests failed, and 1 % may"},
		{name: "none may fail, and one did", metrics: measured(1000, 1, 0), change: func(r *delivery.Requests) { r.Errors = percent(0) }, says: "0.1 % of 1000"},
		{name: "any share may fail", metrics: measured(1000, 900, 0), change: func(r *delivery.Requests) { r.Errors = nil }},
		{name: "slower than may be", metrics: measured(1000, 0, 501*time.Millisecond), says: "the P99 of the latency of 1000 requests was 501ms, and may be 500ms"},
		{name: "slow, but not at the percentile that counts", metrics: measured(1000, 0, 3*time.Second), change: func(r *delivery.Requests) { r.Percentile = "P50" }},
		{name: "any time may pass", metrics: measured(1000, 0, time.Hour), change: func(r *delivery.Requests) { r.Latency = 0 }},
		{name: "too few requests to tell", metrics: measured(19, 19, time.Hour)},
		{name: "just enough requests to tell", metrics: measured(20, 20, 0), says: "100.0 % of 20"},
		{name: "no metrics", metrics: nil},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			held := limits
			if test.change != nil {
				test.change(&held)
			}
			complaint := trafficOf(test.metrics).complaintOf(&held)
			if test.says == "" {
				assert.Empty(t, complaint)
				return
			}
			assert.Contains(t, complaint, test.says)
		})
	}
	assert.Empty(t, trafficOf(measured(1000, 1000, time.Hour)).complaintOf(nil), "nothing was limited")
}

func TestSharesOfStatusCodesAreRead(t *testing.T) {
	// 607 requests, of which the platform gives shares.
	read := trafficOf(&types.ApplicationMetrics{RequestCount: 607, StatusCodes: &types.StatusCodes{Status2xx: aws.Int32(95), Status4xx: aws.Int32(2), Status5xx: aws.Int32(3)}})
	assert.Equal(t, 607, read.requests)
	assert.InDelta(t, 3, read.errors, 0.001)
}

func TestAnEnvironmentWhoseRequestsExceedTheLimitsIsNotHealthy(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), well, changed))
		answer := api.health
		api.health = func(ctx context.Context) (*elasticbeanstalk.DescribeEnvironmentHealthOutput, error) {
			out, err := answer(ctx)
			out.ApplicationMetrics = measured(200, 50, 0)
			return out, err
		}
		wait := toV2(time.Now().Add(time.Hour))
		wait.Health.Requests = &delivery.Requests{Errors: percent(1), Least: 20}
		proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), wait, ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictUnhealthy, proof.Verdict)
		assert.Contains(t, proof.Reason, "25.0 % of 200 requests failed")
	})
}

// sampled is one sample of two old and two new instances.
func sampled(second int, old, fresh *types.ApplicationMetrics) report {
	return report{at: monday.Add(time.Duration(second) * time.Second), instances: map[string]traffic{
		"i-1": trafficOf(old), "i-2": trafficOf(old), "i-3": trafficOf(fresh), "i-4": trafficOf(fresh),
	}}
}

func TestAVersionIsWorseWhenSamplesInARowSaySo(t *testing.T) {
	o := with(onV1(), updating, running("v1", "v1", "v2", "v2"))
	errors := delivery.Comparison{Errors: percent(5), Least: 20}
	latency := delivery.Comparison{Latency: percent(2), Least: 20}
	good := measured(100, 1, 100*time.Millisecond)
	failing := measured(100, 20, 100*time.Millisecond)
	slow := measured(100, 1, 300*time.Millisecond)
	few := measured(9, 9, time.Hour)
	cases := []struct {
		name    string
		limits  delivery.Comparison
		old     *types.ApplicationMetrics
		fresh   []*types.ApplicationMetrics // a sample each
		repeats bool                        // every sample is read twice
		says    string
	}{
		{name: "three samples in a row are worse", limits: errors, old: good, fresh: []*types.ApplicationMetrics{failing, failing, failing}, says: "20.0 % of its requests failed, and 1.0 % on the old version, in 3 samples in a row"},
		{name: "one is not enough", limits: errors, old: good, fresh: []*types.ApplicationMetrics{failing, good, good, good}},
		{name: "two are not enough", limits: errors, old: good, fresh: []*types.ApplicationMetrics{failing, failing}},
		{name: "they have to be in a row", limits: errors, old: good, fresh: []*types.ApplicationMetrics{failing, failing, good, failing, failing}},
		{name: "the same sample read twice counts once", limits: errors, old: good, fresh: []*types.ApplicationMetrics{failing, failing}, repeats: true},
		{name: "a sample with too few requests says nothing either way", limits: errors, old: good, fresh: []*types.ApplicationMetrics{failing, few, failing, few, failing}, says: "20.0 %"},
		{name: "too few requests on the new version are no sign of anything", limits: errors, old: good, fresh: []*types.ApplicationMetrics{few, few, few, few}},
		{name: "too few requests on the old version are nothing to compare with", limits: errors, old: few, fresh: []*types.ApplicationMetrics{failing, failing, failing}},
		{name: "as bad as the old one is not worse", limits: errors, old: failing, fresh: []*types.ApplicationMetrics{failing, failing, failing}},
		{name: "better than the old one is not worse", limits: errors, old: failing, fresh: []*types.ApplicationMetrics{good, good, good}},
		{name: "three slow samples in a row are worse", limits: latency, old: good, fresh: []*types.ApplicationMetrics{slow, slow, slow}, says: "its 99th percentile of latency was 300ms, and 100ms on the old version"},
		{name: "as slow as the old one is not worse", limits: latency, old: slow, fresh: []*types.ApplicationMetrics{slow, slow, slow}},
		{name: "slowness that nobody limited is no matter", limits: errors, old: good, fresh: []*types.ApplicationMetrics{slow, slow, slow}},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			c := &comparison{limits: test.limits, version: "v2"}
			said := ""
			for i, fresh := range test.fresh {
				require.Empty(t, said, "decided before sample %d", i+1)
				said = c.worseThan(o, sampled(i+1, test.old, fresh))
				if test.repeats && said == "" {
					said = c.worseThan(o, sampled(i+1, test.old, fresh))
				}
			}
			if test.says == "" {
				assert.Empty(t, said)
				return
			}
			assert.Contains(t, said, test.says)
		})
	}
}

func TestAVersionThatDoesWorseWhileBothServeIsGivenUpDuringTheUpdate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		api := &fakeAPI{}
		api.script(with(onV1(), updating, changed, running("v1", "v2")))
		answer, sample := api.instances, 0
		api.instances = func(ctx context.Context, token string) (*elasticbeanstalk.DescribeInstancesHealthOutput, error) {
			out, err := answer(ctx, token)
			sample++
			out.RefreshedAt = aws.Time(monday.Add(time.Duration(sample) * time.Second))
			out.InstanceHealthList[0].ApplicationMetrics = measured(90, 0, time.Millisecond)
			out.InstanceHealthList[1].ApplicationMetrics = measured(30, 15, time.Millisecond)
			return out, err
		}
		wait := toV2(time.Now().Add(time.Hour))
		wait.Health.Compare = &delivery.Comparison{Errors: percent(1), Least: 20}
		proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), wait, ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictWorse, proof.Verdict)
		assert.Contains(t, proof.Reason, "shop-production does worse on v2: 50.0 % of its requests failed")
		assert.Equal(t, worseSamples, api.count("DescribeInstancesHealth"))
		assert.Zero(t, api.count("RequestEnvironmentInfo"), "users wait for the end of it")

		wait.Health.Compare = nil
		wait.Deadline = soon()
		proof, err = NewFromAPI(api, quick).AwaitHealth(limited(t), wait, ignored)
		require.NoError(t, err)
		assert.Equal(t, delivery.VerdictLate, proof.Verdict, "nobody asked for a comparison")
		assert.Equal(t, worseSamples, api.count("DescribeInstancesHealth"), "nor for the calls that it costs")
	})
}
