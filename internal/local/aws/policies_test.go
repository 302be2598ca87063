package aws_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
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

// fakeApplication behaves the way the version's label says, or the property SICK.
func fakeApplication(spec instance.Spec) (http.Handler, error) {
	switch {
	case strings.HasPrefix(spec.Version, "stuck"):
		return nil, instance.ErrNeverRuns
	case strings.HasPrefix(spec.Version, "failing"):
		return nil, errors.New("the hook exits with 1")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if strings.HasPrefix(spec.Version, "sick") || spec.Properties["SICK"] != "" {
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

// outcome is how AWS documents that an update ends.
type outcome struct {
	label   string
	same    bool                          // the instances are those from before
	fleet   map[string]int                // by version and deployment status
	settled types.EnvironmentHealthStatus // some minutes later
	errors  bool                          // users saw errors
	newSeen bool                          // users saw the new version
}

func outcomes() map[string]outcome {
	deployed := func(labels ...string) map[string]int {
		fleet := map[string]int{}
		for _, label := range labels {
			fleet[label+" Deployed"] += 4 / len(labels)
		}
		return fleet
	}
	return map[string]outcome{
		"AllAtOnce good":  {"good", true, deployed("good"), "Ok", true, true},
		"AllAtOnce sick":  {"sick", true, deployed("sick"), "Severe", true, false},
		"AllAtOnce stuck": {"v1", true, map[string]int{"stuck In Progress": 4}, "Severe", true, false},
		"AllAtOnce abort": {"v1", true, deployed("good"), "Degraded", true, true}, // what was begun on an instance is not called back

		"Rolling good":  {"good", true, deployed("good"), "Ok", false, true},
		"Rolling sick":  {"v1", true, deployed("sick", "v1"), "Degraded", false, false},
		"Rolling stuck": {"v1", true, map[string]int{"stuck In Progress": 2, "v1 Deployed": 2}, "Degraded", false, false},
		"Rolling abort": {"v1", true, deployed("good", "v1"), "Degraded", false, true},

		"RollingWithAdditionalBatch good":  {"good", true, deployed("good"), "Ok", false, true},
		"RollingWithAdditionalBatch sick":  {"v1", true, deployed("v1"), "Ok", false, false},
		"RollingWithAdditionalBatch stuck": {"v1", true, deployed("v1"), "Ok", false, false},
		"RollingWithAdditionalBatch abort": {"v1", true, deployed("v1"), "Ok", false, true},

		"Immutable good":  {"good", false, deployed("good"), "Ok", false, true},
		"Immutable sick":  {"v1", true, deployed("v1"), "Ok", false, false},
		"Immutable stuck": {"v1", true, deployed("v1"), "Ok", false, false},
		"Immutable abort": {"v1", true, deployed("v1"), "Ok", false, true},

		"TrafficSplitting good":  {"good", false, deployed("good"), "Ok", false, true},
		"TrafficSplitting sick":  {"v1", true, deployed("v1"), "Ok", false, false},
		"TrafficSplitting stuck": {"v1", true, deployed("v1"), "Ok", false, false},
		"TrafficSplitting abort": {"v1", true, deployed("v1"), "Ok", false, true},
	}
}

var updateOutcomes = flag.Bool("update", false, "write testdata/outcomes anew")

func TestEveryPolicyEndsAsDocumentedForEveryKindOfVersion(t *testing.T) {
	t.Parallel()
	for name, want := range outcomes() {
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
			before, began := s.instances("staging"), s.clock.Now()

			request := s.update("staging", label)
			halfWay := map[string]time.Duration{"AllAtOnce": 20 * time.Second, "Rolling": 110 * time.Second, "TrafficSplitting": 5 * time.Minute}
			e, seen := s.watch("staging", func(passed time.Duration) {
				at, given := halfWay[policy]
				if !given {
					at = 3 * time.Minute
				}
				if kind == "abort" && passed == at {
					require.True(t, *s.describe("staging").AbortableOperationInProgress)
					_, err := s.beanstalk.AbortEnvironmentUpdate(t.Context(), &eb.AbortEnvironmentUpdateInput{EnvironmentName: sdk.String("staging")})
					require.NoError(t, err)
					require.Equal(t, types.EnvironmentStatusAborting, s.describe("staging").Status)
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
			assert.Equal(t, want.errors, errorsSeen > 0, "%v", seen)
			assert.Equal(t, want.newSeen, seen[label] > 0, "%v", seen)
			s.clock.Advance(5 * time.Minute)
			settled := s.describe("staging")
			assert.Equal(t, types.EnvironmentStatusReady, settled.Status)
			assert.Equal(t, want.settled, settled.HealthStatus)
			assert.False(t, *settled.AbortableOperationInProgress)
			s.compare("testdata/outcomes/"+strings.ReplaceAll(name, " ", "-")+".txt", "staging", request, began, seen)
		})
	}
}

// compare compares what happened with the record of it: every event in its order, with the time
// since the update began, those of the update itself marked; and every answer that users got.
func (s *steppedStand) compare(path, name, request string, began time.Time, seen map[string]int) {
	s.Helper()
	out, err := s.beanstalk.DescribeEvents(s.Context(), &eb.DescribeEventsInput{EnvironmentName: sdk.String(name), StartTime: sdk.Time(began)})
	require.NoError(s, err)
	var happened []string
	for _, event := range out.Events {
		mark := " "
		if sdk.ToString(event.RequestId) == request {
			mark = "*"
		}
		passed := event.EventDate.Sub(began)
		happened = append([]string{fmt.Sprintf("%02d:%02d %s %-5s %s", int(passed.Minutes()), int(passed.Seconds())%60, mark, event.Severity, *event.Message)}, happened...)
	}
	for _, answer := range slices.Sorted(maps.Keys(seen)) {
		happened = append(happened, fmt.Sprintf("users got %q %d times", answer, seen[answer]))
	}
	text := strings.Join(shaped(happened), "\n") + "\n"
	if *updateOutcomes {
		require.NoError(s, os.WriteFile(path, []byte(text), 0o600))
	}
	recorded, err := os.ReadFile(path)
	require.NoError(s, err)
	assert.Equal(s, string(recorded), text)
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
	s.bundle("v3", map[string]string{"Procfile": "web: true"})
	for _, update := range []struct{ from, to string }{{"v1", "v2"}, {"v2", "v3"}} {
		s.update("staging", update.to)
		s.clock.Advance(6 * time.Minute)
		seen := map[string]int{}
		for range 100 {
			_, body := s.get(e, "/")
			seen[body]++
		}
		assert.Equal(t, map[string]int{update.from: 75, update.to: 25}, seen)
		s.clock.Advance(30 * time.Minute)
		assert.Equal(t, update.to, *s.describe("staging").VersionLabel)
	}
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
