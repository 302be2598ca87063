package aws_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/instance"
)

func TestEverythingIsThereAgainAfterARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	inFolder := func(o *aws.Options) { o.DataDir = folder }
	first := start(t, inFolder)
	first.application()
	first.version("v1", "good")
	before := first.create("staging", "v1", "Immutable", 2)
	instances := first.instances("staging")
	events := first.messages("staging", "")
	require.NoError(t, first.server.Close())

	second := start(t, inFolder)
	after := second.ready("staging")
	assert.Equal(t, *before.CNAME, *after.CNAME, "the address stays the same")
	assert.Equal(t, "v1", *after.VersionLabel)
	assert.Equal(t, instances, second.instances("staging"))
	second.until("staging", func(e types.EnvironmentDescription) bool {
		status, body := second.get(e, "/")
		return status == 200 && body == "v1"
	})
	assert.Subset(t, second.messages("staging", ""), events)
	second.version("v2", "good")
	second.update("staging", "v2")
	assert.Equal(t, "v2", *second.ready("staging").VersionLabel)
}

func TestAnUpdateGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	inFolder := func(o *aws.Options) { o.DataDir = folder }
	first := start(t, inFolder)
	first.application()
	first.version("v1", "good")
	first.version("v2", "good")
	first.create("staging", "v1", "Immutable", 2)
	request := first.update("staging", "v2")
	require.NoError(t, first.server.Close())

	second := start(t, inFolder)
	assert.Equal(t, types.EnvironmentStatusUpdating, second.describe("staging").Status)
	after := second.ready("staging")
	assert.Equal(t, "v2", *after.VersionLabel)
	assert.Equal(t, []string{"v2 Deployed Ok", "v2 Deployed Ok"}, second.fleet("staging"))
	messages := second.messages("staging", request)
	assert.Equal(t, "INFO Environment update completed successfully.", messages[len(messages)-1])
	assert.Zero(t, second.server.Calls()["UpdateEnvironment"])
}

func TestLogsThatWereAskedForComeAfterARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := startStepped(t, func(o *aws.Options) { o.DataDir = folder })
	s.versions("v1")
	s.createStepped("staging", "v1", "AllAtOnce")
	_, err := s.beanstalk.RequestEnvironmentInfo(t.Context(), &eb.RequestEnvironmentInfoInput{EnvironmentName: sdk.String("staging"), InfoType: types.EnvironmentInfoTypeTail})
	require.NoError(t, err)
	require.NoError(t, s.server.Close())
	s = startStepped(t, func(o *aws.Options) {
		o.DataDir, o.Clock, o.Runner = folder, s.clock, instance.Fakes{Clock: s.clock, Handler: fakeApplication}
	}).on(s.clock)
	s.clock.Advance(time.Minute)
	out, err := s.beanstalk.RetrieveEnvironmentInfo(t.Context(), &eb.RetrieveEnvironmentInfoInput{EnvironmentName: sdk.String("staging"), InfoType: types.EnvironmentInfoTypeTail})
	require.NoError(t, err)
	assert.Len(t, out.EnvironmentInfo, 4)
}

func TestAnInstanceThatDiesIsReplaced(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 2)
	before := s.instances("staging")
	updated := *e.DateUpdated
	_, _ = s.ask(e, "/exit")
	s.until("staging", func(types.EnvironmentDescription) bool {
		now := s.instances("staging")
		return len(now) == 2 && (now[0] != before[0] || now[1] != before[1]) &&
			assert.ObjectsAreEqual([]string{"v1 Deployed Ok", "v1 Deployed Ok"}, s.fleet("staging"))
	})
	assert.Equal(t, updated, *s.describe("staging").DateUpdated, "health does not touch the date of the last update")
}

func TestNothingOfAnInstanceIsLeftAfterClose(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	marker := filepath.Join(t.TempDir(), "descendant")
	s.bundle("v1", map[string]string{
		// A descendant in a session of its own, which no signal to the group reaches.
		"Procfile": "web: setsid sh -c 'echo $$ > " + marker + "; exec sleep 600' & " + procfile("good", "v1")[len("web: "):],
	})
	s.create("staging", "v1", "Immutable", 1)
	var pid []byte
	require.Eventually(t, func() bool {
		pid, _ = os.ReadFile(marker)
		return len(pid) > 1 && pid[len(pid)-1] == '\n'
	}, eventually, tick)
	process := filepath.Join("/proc", string(pid[:len(pid)-1]))
	if _, err := os.Stat("/proc/self"); err == nil {
		require.DirExists(t, process)
	}
	require.NoError(t, s.server.Close())
	assert.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(process, "environ"))
		content, _ := os.ReadFile(filepath.Join(process, "environ"))
		return err != nil || len(content) == 0 // gone, or waits to be reaped
	}, eventually, tick)
}

func TestAnUpdateEndsAsItShouldWhereverItIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"AllAtOnce", "Rolling", "RollingWithAdditionalBatch", "Immutable", "TrafficSplitting"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			inFolder := func(o *aws.Options) { o.DataDir = folder }
			s := startStepped(t, inFolder)
			s.application()
			s.bundle("v1", map[string]string{"Procfile": "web: true"})
			s.bundle("v2", map[string]string{"Procfile": "web: true"})
			s.createStepped("staging", "v1", policy)
			request := s.update("staging", "v2")
			restarts := 0
			for s.describe("staging").Status != types.EnvironmentStatusReady {
				require.Less(t, restarts, 200, "the update never ends")
				restarts++
				// A little longer each time, so that no two steps are cut at the same place.
				s.clock.Advance(time.Duration(20+restarts*7) * time.Second)
				require.NoError(t, s.server.Close())
				s = startStepped(t, inFolder, func(o *aws.Options) {
					o.Clock = s.clock
					o.Runner = instance.Fakes{Clock: s.clock, Handler: fakeApplication}
				}).on(s.clock)
			}
			s.clock.Advance(5 * time.Minute)
			e := s.describe("staging")
			assert.Equal(t, "v2", *e.VersionLabel)
			assert.Equal(t, types.EnvironmentHealthStatusOk, e.HealthStatus)
			assert.Equal(t, map[string]int{"v2 Deployed": 4}, s.byVersion("staging"))
			completed := 0
			for _, message := range s.messages("staging", request) {
				if message == "INFO Environment update completed successfully." {
					completed++
				}
			}
			assert.Equal(t, 1, completed)
		})
	}
}

// on says which clock the stand-in runs on.
func (s *steppedStand) on(c *clock.Stepped) *steppedStand {
	s.clock = c
	return s
}

func TestAnUpdateThatIsTakenBackIsSoWhereverItIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"Rolling", "RollingWithAdditionalBatch", "Immutable", "TrafficSplitting"} {
		for _, kind := range []string{"sick", "abort"} {
			t.Run(policy+" "+kind, func(t *testing.T) {
				t.Parallel()
				folder := t.TempDir()
				inFolder := func(o *aws.Options) { o.DataDir = folder }
				s := startStepped(t, inFolder)
				s.versions("v1", "v2", "sick")
				s.createStepped("staging", "v1", policy)
				label := map[string]string{"sick": "sick", "abort": "v2"}[kind]
				request := s.update("staging", label)
				aborted := false
				for restarts := 1; s.describe("staging").Status != types.EnvironmentStatusReady; restarts++ {
					require.Less(t, restarts, 200, "the update never ends")
					s.clock.Advance(time.Duration(20+restarts*7) * time.Second)
					if kind == "abort" && !aborted && restarts >= 3 {
						_, err := s.beanstalk.AbortEnvironmentUpdate(t.Context(), &eb.AbortEnvironmentUpdateInput{EnvironmentName: sdk.String("staging")})
						require.NoError(t, err)
						aborted = true
					}
					require.NoError(t, s.server.Close())
					s = startStepped(t, inFolder, func(o *aws.Options) {
						o.Clock, o.Runner = s.clock, instance.Fakes{Clock: s.clock, Handler: fakeApplication}
					}).on(s.clock)
				}
				s.clock.Advance(5 * time.Minute)
				assert.Equal(t, "v1", *s.describe("staging").VersionLabel)
				fleet := map[string]int{"v1 Deployed": 4}
				if policy == "Rolling" {
					fleet = map[string]int{"v1 Deployed": 2, label + " Deployed": 2}
				}
				assert.Equal(t, fleet, s.byVersion("staging"))
				last := s.messages("staging", request)
				ended := 0
				for _, message := range last {
					for _, end := range []string{"ERROR Failed to deploy application.", "INFO Environment update has been aborted.", "ERROR During an aborted deployment"} {
						if strings.HasPrefix(message, end) {
							ended++
						}
					}
				}
				want := map[string]int{"Rolling sick": 2, "RollingWithAdditionalBatch sick": 2}[policy+" "+kind]
				assert.Equal(t, max(want, 1), ended, "%s", strings.Join(last, "\n"))
			})
		}
	}
}

func TestAScaledClockGoesOnWhereItWasAfterARestart(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	const factor = 1000
	scaled := func(o *aws.Options) {
		o.DataDir, o.Pace, o.Clock = folder, aws.RealPace(), clock.Scaled(factor)
		o.Runner = instance.Fakes{Clock: o.Clock, Handler: fakeApplication}
	}
	s := &steppedStand{stand: start(t, scaled)}
	s.versions("v1", "v2")
	s.create("staging", "v1", "Immutable", 2)
	began := time.Now()
	s.update("staging", "v2")
	s.ready("staging")
	took := time.Since(began)
	updated := *s.describe("staging").DateUpdated
	t.Logf("an immutable update of two instances took %s, and %s there", took.Round(time.Millisecond), (took * factor).Round(time.Second))
	require.Greater(t, updated.Sub(began), 5*time.Minute, "that clock is ahead of ours")
	s.update("staging", "v1")
	require.NoError(t, s.server.Close())

	// The machine's clock is behind what is on disk, and this one stands still there.
	behind := clock.NewStepped(time.Now())
	again := startStepped(t, func(o *aws.Options) {
		o.DataDir, o.Clock, o.Runner = folder, behind, instance.Fakes{Clock: behind, Handler: fakeApplication}
	}).on(behind)
	made, err := again.beanstalk.CreateApplication(t.Context(), &eb.CreateApplicationInput{ApplicationName: sdk.String("other")})
	require.NoError(t, err)
	assert.False(t, made.Application.DateCreated.Before(updated), "time does not go back")
	behind.Advance(20 * time.Minute)
	after := again.describe("staging")
	assert.Equal(t, types.EnvironmentStatusReady, after.Status, "what was under way goes on, and does not wait for the machine's clock")
	assert.Equal(t, "v1", *after.VersionLabel)
	assert.Equal(t, map[string]int{"v1 Deployed": 2}, again.byVersion("staging"))
}

func TestHalfAnHourOfEvaluationTakesAMomentOnASteppedClock(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.versions("v1", "v2")
	s.createStepped("staging", "v1", "TrafficSplitting", setting("aws:elasticbeanstalk:trafficsplitting", "EvaluationTime", "30"))
	began, there := time.Now(), s.clock.Now()
	s.update("staging", "v2")
	s.clock.Advance(32 * time.Minute)
	assert.Equal(t, types.EnvironmentStatusUpdating, s.describe("staging").Status)
	s.clock.Advance(8 * time.Minute)
	assert.Equal(t, "v2", *s.describe("staging").VersionLabel)
	t.Logf("%s there took %s here", s.clock.Now().Sub(there), time.Since(began).Round(time.Millisecond))
	assert.Less(t, time.Since(began), time.Minute)
}

// serverVariable makes the test binary a stand-in on the folder that it names, to be killed.
const serverVariable = "STAND_IN_TEST_SERVER"

func runServer(folder string) {
	server, err := aws.Start(context.Background(), aws.Options{DataDir: folder, Pace: patientPace()})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(server.URL())
	select {}
}

func TestAStandInThatIsKilledLeavesItsStateButNoProcess(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), serverVariable+"="+folder)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)

	// The configuration of a stand-in of ours, pointed at the other process.
	other := start(t)
	config := other.server.Config()
	config.BaseEndpoint = sdk.String(strings.TrimSpace(address))
	killed := &stand{TB: t, beanstalk: eb.NewFromConfig(config), s3: s3.NewFromConfig(config, func(o *s3.Options) { o.UsePathStyle = true })}
	killed.application()
	killed.bundle("v1", map[string]string{"Procfile": "web: echo $$ > " + filepath.Join(folder, "pid") + "; " + procfile("good", "v1")[len("web: "):]})
	killed.version("v2", "good")
	before := killed.create("staging", "v1", "Immutable", 1)
	pid, err := os.ReadFile(filepath.Join(folder, "pid"))
	require.NoError(t, err)
	request := killed.update("staging", "v2")
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()

	next := start(t, func(o *aws.Options) { o.DataDir = folder })
	after := next.ready("staging")
	assert.Equal(t, "v2", *after.VersionLabel, "the update goes on")
	assert.Equal(t, *before.CNAME, *after.CNAME)
	assert.Contains(t, next.messages("staging", request), "INFO Environment update completed successfully.")
	if _, err := os.Stat("/proc/self"); err == nil {
		left, _ := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "environ"))
		assert.NotContains(t, string(left), "BEANSTALK_STAND_IN_INSTANCE", "what the killed one had started was ended")
	}
}

func TestRealProcessesComeBackWhereverAnUpdateIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{
		"INFO Created temporary auto scaling group", "INFO Waiting for instance(s)", "INFO Test instance passed",
		"INFO Attached new instance(s)", "INFO Deployment succeeded.", "INFO Removed instance",
	} {
		t.Run(moment, func(t *testing.T) {
			folder := t.TempDir()
			inFolder := func(o *aws.Options) { o.DataDir = folder }
			first := start(t, inFolder)
			first.application()
			first.version("v1", "good")
			first.version("v2", "good")
			first.create("staging", "v1", "Immutable", 2)
			request := first.update("staging", "v2")
			require.Eventually(t, func() bool {
				for _, message := range first.messages("staging", request) {
					if strings.HasPrefix(message, moment) {
						return true
					}
				}
				return false
			}, eventually, tick)
			require.NoError(t, first.server.Close())

			second := start(t, inFolder)
			e := second.until("staging", func(e types.EnvironmentDescription) bool {
				return e.Status == types.EnvironmentStatusReady && *e.VersionLabel == "v2" && e.HealthStatus == types.EnvironmentHealthStatusOk
			})
			assert.Equal(t, map[string]int{"v2 Deployed": 2}, second.byVersion("staging"), "%s", strings.Join(second.messages("staging", ""), "\n"))
			second.until("staging", func(types.EnvironmentDescription) bool {
				_, body := second.get(e, "/")
				return body == "v2"
			})
		})
	}
}
