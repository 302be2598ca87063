package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"gravity/workflows"
)

// parentVariable turns this test binary into a program that starts a cluster in the folder that the variable names,
// says the IDs of its processes, and waits to be killed.
const parentVariable = "GRAVITY_CLUSTER_TEST_PARENT"

func TestMain(m *testing.M) {
	directory := os.Getenv(parentVariable)
	if directory == "" {
		os.Exit(m.Run())
	}
	c, err := Start(context.Background(), Options{Directory: directory})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	for _, pid := range family(c) {
		fmt.Print(pid, " ")
	}
	fmt.Println()
	select {}
}

func attributes() map[string]string {
	all := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		all[name] = "Keyword"
	}
	return all
}

func start(t *testing.T, options Options) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PostgreSQL and Temporal's server")
	}
	options.Progress = func(line string) { t.Log(line) }
	c, err := Start(t.Context(), options)
	if errors.Is(err, ErrNoPostgreSQL) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

func dial(t *testing.T, c *Cluster) client.Client {
	t.Helper()
	options, err := c.ClientOptions()
	require.NoError(t, err)
	connection, err := client.DialContext(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(connection.Close)
	return connection
}

// family are the cluster's processes and their children.
func family(c *Cluster) []int {
	all := c.Pids()
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		content, _ := os.ReadFile(path)
		fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
		for _, pid := range c.Pids() {
			if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
				child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
				all = append(all, child)
			}
		}
	}
	return all
}

func assertGone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		// What ended and whose new parent did not ask for it yet is a zombie.
		status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		assert.True(t, err != nil || strings.Contains(string(status), ") Z "), "process %d is still there: %s", pid, status)
	}
}

// count is a workflow that answers with the signals that it got, when it has got as many as it is to.
func count(ctx workflow.Context, wanted int) (got int, err error) {
	for signals := workflow.GetSignalChannel(ctx, "more"); got < wanted; got++ {
		signals.Receive(ctx, nil)
	}
	return got, nil
}

func startWorker(t *testing.T, connection client.Client) {
	t.Helper()
	w := worker.New(connection, "counts", worker.Options{})
	w.RegisterWorkflowWithOptions(count, workflow.RegisterOptions{Name: "count"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// persistently does something until it works: while the server or its database is away, it must not.
func persistently(t *testing.T, do func(ctx context.Context) error) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		assert.NoError(c, do(ctx))
	}, time.Minute, 50*time.Millisecond)
}

func TestAWorkflowSurvivesTheDeathOfTheServerAndOfTheDatabase(t *testing.T) {
	c := start(t, Options{Directory: t.TempDir(), SearchAttributes: attributes()})
	connection := dial(t, c)
	startWorker(t, connection)
	run, err := connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "counted", TaskQueue: "counts"}, "count", 3)
	require.NoError(t, err)
	signal := func(ctx context.Context) error {
		return connection.SignalWorkflow(ctx, "counted", run.GetRunID(), "more", nil)
	}
	require.NoError(t, signal(t.Context()))

	server := c.Pids()[0]
	require.NoError(t, c.KillTemporal())
	assertGone(t, []int{server})
	somebody, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.temporal.ports["matching"].GRPC)))
	require.NoError(t, err, "whatever took one of its other ports meanwhile keeps it")
	t.Cleanup(func() { _ = somebody.Close() })
	require.NoError(t, c.StartTemporal(t.Context()))
	persistently(t, signal) // the same client finds the server on the same port

	database := c.Pids()[1]
	processes := family(c)
	require.Greater(t, len(processes), 5, "PostgreSQL has a process for each connection")
	require.NoError(t, c.KillDatabase())
	assert.Len(t, c.Pids(), 1)
	for _, pid := range processes {
		if pid != c.Pids()[0] {
			assertGone(t, []int{pid})
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	require.Error(t, signal(ctx), "without a database nothing is confirmed")
	require.NoError(t, c.StartDatabase(t.Context()))
	assert.NotEqual(t, database, c.Pids()[1])
	persistently(t, signal)

	var got int
	require.NoError(t, run.Get(t.Context(), &got))
	assert.Equal(t, 3, got)
}

func TestTheSearchAttributesCountFromTheStart(t *testing.T) {
	c := start(t, Options{Directory: t.TempDir(), Namespace: "deliveries", SearchAttributes: attributes()})
	connection := dial(t, c)
	_, err := connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "found", TaskQueue: "nobody",
		TypedSearchAttributes: temporal.NewSearchAttributes(workflows.PipelineAttribute.ValueSet("site")),
	}, "Anything")
	require.NoError(t, err)
	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		page, err := connection.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: workflows.PipelineAttribute.GetName() + " = 'site'",
		})
		if assert.NoError(collect, err) && assert.Len(collect, page.Executions, 1) {
			assert.Equal(collect, "found", page.Executions[0].Execution.WorkflowId)
		}
	}, time.Minute, 20*time.Millisecond)
}

func TestCloseLeavesNoProcessAndTheNextStartTakesUpTheFolder(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "not", "there yet")
	c := start(t, Options{Directory: directory})
	_, err := dial(t, c).ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "kept", TaskQueue: "nobody"}, "Anything")
	require.NoError(t, err)
	processes := family(c)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "closing twice is closing once")
	assertGone(t, processes)
	require.ErrorIs(t, c.StartTemporal(t.Context()), errClosed)
	require.ErrorIs(t, c.StartDatabase(t.Context()), errClosed)

	later := start(t, Options{Directory: directory, SearchAttributes: attributes()})
	_, err = dial(t, later).DescribeWorkflowExecution(t.Context(), "kept", "")
	require.NoError(t, err)
}

func TestNoSecretIsOnACommandLine(t *testing.T) {
	c := start(t, Options{Directory: t.TempDir()})
	password, err := os.ReadFile(c.database.passwordFile())
	require.NoError(t, err)
	require.Len(t, password, 26)
	for _, pid := range c.Pids() {
		arguments, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		require.NoError(t, err)
		assert.NotContains(t, string(arguments), string(password))
	}
	for _, name := range []string{"password", "server.yaml"} {
		info, err := os.Stat(filepath.Join(c.options.Directory, name))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode())
	}
}

func TestKillingTheParentEndsTheCluster(t *testing.T) {
	directory := t.TempDir()
	first := start(t, Options{Directory: directory}) // makes the database, or skips
	require.NoError(t, first.Close())
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"="+directory)
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	defer func() { _ = parent.Process.Kill() }()
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	var pids []int
	for _, field := range strings.Fields(line) {
		pid, err := strconv.Atoi(field)
		require.NoError(t, err, line)
		pids = append(pids, pid)
	}
	require.Greater(t, len(pids), 5)

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()

	// At once: the start itself waits out the moment that the old database takes to end.
	start(t, Options{Directory: directory})
	assertGone(t, pids)
}
