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
		found := judgeTraffic(traffic, true)
		assert.Equal(t, want, found.status, faults)
		assert.Equal(t, want != "Ok", len(found.causes) > 0)
	}
	assert.Equal(t, ok, judgeTraffic(balancer.Metrics{}, true).status, "no request, no fault")
}

func TestAnswersOf4xxCountUnlessARuleSaysOtherwise(t *testing.T) {
	traffic := balancer.Metrics{Requests: 100}
	traffic.Status[4] = 20
	assert.Equal(t, finding{degraded, requests, []string{"20.0 % of the requests are erroring with HTTP 4xx."}}, judgeTraffic(traffic, true))
	assert.Equal(t, ok, judgeTraffic(traffic, false).status)

	p := &Platform{rules: rules()}
	for document, want := range map[string]bool{
		"": true, "{": true, `{"Version": 1}`: true,
		`{"Rules": {"Environment": {"Application": {"ApplicationRequests4xx": {"Enabled": true}}}}}`:  true,
		`{"Rules": {"Environment": {"Application": {"ApplicationRequests4xx": {"Enabled": false}}}}}`: false,
	} {
		assert.Equal(t, want, p.counts4xx(&Environment{Settings: Settings{{nsHealth, "ConfigDocument"}: document}}), document)
	}
}

func TestTheCausesOfAnEnvironmentsHealthCountItsInstances(t *testing.T) {
	p := &Platform{rules: rules()}
	e := &Environment{Version: "v1", Expected: 3}
	traffic := balancer.Metrics{Requests: 10}
	traffic.Status[5] = 5
	assert.Equal(t, []string{
		"50.0 % of the requests are failing with HTTP 5xx.",
		"ELB processes are not healthy on 1 out of 4 instances.", "ELB health is failing or not available for 1 out of 4 instances.",
		"Impaired services on 1 out of 4 instances.",
		`Incorrect application version found on 1 out of 4 instances. Expected version "v1" (deployment 3).`,
	}, p.impairments(e, map[trouble]int{requests: 1, processes: 1, services: 1, wrongVersion: 1}, 4, traffic))
	assert.Equal(t, []string{"Impaired services on all instances."}, p.impairments(e, map[trouble]int{services: 2}, 2, balancer.Metrics{}))
}

func TestEveryPlanEndsAndNamesStepsThatExist(t *testing.T) {
	p := &Platform{options: Options{Pace: AWSPace()}}
	for _, name := range []string{planLaunch, planTerminate, planSettings, planImmutable, planImmutableBack, planAllAtOnce, planRolling,
		planAdditional, planSplitting, planSplittingBack, planReplace, planSettingsBack, planStop, planSwap, planSwapped, planRebuild, planRestart} {
		steps := p.plan(name)
		seen := map[string]bool{}
		for _, s := range steps {
			assert.NotEmpty(t, s.name, name)
			assert.False(t, seen[s.name], "%s has two steps named %q", name, s.name)
			seen[s.name] = true
		}
	}
}

func TestEveryOperationThatCanFailHasStepsToEndWith(t *testing.T) {
	p := &Platform{options: Options{Pace: AWSPace()}}
	for _, u := range []*Update{
		{Plan: planLaunch}, {Plan: planSettings, Configures: true}, {Plan: planRestart}, {Plan: planRebuild},
		{Plan: planAllAtOnce, Deploys: true}, {Plan: planRolling, Deploys: true}, {Plan: planAdditional, Deploys: true},
		{Plan: planImmutable, Deploys: true}, {Plan: planSplitting, Deploys: true},
		{Plan: planAllAtOnce, Deploys: true, Configures: true}, {Plan: planRolling, Deploys: true, Configures: true},
		{Plan: planAdditional, Deploys: true, Configures: true}, {Plan: planReplace, Deploys: true, Configures: true},
		{Plan: planImmutable, Deploys: true, Configures: true}, {Plan: planSplitting, Deploys: true, Configures: true},
	} {
		plan, name := takeBack(u)
		found, _ := find(p.plan(plan), name)
		assert.True(t, name == "" || found.name == name, "%s has no step %q", plan, name)
	}
}
