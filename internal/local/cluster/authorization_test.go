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

func TestWithAuthorizationATokenSaysWhatItsBearerMayDo(t *testing.T) {
	c := start(t, Options{Directory: t.TempDir(), Namespace: "deliveries", Authorization: true, SearchAttributes: attributes()})
	for name, test := range map[string]func(*testing.T, *Cluster){
		"write on a namespace runs workflows there":                 writes,
		"read on a namespace sees and changes nothing":              reads,
		"admin on a namespace makes it, with its search attributes": administers,
		"the server as a whole has a name of its own":               administersAll,
		"what the web UI asks for on each page is in no namespace":  shows,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}

	keys, err := os.ReadFile(filepath.Join(c.options.Directory, "jwks.json"))
	require.NoError(t, err)
	assert.Contains(t, string(keys), `"x"`)
	assert.NotContains(t, string(keys), `"d"`, "RFC 7518's name of the private part, which is on no disk")
}

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

func refused(t *testing.T, err error) {
	t.Helper()
	var denied *serviceerror.PermissionDenied
	require.ErrorAs(t, err, &denied)
}

func list(t *testing.T, connection client.Client) error {
	_, err := connection.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
	return err
}

func addAttribute(t *testing.T, connection client.Client, name string) error {
	_, err := connection.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{
		Namespace: "deliveries", SearchAttributes: map[string]enums.IndexedValueType{name: enums.INDEXED_VALUE_TYPE_KEYWORD},
	})
	return err
}

func register(t *testing.T, connection client.Client, name string) error {
	_, err := connection.WorkflowService().RegisterNamespace(t.Context(), &workflowservice.RegisterNamespaceRequest{
		Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
	return err
}

// writes by way of a schedule, whose workflows the server itself starts.
func writes(t *testing.T, c *Cluster) {
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
	}, time.Minute, 50*time.Millisecond)
	refused(t, addAttribute(t, writer, "ByWriter"))
}

func reads(t *testing.T, c *Cluster) {
	reader := dialAs(t, c, "deliveries:read")
	require.NoError(t, list(t, reader))
	_, err := reader.QueryWorkflow(t.Context(), "unknown", "", "status")
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
}

func administers(t *testing.T, c *Cluster) {
	administrator := dialAs(t, c, "deliveries:admin")
	require.NoError(t, addAttribute(t, administrator, "ByAdmin"))
	refused(t, register(t, administrator, "another"))
	require.NoError(t, register(t, dialAs(t, c, "own:admin"), "own"))
	refused(t, list(t, dialAs(t, c, "another:admin")))
	refused(t, list(t, dialAs(t, c)))
}

func administersAll(t *testing.T, c *Cluster) {
	refused(t, register(t, dialAs(t, c, "system:admin"), "another")) // which is a namespace called system
	require.NoError(t, register(t, dialAs(t, c, everything), "another"))
}

func shows(t *testing.T, c *Cluster) {
	ask := func(permission string) (error, error) {
		service := dialAs(t, c, permission).WorkflowService()
		_, namespaces := service.ListNamespaces(t.Context(), &workflowservice.ListNamespacesRequest{})
		_, information := service.GetClusterInfo(t.Context(), &workflowservice.GetClusterInfoRequest{})
		return namespaces, information
	}
	namespaces, information := ask("deliveries:admin")
	refused(t, namespaces)
	refused(t, information)
	require.NoError(t, errors.Join(ask("temporal-system:read")))
}
