package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/worker/process"
	"gravity/workflows"
)

// stacksConfig is what the small site stands on.
const stacksConfig = `
stacks:
  - name: gravity-site
    template: pipeline
    parameters: {ApplicationName: site, AllowProvisioning: "true"}
  - name: gravity-site-staging
    template: environment
    parameters: &network
      ApplicationName: site
      EnvironmentName: site-staging
      SolutionStackName: 64bit Amazon Linux 2023 v4.4.0 running Go 1
      VpcId: vpc-0123456789abcdef0
      LoadBalancerSubnets: subnet-00000001,subnet-00000002
      InstanceSubnets: subnet-00000003,subnet-00000004
      ArtifactBucket: ${gravity-site.Bucket}
  - name: gravity-site-production
    template: environment
    after: [gravity-site-staging]
    parameters:
      ApplicationName: site
      CreateApplication: "false"
      EnvironmentName: site-production
      SolutionStackName: 64bit Amazon Linux 2023 v4.4.0 running Go 1
      VpcId: vpc-0123456789abcdef0
      LoadBalancerSubnets: subnet-00000001,subnet-00000002
      InstanceSubnets: subnet-00000003,subnet-00000004
      ArtifactBucket: ${gravity-site.Bucket}
  - name: gravity-site-alarms
    template: alarms
    after: [gravity-site-production]
    parameters: {EnvironmentName: site-production}
`

// freshAccount is a world whose account has nothing in it, and whose gravity.yaml has stacks.
func freshAccount(t *testing.T, change func(*stackOptions)) *world {
	t.Helper()
	return newWorld(t, func(o *stackOptions) {
		o.Bare = true
		require.NoError(t, openGate(o.Site))
		path := filepath.Join(o.Site, "gravity.yaml")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		config := strings.ReplaceAll(string(text), "    application: site\n", "    application: site\n    bucket: ${gravity-site.Bucket}\n")
		config += strings.ReplaceAll(stacksConfig, " &network", "")
		require.NoError(t, os.WriteFile(path, []byte(config), 0o644))
		if change != nil {
			change(o)
		}
	})
}

func (w *world) stackNames() map[string]string {
	w.t.Helper()
	found, err := cloudformation.NewFromConfig(w.platform.Config()).DescribeStacks(w.t.Context(), &cloudformation.DescribeStacksInput{})
	require.NoError(w.t, err)
	names := map[string]string{}
	for _, stack := range found.Stacks {
		names[sdk.ToString(stack.StackName)] = string(stack.StackStatus)
	}
	return names
}

func TestAPlanShowsWhatWouldChangeAndChangesNothing(t *testing.T) {
	w := freshAccount(t, nil)
	got := w.starter("provision", "--plan")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	assert.Contains(t, got.stdout, "- add Bucket (S3::Bucket)")
	assert.Contains(t, got.stdout, "cannot be told yet: parameter ArtifactBucket: stack gravity-site is not there yet")
	assert.Contains(t, got.stdout, "nothing was changed")
	assert.Empty(t, w.stackNames())
	assert.Zero(t, w.platform.Calls()["CreateStorageLocation"], "not even a bucket for templates")
}

func TestStacksAreProvisionedWatchedForDriftChangedWithApprovalAndDestroyed(t *testing.T) {
	w := freshAccount(t, nil)
	got := w.starter("provision")
	require.Equal(t, exitSuccess, got.code, got.stdout+got.stderr)
	assert.Contains(t, got.stdout, "Bucket create complete")
	assert.Contains(t, got.stdout, "${gravity-site-staging.Address}")
	assert.Equal(t, map[string]string{"gravity-site": "CREATE_COMPLETE", "gravity-site-staging": "CREATE_COMPLETE",
		"gravity-site-production": "CREATE_COMPLETE", "gravity-site-alarms": "CREATE_COMPLETE"}, w.stackNames())
	w.record(delivery.ProvisionID("gravity-site"), workflows.ProvisionWorkflow, "four-stacks")

	got = w.starter("provision", "-o", "json")
	require.Equal(t, exitSuccess, got.code, got.stderr)
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	for _, stack := range as[provisionView](t, lines[len(lines)-1]).Stacks {
		assert.Equal(t, workflows.ProvisionUnchanged, stack.State, stack.Stack)
	}

	w.drifts()
	w.changesWithApproval()
	w.destroys()
}

func TestADeploymentAfterAProvisionedChangeIsNotStoppedAsDrift(t *testing.T) {
	w := freshAccount(t, nil)
	got := w.starter("provision")
	require.Equal(t, exitSuccess, got.code, got.stdout+got.stderr)
	head, err := w.working.Head(t.Context())
	require.NoError(t, err)
	started, err := startRun(t.Context(), w.client, w.config.Pipelines[0], delivery.Revision{SHA: head, Ref: "refs/heads/main"}, false)
	require.NoError(t, err)
	first := w.ended(started.RunID)
	require.Equal(t, workflows.StateSucceeded, first.State, first.Detail)
	require.NotEmpty(t, w.environment("site-staging").Configuration)
	untouched := w.environment("site-production").Configuration

	w.reconfigure("EnvironmentName: site-staging\n", "EnvironmentName: site-staging\n    MaxInstances: \"6\"\n")
	got = w.starter("provision")
	require.Equal(t, exitSuccess, got.code, got.stdout+got.stderr)
	require.Contains(t, got.stdout, "change Environment (ElasticBeanstalk::Environment): OptionSettings changes")
	require.Empty(t, w.environment("site-staging").Configuration)
	require.Equal(t, first.Version, w.environment("site-staging").LeftOn, "the version was nobody's to change")
	require.Equal(t, first.Version, w.observe("site-staging").VersionLabel, "the stack does not own it")
	require.Equal(t, untouched, w.environment("site-production").Configuration, "which the change did not concern")
	w.record(delivery.ProvisionID("gravity-site"), workflows.ProvisionWorkflow, "told-environments")

	next := w.ended(w.push("a change after it", goodChange))
	require.Equal(t, workflows.StateSucceeded, next.State, next.Detail)
	require.NotEmpty(t, w.environment("site-staging").Configuration)
	w.record(delivery.EnvironmentID("site", "site-staging"), workflows.EnvironmentWorkflow, "provisioned")
}

// reconfigure replaces a text of gravity.yaml that has to be there.
func (w *world) reconfigure(old, replacement string) {
	w.t.Helper()
	text, err := os.ReadFile(w.configPath())
	require.NoError(w.t, err)
	require.Contains(w.t, string(text), old)
	require.NoError(w.t, os.WriteFile(w.configPath(), []byte(strings.Replace(string(text), old, replacement, 1)), 0o600))
}

// drifts changes something by hand, and looks whether status shows it.
func (w *world) drifts() {
	w.t.Helper()
	platform := elasticbeanstalk.NewFromConfig(w.platform.Config())
	_, err := platform.UpdateEnvironment(w.t.Context(), &elasticbeanstalk.UpdateEnvironmentInput{EnvironmentName: sdk.String("site-staging"),
		OptionSettings: []types.ConfigurationOptionSetting{{Namespace: sdk.String("aws:autoscaling:asg"), OptionName: sdk.String("MaxSize"), Value: sdk.String("9")}}})
	require.NoError(w.t, err)
	w.eventually("the environment is Ready with it", func() bool { return w.observe("site-staging").Status == "Ready" })
	handle := w.client.ScheduleClient().GetHandle(w.t.Context(), process.StackDriftSchedule("gravity-site").ID)
	described, err := handle.Describe(w.t.Context())
	require.NoError(w.t, err)
	assert.Equal(w.t, []string{"gravity-site", "gravity-site-alarms", "gravity-site-production", "gravity-site-staging"}, process.Watched(described))
	require.NoError(w.t, handle.Trigger(w.t.Context(), client.ScheduleTriggerOptions{}))
	w.eventually("status shows the drift", func() bool {
		got := w.starter("status")
		return got.code == exitSuccess && strings.Contains(got.stdout, `is "9" instead of "4"`)
	})
	found, err := w.client.ListWorkflow(w.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: "WorkflowType = '" + workflows.StackDriftWorkflow + "'"})
	require.NoError(w.t, err)
	require.NotEmpty(w.t, found.GetExecutions())
	w.record(found.GetExecutions()[0].GetExecution().GetWorkflowId(), workflows.StackDriftWorkflow, "drifted")
	views, err := driftViews(w.t.Context(), w.client)
	require.NoError(w.t, err)
	drift := map[string]string{}
	for _, view := range views {
		drift[view.Stack] = view.Drift
	}
	assert.Equal(w.t, map[string]string{"gravity-site": "IN_SYNC", "gravity-site-staging": "DRIFTED", "gravity-site-production": "IN_SYNC", "gravity-site-alarms": "IN_SYNC"}, drift)
}

// changesWithApproval asks for an approval, refuses one, and has the change carried out.
func (w *world) changesWithApproval() {
	w.t.Helper()
	w.reconfigure("EnvironmentName: site-production\n", "EnvironmentName: site-production\n    MaxInstances: \"6\"\n")
	w.reconfigure("- name: gravity-site-production\n", "- name: gravity-site-production\n  approval: {timeout: 1h}\n")
	id := delivery.ProvisionID("gravity-site")

	done := make(chan ended, 1)
	go func() { done <- w.starter("provision") }()
	waiting := func() bool {
		var status workflows.ProvisionStatus
		return query(w.t.Context(), w.client, id, &status) == nil && status.State == workflows.ProvisionWaiting
	}
	w.eventually("it waits", waiting)
	got := w.starter("approve", id, "--stage", "gravity-site", "--reason", "wrong one")
	assert.Contains(w.t, got.stderr, "stack gravity-site-production waits for an answer, not gravity-site")
	got = w.starter("reject", id, "--reason", "not today")
	require.Equal(w.t, exitSuccess, got.code, got.stderr)
	rejected := <-done
	assert.Equal(w.t, exitFailed, rejected.code)
	assert.Contains(w.t, rejected.stderr, "not today")
	w.record(id, workflows.ProvisionWorkflow, "rejected")

	go func() { done <- w.starter("provision") }()
	w.eventually("it waits again", waiting)
	got = w.starter("approve", id, "--reason", "read it")
	require.Equal(w.t, exitSuccess, got.code, got.stderr)
	approved := <-done
	assert.Equal(w.t, exitSuccess, approved.code, approved.stderr)
	assert.Contains(w.t, approved.stdout, "change Environment (ElasticBeanstalk::Environment): OptionSettings changes")
}

// destroys deletes what there is, once its name was typed.
func (w *world) destroys() {
	w.t.Helper()
	got := w.starter("destroy", "gravity-site-alarms")
	assert.Equal(w.t, exitUsage, got.code)
	assert.Contains(w.t, got.stderr, `nothing was deleted: confirm with --confirm "gravity-site-alarms"`)
	all := "gravity-site gravity-site-staging gravity-site-production gravity-site-alarms"
	got = w.starter("destroy", "--all", "--confirm", all)
	require.Equal(w.t, exitSuccess, got.code, got.stdout+got.stderr)
	assert.Empty(w.t, w.stackNames())
	_, err := w.client.ScheduleClient().GetHandle(w.t.Context(), process.StackDriftSchedule("gravity-site").ID).Describe(w.t.Context())
	assert.Error(w.t, err, "there is nothing left to drift")
	w.record(delivery.ProvisionID("gravity-site"), workflows.ProvisionWorkflow, "destroyed")
}

// heard is CloudWatch as far as metrics are told to it; the stand-in has none.
type heard struct {
	mu   sync.Mutex
	told map[string]float64
}

func (h *heard) PutMetricData(_ context.Context, in *cloudwatch.PutMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, datum := range in.MetricData {
		h.told[sdk.ToString(datum.Dimensions[0].Value)] = sdk.ToFloat64(datum.Value)
	}
	return &cloudwatch.PutMetricDataOutput{}, nil
}

func (h *heard) of(environment string) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	value, told := h.told[environment]
	if !told {
		return -1
	}
	return value
}

func TestAFreezeReachesTheAlarmThatTellsOfIt(t *testing.T) {
	metrics := &heard{told: map[string]float64{}}
	w := freshAccount(t, func(o *stackOptions) { o.Metrics = metrics })
	_, api := gitHub(t)
	got := w.starter(w.bootstrapArguments(api)...)
	require.Equal(t, exitSuccess, got.code, got.stderr)
	report := func(wanted float64) {
		t.Helper()
		// The visibility lags behind what the queue knows, so that a report may be too early.
		w.eventually("the metric is told", func() bool {
			require.NoError(t, w.client.ScheduleClient().GetHandle(t.Context(), process.FreezeSchedule("gravity-site").ID).Trigger(t.Context(), client.ScheduleTriggerOptions{}))
			return metrics.of("site-production") == wanted
		})
	}
	report(0)
	require.Equal(t, exitSuccess, w.starter("freeze", "site-production", "--reason", "the database moves").code)
	report(1)
	require.Equal(t, exitSuccess, w.starter("thaw", "site-production").code)
	report(0)
	assert.Equal(t, -1.0, metrics.of("site-staging"), "which has no alarms")
	var found *workflowservice.ListWorkflowExecutionsResponse
	w.eventually("a report that has ended is found", func() bool {
		var err error
		found, err = w.client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = '" + workflows.FreezeReportWorkflow + "' AND ExecutionStatus = 'Completed'"})
		return err == nil && len(found.GetExecutions()) > 0
	})
	w.record(found.GetExecutions()[0].GetExecution().GetWorkflowId(), workflows.FreezeReportWorkflow, "told")
}

func TestAStackThatFailsEndsWith1AndSaysResourceReasonAndNextStep(t *testing.T) {
	w := freshAccount(t, func(o *stackOptions) {
		o.Faults.Stacks = []faults.Stack{{Stack: "gravity-site-staging", Resource: "InstanceProfile", Action: "create", Reason: "LimitExceeded: 1000 instance profiles"}}
	})
	got := w.starter("provision")
	assert.Equal(t, exitFailed, got.code)
	assert.Contains(t, got.stderr, "stack gravity-site-staging: InstanceProfile (AWS::IAM::InstanceProfile) failed: LimitExceeded: 1000 instance profiles; "+
		"what was made is removed again; remove what is no longer needed or ask for a higher quota in Service Quotas, and provision again")
	assert.Equal(t, map[string]string{"gravity-site": "CREATE_COMPLETE"}, w.stackNames())
	w.record(delivery.ProvisionID("gravity-site"), workflows.ProvisionWorkflow, "failed")
	require.NoError(t, w.platform.SetFaults(aws.Faults{}))
	got = w.starter("provision")
	assert.Equal(t, exitSuccess, got.code, got.stderr)
}
