package subject

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"gravity/workflows"
)

// lineOf is the only line of a log.
func lineOf(t *testing.T, log *bytes.Buffer) map[string]any {
	t.Helper()
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	line := map[string]any{}
	require.NoError(t, json.Unmarshal(log.Bytes(), &line))
	for _, own := range []string{"time", "level", "msg"} {
		delete(line, own)
	}
	return line
}

var about = Subject{Run: "run/site/0123abc", Pipeline: "site", Environment: "site-staging", Revision: "0123abc"}

func TestALineSaysWhatItIsAbout(t *testing.T) {
	whole := map[string]any{"run": "run/site/0123abc", "pipeline": "site", "environment": "site-staging", "revision": "0123abc"}
	with := func(more map[string]any) map[string]any {
		for key, value := range whole {
			if _, ok := more[key]; !ok {
				more[key] = value
			}
		}
		return more
	}
	for name, test := range map[string]struct {
		write func(context.Context, *slog.Logger)
		want  map[string]any
	}{
		"of a step": {
			write: func(ctx context.Context, log *slog.Logger) {
				log.InfoContext(context.WithValue(ctx, key{}, about), "mirror is made")
			},
			want: with(map[string]any{}),
		},
		"of the SDK, about a workflow that it names": {
			write: func(_ context.Context, log *slog.Logger) {
				log.Error("Activity error.", "WorkflowID", "deployment/site/site-staging/1", "Attempt", 2)
			},
			want: with(map[string]any{"WorkflowID": "deployment/site/site-staging/1", "Attempt": 2.0}),
		},
		"of a workflow, whose logger names it": {
			write: func(_ context.Context, log *slog.Logger) {
				log.With("WorkflowID", "deployment/site/site-staging/1").With("Attempt", 1).Info("deployment", "phase", "bake")
			},
			want: with(map[string]any{"WorkflowID": "deployment/site/site-staging/1", "Attempt": 1.0, "phase": "bake"}),
		},
		"unless it says so itself": {
			write: func(_ context.Context, log *slog.Logger) {
				log.Info("stage", "WorkflowID", "deployment/site/site-staging/1", "environment", "another", "run", "its own")
			},
			want: with(map[string]any{"WorkflowID": "deployment/site/site-staging/1", "environment": "another", "run": "its own"}),
		},
		"where it is known": {
			write: func(ctx context.Context, log *slog.Logger) { log.InfoContext(ctx, "unknown", "WorkflowID", "drift") },
			want:  map[string]any{"WorkflowID": "drift"},
		},
		"as far as it is one thing": {
			write: func(ctx context.Context, log *slog.Logger) {
				log.InfoContext(context.WithValue(ctx, key{}, Subject{Environment: "site-staging"}), "queue")
			},
			want: map[string]any{"environment": "site-staging"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			subjects := New()
			subjects.remember("deployment/site/site-staging/1", about)
			var log bytes.Buffer
			test.write(t.Context(), slog.New(subjects.Handler(slog.NewJSONHandler(&log, nil))))
			require.Equal(t, test.want, lineOf(t, &log))
		})
	}
}

func TestOfManyWorkflowsTheLatestAreRemembered(t *testing.T) {
	subjects := New()
	for i := range 10 * generation {
		subjects.remember(fmt.Sprint(i), Subject{Run: fmt.Sprint(i)})
	}
	for i := range generation {
		latest := fmt.Sprint(10*generation - 1 - i)
		require.Equal(t, latest, subjects.of(latest).Run)
	}
	require.LessOrEqual(t, len(subjects.newer)+len(subjects.older), 2*generation)
	require.Empty(t, subjects.of("0"))
}

func TestAStepKnowsWhatItIsAboutAndSoDoLinesAfterIt(t *testing.T) {
	subjects := New()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&intercepting{subjects: subjects}}})
	type seen struct {
		About      Subject
		WorkflowID string
	}
	look := func(ctx context.Context) (seen, error) {
		return seen{Of(ctx), activity.GetInfo(ctx).WorkflowExecution.ID}, nil
	}
	env.RegisterActivity(look)
	for name, test := range map[string]struct {
		header any
		want   Subject
	}{
		"told":               {about, about},
		"told in other ways": {[]string{"not", "a", "subject"}, Subject{}},
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := converter.GetDefaultDataConverter().ToPayload(test.header)
			require.NoError(t, err)
			env.SetHeader(&commonpb.Header{Fields: map[string]*commonpb.Payload{headerKey: payload}})
			result, err := env.ExecuteActivity(look)
			require.NoError(t, err)
			var got seen
			require.NoError(t, result.Get(&got))
			require.Equal(t, test.want, got.About)
			require.Equal(t, test.want, subjects.of(got.WorkflowID))
			subjects.newer = map[string]Subject{}
		})
	}
}

func TestAWorkflowThatNamesItsEnvironmentLaterIsAboutItFromThenOn(t *testing.T) {
	subjects := New()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{&intercepting{subjects: subjects}}})
	var before, after Subject
	named := func(ctx workflow.Context) error {
		id := workflow.GetInfo(ctx).WorkflowExecution.ID
		before = subjects.of(id)
		err := workflow.UpsertTypedSearchAttributes(ctx, workflows.EnvironmentAttribute.ValueSet("site-staging"))
		after = subjects.of(id)
		return err
	}
	env.RegisterWorkflow(named)
	require.NoError(t, env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(workflows.PipelineAttribute.ValueSet("site"))))
	env.ExecuteWorkflow(named)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, Subject{Pipeline: "site"}, before)
	require.Equal(t, Subject{Pipeline: "site", Environment: "site-staging"}, after)
}
