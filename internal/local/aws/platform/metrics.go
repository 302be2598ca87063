package platform

import (
	"os"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/local/aws/balancer"
)

// describeMetrics is the traffic of one health interval, in the service's shape.
func (p *Platform) describeMetrics(m balancer.Metrics) *types.ApplicationMetrics {
	out := &types.ApplicationMetrics{
		Duration:     aws.Int32(int32(max(p.options.Pace.HealthInterval.Seconds(), 1))),
		RequestCount: int32(m.Requests),
		StatusCodes: &types.StatusCodes{
			Status2xx: aws.Int32(int32(m.Status[2])), Status3xx: aws.Int32(int32(m.Status[3])),
			Status4xx: aws.Int32(int32(m.Status[4])), Status5xx: aws.Int32(int32(m.Status[5])),
		},
	}
	if m.Requests > 0 {
		percentile := func(share float64) *float64 { return aws.Float64(m.Percentile(share)) }
		out.Latency = &types.Latency{
			P10: percentile(.1), P50: percentile(.5), P75: percentile(.75), P85: percentile(.85),
			P90: percentile(.9), P95: percentile(.95), P99: percentile(.99), P999: percentile(.999),
		}
	}
	return out
}

// loadAverage is this machine's, which is the one that the instances run on; nothing where the
// system does not tell.
func loadAverage() []float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil
	}
	var average []float64
	for _, field := range strings.Fields(string(text)) {
		value, err := strconv.ParseFloat(field, 64)
		if err != nil || len(average) == 3 {
			break
		}
		average = append(average, value)
	}
	return average
}
