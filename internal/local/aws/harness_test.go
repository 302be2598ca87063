package aws_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"gravity/internal/local/aws"
)

const (
	applicationName = "site"
	bucket          = "bundles"
	stack           = "64bit Amazon Linux 2023 v4.4.0 running Go 1"
)

// stand is a stand-in under test, with the clients that tests reach it by.
type stand struct {
	testing.TB
	server    *aws.Server
	beanstalk *eb.Client
	s3        *s3.Client
}

// start starts a stand-in at the test's pace, ended with the test.
func start(t *testing.T, change ...func(*aws.Options)) *stand {
	t.Helper()
	o := aws.Options{DataDir: t.TempDir(), Pace: patientPace(), Seed: 1}
	for _, f := range change {
		f(&o)
	}
	server, err := aws.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return &stand{TB: t, server: server,
		beanstalk: eb.NewFromConfig(server.Config(), func(o *eb.Options) { o.RetryMaxAttempts = 1 }),
		s3:        s3.NewFromConfig(server.Config(), func(o *s3.Options) { o.UsePathStyle = true }),
	}
}

// patientPace lets real processes have the time that a busy machine takes to start them.
func patientPace() aws.Pace {
	pace := aws.TestPace()
	pace.MinimumTimeout = time.Minute
	return pace
}

// impatient is for tests that wait until a version is given up.
func impatient(o *aws.Options) { o.Pace.MinimumTimeout = 10 * time.Second }

// application makes the application and its bucket.
func (s *stand) application() {
	s.Helper()
	_, err := s.beanstalk.CreateApplication(s.Context(), &eb.CreateApplicationInput{ApplicationName: sdk.String(applicationName)})
	require.NoError(s, err)
	_, err = s.s3.CreateBucket(s.Context(), &s3.CreateBucketInput{Bucket: sdk.String(bucket)})
	require.NoError(s, err)
}

// procfile starts the test binary with a behaviour.
func procfile(behaviour, label string) string {
	return fmt.Sprintf("web: %s=%s:%s exec %s\n", behaviourVariable, behaviour, label, os.Args[0])
}

const healthExtension = "option_settings:\n  aws:elasticbeanstalk:environment:process:default:\n    HealthCheckPath: /health\n"

// version uploads a bundle that behaves so, and registers it under the label.
func (s *stand) version(label, behaviour string) {
	s.Helper()
	s.bundle(label, map[string]string{
		"Procfile":                     procfile(behaviour, label),
		".ebextensions/options.config": healthExtension,
	})
}

func (s *stand) bundle(label string, files map[string]string) {
	s.Helper()
	_, err := s.s3.PutObject(s.Context(), &s3.PutObjectInput{
		Bucket: sdk.String(bucket), Key: sdk.String(label + ".zip"), Body: bytes.NewReader(zipped(s, files)),
	})
	require.NoError(s, err)
	_, err = s.beanstalk.CreateApplicationVersion(s.Context(), &eb.CreateApplicationVersionInput{
		ApplicationName: sdk.String(applicationName), VersionLabel: sdk.String(label),
		SourceBundle: &types.S3Location{S3Bucket: sdk.String(bucket), S3Key: sdk.String(label + ".zip")},
	})
	require.NoError(s, err)
}

func zipped(t testing.TB, files map[string]string) []byte {
	var out bytes.Buffer
	archive := zip.NewWriter(&out)
	for name, content := range files {
		entry, err := archive.Create(name)
		require.NoError(t, err)
		_, err = io.WriteString(entry, content)
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	return out.Bytes()
}

// setting is an option of an environment.
func setting(namespace, name, value string) types.ConfigurationOptionSetting {
	return types.ConfigurationOptionSetting{Namespace: sdk.String(namespace), OptionName: sdk.String(name), Value: sdk.String(value)}
}

// create launches an environment with enhanced health and waits until it is ready.
func (s *stand) create(name, label, policy string, instances int, more ...types.ConfigurationOptionSetting) types.EnvironmentDescription {
	s.Helper()
	_, err := s.beanstalk.CreateEnvironment(s.Context(), &eb.CreateEnvironmentInput{
		ApplicationName: sdk.String(applicationName), EnvironmentName: sdk.String(name), VersionLabel: sdk.String(label),
		SolutionStackName: sdk.String(stack),
		OptionSettings: append([]types.ConfigurationOptionSetting{
			setting("aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced"),
			setting("aws:elasticbeanstalk:command", "DeploymentPolicy", policy),
			setting("aws:elasticbeanstalk:environment", "LoadBalancerType", "application"),
			setting("aws:autoscaling:asg", "MinSize", fmt.Sprint(instances)),
		}, more...),
	})
	require.NoError(s, err)
	return s.ready(name)
}

// describe returns an environment as it is now.
func (s *stand) describe(name string) types.EnvironmentDescription {
	s.Helper()
	out, err := s.beanstalk.DescribeEnvironments(s.Context(), &eb.DescribeEnvironmentsInput{EnvironmentNames: []string{name}})
	require.NoError(s, err)
	require.Len(s, out.Environments, 1)
	return out.Environments[0]
}

// ready waits until no operation runs on the environment, and its health says something.
func (s *stand) ready(name string) types.EnvironmentDescription {
	s.Helper()
	return s.until(name, func(e types.EnvironmentDescription) bool {
		return e.Status == types.EnvironmentStatusReady && e.HealthStatus != types.EnvironmentHealthStatusPending &&
			e.HealthStatus != types.EnvironmentHealthStatusInfo
	})
}

// until waits until the environment is as wanted.
func (s *stand) until(name string, wanted func(types.EnvironmentDescription) bool) types.EnvironmentDescription {
	s.Helper()
	var last types.EnvironmentDescription
	require.Eventually(s, func() bool {
		last = s.describe(name)
		return wanted(last)
	}, eventually, 5*time.Millisecond, "the environment never came to the wanted state")
	return last
}

// update starts the deployment of a version and returns the request's ID.
func (s *stand) update(name, label string) string {
	s.Helper()
	out, err := s.beanstalk.UpdateEnvironment(s.Context(), &eb.UpdateEnvironmentInput{
		EnvironmentName: sdk.String(name), VersionLabel: sdk.String(label)})
	require.NoError(s, err)
	require.Equal(s, types.EnvironmentStatusUpdating, out.Status)
	return requestID(s, out.ResultMetadata)
}

// messages are an environment's events in the order in which they happened, as "SEVERITY message".
func (s *stand) messages(name, request string) []string {
	s.Helper()
	in := &eb.DescribeEventsInput{EnvironmentName: sdk.String(name)}
	if request != "" {
		in.RequestId = sdk.String(request)
	}
	var messages []string
	pages := eb.NewDescribeEventsPaginator(s.beanstalk, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(s.Context())
		require.NoError(s, err)
		for _, event := range page.Events {
			messages = append(messages, string(event.Severity)+" "+sdk.ToString(event.Message))
		}
	}
	for i, j := 0, len(messages)-1; i < j; i, j = i+1, j-1 {
		messages[i], messages[j] = messages[j], messages[i]
	}
	return messages
}

// fleet is every instance as "label status health", sorted.
func (s *stand) fleet(name string) []string {
	s.Helper()
	out, err := s.beanstalk.DescribeInstancesHealth(s.Context(), &eb.DescribeInstancesHealthInput{
		EnvironmentName: sdk.String(name), AttributeNames: []types.InstancesHealthAttribute{types.InstancesHealthAttributeAll}})
	require.NoError(s, err)
	var fleet []string
	for _, i := range out.InstanceHealthList {
		fleet = append(fleet, fmt.Sprintf("%s %s %s", sdk.ToString(i.Deployment.VersionLabel), sdk.ToString(i.Deployment.Status), sdk.ToString(i.HealthStatus)))
	}
	sort.Strings(fleet)
	return fleet
}

// instances are the IDs of an environment's instances.
func (s *stand) instances(name string) []string {
	s.Helper()
	out, err := s.beanstalk.DescribeEnvironmentResources(s.Context(), &eb.DescribeEnvironmentResourcesInput{EnvironmentName: sdk.String(name)})
	require.NoError(s, err)
	var ids []string
	for _, i := range out.EnvironmentResources.Instances {
		ids = append(ids, *i.Id)
	}
	sort.Strings(ids)
	return ids
}

// get asks the environment for a page.
func (s *stand) get(e types.EnvironmentDescription, path string) (status int, body string) {
	s.Helper()
	response, err := http.Get("http://" + *e.CNAME + path)
	require.NoError(s, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(s, err)
	return response.StatusCode, string(text)
}

// users send requests to an environment until they are stopped, and count what they saw.
type users struct {
	stop chan struct{}
	wait sync.WaitGroup

	requests, failed atomic.Int64
	mu               sync.Mutex
	seen             map[string]int // answers with 200, by body
	problems         []string
}

func (s *stand) users(e types.EnvironmentDescription, number int) *users {
	u := &users{stop: make(chan struct{}), seen: map[string]int{}}
	client := &http.Client{Timeout: time.Minute}
	for range number {
		u.wait.Go(func() {
			for {
				select {
				case <-u.stop:
					return
				default:
				}
				u.ask(client, "http://"+*e.CNAME+"/")
			}
		})
	}
	return u
}

func (u *users) ask(client *http.Client, url string) {
	u.requests.Add(1)
	// Where a connection that it used before ends without an answer, Go's client asks again and says nothing: a
	// second connection for one request tells.
	connections := 0
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connections++ }}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), http.MethodGet, url, nil)
	var response *http.Response
	if err == nil {
		response, err = client.Do(request)
	}
	var body []byte
	if err == nil {
		body, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	if err == nil && connections > 1 {
		err = fmt.Errorf("the answer came with the %d. connection", connections)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil || response.StatusCode != http.StatusOK {
		u.failed.Add(1)
		if err == nil {
			err = fmt.Errorf("status %d", response.StatusCode)
		}
		u.problems = append(u.problems, err.Error())
		return
	}
	u.seen[string(body)]++
}

// leave stops the users and returns when the last request was answered.
func (u *users) leave() {
	close(u.stop)
	u.wait.Wait()
}

func code(err error) string {
	var api smithy.APIError
	if ok := asAPIError(err, &api); !ok {
		return fmt.Sprint(err)
	}
	return api.ErrorCode() + ": " + api.ErrorMessage()
}

const (
	eventually = time.Minute
	tick       = 5 * time.Millisecond
)

// ask is get for an answer that may not come.
func (s *stand) ask(e types.EnvironmentDescription, path string) (int, error) {
	response, err := http.Get("http://" + *e.CNAME + path)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}
