package platform

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"

	"gravity/internal/local/aws/balancer"
)

func TestEveryStatusHasItsDocumentedColour(t *testing.T) {
	for status, want := range map[types.EnvironmentHealthStatus]types.EnvironmentHealth{
		"Ok": "Green", "Info": "Green", "Warning": "Yellow", "Degraded": "Red", "Severe": "Red",
		"Pending": "Grey", "Unknown": "Grey", "Suspended": "Grey", "NoData": "Grey",
	} {
		assert.Equal(t, want, color(status), status)
	}
}

func TestTheShareOfServerFaultsDecidesTheHealthOfAnInstance(t *testing.T) {
	for faults, want := range map[int]types.EnvironmentHealthStatus{0: "Ok", 9: "Ok", 10: "Warning", 100: "Degraded", 500: "Severe", 1000: "Severe"} {
		traffic := balancer.Metrics{Requests: 1000}
		traffic.Status[5] = faults
		status, causes := judgeTraffic(traffic)
		assert.Equal(t, want, status, faults)
		assert.Equal(t, want != "Ok", len(causes) > 0)
	}
	status, _ := judgeTraffic(balancer.Metrics{})
	assert.Equal(t, types.EnvironmentHealthStatusOk, status, "no request, no fault")
}

func TestEveryPlanEndsAndNamesStepsThatExist(t *testing.T) {
	p := &Platform{options: Options{Pace: AWSPace()}}
	for _, name := range []string{planLaunch, planTerminate, planSettings, planImmutable, planImmutableBack, planAllAtOnce, planRolling,
		planAdditional, planSplitting, planSplittingBack, planSwap, planSwapped, planRebuild, planRestart} {
		steps := p.plan(name)
		seen := map[string]bool{}
		for _, s := range steps {
			assert.NotEmpty(t, s.name, name)
			assert.False(t, seen[s.name], "%s has two steps named %q", name, s.name)
			seen[s.name] = true
		}
		if plan, step := takeBack(name); step != "" && name != planTerminate && name != planSwap && name != planSwapped &&
			name != planImmutableBack && name != planSplittingBack {
			assert.Equal(t, name, plan)
			assert.True(t, seen[step], "%s has no step %q", name, step)
		}
	}
}
