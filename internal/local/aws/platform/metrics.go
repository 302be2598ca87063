package platform

import (
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

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

// machine measures how busy the processors are that all instances share.
type machine struct {
	mu     sync.Mutex
	at     time.Time
	before []float64
	shown  *types.CPUUtilization
}

// measured is how long one measurement lasts at least. Real time.
const measured = time.Second

// usage is the latest measurement; nothing where the system does not tell.
func (m *machine) usage() *types.CPUUtilization {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); now.Sub(m.at) >= measured {
		m.at = now
		m.measure()
	}
	return m.shown
}

func (m *machine) measure() {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var counters []float64 // user, nice, system, idle, iowait, irq, softirq
	for _, field := range strings.Fields(strings.TrimPrefix(line, "cpu")) {
		value, err := strconv.ParseFloat(field, 64)
		if err != nil || len(counters) == 7 {
			break
		}
		counters = append(counters, value)
	}
	if len(counters) < 7 {
		return
	}
	total, spent := 0.0, make([]float64, len(counters))
	for n := range counters {
		spent[n] = counters[n]
		if m.before != nil {
			spent[n] -= m.before[n]
		}
		total += spent[n]
	}
	m.before = counters
	if total <= 0 {
		return
	}
	percent := func(n int) *float64 { return aws.Float64(math.Round(spent[n]/total*1000) / 10) }
	m.shown = &types.CPUUtilization{User: percent(0), Nice: percent(1), System: percent(2), Idle: percent(3),
		IOWait: percent(4), IRQ: percent(5), SoftIRQ: percent(6)}
}
