package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"gravity/internal/delivery"
	"gravity/internal/refusal"
)

// Freezes finds out which environments are frozen.
type Freezes struct {
	Temporal client.Client
}

// FindFrozenInput says how an environment's workflow is found; the names belong to the workflows, which is why they
// are passed along.
type FindFrozenInput struct {
	Workflow    string   `json:"workflow"`
	Environment string   `json:"environment"` // search attribute with the environment's name
	State       string   `json:"state"`       // search attribute with its state
	Frozen      string   `json:"frozen"`      // the state of one that is frozen
	Of          []string `json:"of"`
}

// Frozen says of each environment whether it is frozen.
type Frozen struct {
	Environments map[string]bool `json:"environments"`
}

// FindFrozen asks Temporal's visibility, so that no environment's workflow is disturbed.
func (f *Freezes) FindFrozen(ctx context.Context, input FindFrozenInput) (Frozen, error) {
	found := Frozen{Environments: map[string]bool{}}
	for _, name := range input.Of {
		found.Environments[name] = false
	}
	request := &workflowservice.ListWorkflowExecutionsRequest{PageSize: 100,
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running' AND %s = '%s'", input.Workflow, input.State, input.Frozen)}
	for {
		page, err := f.Temporal.ListWorkflow(ctx, request)
		if err != nil {
			return found, toTemporal(delivery.Errorf(delivery.Unavailable, "asking which environments are frozen: %w", err))
		}
		for _, execution := range page.GetExecutions() {
			var name string
			payload := execution.GetSearchAttributes().GetIndexedFields()[input.Environment]
			if err := converter.GetDefaultDataConverter().FromPayload(payload, &name); err != nil {
				continue // of another kind than ours
			}
			if _, asked := found.Environments[name]; asked {
				found.Environments[name] = true
			}
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return found, nil
		}
	}
}

// MetricsAPI is what is called of CloudWatch here; *cloudwatch.Client satisfies it.
type MetricsAPI interface {
	PutMetricData(context.Context, *cloudwatch.PutMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricDataOutput, error)
}

// Metrics tells CloudWatch what only Gravity knows.
type Metrics struct {
	API MetricsAPI
}

// metricsNamespace and frozenMetric are those of the alarm in cloudformation/alarms.yaml.
const (
	metricsNamespace = "Gravity"
	frozenMetric     = "Frozen"
	// maxMetrics is how many values one call takes.
	maxMetrics = 1000
)

// ReportFrozen tells of each environment whether it is frozen: 1, or 0. Telling twice changes nothing, since the
// alarm looks at the maximum.
func (m *Metrics) ReportFrozen(ctx context.Context, found Frozen) error {
	var data []types.MetricDatum
	for _, name := range slices.Sorted(maps.Keys(found.Environments)) {
		value := 0.0
		if found.Environments[name] {
			value = 1
		}
		data = append(data, types.MetricDatum{MetricName: aws.String(frozenMetric), Value: aws.Float64(value), Unit: types.StandardUnitNone,
			Dimensions: []types.Dimension{{Name: aws.String("EnvironmentName"), Value: aws.String(name)}}})
	}
	for chunk := range slices.Chunk(data, maxMetrics) {
		_, err := m.API.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String(metricsNamespace), MetricData: chunk})
		if err != nil {
			return toTemporal(refusal.Wrap(err, "telling CloudWatch which environments are frozen", nil))
		}
	}
	return nil
}
