package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// dialAs connects as whoever may do what the permissions say.
func dialAs(t *testing.T, c *Cluster, permissions ...string) client.Client {
	t.Helper()
	options, err := c.ClientOptions()
	require.NoError(t, err)
	token, err := c.Token(time.Now().Add(time.Minute), permissions...)
	require.NoError(t, err)
	options.Credentials = client.NewAPIKeyStaticCredentials(token)
	options.ConnectionOptions.TLS.Certificates = nil // the token alone says who it is
	connection, err := client.DialContext(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(connection.Close)
	return connection
}

func TestWithAuthorizationATokenSaysWhatItsBearerMayDo(t *testing.T) {
	c := start(t, Options{Directory: t.TempDir(), Namespace: "deliveries", Authorization: true, SearchAttributes: attributes()})
	assert.Contains(t, c.temporal.ports, "internal-frontend")
	list := func(connection client.Client) error {
		_, err := connection.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
		return err
	}
	writer := dialAs(t, c, "deliveries:write")
	startWorker(t, writer)
	schedule, err := writer.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
		ID: "counts", TriggerImmediately: true, Action: &client.ScheduleWorkflowAction{ID: "counted", Workflow: "count", Args: []any{0}, TaskQueue: "counts"},
	})
	require.NoError(t, err)
	require.EventuallyWithT(t, func(collect *assert.CollectT) {
		described, err := schedule.Describe(t.Context())
		if assert.NoError(collect, err) && assert.NotEmpty(collect, described.Info.RecentActions) {
			id := described.Info.RecentActions[0].StartWorkflowResult.WorkflowID
			assert.NoError(collect, writer.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
		}
	}, 20*time.Second, 50*time.Millisecond)

	reader := dialAs(t, c, "deliveries:read")
	require.NoError(t, list(reader))
	_, err = reader.DescribeWorkflowExecution(t.Context(), "unknown", "")
	var missing *serviceerror.NotFound
	require.ErrorAs(t, err, &missing)
	_, err = reader.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "counts"}, "count", 0)
	refused(t, err)
	refused(t, reader.SignalWorkflow(t.Context(), "unknown", "", "more", nil))
	_, err = reader.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: "unknown", UpdateName: "more", WaitForStage: client.WorkflowUpdateStageAccepted,
	})
	refused(t, err)
	_, err = reader.WorkflowService().PollWorkflowTaskQueue(t.Context(), &workflowservice.PollWorkflowTaskQueueRequest{
		Namespace: "deliveries", TaskQueue: &taskqueue.TaskQueue{Name: "counts"},
	})
	refused(t, err)

	addAttribute := func(connection client.Client, name string) error {
		_, err := connection.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
			Namespace: "deliveries", SearchAttributes: map[string]enums.IndexedValueType{name: enums.INDEXED_VALUE_TYPE_KEYWORD},
		})
		return err
	}
	register := func(connection client.Client, name string) error {
		_, err := connection.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
			Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
		})
		return err
	}
	admin := dialAs(t, c, "deliveries:admin")
	refused(t, addAttribute(writer, "ByWriter"))
	require.NoError(t, addAttribute(admin, "ByAdmin"))
	refused(t, register(admin, "another"))
	refused(t, list(dialAs(t, c, "another:admin")))
	refused(t, list(dialAs(t, c)))
	refused(t, register(dialAs(t, c, "system:admin"), "another"))
	require.NoError(t, register(dialAs(t, c, everything), "another"))

	// What the web UI asks for on each page belongs to no namespace.
	for _, permission := range []string{"deliveries:admin", "temporal-system:read"} {
		service := dialAs(t, c, permission).WorkflowService()
		_, err := service.ListNamespaces(t.Context(), &workflowservice.ListNamespacesRequest{})
		_, more := service.GetClusterInfo(t.Context(), &workflowservice.GetClusterInfoRequest{})
		if permission == "deliveries:admin" {
			refused(t, err)
			refused(t, more)
		} else {
			require.NoError(t, errors.Join(err, more))
		}
	}

	assertKeptPrivate(t, c.options.Directory)
}

func refused(t *testing.T, err error) {
	t.Helper()
	var denied *serviceerror.PermissionDenied
	require.ErrorAs(t, err, &denied)
}

// assertKeptPrivate: what is on the disk checks tokens, and signs none.
func assertKeptPrivate(t *testing.T, directory string) {
	t.Helper()
	keys, err := os.ReadFile(filepath.Join(directory, "jwks.json"))
	require.NoError(t, err)
	assert.Contains(t, string(keys), `"x"`)
	assert.NotContains(t, string(keys), `"d"`, "the private part, by RFC 7518")
}
