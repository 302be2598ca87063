package stacks

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	cf "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"gravity/internal/local/aws/service"
	"gravity/internal/stacks/template"
)

const detecting = types.StackDriftDetectionStatusDetectionInProgress

func (s *Stacks) detectDrift(_ service.Call, in *cf.DetectStackDriftInput) (*cf.DetectStackDriftOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(in.StackName)
	if err != nil {
		return nil, err
	}
	if of.Work != nil || !updatable(of.Status) {
		return nil, refuse("Drift detection cannot be performed on stack [%s] while in status %s", of.Name, of.Status)
	}
	of.Detection = &detection{ID: s.uuid(), Status: detecting, Drift: types.StackDriftStatusNotChecked, At: s.now()}
	if err := s.save(of); err != nil {
		return nil, err
	}
	s.detectLater(of)
	return &cf.DetectStackDriftOutput{StackDriftDetectionId: aws.String(of.Detection.ID)}, nil
}

// detectLater looks at every resource, a step from now.
func (s *Stacks) detectLater(of *stack) {
	s.ground.Clock.AfterFunc(s.ground.Step, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed || of.Detection == nil || of.Detection.Status != detecting {
			return
		}
		looked := make([]resource, len(of.Resources))
		for i, r := range of.Resources {
			looked[i] = *r
		}
		s.elsewhere(func(ctx context.Context) error { return s.lookAt(ctx, looked) }, func(err error) { s.detected(of, looked, err) })
	})
}

func (s *Stacks) lookAt(ctx context.Context, resources []resource) error {
	for i := range resources {
		r := &resources[i]
		actual, known, err := s.handler(r.Type).actual(ctx, r)
		if err != nil {
			return err
		}
		r.Differs = nil
		switch {
		case !known:
			r.Drift = types.StackResourceDriftStatusNotChecked
		case actual == nil:
			r.Drift = types.StackResourceDriftStatusDeleted
		default:
			r.Drift = types.StackResourceDriftStatusInSync
			for _, path := range template.Sorted(actual) {
				if expected := at(r.Properties, path); template.Text(expected) != template.Text(actual[path]) {
					r.Drift = types.StackResourceDriftStatusModified
					r.Differs = append(r.Differs, types.PropertyDifference{PropertyPath: aws.String("/" + path), DifferenceType: types.DifferenceTypeNotEqual,
						ExpectedValue: aws.String(template.Text(expected)), ActualValue: aws.String(template.Text(actual[path]))})
				}
			}
		}
	}
	return nil
}

// at follows a path such as OptionSettings/3/Value.
func at(value any, path string) any {
	for _, part := range strings.Split(path, "/") {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index >= len(v) {
				return nil
			}
			value = v[index]
		default:
			return nil
		}
	}
	return value
}

func (s *Stacks) detected(of *stack, looked []resource, err error) {
	d := of.Detection
	d.Status, d.Drift, d.At = types.StackDriftDetectionStatusDetectionComplete, types.StackDriftStatusInSync, s.now()
	if err != nil {
		d.Status, d.Reason, d.Drift = types.StackDriftDetectionStatusDetectionFailed, err.Error(), types.StackDriftStatusUnknown
	}
	for _, seen := range looked {
		if r := of.resource(seen.Logical); r != nil {
			r.Drift, r.Differs = seen.Drift, seen.Differs
		}
		if seen.Drift == types.StackResourceDriftStatusModified || seen.Drift == types.StackResourceDriftStatusDeleted {
			d.Drift = types.StackDriftStatusDrifted
			d.Drifted++
		}
	}
	s.keep(of)
}

func (s *Stacks) describeDetection(_ service.Call, in *cf.DescribeStackDriftDetectionStatusInput) (*cf.DescribeStackDriftDetectionStatusOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.stacks {
		if d := of.Detection; d != nil && d.ID == *in.StackDriftDetectionId {
			return &cf.DescribeStackDriftDetectionStatusOutput{
				StackId: aws.String(of.ID), StackDriftDetectionId: aws.String(d.ID), DetectionStatus: d.Status, DetectionStatusReason: optionalText(d.Reason),
				StackDriftStatus: d.Drift, DriftedStackResourceCount: aws.Int32(d.Drifted), Timestamp: aws.Time(d.At),
			}, nil
		}
	}
	return nil, refuse("No drift detection found for id %s", *in.StackDriftDetectionId)
}

func (s *Stacks) describeDrifts(_ service.Call, in *cf.DescribeStackResourceDriftsInput) (*cf.DescribeStackResourceDriftsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of, err := s.find(in.StackName)
	if err != nil {
		return nil, err
	}
	out := &cf.DescribeStackResourceDriftsOutput{StackResourceDrifts: []types.StackResourceDrift{}}
	for _, r := range of.Resources {
		if r.Drift == "" || len(in.StackResourceDriftStatusFilters) > 0 && !slices.Contains(in.StackResourceDriftStatusFilters, r.Drift) {
			continue
		}
		out.StackResourceDrifts = append(out.StackResourceDrifts, types.StackResourceDrift{
			StackId: aws.String(of.ID), LogicalResourceId: aws.String(r.Logical), PhysicalResourceId: aws.String(r.Physical), ResourceType: aws.String(r.Type),
			StackResourceDriftStatus: r.Drift, PropertyDifferences: r.Differs, Timestamp: aws.Time(of.Detection.At),
		})
	}
	return out, nil
}
