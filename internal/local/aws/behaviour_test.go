package aws_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
)

func TestARequestInFlightIsDrainedWhenItsInstanceLeaves(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.version("v2", "good")
	e := s.create("staging", "v1", "Immutable", 1)
	var wait, sent sync.WaitGroup
	for range 5 {
		sent.Add(1)
		wait.Go(func() {
			traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent.Done() }})
			request, err := http.NewRequestWithContext(traced, http.MethodPost, "http://"+*e.CNAME+"/slow?for=1200ms", nil)
			if !assert.NoError(t, err) {
				return
			}
			response, err := http.DefaultClient.Do(request)
			if !assert.NoError(t, err) {
				return
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			assert.NoError(t, err)
			assert.Equal(t, "v1", string(body), "the old instance answers to the end")
		})
	}
	sent.Wait()
	s.update("staging", "v2")
	after := s.ready("staging")
	assert.Equal(t, "v2", *after.VersionLabel)
	wait.Wait()
}

func TestBothReportedBehavioursOfTheLabelDuringAnUpdateCanBeHad(t *testing.T) {
	t.Parallel()
	s := start(t, impatient, func(o *aws.Options) { o.NewLabelWhileUpdating = true })
	s.application()
	s.version("v1", "good")
	s.version("v2", "deaf")
	s.create("staging", "v1", "Immutable", 1)
	out, err := s.beanstalk.UpdateEnvironment(t.Context(), &eb.UpdateEnvironmentInput{EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String("v2")})
	require.NoError(t, err)
	assert.Equal(t, "v2", *out.VersionLabel)
	assert.Equal(t, "v2", *s.describe("staging").VersionLabel)
	assert.Equal(t, "v1", *s.ready("staging").VersionLabel, "and the old one again once it was taken back")
}

func TestHealthAndEventsCanBeReadOnlyAfterTheirLag(t *testing.T) {
	t.Parallel()
	s := startStepped(t, func(o *aws.Options) { o.Pace.EventLag, o.Pace.HealthLag = 30*time.Second, 2*time.Minute })
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	s.bundle("v2", map[string]string{"Procfile": "web: true"})
	s.createStepped("staging", "v1", "Immutable")
	request := s.update("staging", "v2")
	s.clock.Advance(29 * time.Second)
	assert.Empty(t, s.messages("staging", request))
	s.clock.Advance(2 * time.Second)
	assert.NotEmpty(t, s.messages("staging", request))
	assert.Equal(t, types.EnvironmentHealthStatusOk, s.describe("staging").HealthStatus)
	s.clock.Advance(2 * time.Minute)
	assert.Equal(t, types.EnvironmentHealthStatusInfo, s.describe("staging").HealthStatus)
}

func TestHooksAndTheBuildfileRunInTheirOrderAndAFailingHookFailsTheUpdate(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	order := filepath.Join(t.TempDir(), "order")
	note := func(what string) string { return "#!/bin/sh\necho " + what + " >> " + order + "\n" }
	s.bundle("v1", map[string]string{
		"Procfile":                         procfile("good", "v1"),
		"Buildfile":                        "make: echo build >> " + order,
		".platform/hooks/prebuild/01.sh":   note("prebuild 1"),
		".platform/hooks/prebuild/02.sh":   note("prebuild 2"),
		".platform/hooks/predeploy/01.sh":  note("predeploy"),
		".platform/hooks/postdeploy/01.sh": note("postdeploy"),
	})
	s.bundle("v2", map[string]string{
		"Procfile":                        procfile("good", "v2"),
		".platform/hooks/predeploy/01.sh": "#!/bin/sh\necho the database is away\nexit 1\n",
	})
	s.create("staging", "v1", "Immutable", 1)
	content, err := os.ReadFile(order)
	require.NoError(t, err)
	assert.Equal(t, "prebuild 1\nprebuild 2\nbuild\npredeploy\npostdeploy\n", string(content))

	request := s.update("staging", "v2")
	assert.Equal(t, "v1", *s.ready("staging").VersionLabel)
	assert.Equal(t, []string{
		"ERROR Instance deployment failed. For details, see 'eb-engine.log'.",
		"ERROR [Instance: i ] Command failed on instance. Return code: 1 Output: Engine execution has encountered an error..",
		"INFO Command execution completed on all instances. Summary: [Successful: 0, Failed: 1].",
		"ERROR Unsuccessful command execution on instance id(s) 'i '. Aborting the operation.",
	}, shaped(s.messages("staging", request))[3:7])
	logs, err := s.beanstalk.RetrieveEnvironmentInfo(t.Context(), &eb.RetrieveEnvironmentInfoInput{EnvironmentName: sdk.String("staging"), InfoType: types.EnvironmentInfoTypeBundle})
	require.NoError(t, err)
	assert.Len(t, logs.EnvironmentInfo, 1, "the logs of the instance that failed are kept")
}

func TestAVersionWhoseBundleIsGoneFailsItsUpdate(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.version("v2", "good")
	s.create("staging", "v1", "Immutable", 1)
	_, err := s.s3.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: sdk.String(bucket), Key: sdk.String("v2.zip")})
	require.NoError(t, err)
	request := s.update("staging", "v2")
	assert.Equal(t, "v1", *s.ready("staging").VersionLabel)
	messages := s.messages("staging", request)
	assert.Contains(t, messages, "ERROR Unable to download the source bundle of application version v2 from Amazon S3.")
	assert.Equal(t, "ERROR Failed to deploy application.", messages[len(messages)-1])
}

func TestABundleThatLeadsOutOfItsFolderIsNotUnpacked(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	s.bundle("v2", map[string]string{"Procfile": procfile("good", "v2"), "../../escaped": "x"})
	s.create("staging", "v1", "Immutable", 1)
	s.update("staging", "v2")
	assert.Equal(t, "v1", *s.ready("staging").VersionLabel)
}

func TestABasicEnvironmentHasColoursAloneAndNoImmutableUpdates(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	create := func(policy string) error {
		_, err := s.beanstalk.CreateEnvironment(t.Context(), &eb.CreateEnvironmentInput{ApplicationName: sdk.String(applicationName),
			EnvironmentName: sdk.String("staging"), VersionLabel: sdk.String("v1"), SolutionStackName: sdk.String(stack),
			OptionSettings: []types.ConfigurationOptionSetting{setting("aws:elasticbeanstalk:command", "DeploymentPolicy", policy)}})
		return err
	}
	assert.True(t, strings.HasPrefix(code(create("Immutable")), "ConfigurationValidationException"))
	require.NoError(t, create("AllAtOnce"))
	e := s.until("staging", func(e types.EnvironmentDescription) bool {
		return e.Status == types.EnvironmentStatusReady && e.Health == types.EnvironmentHealthGreen
	})
	assert.Empty(t, e.HealthStatus)
	_, err := s.beanstalk.DescribeEnvironmentHealth(t.Context(), &eb.DescribeEnvironmentHealthInput{EnvironmentName: sdk.String("staging")})
	assert.Equal(t, "InvalidRequestException: DescribeEnvironmentHealth is not supported.", code(err))
}

func TestStickyUsersComeBackToTheSameInstance(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: " + behaviourVariable + "=good:$PORT exec " + os.Args[0]})
	e := s.create("staging", "v1", "Immutable", 2, setting("aws:elasticbeanstalk:environment:process:default", "StickinessEnabled", "true"))
	seen := map[string]bool{}
	for range 4 {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		u := &users{seen: map[string]int{}}
		for range 6 {
			u.ask(&http.Client{Jar: jar}, "http://"+*e.CNAME+"/")
		}
		assert.Len(t, u.seen, 1)
		for port := range u.seen {
			seen[port] = true
		}
	}
	assert.Len(t, seen, 2, "and different users to different ones")
}

func TestServerFaultsThatUsersSeeShowInHealth(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.application()
	s.bundle("v1", map[string]string{"Procfile": "web: true"})
	e := s.createStepped("staging", "v1", "Immutable")
	require.NoError(t, s.server.SetFaults(aws.Faults{Instances: brokenInstances()}))
	for range 6 {
		for range 20 {
			status, _ := s.get(e, "/")
			assert.Equal(t, http.StatusInternalServerError, status)
		}
		s.clock.Advance(10 * time.Second)
	}
	out, err := s.beanstalk.DescribeEnvironmentHealth(t.Context(), &eb.DescribeEnvironmentHealthInput{EnvironmentName: sdk.String("staging"),
		AttributeNames: []types.EnvironmentHealthAttribute{types.EnvironmentHealthAttributeAll}})
	require.NoError(t, err)
	assert.Equal(t, "Severe", *out.HealthStatus)
	assert.Equal(t, "Red", *out.Color)
	assert.Equal(t, int32(20), out.ApplicationMetrics.RequestCount)
	assert.Equal(t, int32(20), *out.ApplicationMetrics.StatusCodes.Status5xx)
	assert.Equal(t, int32(4), *out.InstancesHealth.Severe)
	assert.Contains(t, out.Causes, "100.0 % of the requests are failing with HTTP 5xx.")
	assert.Contains(t, s.messages("staging", "")[len(s.messages("staging", ""))-1], "WARN Environment health has transitioned from Ok to Severe.")
}

func TestEveryAttributeOfHealthIsToldWhenItIsAskedForAndNotOtherwise(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 1)
	_, _ = s.get(e, "/")
	told := func(answer any) []string {
		var names []string
		value := reflect.ValueOf(answer)
		for i := range value.NumField() {
			if field := value.Type().Field(i); field.IsExported() && field.Name != "ResultMetadata" && !value.Field(i).IsZero() {
				names = append(names, field.Name)
			}
		}
		return names
	}
	for _, attribute := range types.EnvironmentHealthAttribute("").Values() {
		out, err := s.beanstalk.DescribeEnvironmentHealth(t.Context(), &eb.DescribeEnvironmentHealthInput{EnvironmentName: sdk.String("staging"),
			AttributeNames: []types.EnvironmentHealthAttribute{attribute}})
		require.NoError(t, err)
		want := []string{string(attribute), "EnvironmentName"}
		if attribute == types.EnvironmentHealthAttributeAll {
			want = []string{"ApplicationMetrics", "Causes", "Color", "EnvironmentName", "HealthStatus", "InstancesHealth", "RefreshedAt", "Status"}
		}
		assert.ElementsMatch(t, want, told(*out))
	}
	for _, attribute := range types.InstancesHealthAttribute("").Values() {
		out, err := s.beanstalk.DescribeInstancesHealth(t.Context(), &eb.DescribeInstancesHealthInput{EnvironmentName: sdk.String("staging"),
			AttributeNames: []types.InstancesHealthAttribute{attribute}})
		require.NoError(t, err)
		require.Len(t, out.InstanceHealthList, 1)
		switch all := told(out.InstanceHealthList[0]); attribute {
		case types.InstancesHealthAttributeAll:
			assert.ElementsMatch(t, []string{"ApplicationMetrics", "AvailabilityZone", "Causes", "Color", "Deployment", "HealthStatus", "InstanceId", "InstanceType", "LaunchedAt", "System"}, all)
		case types.InstancesHealthAttributeRefreshedAt:
			assert.NotNil(t, out.RefreshedAt)
		case types.InstancesHealthAttributeSystem:
			if _, err := os.Stat("/proc/stat"); err == nil {
				system := out.InstanceHealthList[0].System
				assert.Len(t, system.LoadAverage, 3)
				assert.InDelta(t, 100, *system.CPUUtilization.User+*system.CPUUtilization.Nice+*system.CPUUtilization.System+*system.CPUUtilization.Idle+
					*system.CPUUtilization.IOWait+*system.CPUUtilization.IRQ+*system.CPUUtilization.SoftIRQ, 1)
			}
			fallthrough
		default:
			assert.ElementsMatch(t, []string{string(attribute), "InstanceId"}, all)
			assert.Nil(t, out.RefreshedAt)
		}
	}
}

func TestAProcessPortThatNobodyListensOnMakesEveryInstanceUnhealthy(t *testing.T) {
	t.Parallel()
	s := startStepped(t)
	s.versions("v1")
	const process = "aws:elasticbeanstalk:environment:process:default"
	e := s.createStepped("staging", "v1", "AllAtOnce", setting(process, "Port", "8080"), setting(nsProperties, "PORT", "8080"))
	status, _ := s.get(e, "/")
	assert.Equal(t, http.StatusOK, status, "the application's own port")
	s.configure("staging", setting(process, "Port", "9090"))
	s.clock.Advance(5 * time.Minute)
	broken := s.describe("staging")
	assert.Equal(t, types.EnvironmentHealthStatusSevere, broken.HealthStatus)
	status, _ = s.get(e, "/")
	assert.Equal(t, http.StatusBadGateway, status)
	s.configure("staging", setting(process, "Port", "80"))
	s.clock.Advance(5 * time.Minute)
	assert.Equal(t, types.EnvironmentHealthStatusOk, s.describe("staging").HealthStatus, "the proxy's port")
}

func TestAnInstanceThatDoesNotBeginToAnswerIsGivenUpAfterTheIdleTimeout(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.version("v1", "good")
	e := s.create("staging", "v1", "Immutable", 1, setting("aws:elbv2:loadbalancer", "IdleTimeout", "1"))
	status, _ := s.get(e, "/slow?for=1h")
	assert.Equal(t, http.StatusGatewayTimeout, status)
	status, body := s.get(e, "/slow?for=10ms")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "v1", body)
}

func TestABundleOfGoSourceIsBuiltByThePlatform(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.application()
	s.bundle("v1", map[string]string{"go.mod": "module site\n\ngo 1.21\n", "application.go": `package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("built on the instance")) })
	_ = http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}
`})
	e := s.create("staging", "v1", "AllAtOnce", 1)
	_, body := s.get(e, "/")
	assert.Equal(t, "built on the instance", body)
}
