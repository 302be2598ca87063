package temporal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"

	"gravity/internal/delivery"
	"gravity/internal/local/child"
)

const (
	// askEvery is the pace of asking a starting server; one answer takes it a few milliseconds.
	askEvery = 50 * time.Millisecond
	// tellEvery is the pace of progress lines while a step takes long.
	tellEvery = 5 * time.Second
	// retention is how long closed workflows stay readable in a database file. The server's own
	// default of a day would lose what happened before the weekend.
	retention = 30 * 24 * time.Hour
)

// awaitReady returns when every part of the server answers, not when a port is open.
func (s *Server) awaitReady(ctx context.Context, server *child.Process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no answer for %s", startTimeout))
	defer cancel()
	connection, err := s.connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	ask, tell := time.NewTicker(askEvery), time.NewTicker(tellEvery)
	defer ask.Stop()
	defer tell.Stop()
	began, last := time.Now(), errors.New("not asked yet")
	for {
		select {
		case <-server.Ended():
			return &earlyEnd{server.Explain()}
		case <-ctx.Done():
			return fmt.Errorf("wait for Temporal's development server: %w; its last answer: %w", context.Cause(ctx), last)
		case <-tell.C:
			s.options.Progress(fmt.Sprintf("waiting for Temporal's development server; %.0f s so far", time.Since(began).Seconds()))
		case <-ask.C:
			if last = s.ask(ctx, connection); last == nil {
				return nil
			}
		}
	}
}

func (s *Server) connect() (client.Client, error) {
	connection, err := client.NewLazyClient(client.Options{
		HostPort:  s.Address(),
		Namespace: s.options.Namespace,
		Logger:    log.NewStructuredLogger(s.options.Log),
	})
	if err != nil {
		return nil, fmt.Errorf("make a client for Temporal at %s: %w", s.Address(), err)
	}
	return connection, nil
}

func (s *Server) ask(ctx context.Context, connection client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := Ask(ctx, connection, s.options.Namespace); err != nil {
		return err
	}
	return s.askUI(ctx)
}

// Ask puts one question to each service of a server: frontend, history, matching, visibility.
func Ask(ctx context.Context, connection client.Client, namespace string) error {
	if _, err := connection.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return fmt.Errorf("health: %w", err)
	}
	var unknown *serviceerror.NotFound
	if _, err := connection.DescribeWorkflowExecution(ctx, "no-such-workflow", ""); !errors.As(err, &unknown) {
		return fmt.Errorf("history: %w", err)
	}
	service := connection.WorkflowService()
	if _, err := service.DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace}); err != nil {
		return fmt.Errorf("namespace %s: %w", namespace, err)
	}
	if _, err := service.DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueue.TaskQueue{Name: "no-such-queue"},
	}); err != nil {
		return fmt.Errorf("matching: %w", err)
	}
	if _, err := connection.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{}); err != nil {
		return fmt.Errorf("visibility: %w", err)
	}
	return nil
}

func (s *Server) askUI(ctx context.Context) error {
	if s.options.Headless {
		return nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.UIURL(), nil)
	if err != nil {
		return fmt.Errorf("web UI: %w", err)
	}
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // never by way of a proxy
	response, err := direct.Do(request)
	if err != nil {
		return fmt.Errorf("web UI: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("web UI answers %s", response.Status)
	}
	return nil
}

// prepareNamespace brings the namespace of an older database file up to what is asked for.
func (s *Server) prepareNamespace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	connection, err := s.connect()
	if err != nil {
		return err
	}
	defer connection.Close()
	if s.options.DataDir != "" {
		if _, err := connection.WorkflowService().UpdateNamespace(ctx, &workflowservice.UpdateNamespaceRequest{
			Namespace: s.options.Namespace,
			Config:    &namespace.NamespaceConfig{WorkflowExecutionRetentionTtl: durationpb.New(retention)},
		}); err != nil {
			return fmt.Errorf("set the retention of Temporal's namespace %s: %w", s.options.Namespace, err)
		}
	}
	return AddSearchAttributes(ctx, connection, s.options.Namespace, s.options.SearchAttributes)
}

// AddSearchAttributes adds those that the namespace lacks of the wanted ones, which are types by name.
func AddSearchAttributes(ctx context.Context, connection client.Client, namespace string, wanted map[string]string) error {
	missing, err := missingAttributes(ctx, connection, namespace, wanted)
	if err != nil || len(missing) == 0 {
		return err
	}
	if _, err := connection.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	}); err != nil {
		return fmt.Errorf("add search attributes %v to Temporal's namespace %s: %w",
			slices.Sorted(maps.Keys(missing)), namespace, err)
	}
	return nil
}

func missingAttributes(
	ctx context.Context, connection client.Client, namespace string, all map[string]string,
) (map[string]enums.IndexedValueType, error) {
	known, err := connection.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, fmt.Errorf("list search attributes of Temporal's namespace %s: %w", namespace, err)
	}
	missing := map[string]enums.IndexedValueType{}
	for name, text := range all {
		wanted, err := enums.IndexedValueTypeFromString(text)
		if err != nil {
			return nil, delivery.Errorf(delivery.InvalidInput, "search attribute %s: %q is no type of Temporal's", name, text)
		}
		found, ok := known.CustomAttributes[name]
		switch {
		case !ok:
			missing[name] = wanted
		case found != wanted:
			return nil, delivery.Errorf(delivery.InvalidInput,
				"search attribute %s is of type %s in the database, wanted is %s: rename one of them, or start over with --fresh", name, found, wanted)
		}
	}
	return missing, nil
}
