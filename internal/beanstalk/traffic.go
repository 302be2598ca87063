package beanstalk

import (
	"fmt"
	"time"

	"gravity/internal/delivery"
)

// complaintOf says which of the limits the requests exceed; empty when they exceed none, or are too few
// to tell.
func (t traffic) complaintOf(limits *delivery.Requests) string {
	if limits == nil || t.requests < limits.Least {
		return ""
	}
	if limits.Errors != nil && t.errors > *limits.Errors {
		return fmt.Sprintf("%.1f %% of %d requests failed, and %g %% may", t.errors, t.requests, *limits.Errors)
	}
	if took := t.latency[limits.Percentile]; limits.Latency > 0 && took > limits.Latency.Std() {
		return fmt.Sprintf("the %s of the latency of %d requests was %s, and may be %s",
			limits.Percentile, t.requests, took.Round(time.Millisecond), limits.Latency)
	}
	return ""
}

// worseSamples is how many of the platform's samples in a row must show that the new version is
// worse. They come every ten seconds; one that is bad may be a garbage collection or a client's doing.
const worseSamples = 3

// comparison holds the new version against the old one while both serve.
type comparison struct {
	limits  delivery.Comparison
	version string
	// seen is when the platform took the sample that was read last.
	seen  time.Time
	worse int
}

// worseThan takes a sample, and says in what the new version is worse once enough samples in a row did; empty
// until then. A sample with too few requests says nothing either way.
func (c *comparison) worseThan(o delivery.Observation, sample report) string {
	if !sample.at.After(c.seen) {
		return "" // read before
	}
	c.seen = sample.at
	fresh, old := c.sides(o, sample)
	if fresh.requests < c.limits.Least || old.requests < c.limits.Least {
		return ""
	}
	complaint := c.compare(fresh, old)
	if complaint == "" {
		c.worse = 0
		return ""
	}
	if c.worse++; c.worse < worseSamples {
		return ""
	}
	return fmt.Sprintf("%s, in %d samples in a row", complaint, c.worse)
}

func (c *comparison) compare(fresh, old traffic) string {
	if limit := c.limits.Errors; limit != nil && fresh.errors-old.errors > *limit {
		return fmt.Sprintf("%.1f %% of its requests failed, and %.1f %% on the old version", fresh.errors, old.errors)
	}
	was, is := old.latency["P99"], fresh.latency["P99"]
	if limit := c.limits.Latency; limit != nil && was > 0 && float64(is) > *limit*float64(was) {
		return fmt.Sprintf("its 99th percentile of latency was %s, and %s on the old version", is.Round(time.Millisecond), was.Round(time.Millisecond))
	}
	return ""
}

// sides sums up the instances on the new version, and those on any other.
func (c *comparison) sides(o delivery.Observation, sample report) (fresh, old traffic) {
	for _, i := range o.Instances {
		switch i.VersionLabel {
		case "":
		case c.version:
			fresh = fresh.and(sample.instances[i.ID])
		default:
			old = old.and(sample.instances[i.ID])
		}
	}
	return fresh, old
}

// and puts the requests of two instances together. Percentiles can't be added up; their means,
// weighted by requests, are near enough to compare.
func (t traffic) and(other traffic) traffic {
	if other.requests == 0 {
		return t
	}
	sum := traffic{requests: t.requests + other.requests, latency: map[string]time.Duration{}}
	weight := float64(other.requests) / float64(sum.requests)
	sum.errors = t.errors + weight*(other.errors-t.errors)
	for name, took := range other.latency {
		sum.latency[name] = t.latency[name] + time.Duration(weight*float64(took-t.latency[name]))
	}
	return sum
}
