package beanstalk

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/aws/smithy-go"

	"gravity/internal/delivery"
)

// report is one reading of enhanced health: what users noticed of an environment, and of each of its instances.
type report struct {
	environment traffic
	instances   map[string]traffic // by instance ID
	// at is when the platform took the instances' sample; two readings may show the same one.
	at time.Time
}

// traffic is what the web servers measured of the requests of the last ten seconds.
type traffic struct {
	requests int
	// errors is the share of answers with a status of 500 and above, in percent.
	errors float64
	// latency is by percentile, such as P99.
	latency map[string]time.Duration
}

// Health adds the causes of an environment's health and its instances to an observation.
func (c *Client) Health(ctx context.Context, observed *delivery.Observation) error {
	_, err := c.health(ctx, observed)
	return err
}

func (c *Client) health(ctx context.Context, observed *delivery.Observation) (report, error) {
	health, err := c.api.DescribeEnvironmentHealth(ctx, &elasticbeanstalk.DescribeEnvironmentHealthInput{
		EnvironmentId: aws.String(observed.ID),
		AttributeNames: []types.EnvironmentHealthAttribute{
			types.EnvironmentHealthAttributeHealthStatus, types.EnvironmentHealthAttributeCauses, types.EnvironmentHealthAttributeApplicationMetrics,
		},
	})
	if err != nil {
		return report{}, c.basicHealth(err, observed)
	}
	observed.HealthStatus, observed.Causes = aws.ToString(health.HealthStatus), bounded(health.Causes)
	read, err := c.instances(ctx, observed)
	read.environment = trafficOf(health.ApplicationMetrics)
	return read, err
}

// instances adds the instances to an observation, and answers with what users noticed of each.
func (c *Client) instances(ctx context.Context, observed *delivery.Observation) (report, error) {
	observed.Instances = nil
	read := report{instances: map[string]traffic{}}
	var token *string
	for {
		out, err := c.api.DescribeInstancesHealth(ctx, &elasticbeanstalk.DescribeInstancesHealthInput{
			EnvironmentId: aws.String(observed.ID), NextToken: token,
			AttributeNames: []types.InstancesHealthAttribute{
				types.InstancesHealthAttributeHealthStatus, types.InstancesHealthAttributeCauses, types.InstancesHealthAttributeDeployment,
				types.InstancesHealthAttributeApplicationMetrics, types.InstancesHealthAttributeRefreshedAt,
			},
		})
		if err != nil {
			return report{}, c.basicHealth(err, observed)
		}
		read.at = aws.ToTime(out.RefreshedAt)
		for _, i := range out.InstanceHealthList {
			observed.Instances = append(observed.Instances, instance(i))
			read.instances[aws.ToString(i.InstanceId)] = trafficOf(i.ApplicationMetrics)
		}
		if token = out.NextToken; aws.ToString(token) == "" {
			return read, nil
		}
	}
}

func instance(i types.SingleInstanceHealth) delivery.Instance {
	converted := delivery.Instance{ID: aws.ToString(i.InstanceId), HealthStatus: aws.ToString(i.HealthStatus), Causes: bounded(i.Causes)}
	if i.Deployment != nil {
		converted.VersionLabel = aws.ToString(i.Deployment.VersionLabel)
		converted.Deployment = aws.ToString(i.Deployment.Status)
	}
	return converted
}

// trafficOf reads the platform's metrics. Its documentation calls the status codes percentages, its
// examples show counts; their shares are the same either way.
func trafficOf(m *types.ApplicationMetrics) traffic {
	if m == nil {
		return traffic{}
	}
	t := traffic{requests: int(m.RequestCount), latency: map[string]time.Duration{}}
	if codes := m.StatusCodes; codes != nil {
		failed := float64(aws.ToInt32(codes.Status5xx))
		all := failed + float64(aws.ToInt32(codes.Status2xx)+aws.ToInt32(codes.Status3xx)+aws.ToInt32(codes.Status4xx))
		if all > 0 {
			t.errors = 100 * failed / all
		}
	}
	if l := m.Latency; l != nil {
		for name, seconds := range map[string]*float64{
			"P10": l.P10, "P50": l.P50, "P75": l.P75, "P85": l.P85, "P90": l.P90, "P95": l.P95, "P99": l.P99, "P999": l.P999,
		} {
			if seconds != nil {
				t.latency[name] = time.Duration(*seconds * float64(time.Second))
			}
		}
	}
	return t
}

// basicHealth explains the one refusal that a team can mend: with basic health reporting, nobody
// can tell which version an instance runs, and immutable updates are not possible either.
func (c *Client) basicHealth(err error, observed *delivery.Observation) error {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorCode() == "InvalidRequestException" {
		return delivery.Errorf(delivery.InvalidInput, "environment %s reports basic health only; set SystemType in "+
			"aws:elasticbeanstalk:healthreporting:system to enhanced: %w", observed.Name, err)
	}
	return classify(err, "describing the health of "+observed.Name)
}
