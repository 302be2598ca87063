package temporal

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
	"gravity/internal/local/child"
)

// helperVariable turns this test binary into a program that starts a server in the folder that the
// variable names, says its process ID, and waits to be killed.
const helperVariable = "GRAVITY_TEMPORAL_TEST_PARENT"

func TestMain(m *testing.M) {
	if directory := os.Getenv(helperVariable); directory != "" {
		server, err := Start(context.Background(), Options{DataDir: directory, Headless: true})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		// A child that prints nothing: the server itself also dies of writing to a pipe that is closed.
		quiet, err := child.Start(child.Command{Name: "sleep", Path: "sleep", Arguments: []string{"100"}, Environment: child.Environment()})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(server.Pid(), quiet.Pid)
		select {}
	}
	os.Exit(m.Run())
}

func start(t *testing.T, options Options) *Server {
	t.Helper()
	server, err := Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Close()) })
	return server
}

func dial(t *testing.T, server *Server) client.Client {
	t.Helper()
	connection, err := server.connect()
	require.NoError(t, err)
	t.Cleanup(connection.Close)
	return connection
}

func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	// A process whose new parent has not asked for its end yet is a zombie: ended all the same.
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(status), ") Z ")
}

func TestAServerInMemoryAnswersWithItsUIAndLeavesNothingWhenClosed(t *testing.T) {
	t.Parallel()
	var mutex sync.Mutex
	var lines []string
	server := start(t, Options{Namespace: "deliveries", Progress: func(line string) {
		mutex.Lock()
		defer mutex.Unlock()
		lines = append(lines, line)
	}})

	connection := dial(t, server)
	_, err := connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "first", TaskQueue: "nobody"}, "Anything")
	require.NoError(t, err)
	require.NoError(t, server.askUI(t.Context()))
	assert.Equal(t, "deliveries", server.Namespace())

	mutex.Lock()
	assert.Contains(t, lines, "starting Temporal's development server")
	assert.Contains(t, lines[len(lines)-1], server.Address())
	assert.Contains(t, lines[len(lines)-1], server.UIURL())
	mutex.Unlock()

	pid := server.Pid()
	require.NoError(t, server.Close())
	require.NoError(t, server.Close(), "closing twice is closing once")
	assert.True(t, gone(pid))
	<-server.Done()
	require.NoError(t, server.Err())
	assert.Error(t, server.Restart(t.Context()), "what was closed stays closed")
}

func TestAPortInUseIsNamedTogetherWithItsFlag(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	taken := listener.Addr().(*net.TCPAddr).Port

	_, err = Start(t.Context(), Options{Port: taken})
	require.ErrorContains(t, err, fmt.Sprintf("port %d is in use", taken))
	require.ErrorContains(t, err, "--temporal-port")
	assert.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))

	_, err = Start(t.Context(), Options{UIPort: taken})
	require.ErrorContains(t, err, fmt.Sprintf("port %d is in use", taken))
	assert.ErrorContains(t, err, "--ui-port")

	_, err = Start(t.Context(), Options{Port: 70000})
	assert.ErrorContains(t, err, "port 70000 does not exist")
}

func TestAFileKeepsItsWorkflowsOverACrashAndOverTheNextStart(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "not", "there yet")
	port, err := freePort()
	require.NoError(t, err)
	server := start(t, Options{DataDir: directory, Headless: true, Port: port})
	assert.Empty(t, server.UIURL())
	assert.Equal(t, "127.0.0.1:"+strconv.Itoa(port), server.Address())
	connection := dial(t, server)
	_, err = connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "kept", TaskQueue: "nobody"}, "Anything")
	require.NoError(t, err)

	before := server.Pid()
	require.NoError(t, server.Kill())
	assert.True(t, gone(before))
	require.NoError(t, server.Restart(t.Context()))
	assert.NotEqual(t, before, server.Pid())
	described, err := connection.DescribeWorkflowExecution(t.Context(), "kept", "")
	require.NoError(t, err, "the same client finds the server on the same port")
	assert.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, described.WorkflowExecutionInfo.Status)
	select {
	case <-server.Done():
		t.Fatal("a crash on request is not the end")
	default:
	}
	require.NoError(t, server.Close())

	// Attributes that a newer Gravity needs come into the old file.
	later := start(t, Options{DataDir: directory, Headless: true, SearchAttributes: map[string]string{"Pipeline": "Keyword", "Attempts": "Int"}})
	second := dial(t, later)
	_, err = second.DescribeWorkflowExecution(t.Context(), "kept", "")
	require.NoError(t, err)
	assertUsable(t, second)
	answer, err := second.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	assert.Equal(t, retention, answer.Config.WorkflowExecutionRetentionTtl.AsDuration())
	require.NoError(t, later.Close())

	_, err = Start(t.Context(), Options{DataDir: directory, Headless: true, SearchAttributes: map[string]string{"Pipeline": "Int"}})
	assert.ErrorContains(t, err, "search attribute Pipeline is of type Keyword in the database, wanted is Int")
}

// assertUsable starts a workflow with the search attribute and finds it by that.
func assertUsable(t *testing.T, connection client.Client) {
	t.Helper()
	listed, err := connection.OperatorService().ListSearchAttributes(t.Context(), &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	require.NoError(t, err)
	assert.Equal(t, enums.INDEXED_VALUE_TYPE_KEYWORD, listed.CustomAttributes["Pipeline"])
	assert.Equal(t, enums.INDEXED_VALUE_TYPE_INT, listed.CustomAttributes["Attempts"])
	_, err = connection.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: "found", TaskQueue: "nobody",
		TypedSearchAttributes: sdk.NewSearchAttributes(sdk.NewSearchAttributeKeyKeyword("Pipeline").ValueSet("site")),
	}, "Anything")
	require.NoError(t, err)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		page, err := connection.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: "Pipeline = 'site'"})
		if assert.NoError(c, err) && assert.Len(c, page.Executions, 1) {
			assert.Equal(c, "found", page.Executions[0].Execution.WorkflowId)
		}
	}, time.Minute, 20*time.Millisecond)
}

func TestAnEndThatNobodyAskedForIsReported(t *testing.T) {
	t.Parallel()
	server := start(t, Options{Headless: true, SearchAttributes: map[string]string{"Pipeline": "Keyword", "Attempts": "Int"}})
	assertUsable(t, dial(t, server))
	require.NoError(t, syscall.Kill(server.Pid(), syscall.SIGKILL))
	select {
	case <-server.Done():
	case <-time.After(time.Minute):
		t.Fatal("nobody noticed")
	}
	require.ErrorContains(t, server.Err(), "ended by itself: signal: killed")
}

func TestASecondServerOnTheSameFileIsRefusedAndTheFirstIsNamed(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	first := start(t, Options{DataDir: directory, Headless: true})
	_, err := Start(t.Context(), Options{DataDir: directory, Headless: true})
	require.ErrorContains(t, err, fmt.Sprintf("temporal.db is in use by a Temporal server that runs already (process %d)", first.Pid()))
	assert.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
}

func TestADamagedFileIsNamedWithWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(directory, "temporal.db"), []byte(strings.Repeat("not a database\n", 100)), 0o600))
	_, err := Start(t.Context(), Options{DataDir: directory, Headless: true})
	require.ErrorContains(t, err, "ended before it was ready")
	require.ErrorContains(t, err, "file is not a database")
	assert.ErrorContains(t, err, "--fresh")
}

func TestKillingTheParentEndsTheServer(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helperVariable+"="+directory)
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	defer func() { _ = parent.Process.Kill() }()
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	var server, quiet int
	_, err = fmt.Sscan(line, &server, &quiet)
	require.NoError(t, err, line)
	require.False(t, gone(server))
	require.False(t, gone(quiet))

	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()

	// At once: the start itself waits out the moment that the old server takes to end.
	start(t, Options{DataDir: directory, Headless: true})
	assert.Eventually(t, func() bool { return gone(server) && gone(quiet) }, time.Minute, 10*time.Millisecond)
}
