package activities

import (
	"bytes"
	"cmp"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

func TestProbe(t *testing.T) {
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hush")
	cases := []struct {
		name    string
		run     string
		check   *delivery.Check
		timeout time.Duration // a minute, unless it is what the case is about
		says    string        // empty when the probe passes
	}{
		{name: "a command that succeeds passes", run: "true"},
		{name: "it finds what it is to ask, and for which version", run: `test "$GRAVITY_URL $GRAVITY_VERSION $GRAVITY_REVISION" = "http://shop.example.com v2 sha-of-v2"`},
		{name: "where users have another address, it finds that", check: &delivery.Check{URL: "https://www.example.com/"}, run: `test "$GRAVITY_URL" = "https://www.example.com"`},
		{name: "it finds no credentials of the worker's", run: `test -z "$AWS_SECRET_ACCESS_KEY"`},
		{name: "a command that fails says how it ended, and the end of what it printed", run: "seq 1 20; echo the cart is empty; exit 3",
			says: "the probe failed with exit code 3: 17 | 18 | 19 | 20 | the cart is empty"},
		{name: "a command that hangs has failed", run: "sleep 600", timeout: 100 * time.Millisecond, says: "the probe timed out"},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			probes := &Probes{Directory: t.TempDir(), Beat: 10 * time.Millisecond}
			_, err := newSteps(t, probes).ExecuteActivity(probes.Probe, ProbeInput{
				Probe: delivery.Probe{Run: test.run, Timeout: delivery.Duration(cmp.Or(test.timeout, time.Minute))}, Check: test.check, Address: "shop.example.com", Version: version("v2"),
			})
			left, _ := os.ReadDir(probes.Directory)
			assert.Empty(t, left, "nothing is left behind")
			if test.says == "" {
				require.NoError(t, err)
				return
			}
			assert.Equal(t, delivery.CheckFailed, typeOf(t, err))
			assert.ErrorContains(t, err, test.says)
		})
	}
}

// bakeStep is the step over an account whose environment is well on v2.
func bakeStep(t *testing.T, cloud *cloud) (*platform, *Bake) {
	p := newPlatform()
	p.environment.VersionLabel = &[]string{"v2"}[0]
	return p, &Bake{
		Platform: p.client(), Alarms: cloud.client(), Site: newTestSite(), Probes: &Probes{Directory: t.TempDir(), Beat: time.Second},
		Calm: 5 * time.Millisecond, Hurry: time.Millisecond, Attentive: time.Millisecond,
	}
}

// turns changes the environment's health.
func (p *platform) turns(health types.EnvironmentHealthStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.environment.HealthStatus = health
}

func bakeInput(until time.Duration) BakeInput {
	return BakeInput{
		Application: "shop", Environment: "shop-production", EnvironmentID: "e-1", Address: "shop.example.com", Version: version("v2"), Until: time.Now().Add(until),
		Health: delivery.Health{Accept: []string{"Ok", "Info"}, Steady: delivery.Duration(20 * time.Millisecond), Settle: delivery.Duration(time.Second)},
	}
}

func runBake(t *testing.T, b *Bake, input BakeInput) delivery.Proof {
	t.Helper()
	answer, err := newSteps(t, b).ExecuteActivity(b.Bake, input)
	require.NoError(t, err)
	var proof delivery.Proof
	require.NoError(t, answer.Get(&proof))
	return proof
}

func TestABakeInWhichEveryRuleHoldsIsGood(t *testing.T) {
	probed := filepath.Join(t.TempDir(), "probed")
	p, b := bakeStep(t, &cloud{states: map[string]string{"errors": "OK"}})
	// The bake is over at once but for a complaint, which is seen through: health is bad until the check, of two
	// requests, and the probe were made again and again.
	p.turns(types.EnvironmentHealthStatusSevere)
	var requests atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if probes, _ := os.ReadFile(probed); requests.Add(1) > 4 && bytes.Count(probes, []byte("\n")) > 2 {
			p.turns(types.EnvironmentHealthStatusOk)
		}
	}))
	defer site.Close()
	input := bakeInput(0)
	input.Health.Steady = delivery.Duration(time.Minute)
	input.Health.Alarms = []string{"errors"}
	input.Health.Check = &delivery.Check{URL: site.URL, Path: "/", Status: 200, Times: 2, Timeout: delivery.Duration(time.Minute)}
	input.Health.Probe = &delivery.Probe{Run: "echo x >> " + probed, Timeout: delivery.Duration(time.Minute)}
	proof := runBake(t, b, input)
	assert.Equal(t, delivery.VerdictHealthy, proof.Verdict, proof.Reason)
}

func TestABakeFailsByEachOfItsRules(t *testing.T) {
	site := httptest.NewServer(http.NotFoundHandler())
	defer site.Close()
	for _, test := range []struct {
		name   string
		change func(*BakeInput, *platform)
		cause  delivery.ErrorType
		says   string
	}{
		{"health", func(_ *BakeInput, p *platform) { p.environment.HealthStatus = "Severe" }, "", "its health is Severe"},
		{"an alarm", func(in *BakeInput, _ *platform) { in.Health.Alarms = []string{"quiet", "errors"} }, delivery.AlarmRaised, "alarm errors is raised"},
		{"the check", func(in *BakeInput, _ *platform) {
			in.Health.Check = &delivery.Check{URL: site.URL, Path: "/", Status: 200, Times: 1, Timeout: delivery.Duration(time.Minute)}
		}, delivery.CheckFailed, "answered 404 instead of 200"},
		{"the probe", func(in *BakeInput, _ *platform) {
			in.Health.Probe = &delivery.Probe{Run: "exit 9", Timeout: delivery.Duration(time.Minute)}
		}, delivery.CheckFailed, "the probe failed with exit code 9"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, b := bakeStep(t, &cloud{states: map[string]string{"errors": "ALARM", "quiet": "INSUFFICIENT_DATA"}})
			input := bakeInput(time.Hour)
			test.change(&input, p)
			proof := runBake(t, b, input)
			assert.Equal(t, delivery.VerdictUnhealthy, proof.Verdict)
			assert.Equal(t, test.cause, proof.Cause)
			assert.Contains(t, proof.Reason, test.says)
		})
	}
}

func TestACheckThatFailsOnceDuringTheBakeIsABlip(t *testing.T) {
	p, b := bakeStep(t, &cloud{})
	steps, shown := newShownSteps(t, b)
	seen := func() bool {
		return slices.ContainsFunc(shown(), func(each any) bool {
			progress, ok := each.(beanstalk.Progress)
			return ok && strings.Contains(progress.Complaint, "502")
		})
	}
	// The bake is over at once but for a complaint, which is seen through: first of the health, until the check has
	// failed, and then of the check, until that was seen.
	p.turns(types.EnvironmentHealthStatusSevere)
	var requests atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := requests.Add(1)
		if n < 4 || seen() {
			return
		}
		if n >= 4+checkFailures {
			p.turns(types.EnvironmentHealthStatusOk)
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer site.Close()
	input := bakeInput(0)
	input.Health.Steady = delivery.Duration(time.Minute)
	input.Health.Check = &delivery.Check{URL: site.URL, Path: "/", Status: 200, Times: 1, Timeout: delivery.Duration(time.Minute)}
	answer, err := steps.ExecuteActivity(b.Bake, input)
	require.NoError(t, err)
	var proof delivery.Proof
	require.NoError(t, answer.Get(&proof))
	assert.Equal(t, delivery.VerdictHealthy, proof.Verdict, proof.Reason)
	assert.True(t, seen(), "it did fail")
}
