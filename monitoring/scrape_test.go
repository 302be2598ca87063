package monitoring

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/proof/lab"
	"gravity/internal/webhook"
	"gravity/worker/runs"
	"gravity/workflows"
)

// installation is Gravity as it is operated: a worker and a receiver, each a process of its own, beside
// Temporal's server and a stand-in for AWS.
type installation struct {
	*testing.T
	*lab.Lab
	directory, programs string
	environment         []string
	worker, receiver    string // where their metrics are
	webhook             string
	receiverProcess     *os.Process
}

const secret = "a secret of these tests"

const pipelines = `
pipelines:
  - name: broken
    repository: https://127.0.0.1:1/example/broken
    application: shop
    test: {run: "true"}
    stages: [{name: production, environment: shop-live}]
`

func install(t *testing.T) *installation {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	i := &installation{T: t, directory: t.TempDir()}
	i.programs = filepath.Join(i.directory, "programs")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", i.programs+"/", "gravity/worker", "gravity/starter")
	output, err := build.CombinedOutput()
	require.NoError(t, err, string(output))
	i.Lab, err = lab.Start(t.Context(), lab.Options{Directory: filepath.Join(i.directory, "lab"), AWS: aws.Options{Pace: aws.TestPace()}, NoWorker: true})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, i.Close()) })
	keys, err := i.Server.Config().Credentials.Retrieve(t.Context())
	require.NoError(t, err)
	i.environment = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + i.directory, "TEMPORAL_ADDRESS=" + i.Temporal.Address(),
		"AWS_ENDPOINT_URL=" + i.Server.URL(), "AWS_REGION=" + i.Server.Config().Region,
		"AWS_ACCESS_KEY_ID=" + keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + keys.SecretAccessKey,
	}
	require.NoError(t, os.WriteFile(i.path("secret"), []byte(secret), 0o600))
	require.NoError(t, os.WriteFile(i.path("gravity.yaml"), []byte(pipelines), 0o600))
	_, worker := i.start("worker", "worker started", "--directory", i.path("worker"), "--commands-as-worker", "--metrics-listen", "127.0.0.1:0")
	process, receiver := i.start("starter", "listening", "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
		"--secret-file", i.path("secret"), "--config", i.path("gravity.yaml"), "--catch-up", "0", "--drain", "0s")
	i.receiverProcess = process
	i.worker, i.receiver, i.webhook = worker["serving metrics"], receiver["serving metrics"], "http://"+receiver["listening"]+"/webhook"
	return i
}

func (i *installation) path(name string) string { return filepath.Join(i.directory, name) }

// start runs a program until the test ends, and answers with the addresses in its log up to a message.
func (i *installation) start(program, until string, arguments ...string) (*os.Process, map[string]string) {
	i.Helper()
	command := exec.Command(filepath.Join(i.programs, program), arguments...)
	command.Env = i.environment
	log, err := command.StderrPipe()
	require.NoError(i, err)
	require.NoError(i, command.Start())
	i.Cleanup(sync.OnceFunc(func() {
		_ = command.Process.Signal(os.Interrupt)
		_, _ = io.Copy(io.Discard, log)
		_ = command.Wait()
	}))
	addresses := map[string]string{}
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue
		}
		if line.Address != "" {
			addresses[line.Msg] = line.Address
		}
		if line.Msg == until {
			go func() { _, _ = io.Copy(io.Discard, log) }()
			return command.Process, addresses
		}
	}
	require.FailNow(i, program+" ended before it was ready")
	return nil, nil
}

// scrape asks a process as Prometheus does.
func (i *installation) scrape(address string) map[string]*dto.MetricFamily {
	i.Helper()
	response, err := http.Get("http://" + address + "/metrics")
	require.NoError(i, err)
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(response.Body)
	require.NoError(i, err)
	return families
}

// value reads one series, or nil when there is none with these labels.
func (i *installation) value(address, name string, labels map[string]string) *float64 {
	i.Helper()
	for _, metric := range i.scrape(address)[name].GetMetric() {
		matching := 0
		for _, label := range metric.GetLabel() {
			if labels[label.GetName()] == label.GetValue() {
				matching++
			}
		}
		if matching == len(labels) {
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			return &value
		}
	}
	return nil
}

// becomes waits until a series has a value.
func (i *installation) becomes(address, name string, labels map[string]string, wanted float64) {
	i.Helper()
	assert.Eventually(i, func() bool {
		value := i.value(address, name, labels)
		return value != nil && *value == wanted
	}, time.Minute, 200*time.Millisecond, "%s %v is %v", name, labels, wanted)
}

// deploy asks for a deployment and waits for its end.
func (i *installation) deploy(stage delivery.Stage, version delivery.Version) delivery.Result {
	i.Helper()
	ctx, cancel := context.WithTimeout(i.Context(), 4*time.Minute)
	defer cancel()
	deployment, err := i.Deploy(ctx, stage, version)
	require.NoError(i, err)
	record, _, err := i.Await(ctx, stage.Environment, deployment)
	require.NoError(i, err)
	return record.Result
}

func (i *installation) send(signedWith string) int {
	i.Helper()
	body := `{"zen":"Keep it logically awesome."}`
	request, err := http.NewRequestWithContext(i.Context(), http.MethodPost, i.webhook, strings.NewReader(body))
	require.NoError(i, err)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": "ping", "X-GitHub-Delivery": "d-1",
		"X-Hub-Signature-256": webhook.Sign([]byte(signedWith), []byte(body)),
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(i, err)
	require.NoError(i, response.Body.Close())
	return response.StatusCode
}

func TestEveryMetricThatIsAskedForIsExposedByAnInstallationThatDeploys(t *testing.T) {
	i := install(t)
	versions := map[string]delivery.Version{}
	for _, label := range []string{"good-0", "good-1", "broken-2", "good-3"} {
		version, err := i.Version(label)
		require.NoError(t, err)
		versions[label] = version
	}
	require.NoError(t, i.Create("shop-live", "good-0", delivery.AllAtOnce, 50*time.Millisecond))
	stage := lab.Stage("shop-live", delivery.AllAtOnce, func(s *delivery.Stage) {
		s.Health.Steady, s.Health.Settle = delivery.Duration(time.Second), delivery.Duration(time.Second)
	})
	watching := i.watched()
	require.Equal(t, delivery.OutcomeDeployed, i.deploy(stage, versions["good-1"]).Outcome)
	require.NoError(t, i.Server.SetFaults(aws.Faults{ThrottleCalls: 0.2}))
	taken := i.deploy(stage, versions["broken-2"])
	require.Equal(t, delivery.OutcomeRolledBack, taken.Outcome, taken.Reason)

	// Each deployment is counted once, and a rollback by what caused it.
	deployments := func(outcome delivery.Outcome, cause delivery.ErrorType) map[string]string {
		return map[string]string{"pipeline": lab.Application, "environment": "shop-live", "outcome": string(outcome), "cause": string(cause)}
	}
	i.becomes(i.worker, "gravity_deployments_total", deployments(delivery.OutcomeDeployed, ""), 1)
	i.becomes(i.worker, "gravity_deployments_total", deployments(delivery.OutcomeRolledBack, taken.Cause), 1)
	require.NotEmpty(t, taken.Cause)
	updates := 0.0
	for _, outcome := range []string{"answered", "throttled"} {
		if value := i.value(i.worker, "gravity_aws_calls_total", map[string]string{
			"service": "Elastic Beanstalk", "operation": "UpdateEnvironment", "outcome": outcome,
		}); value != nil {
			updates += *value
		}
	}
	require.EqualValues(t, i.Server.Calls()["UpdateEnvironment"], updates, "as many as AWS saw")
	throttled := i.value(i.worker, "gravity_aws_calls_total", map[string]string{"service": "Elastic Beanstalk", "outcome": "throttled"})
	require.NotNil(t, throttled)
	require.Positive(t, *throttled)

	i.becomes(i.receiver, "gravity_backlog_up", map[string]string{"about": "workflows"}, 1)
	i.becomes(i.receiver, "gravity_backlog_up", map[string]string{"about": "task queues"}, 1)
	i.becomes(i.receiver, "gravity_workflows_running", map[string]string{"workflow_type": "Environment", "state": "idle"}, 1)
	i.becomes(i.receiver, "gravity_task_queue_pollers", map[string]string{"task_queue": workflows.PlatformQueue, "task_type": "activity"}, 1)

	require.NoError(t, i.Server.SetFaults(aws.Faults{}))
	i.trouble()
	i.losesADeployment(stage, versions["good-3"])
	i.becomes(i.worker, "gravity_deployments_total", deployments(delivery.OutcomeNeedsAttention, ""), 1)
	i.becomes(i.receiver, "gravity_workflows_running", map[string]string{"workflow_type": "Environment", "state": "frozen"}, 1)
	i.becomes(i.worker, "gravity_runs_total", map[string]string{"pipeline": "broken", "state": "aborted", "build": "aborted"}, 1)
	i.becomes(i.worker, "gravity_runs_total", map[string]string{"pipeline": "wrong", "state": "failed", "build": "failed"}, 1)
	i.becomes(i.receiver, "gravity_configuration_right", nil, 0)
	i.becomes(i.receiver, "gravity_task_queue_backlog", map[string]string{"task_queue": "gravity", "task_type": "workflow"}, 0)

	i.outage()
	if watching != nil {
		watching.fires("EnvironmentNeedsAttention")
		watching.fires("ConfigurationBroken")
		watching.fires("WorkflowTasksFail")
		watching.givesValues()
	}
	names := used(t)
	assert.Eventually(t, func() bool { return len(i.missing(names)) == 0 }, time.Minute, time.Second)
	for _, name := range i.missing(names) {
		assert.Fail(t, "nobody exposes "+name, "%s asks for it", names[name])
	}
}

// missing lists the metrics that neither process exposes.
func (i *installation) missing(names map[string]string) []string {
	i.Helper()
	exposed := map[string]bool{}
	for _, address := range []string{i.worker, i.receiver} {
		for name, family := range i.scrape(address) {
			exposed[name] = true
			if family.GetType() == dto.MetricType_HISTOGRAM {
				exposed[name+"_bucket"], exposed[name+"_sum"], exposed[name+"_count"] = true, true, true
			}
		}
	}
	var missing []string
	for name := range names {
		if !exposed[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	return missing
}

// trouble does what is counted only when something is wrong.
func (i *installation) trouble() {
	i.Helper()
	ctx := i.Context()
	require.Equal(i, http.StatusOK, i.send(secret))
	require.Equal(i, http.StatusUnauthorized, i.send("another secret"))

	require.NoError(i, os.WriteFile(i.path("gravity.yaml"), []byte("pipelines: [nonsense]"), 0o600))
	require.NoError(i, i.receiverProcess.Signal(syscall.SIGHUP))

	// A workflow that nobody knows.
	_, err := i.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "unknown", TaskQueue: workflows.Queue}, "Unknown")
	require.NoError(i, err)

	// A run whose repository is none, and one whose repository does not answer until somebody has enough of it.
	begin := func(name, repository string) string {
		pipeline := delivery.Pipeline{
			Name: name, Repository: repository, Application: lab.Application,
			Stages: []delivery.Stage{lab.Stage("shop-live", delivery.AllAtOnce, nil)},
		}
		started, err := runs.Start(ctx, i.Client, runs.Request{
			Pipeline: pipeline, Revision: delivery.Revision{SHA: strings.Repeat("b", 40), Ref: "refs/heads/main"},
		})
		require.NoError(i, err)
		return started.RunID
	}
	begin("wrong", "/nowhere")
	waits := begin("broken", "https://127.0.0.1:1/example/broken")
	i.becomes(i.receiver, "gravity_workflows_running", map[string]string{"workflow_type": "Pipeline", "state": "building"}, 1)
	require.NoError(i, i.Client.SignalWorkflow(ctx, waits, "", workflows.AbortSignal, "enough"))
}

// losesADeployment has somebody terminate a deployment whose health is waited for: nobody knows what the
// environment is on then.
func (i *installation) losesADeployment(stage delivery.Stage, version delivery.Version) {
	i.Helper()
	stage.Health.Steady = delivery.Duration(time.Hour)
	deployment, err := i.Deploy(i.Context(), stage, version)
	require.NoError(i, err)
	require.Eventually(i, func() bool {
		described, err := i.Client.DescribeWorkflowExecution(i.Context(), deployment, "")
		return err == nil && slices.ContainsFunc(described.GetPendingActivities(), func(pending *workflow.PendingActivityInfo) bool {
			return pending.GetActivityType().GetName() == "AwaitHealth" && pending.GetLastHeartbeatTime() != nil
		})
	}, time.Minute, 50*time.Millisecond)
	require.NoError(i, i.Client.TerminateWorkflow(i.Context(), deployment, "", "by mistake"))
}

// outage takes Temporal away for a while.
func (i *installation) outage() {
	i.Helper()
	require.NoError(i, i.Temporal.Kill())
	i.becomes(i.receiver, "gravity_backlog_up", map[string]string{"about": "workflows"}, 0)
	i.becomes(i.receiver, "gravity_backlog_up", map[string]string{"about": "task queues"}, 0)
	families := i.scrape(i.receiver)
	for _, name := range []string{"gravity_workflows_running", "gravity_task_queue_backlog", "gravity_task_queue_pollers"} {
		assert.NotContains(i, families, name, "what was true before may not be any more")
	}
	require.NoError(i, i.Temporal.Restart(i.Context()))
	i.becomes(i.receiver, "gravity_backlog_up", map[string]string{"about": "workflows"}, 1)
}

// freeAddress is one that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
