package aws_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
)

// fault changes the stand-in's faults by its admin endpoint.
func (s *stand) fault(f aws.Faults) {
	s.Helper()
	body, err := json.Marshal(f)
	require.NoError(s, err)
	assert.Equal(s, http.StatusOK, s.admin(http.MethodPut, "faults", "application/json", body))
}

func (s *stand) admin(method, path, contentType string, body []byte) int {
	s.Helper()
	request, err := http.NewRequestWithContext(s.Context(), method, s.server.URL()+"/_stand-in/"+path, bytes.NewReader(body))
	require.NoError(s, err)
	request.Header.Set("Content-Type", contentType)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s, err)
	defer response.Body.Close()
	return response.StatusCode
}

// fates calls DescribeEnvironments some times and returns each answer's error code, "" for none.
func (s *stand) fates(calls int) []string {
	var fates []string
	for range calls {
		_, err := s.beanstalk.DescribeEnvironments(s.Context(), &eb.DescribeEnvironmentsInput{})
		if err == nil {
			fates = append(fates, "")
			continue
		}
		fates = append(fates, code(err))
	}
	return fates
}

func TestTheSameSeedGivesTheSameFaultsWhateverElseIsCalled(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, f aws.Faults, others int) []string {
		s := start(t, func(o *aws.Options) { o.Seed, o.Faults = seed, f })
		for range others {
			_, _ = s.beanstalk.DescribeApplications(t.Context(), &eb.DescribeApplicationsInput{})
		}
		return s.fates(40)
	}
	mixed := aws.Faults{ThrottleCalls: 0.3, FailCalls: 0.2}
	first := run(7, mixed, 0)
	assert.Equal(t, first, run(7, mixed, 5))
	assert.NotEqual(t, first, run(8, mixed, 0))
	assert.Contains(t, first, "Throttling: Rate exceeded")
	assert.Contains(t, first, "ServiceUnavailable: The service is unavailable at the moment.")
	assert.Contains(t, first, "")
	mixed.SlowCalls, mixed.Delay = 1, faults.Duration(time.Millisecond)
	assert.Equal(t, first, run(7, mixed, 0), "one fault more changes nothing about the others")
}

func TestTheSameSeedGivesTheSameRunHoweverOftenItIsLookedAt(t *testing.T) {
	t.Parallel()
	run := func(seed uint64, looks int) []string {
		s := startStepped(t, func(o *aws.Options) { o.Seed = seed })
		s.versions("v1", "sick")
		s.createStepped("staging", "v1", "Immutable")
		s.update("staging", "sick")
		for range 80 {
			for range looks {
				s.describe("staging")
			}
			s.clock.Advance(10 * time.Second)
		}
		seen := strings.Join(append(s.messages("staging", ""), s.instances("staging")...), "\n")
		return strings.Split(strings.ReplaceAll(seen, *s.describe("staging").CNAME, "ADDRESS"), "\n") // ports are whatever is free
	}
	first := run(7, 1)
	assert.Equal(t, first, run(7, 3))
	assert.NotEqual(t, first, run(8, 1))
}

func TestSingleOperationsCanHaveRatesAndThrottlingItsOtherCode(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.fault(aws.Faults{CallRates: map[string]faults.Rate{"DescribeEnvironments": {PerSecond: 0.001, Burst: 2}}, ThrottlingCode: "ThrottlingException"})
	assert.Equal(t, []string{"", "", "ThrottlingException: Rate exceeded", "ThrottlingException: Rate exceeded"}, s.fates(4))
	_, err := s.beanstalk.DescribeApplications(t.Context(), &eb.DescribeApplicationsInput{})
	assert.NoError(t, err)
}

func TestASlowCallIsAnsweredLate(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.fault(aws.Faults{SlowCalls: 1, Delay: faults.Duration(60 * time.Millisecond)})
	began := time.Now()
	assert.Equal(t, []string{""}, s.fates(1))
	assert.Greater(t, time.Since(began), 60*time.Millisecond)
}

func TestAChangeByHandHappensAtItsTimeAndWaitsUntilTheEnvironmentTakesIt(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.versions("v1", "v2", "v3")
	s.createStepped("staging", "v1", "Immutable")
	s.fault(aws.Faults{ManualChanges: []faults.ManualChange{{Environment: "staging", Version: "v3", After: faults.Duration(5 * time.Minute)}}})
	s.update("staging", "v2")
	s.clock.Advance(15 * time.Minute)
	assert.Equal(t, "v2", *s.describe("staging").VersionLabel)
	assert.Equal(t, types.EnvironmentStatusUpdating, s.describe("staging").Status, "the change by hand has begun")
	s.clock.Advance(15 * time.Minute)
	assert.Equal(t, "v3", *s.describe("staging").VersionLabel)
	assert.Equal(t, 1, s.server.Calls()["UpdateEnvironment"])

	s.fault(aws.Faults{ManualChanges: []faults.ManualChange{{Environment: "staging", Version: "v1", After: faults.Duration(time.Minute)}}})
	s.fault(aws.Faults{})
	s.clock.Advance(15 * time.Minute)
	assert.Equal(t, "v3", *s.describe("staging").VersionLabel, "faults that are set anew end those from before")
}

func TestCallsAboveTheRateAreThrottledAndTheSDKGetsThroughByTryingAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.fault(aws.Faults{CallsPerSecond: 1, Burst: 3})
	fates := s.fates(6)
	assert.Equal(t, []string{"", "", ""}, fates[:3])
	assert.Contains(t, fates[3:], "Throttling: Rate exceeded")
	patient := eb.NewFromConfig(s.server.Config(), func(o *eb.Options) { o.RetryMaxAttempts = 10 })
	_, err := patient.DescribeEnvironments(t.Context(), &eb.DescribeEnvironmentsInput{})
	assert.NoError(t, err)
}

func TestAnAnswerThatIsLostLeavesTheChangeMade(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.fault(aws.Faults{LoseAnswers: 1})
	_, err := s.beanstalk.CreateApplication(t.Context(), &eb.CreateApplicationInput{ApplicationName: sdk.String(applicationName)})
	require.Error(t, err)
	s.fault(aws.Faults{})
	out, err := s.beanstalk.DescribeApplications(t.Context(), &eb.DescribeApplicationsInput{})
	require.NoError(t, err)
	assert.Len(t, out.Applications, 1)

	s.fault(aws.Faults{DropCalls: 1})
	_, err = s.beanstalk.CreateApplication(t.Context(), &eb.CreateApplicationInput{ApplicationName: sdk.String("other")})
	require.Error(t, err)
	s.fault(aws.Faults{})
	out, err = s.beanstalk.DescribeApplications(t.Context(), &eb.DescribeApplicationsInput{})
	require.NoError(t, err)
	assert.Len(t, out.Applications, 1)
}

func TestStaleReadsShowTheEnvironmentAsItWasBeforeTheUpdate(t *testing.T) {
	t.Parallel()
	s := startStepped(t, func(o *aws.Options) { o.Faults.StaleReads = faults.Duration(30 * time.Second) })
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.bundle("v2", map[string]string{"Procfile": "web: true"})
	s.createStepped("staging", "v1", "Immutable")
	s.update("staging", "v2")
	assert.Equal(t, types.EnvironmentStatusReady, s.describe("staging").Status)
	s.clock.Advance(31 * time.Second)
	assert.Equal(t, types.EnvironmentStatusUpdating, s.describe("staging").Status)
}

func TestFaultsOfInstancesShowToUsersAndInHealth(t *testing.T) {
	t.Parallel()
	for kind, want := range map[faults.Kind]struct {
		update types.EnvironmentHealthStatus // an immutable update to a version with this fault ends so
		label  string
		fails  bool // users see failures some time
	}{
		faults.Crash:      {"Ok", "v1", false},
		faults.Flap:       {"Ok", "v1", true}, // the new instance serves whenever it is up
		faults.Broken:     {"Ok", "v1", true}, // healthy to the balancer: users' errors give it away
		faults.NeverBoots: {"Ok", "v1", false},
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s := startStepped(t, func(o *aws.Options) {
				o.Faults.Instances = []faults.Instance{{Kind: kind, Version: "v2", Period: faults.Duration(3 * time.Minute)}}
			})
			s.application()
			s.bundle("v1", map[string]string{"Procfile": "web: true"})
			s.bundle("v2", map[string]string{"Procfile": "web: true"})
			s.createStepped("staging", "v1", "Immutable")
			s.update("staging", "v2")
			e, seen := s.watch("staging", nil)
			assert.Equal(t, want.label, *e.VersionLabel)
			assert.Equal(t, want.fails, seen["500"]+seen["502"] > 0, "%v", seen)
			s.clock.Advance(5 * time.Minute)
			assert.Equal(t, want.update, s.describe("staging").HealthStatus)
		})
	}
}

func TestAnInstanceThatHangsIsTakenOutOfService(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 2, setting("aws:elasticbeanstalk:environment:process:default", "UnhealthyThresholdCount", "2"))
	s.fault(aws.Faults{Instances: []faults.Instance{{Kind: faults.Hang, ID: s.instances("staging")[0]}}})
	s.until("staging", func(e types.EnvironmentDescription) bool {
		return e.HealthStatus == types.EnvironmentHealthStatusDegraded
	})
	assert.Contains(t, s.fleet("staging"), "v1 Deployed Severe")
	for range 10 {
		status, _ := s.get(e, "/")
		assert.Equal(t, http.StatusOK, status)
	}
}

func TestASlowInstanceAnswersLate(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 1)
	s.fault(aws.Faults{Instances: []faults.Instance{{Kind: faults.Slow, Delay: faults.Duration(30 * time.Millisecond)}}})
	began := time.Now()
	status, _ := s.get(e, "/")
	assert.Equal(t, http.StatusOK, status)
	assert.Greater(t, time.Since(began), 30*time.Millisecond)
}

func TestAnUpdateThatNeverEndsCanBeAborted(t *testing.T) {
	t.Parallel()
	s := startStepped(t, func(o *aws.Options) { o.Faults.NeverEnd = []string{"staging"} })
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.bundle("v2", map[string]string{"Procfile": "web: true"})
	s.createStepped("staging", "v1", "Immutable")
	s.update("staging", "v2")
	s.clock.Advance(2 * time.Hour)
	assert.Equal(t, types.EnvironmentStatusUpdating, s.describe("staging").Status)
	_, err := s.beanstalk.AbortEnvironmentUpdate(t.Context(), &eb.AbortEnvironmentUpdateInput{EnvironmentName: sdk.String("staging")})
	require.NoError(t, err)
	s.clock.Advance(5 * time.Minute)
	e := s.describe("staging")
	assert.Equal(t, types.EnvironmentStatusReady, e.Status)
	assert.Equal(t, "v1", *e.VersionLabel)
}

func TestASwapThatNeverEndsMovesNoAddressUntilItMay(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.createStepped("blue", "v1", "Immutable")
	before := *s.describe("blue").CNAME
	s.createStepped("green", "v1", "Immutable")
	s.fault(aws.Faults{NeverEnd: []string{"blue"}})
	_, err := s.beanstalk.SwapEnvironmentCNAMEs(t.Context(), &eb.SwapEnvironmentCNAMEsInput{
		SourceEnvironmentName: sdk.String("blue"), DestinationEnvironmentName: sdk.String("green")})
	require.NoError(t, err)
	s.clock.Advance(2 * time.Hour)
	for _, name := range []string{"blue", "green"} {
		assert.Equal(t, types.EnvironmentStatusUpdating, s.describe(name).Status, name)
	}
	assert.Equal(t, before, *s.describe("blue").CNAME)
	s.fault(aws.Faults{})
	s.clock.Advance(time.Minute)
	assert.Equal(t, types.EnvironmentStatusReady, s.describe("blue").Status)
	assert.Equal(t, before, *s.describe("green").CNAME)
}

func TestAManualChangeHappensBehindEveryClientsBack(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.version("v2", "good")
	s.create("staging", "v1", "Immutable", 1)
	assert.Equal(t, http.StatusAccepted, s.admin(http.MethodPost, "manual-change", "application/json", []byte(`{"environment":"staging","version":"v2"}`)))
	assert.Equal(t, "v2", *s.ready("staging").VersionLabel)
	assert.Zero(t, s.server.Calls()["UpdateEnvironment"])
}

func TestTheAdminEndpointTakesJSONAloneAndNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := start(t)
	assert.Equal(t, http.StatusBadRequest, s.admin(http.MethodPut, "faults", "text/plain", []byte(`{}`)))
	assert.Equal(t, http.StatusBadRequest, s.admin(http.MethodPut, "faults", "application/json", []byte(`{"loseRequests": 2}`)))
	assert.Equal(t, http.StatusBadRequest, s.admin(http.MethodPut, "faults", "application/json", []byte(`{"unknown": 2}`)))
	assert.Equal(t, http.StatusBadRequest, s.admin(http.MethodPut, "faults", "application/json", []byte(`{"manualChanges": [{"environment": "staging"}]}`)))
	assert.Equal(t, http.StatusBadRequest, s.admin(http.MethodPut, "faults", "application/json", []byte(`{"callRates": {"DescribeEvents": {}}}`)))
	assert.Equal(t, http.StatusBadRequest, s.admin(http.MethodPut, "faults", "application/json", []byte(`{"throttlingCode": "Slow"}`)))
	assert.Equal(t, http.StatusOK, s.admin(http.MethodGet, "calls", "", nil))
}

func TestABalancerThatLosesRequestsLosesAboutItsShare(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *aws.Options) { o.Faults.LoseRequests = 0.25 })
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 1)
	u := &users{seen: map[string]int{}}
	for range 200 {
		u.ask(http.DefaultClient, "http://"+*e.CNAME+"/slow") // a client tries again only what never was on its way
	}
	assert.NotEmpty(t, u.problems)
}

func brokenInstances() []faults.Instance { return []faults.Instance{{Kind: faults.Broken}} }

func TestARollbackThatIsSkippedLeavesTheFailedVersion(t *testing.T) {
	t.Parallel()
	s := startStepped(t, func(o *aws.Options) { o.Faults.SkipRollback = true })
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.bundle("sick", map[string]string{"Procfile": "web: true"})
	before := s.createStepped("staging", "v1", "Immutable")
	s.update("staging", "sick")
	e, _ := s.watch("staging", nil)
	assert.Equal(t, "sick", *e.VersionLabel)
	status, _ := s.get(before, "/")
	assert.Equal(t, http.StatusInternalServerError, status)
}
