package aws_test

import (
	"errors"
	"fmt"
	"io"
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
	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/faults"
	"gravity/internal/local/aws/instance"
)

// steppedStand is a stand-in at AWS's own pace on a clock that the test moves, with instances
// that are handlers: an hour there takes a moment here, and the same run each time.
type steppedStand struct {
	*stand
	clock *clock.Stepped
}

func startStepped(t *testing.T, change ...func(*aws.Options)) *steppedStand {
	stepped := clock.NewStepped(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	s := start(t, append([]func(*aws.Options){func(o *aws.Options) {
		o.Pace, o.Clock = aws.RealPace(), stepped
		o.Runner = instance.Fakes{Clock: stepped, Handler: fakeApplication}
	}}, change...)...)
	return &steppedStand{stand: s, clock: stepped}
}

// fakeApplication behaves the way the version's label says.
func fakeApplication(spec instance.Spec) (http.Handler, error) {
	switch {
	case strings.HasPrefix(spec.Version, "stuck"):
		return nil, instance.ErrNeverRuns
	case strings.HasPrefix(spec.Version, "failing"):
		return nil, errors.New("the hook exits with 1")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if strings.HasPrefix(spec.Version, "sick") {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, spec.Version)
	}), nil
}

const userPause = 10 * time.Second

// watch moves the clock in small steps, with a few requests of users at each, until the
// environment is ready. It returns what they saw: answers by body, or by status when not 200.
func (s *steppedStand) watch(name string, each func(passed time.Duration)) (types.EnvironmentDescription, map[string]int) {
	s.Helper()
	seen := map[string]int{}
	e := s.describe(name)
	for passed := time.Duration(0); passed < 2*time.Hour; passed += userPause {
		if passed%(3*userPause) == 0 {
			e = s.describe(name)
		}
		for range 4 {
			status, body := s.get(e, "/")
			if status != http.StatusOK {
				body = fmt.Sprint(status)
			}
			seen[body]++
		}
		if e.Status == types.EnvironmentStatusReady && passed > 0 {
			return e, seen
		}
		if each != nil {
			each(passed)
		}
		s.clock.Advance(userPause)
	}
	require.Fail(s, "the environment was not ready after two hours")
	return types.EnvironmentDescription{}, nil
}

// createStepped launches an environment of four instances and lets ten minutes pass.
func (s *steppedStand) createStepped(name, label, policy string, more ...types.ConfigurationOptionSetting) types.EnvironmentDescription {
	s.Helper()
	_, err := s.beanstalk.CreateEnvironment(s.Context(), &eb.CreateEnvironmentInput{
		ApplicationName: sdk.String(applicationName), EnvironmentName: sdk.String(name), VersionLabel: sdk.String(label),
		SolutionStackName: sdk.String(stack),
		OptionSettings: append([]types.ConfigurationOptionSetting{
			setting("aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced"),
			setting("aws:elasticbeanstalk:command", "DeploymentPolicy", policy),
			setting("aws:elasticbeanstalk:command", "BatchSizeType", "Fixed"),
			setting("aws:elasticbeanstalk:command", "BatchSize", "2"),
			setting("aws:autoscaling:asg", "MinSize", "4"),
		}, more...),
	})
	require.NoError(s, err)
	s.clock.Advance(10 * time.Minute)
	e := s.describe(name)
	require.Equal(s, types.EnvironmentStatusReady, e.Status)
	require.Equal(s, types.EnvironmentHealthStatusOk, e.HealthStatus)
	return e
}

// outcome is how an update ends, and what users saw of it.
type outcome struct {
	label    string
	same     bool                          // the instances are those from before
	fleet    map[string]int                // by version and deployment status
	settled  types.EnvironmentHealthStatus // some minutes later
	last     string                        // event of the request
	failures bool                          // users saw errors
	newSeen  bool                          // users saw the new version
}

func TestEveryPolicyEndsAsDocumentedForEveryKindOfVersion(t *testing.T) {
	t.Parallel()
	const (
		succeeded  = "INFO Environment update completed successfully."
		failed     = "ERROR Failed to deploy application."
		takenBack  = "INFO Environment update has been aborted. The environment runs its previous application version."
		stopped    = "WARN Environment update has been aborted. Instances may run different application versions."
		deployed   = "Deployed"
		inProgress = "In Progress"
	)
	good := func(label string) map[string]int { return map[string]int{label + " " + deployed: 4} }
	for name, want := range map[string]outcome{
		"AllAtOnce good":  {"good", true, good("good"), "Ok", succeeded, true, true},
		"AllAtOnce sick":  {"sick", true, good("sick"), "Severe", succeeded, true, false},
		"AllAtOnce stuck": {"v1", true, map[string]int{"stuck " + inProgress: 4}, "Severe", failed, true, false},
		// What was begun on an instance is not called back.
		"AllAtOnce abort": {"v1", true, good("good"), "Degraded", stopped, true, true},

		"Rolling good":  {"good", true, good("good"), "Ok", succeeded, false, true},
		"Rolling sick":  {"v1", true, map[string]int{"sick " + deployed: 2, "v1 " + deployed: 2}, "Degraded", failed, false, false},
		"Rolling stuck": {"v1", true, map[string]int{"stuck " + inProgress: 2, "v1 " + deployed: 2}, "Degraded", failed, false, false},
		"Rolling abort": {"v1", true, map[string]int{"good " + deployed: 2, "v1 " + deployed: 2}, "Degraded", stopped, false, true},

		"RollingWithAdditionalBatch good":  {"good", true, good("good"), "Ok", succeeded, false, true},
		"RollingWithAdditionalBatch sick":  {"v1", true, good("v1"), "Ok", failed, false, false},
		"RollingWithAdditionalBatch stuck": {"v1", true, good("v1"), "Ok", failed, false, false},
		"RollingWithAdditionalBatch abort": {"v1", true, good("v1"), "Ok", stopped, false, true},

		"Immutable good":  {"good", false, good("good"), "Ok", succeeded, false, true},
		"Immutable sick":  {"v1", true, good("v1"), "Ok", failed, false, false},
		"Immutable stuck": {"v1", true, good("v1"), "Ok", failed, false, false},
		"Immutable abort": {"v1", true, good("v1"), "Ok", takenBack, false, true},

		"TrafficSplitting good":  {"good", false, good("good"), "Ok", succeeded, false, true},
		"TrafficSplitting sick":  {"v1", true, good("v1"), "Ok", failed, false, false},
		"TrafficSplitting stuck": {"v1", true, good("v1"), "Ok", failed, false, false},
		"TrafficSplitting abort": {"v1", true, good("v1"), "Ok", takenBack, false, true},
	} {
		policy, kind, _ := strings.Cut(name, " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			label := kind
			if kind == "abort" {
				label = "good"
			}
			s := startStepped(t)
			s.application()
			s.bundle("v1", map[string]string{"Procfile": "web: true"})
			s.bundle(label, map[string]string{"Procfile": "web: true"})
			s.createStepped("staging", "v1", policy)
			before := s.instances("staging")

			request := s.update("staging", label)
			halfWay := map[string]time.Duration{"AllAtOnce": 20 * time.Second, "Rolling": 100 * time.Second, "TrafficSplitting": 5 * time.Minute}
			e, seen := s.watch("staging", func(passed time.Duration) {
				at, given := halfWay[policy]
				if !given {
					at = 3 * time.Minute
				}
				if kind == "abort" && passed == at {
					require.True(t, *s.describe("staging").AbortableOperationInProgress)
					_, err := s.beanstalk.AbortEnvironmentUpdate(t.Context(), &eb.AbortEnvironmentUpdateInput{EnvironmentName: sdk.String("staging")})
					require.NoError(t, err)
				}
			})
			assert.Equal(t, want.label, *e.VersionLabel)
			assert.Equal(t, want.same, assert.ObjectsAreEqual(before, s.instances("staging")), "the same instances")
			assert.Equal(t, want.fleet, s.byVersion("staging"))
			errorsSeen := 0
			for answer, count := range seen {
				if answer != "v1" && answer != label {
					errorsSeen += count
				}
			}
			assert.Equal(t, want.failures, errorsSeen > 0, "%v", seen)
			assert.Equal(t, want.newSeen, seen[label] > 0, "%v", seen)
			s.clock.Advance(10 * time.Second) // events can be read a little later
			messages := s.messages("staging", request)
			assert.Equal(t, want.last, messages[len(messages)-1], strings.Join(messages, "\n"))
			s.clock.Advance(5 * time.Minute)
			assert.Equal(t, want.settled, s.describe("staging").HealthStatus)
		})
	}
}

// byVersion counts instances by "version deployment-status".
func (s *stand) byVersion(name string) map[string]int {
	s.Helper()
	counted := map[string]int{}
	for _, i := range s.fleet(name) {
		counted[i[:strings.LastIndex(i, " ")]]++
	}
	return counted
}

func TestTrafficSplittingSendsTheShareThatWasAskedFor(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.bundle("v2", map[string]string{"Procfile": "web: true"})
	e := s.createStepped("staging", "v1", "TrafficSplitting",
		setting("aws:elasticbeanstalk:trafficsplitting", "NewVersionPercent", "25"),
		setting("aws:elasticbeanstalk:trafficsplitting", "EvaluationTime", "10"))
	s.update("staging", "v2")
	s.clock.Advance(6 * time.Minute)
	seen := map[string]int{}
	for range 100 {
		_, body := s.get(e, "/")
		seen[body]++
	}
	assert.Equal(t, map[string]int{"v1": 75, "v2": 25}, seen)
}

func TestTrafficSplittingTakesAVersionBackThatFailsOnlyItsUsers(t *testing.T) {
	t.Parallel()
	s := startStepped(t, func(o *aws.Options) { o.Faults.Instances = []faults.Instance{{Kind: faults.Broken, Version: "v2"}} })
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.bundle("v2", map[string]string{"Procfile": "web: true"})
	s.createStepped("staging", "v1", "TrafficSplitting", setting("aws:elasticbeanstalk:trafficsplitting", "NewVersionPercent", "50"))
	before := s.instances("staging")
	request := s.update("staging", "v2")
	e, seen := s.watch("staging", nil)
	assert.Equal(t, "v1", *e.VersionLabel)
	assert.Equal(t, before, s.instances("staging"))
	assert.NotZero(t, seen["500"])
	s.clock.Advance(time.Minute)
	messages := strings.Join(s.messages("staging", request), "\n")
	assert.Contains(t, messages, "during the evaluation of the new version.")
	assert.Contains(t, messages, "ERROR Failed to deploy application.")
}
