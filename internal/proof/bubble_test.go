package proof

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/instance"
)

const (
	application = "shop"
	bucket      = "bundles"
	platformGo  = "64bit Amazon Linux 2023 v4.4.0 running Go 1"
	instances   = 2
)

// region is a stand-in for AWS with an application, its versions and one environment or more.
type region struct {
	testing.TB
	server *aws.Server
	api    *elasticbeanstalk.Client
	// platform is the tests' own way to look at environments.
	platform *beanstalk.Client
	// began counts the updates that each environment had begun when it was released.
	began map[string]int
}

// newRegion starts a stand-in whose applications are handlers that behave as their version's label says.
func newRegion(t testing.TB, change func(*aws.Options)) *region {
	options := aws.Options{
		DataDir: tempDir(t), Seed: 1, Log: slog.New(slog.DiscardHandler),
		Runner: instance.Fakes{Clock: clock.Real(), Handler: behave},
	}
	change(&options)
	server, err := aws.Start(context.Background(), options)
	require.NoError(t, err)
	r := &region{TB: t, server: server, api: elasticbeanstalk.NewFromConfig(server.Config()),
		platform: beanstalk.New(server.Config(), beanstalk.DefaultPace), began: map[string]int{}}
	ctx := context.Background()
	_, err = r.api.CreateApplication(ctx, &elasticbeanstalk.CreateApplicationInput{ApplicationName: sdk.String(application)})
	require.NoError(t, err)
	store := s3.NewFromConfig(server.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	_, err = store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: sdk.String(bucket)})
	require.NoError(t, err)
	var bundle bytes.Buffer
	archive := zip.NewWriter(&bundle)
	entry, err := archive.Create("Procfile")
	require.NoError(t, err)
	_, err = io.WriteString(entry, "web: true\n")
	require.NoError(t, err)
	require.NoError(t, archive.Close())
	_, err = store.PutObject(ctx, &s3.PutObjectInput{Bucket: sdk.String(bucket), Key: sdk.String("bundle.zip"), Body: bytes.NewReader(bundle.Bytes())})
	require.NoError(t, err)
	return r
}

// tempDir is removed at the very end: in a bubble, the test's own folder would be removed before the stand-in has ended.
func tempDir(t testing.TB) string {
	directory, err := os.MkdirTemp("", "gravity-proof-")
	require.NoError(t, err)
	return directory
}

// close ends the stand-in.
func (r *region) close(directory string) {
	require.NoError(r, r.server.Close())
	require.NoError(r, os.RemoveAll(directory))
}

// behave is the application: a version's label says what it does.
func behave(spec instance.Spec) (http.Handler, error) {
	kind, _, _ := strings.Cut(spec.Version, "-")
	switch kind {
	case "stuck":
		return nil, instance.ErrNeverRuns
	case "failing":
		return nil, errors.New("the hook exits with 1")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if kind == "sick" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, spec.Version)
	}), nil
}

// version registers a label.
func (r *region) version(label string) delivery.Version {
	r.Helper()
	_, err := r.api.CreateApplicationVersion(context.Background(), &elasticbeanstalk.CreateApplicationVersionInput{
		ApplicationName: sdk.String(application), VersionLabel: sdk.String(label),
		SourceBundle: &types.S3Location{S3Bucket: sdk.String(bucket), S3Key: sdk.String("bundle.zip")},
	})
	require.NoError(r, err)
	return delivery.Version{Application: application, Label: label, Bucket: bucket, Key: "bundle.zip"}
}

// create launches an environment as an operator would, and waits until it is healthy.
func (r *region) create(name, label string, strategy delivery.Strategy, pause time.Duration) {
	r.Helper()
	policy := strategy.Policy()
	if policy == "" {
		policy = delivery.Immutable.Policy() // blue-green makes environments, and updates none
	}
	var settings []types.ConfigurationOptionSetting
	for _, option := range [][3]string{
		{"aws:elasticbeanstalk:environment", "LoadBalancerType", "application"},
		{"aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced"},
		{"aws:elasticbeanstalk:environment:process:default", "HealthCheckPath", "/health"},
		{"aws:elasticbeanstalk:command", "DeploymentPolicy", policy},
		{"aws:elasticbeanstalk:command", "BatchSizeType", "Fixed"},
		{"aws:elasticbeanstalk:command", "BatchSize", "1"},
		{"aws:autoscaling:asg", "MinSize", fmt.Sprint(instances)},
	} {
		settings = append(settings, types.ConfigurationOptionSetting{
			Namespace: sdk.String(option[0]), OptionName: sdk.String(option[1]), Value: sdk.String(option[2]),
		})
	}
	_, err := r.api.CreateEnvironment(context.Background(), &elasticbeanstalk.CreateEnvironmentInput{
		ApplicationName: sdk.String(application), EnvironmentName: sdk.String(name), VersionLabel: sdk.String(label),
		CNAMEPrefix: sdk.String(name), SolutionStackName: sdk.String(platformGo), OptionSettings: settings,
	})
	require.NoError(r, err)
	for !r.wellOn(name, label) {
		time.Sleep(pause)
	}
	r.began[name] = r.begun(name)
}

// observe looks at an environment by the platform's own word, with its instances.
func (r *region) observe(name string) (delivery.Observation, error) {
	observed, err := r.platform.Environment(context.Background(), application, name)
	if err != nil {
		return observed, err
	}
	return observed, r.platform.Health(context.Background(), &observed)
}

// wellOn reports whether an environment is what a deployment claims to have proven.
func (r *region) wellOn(name, label string) bool {
	observed, err := r.observe(name)
	return err == nil && r.illness(observed, label) == ""
}

// illness says what keeps an environment from being well on a version.
func (r *region) illness(o delivery.Observation, label string) string {
	well := []string{"Ok", "Info"}
	switch {
	case !o.Ready():
		return "it is " + o.Status
	case o.VersionLabel != label:
		return "it is on " + o.VersionLabel
	case !slices.Contains(well, o.HealthStatus):
		return "its health is " + o.HealthStatus
	case len(o.Instances) < instances:
		return fmt.Sprintf("it has %d instances", len(o.Instances))
	}
	for _, i := range o.Instances {
		if i.VersionLabel != label || i.Deployment != "Deployed" || !slices.Contains(well, i.HealthStatus) {
			return fmt.Sprintf("%s is %s on %s: %s", i.ID, i.HealthStatus, i.VersionLabel, i.Deployment)
		}
	}
	return ""
}

// begun counts the updates that an environment has begun, by the platform's own events.
func (r *region) begun(name string) int {
	out, err := r.api.DescribeEvents(context.Background(), &elasticbeanstalk.DescribeEventsInput{
		ApplicationName: sdk.String(application), EnvironmentName: sdk.String(name), MaxRecords: sdk.Int32(1000)})
	require.NoError(r, err)
	count := 0
	for _, event := range out.Events {
		if sdk.ToString(event.Message) == "Environment update is starting." {
			count++
		}
	}
	return count
}

// updates counts the updates since the environment was created.
func (r *region) updates(name string) int { return r.begun(name) - r.began[name] }
