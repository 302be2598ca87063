package platform

import "time"

// Pace says how long the platform takes for what it does. AWS's own durations are AWSPace; the
// others keep their order and shorten them.
type Pace struct {
	Boot              time.Duration // from the launch of an instance to the start of its deployment
	Deploy            time.Duration // of a deployment on an instance that is there, beside what the processes take
	Step              time.Duration // between two steps of an operation
	HealthInterval    time.Duration // between two health reports of an instance
	ConsecutiveChecks int           // reports of Ok in a row that a new instance must give
	HealthLag         time.Duration // by which the health that callers see is old
	EventLag          time.Duration // after which an event can be read
	Termination       time.Duration // from the end of an instance's last request to its being gone
	// OptionScale multiplies the durations that are options of an environment: the interval of
	// health checks, the command timeout, the evaluation time of traffic splitting.
	OptionScale float64
	// MinimumTimeout is the least that a scaled command timeout comes to: real processes need real
	// time to start.
	MinimumTimeout time.Duration
}

// AWSPace is the pace that AWS documents, or that was seen there. An immutable update of two
// instances takes about a quarter of an hour.
func AWSPace() Pace {
	return Pace{
		Boot: 60 * time.Second, Deploy: 20 * time.Second, Step: 10 * time.Second,
		HealthInterval: 10 * time.Second, ConsecutiveChecks: 12,
		HealthLag: 10 * time.Second, EventLag: 2 * time.Second,
		Termination: 75 * time.Second, OptionScale: 1,
	}
}

// DemoPace is for people who watch: an immutable update of two instances takes about half a minute.
func DemoPace() Pace {
	return Pace{
		Boot: 2 * time.Second, Deploy: time.Second, Step: 900 * time.Millisecond,
		HealthInterval: 800 * time.Millisecond, ConsecutiveChecks: 12,
		HealthLag: 500 * time.Millisecond, EventLag: 100 * time.Millisecond,
		Termination: 2 * time.Second, OptionScale: 1.0 / 20, MinimumTimeout: 30 * time.Second,
	}
}

// TestPace is for tests: an immutable update takes about a third of a second, and a version that
// never becomes healthy is given up after two.
func TestPace() Pace {
	return Pace{
		Boot: 2 * time.Millisecond, Deploy: time.Millisecond, Step: time.Millisecond,
		HealthInterval: 5 * time.Millisecond, ConsecutiveChecks: 6,
		Termination: 2 * time.Millisecond, OptionScale: 1.0 / 1500, MinimumTimeout: 2 * time.Second,
	}
}

// option is the duration of an option that is given in seconds.
func (p Pace) option(seconds int) time.Duration {
	return time.Duration(float64(seconds) * float64(time.Second) * p.OptionScale)
}

// timeout is how long an option's command timeout comes to.
func (p Pace) timeout(seconds int) time.Duration {
	return max(p.option(seconds), p.MinimumTimeout)
}
