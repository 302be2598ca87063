// Package lab is what proofs and benchmarks of deployments work with: a stand-in for AWS whose
// applications cost nothing, Temporal's own server, and Gravity's own worker.
package lab

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/instance"
)

// What every region has.
const (
	Application = "shop"
	bucket      = "bundles"
	bundleKey   = "bundle.zip"
	platformGo  = "64bit Amazon Linux 2023 v4.4.0 running Go 1"
	// Instances is how many an environment has.
	Instances = 2
)

// Region is a stand-in for AWS with an application, its versions and its environments. Its applications are
// handlers, which behave as their version's label says.
type Region struct {
	Server   *aws.Server
	api      *elasticbeanstalk.Client
	platform *beanstalk.Client

	mu sync.Mutex
	// began counts the updates that each environment had begun when it was released.
	began map[string]int
}

// NewRegion starts a stand-in with an application. Close ends it.
func NewRegion(options aws.Options) (*Region, error) {
	options.Log = slog.New(slog.DiscardHandler)
	if options.Clock == nil {
		options.Clock = clock.Real()
	}
	options.Runner = instance.Fakes{Clock: options.Clock, Handler: behave}
	server, err := aws.Start(context.Background(), options)
	if err != nil {
		return nil, err
	}
	r := &Region{
		Server: server, api: elasticbeanstalk.NewFromConfig(server.Config()),
		platform: beanstalk.New(server.Config(), beanstalk.DefaultPace), began: map[string]int{},
	}
	if err := r.fill(context.Background()); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return r, nil
}

// Close ends the stand-in.
func (r *Region) Close() error { return r.Server.Close() }

// fill makes the application, and the one bundle that all versions share.
func (r *Region) fill(ctx context.Context) error {
	_, err := r.api.CreateApplication(ctx, &elasticbeanstalk.CreateApplicationInput{ApplicationName: sdk.String(Application)})
	if err != nil {
		return err
	}
	store := s3.NewFromConfig(r.Server.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: sdk.String(bucket)}); err != nil {
		return err
	}
	var bundle bytes.Buffer
	archive := zip.NewWriter(&bundle)
	entry, err := archive.Create("Procfile")
	if err == nil {
		_, err = io.WriteString(entry, "web: true\n")
	}
	if err = errors.Join(err, archive.Close()); err != nil {
		return err
	}
	_, err = store.PutObject(ctx, &s3.PutObjectInput{Bucket: sdk.String(bucket), Key: sdk.String(bundleKey), Body: bytes.NewReader(bundle.Bytes())})
	return err
}

// behave is the application: what stands before the first dash of a version's label says what it does.
func behave(spec instance.Spec) (http.Handler, error) {
	kind, _, _ := strings.Cut(spec.Version, "-")
	switch kind {
	case "stuck":
		return nil, instance.ErrNeverRuns
	case "failing":
		return nil, errors.New("the hook exits with 1")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind == "sick" || kind == "broken" && r.URL.Path != healthPath {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, spec.Version)
	}), nil
}

// healthPath is what load balancers ask for.
const healthPath = "/health"

// Version registers a label: "good-…", "sick-…" (fails its health check), "broken-…" (fails its users alone),
// "stuck-…" (never serves) or "failing-…" (cannot be deployed).
func (r *Region) Version(label string) (delivery.Version, error) {
	_, err := r.api.CreateApplicationVersion(context.Background(), &elasticbeanstalk.CreateApplicationVersionInput{
		ApplicationName: sdk.String(Application), VersionLabel: sdk.String(label),
		SourceBundle: &types.S3Location{S3Bucket: sdk.String(bucket), S3Key: sdk.String(bundleKey)},
	})
	return delivery.Version{Application: Application, Label: label, Bucket: bucket, Key: bundleKey}, err
}

// IsGood reports whether a label's version is one that is to be deployed and proven.
func IsGood(label string) bool { return strings.HasPrefix(label, "good-") }

// Exists reports whether an error is that a version has been registered before.
func Exists(err error) bool { return err != nil && strings.Contains(err.Error(), "already exists") }

// Create launches an environment as an operator would, and looks at every pause until it is well.
func (r *Region) Create(name, label string, strategy delivery.Strategy, pause time.Duration) error {
	if err := r.launch(name, label, strategy); err != nil {
		return err
	}
	for r.WhyNotWell(name, label) != "" {
		time.Sleep(pause)
	}
	return r.Settled(name)
}

func (r *Region) launch(name, label string, strategy delivery.Strategy) error {
	policy := strategy.Policy()
	if policy == "" {
		policy = delivery.Immutable.Policy() // blue-green makes environments, and updates none
	}
	var settings []types.ConfigurationOptionSetting
	for _, option := range [][3]string{
		{"aws:elasticbeanstalk:environment", "LoadBalancerType", "application"},
		{"aws:elasticbeanstalk:healthreporting:system", "SystemType", "enhanced"},
		{"aws:elasticbeanstalk:environment:process:default", "HealthCheckPath", healthPath},
		{"aws:elasticbeanstalk:command", "DeploymentPolicy", policy},
		{"aws:elasticbeanstalk:command", "BatchSizeType", "Fixed"},
		{"aws:elasticbeanstalk:command", "BatchSize", "1"},
		{"aws:autoscaling:asg", "MinSize", fmt.Sprint(Instances)},
	} {
		settings = append(settings, types.ConfigurationOptionSetting{
			Namespace: sdk.String(option[0]), OptionName: sdk.String(option[1]), Value: sdk.String(option[2]),
		})
	}
	_, err := r.api.CreateEnvironment(context.Background(), &elasticbeanstalk.CreateEnvironmentInput{
		ApplicationName: sdk.String(Application), EnvironmentName: sdk.String(name), VersionLabel: sdk.String(label),
		CNAMEPrefix: sdk.String(name), SolutionStackName: sdk.String(platformGo), OptionSettings: settings,
	})
	return err
}

// CreateAll launches many environments at once, and waits until all of them are well.
func (r *Region) CreateAll(ctx context.Context, names []string, label string, strategy delivery.Strategy) error {
	var launches errgroup.Group
	launches.SetLimit(16)
	for _, name := range names {
		launches.Go(func() error { return r.launch(name, label, strategy) })
	}
	if err := launches.Wait(); err != nil {
		return err
	}
	for {
		observed, err := r.platform.Environments(ctx, names)
		if err != nil {
			return err
		}
		ready := 0
		for _, o := range observed {
			if o.Ready() && o.HealthStatus == "Ok" {
				ready++
			}
		}
		if ready == len(names) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d environments are well: %w", ready, len(names), ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// Observe looks at an environment by the platform's own word, with its instances.
func (r *Region) Observe(name string) (delivery.Observation, error) {
	observed, err := r.Look(name)
	if err != nil {
		return observed, err
	}
	return observed, r.platform.Health(context.Background(), &observed)
}

// Look is one call: an environment without its instances.
func (r *Region) Look(name string) (delivery.Observation, error) {
	return r.platform.Environment(context.Background(), Application, name)
}

// Live is one call: the environment that a stage's users have.
func (r *Region) Live(stage delivery.Stage) (delivery.Observation, error) {
	return r.platform.OfStage(context.Background(), Application, stage)
}

// WhyNotWell says what keeps an environment from being what a deployment claims to have proven; empty when nothing does.
func (r *Region) WhyNotWell(name, label string) string {
	observed, err := r.Observe(name)
	if err != nil {
		return err.Error()
	}
	return illness(observed, label)
}

func illness(o delivery.Observation, label string) string {
	well := []string{"Ok", "Info"}
	switch {
	case !o.Ready():
		return "it is " + o.Status
	case o.VersionLabel != label:
		return "it is on " + o.VersionLabel
	case !slices.Contains(well, o.HealthStatus):
		return "its health is " + o.HealthStatus
	case len(o.Instances) < Instances:
		return fmt.Sprintf("it has %d instances", len(o.Instances))
	}
	for _, i := range o.Instances {
		if i.VersionLabel != label || i.Deployment != "Deployed" || !slices.Contains(well, i.HealthStatus) {
			return fmt.Sprintf("%s is %s on %s: %s", i.ID, i.HealthStatus, i.VersionLabel, i.Deployment)
		}
	}
	return ""
}

// Updates counts the updates that an environment has begun since it was created, by the platform's own events.
func (r *Region) Updates(name string) (int, error) {
	count, err := r.begun(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	return count - r.began[name], err
}

func (r *Region) begun(name string) (int, error) {
	count := 0
	events, err := r.Events(name)
	for _, event := range events {
		if event.Message == updateStarting {
			count++
		}
	}
	return count, err
}

// Changes are what was begun, whoever did it.
type Changes struct {
	Made, Swapped, Ended, Updated int
}

// Changes counts what has begun since a moment, in the whole application or in environments of these names: environments
// by their descriptions, which show at once, and what becomes of them by the platform's events.
func (r *Region) Changes(since time.Time, names ...string) (Changes, error) {
	var changes Changes
	described, err := r.api.DescribeEnvironments(context.Background(), &elasticbeanstalk.DescribeEnvironmentsInput{
		ApplicationName: sdk.String(Application), EnvironmentNames: names, IncludeDeleted: sdk.Bool(true), IncludedDeletedBackTo: sdk.Time(since),
	})
	if err != nil {
		return changes, err
	}
	for _, e := range described.Environments {
		if !sdk.ToTime(e.DateCreated).Before(since) {
			changes.Made++
		}
		if e.Status == types.EnvironmentStatusTerminating || e.Status == types.EnvironmentStatusTerminated {
			changes.Ended++
		}
	}
	events, err := r.events(&elasticbeanstalk.DescribeEventsInput{ApplicationName: sdk.String(Application), StartTime: sdk.Time(since)})
	for _, event := range events {
		if len(names) > 0 && !slices.Contains(names, event.Environment) {
			continue
		}
		switch {
		case strings.HasPrefix(event.Message, "Swapping CNAMEs for environments "): // said once for the two
			changes.Swapped++
		case event.Message == updateStarting:
			changes.Updated++
		}
	}
	return changes, err
}

const updateStarting = "Environment update is starting."

// Event is one thing that the platform said.
type Event struct {
	Environment string
	At          time.Time
	Message     string
}

// Events are what the platform says of an environment, oldest first.
func (r *Region) Events(name string) ([]Event, error) {
	return r.events(&elasticbeanstalk.DescribeEventsInput{ApplicationName: sdk.String(Application), EnvironmentName: sdk.String(name)})
}

func (r *Region) events(in *elasticbeanstalk.DescribeEventsInput) ([]Event, error) {
	var events []Event
	for pages := elasticbeanstalk.NewDescribeEventsPaginator(r.api, in); pages.HasMorePages(); {
		page, err := pages.NextPage(context.Background())
		if err != nil {
			return nil, err
		}
		for _, event := range page.Events {
			events = append(events, Event{
				Environment: sdk.ToString(event.EnvironmentName), At: sdk.ToTime(event.EventDate), Message: sdk.ToString(event.Message),
			})
		}
	}
	slices.Reverse(events)
	return events, nil
}

// Settled counts from now on: what somebody did before is not Gravity's.
func (r *Region) Settled(name string) error {
	count, err := r.begun(name)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began[name] = count
	return err
}

// Swap begins to exchange the addresses of two environments.
func (r *Region) Swap(one, other string) error {
	_, err := r.api.SwapEnvironmentCNAMEs(context.Background(), &elasticbeanstalk.SwapEnvironmentCNAMEsInput{
		SourceEnvironmentName: sdk.String(one), DestinationEnvironmentName: sdk.String(other),
	})
	return err
}

// Terminate begins to take an environment down.
func (r *Region) Terminate(name string) error {
	_, err := r.api.TerminateEnvironment(context.Background(), &elasticbeanstalk.TerminateEnvironmentInput{EnvironmentName: sdk.String(name)})
	return err
}
