package delivery

// Health says when a deployment is good. The environment must be Ready on the wanted version, all
// instances must run it, its enhanced health must stay within Accept for Steady, and whatever else is
// named here must hold.
type Health struct {
	// Accept lists the enhanced health statuses that count as healthy. Default: Ok, Info.
	Accept []string `json:"accept,omitempty" yaml:"accept,omitempty"`
	// Steady is how long the health must stay acceptable without a break. Default 30s.
	Steady Duration `json:"steady,omitempty" yaml:"steady,omitempty"`
	// Settle is how long after the update the environment may take to become steady. Default 5m:
	// Beanstalk's health lags behind its status.
	Settle Duration `json:"settle,omitempty" yaml:"settle,omitempty"`
	// Requests limits what users may notice, as enhanced health measures it. Optional.
	Requests *Requests `json:"requests,omitempty" yaml:"requests,omitempty"`
	// Compare limits how much worse than the old version the new one may be while a traffic-splitting
	// update evaluates it. Optional.
	Compare *Comparison `json:"compare,omitempty" yaml:"compare,omitempty"`
	// Alarms names CloudWatch alarms that must not be in state ALARM after the update.
	Alarms []string `json:"alarms,omitempty" yaml:"alarms,omitempty"`
	// Check is a request to the public address. Optional, and recommended.
	Check *Check `json:"check,omitempty" yaml:"check,omitempty"`
	// Probe is a command that a good deployment passes. Optional.
	Probe *Probe `json:"probe,omitempty" yaml:"probe,omitempty"`
}

// Requests limits the errors and the slowness of the requests of the last ten seconds, over all instances.
type Requests struct {
	// Errors is the highest share of answers with a status of 500 and above, in percent.
	Errors *float64 `json:"errors,omitempty" yaml:"errors,omitempty"`
	// Latency is the longest time within which Percentile of the requests may be answered.
	Latency Duration `json:"latency,omitempty" yaml:"latency,omitempty"`
	// Percentile is P10, P50, P75, P85, P90, P95, P99 or P999. Default P99.
	Percentile string `json:"percentile,omitempty" yaml:"percentile,omitempty"`
	// Least is the number of requests below which nothing is said: one error among two is no rate. Default 20.
	Least int `json:"least,omitempty" yaml:"least,omitempty"`
}

// Comparison limits how much worse the new version's instances may be than the old one's.
type Comparison struct {
	// Errors is by how many percentage points more requests may fail.
	Errors *float64 `json:"errors,omitempty" yaml:"errors,omitempty"`
	// Latency is how many times as long the 99th percentile may take.
	Latency *float64 `json:"latency,omitempty" yaml:"latency,omitempty"`
	// Least is the number of requests on either side below which nothing is said. Default 20.
	Least int `json:"least,omitempty" yaml:"least,omitempty"`
}

// Check is an HTTP request that a good deployment answers as expected.
type Check struct {
	// URL overrides the environment's own address (http://CNAME), for a domain of the team's own.
	URL string `json:"url,omitempty" yaml:"url,omitempty"`
	// Path is requested with GET. Default "/".
	Path string `json:"path,omitempty" yaml:"path,omitempty"`
	// Status is the one accepted status code. Default 200.
	Status int `json:"status,omitempty" yaml:"status,omitempty"`
	// Contains must occur in the first 64 KiB of the body; ${version} and ${revision} stand for the
	// version label and the full hash.
	Contains string `json:"contains,omitempty" yaml:"contains,omitempty"`
	// Times is how many requests in a row must pass, so that more than one instance is asked. Default 3.
	Times int `json:"times,omitempty" yaml:"times,omitempty"`
	// Timeout of one request. Default 5s.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// Probe is a shell command that asks the deployed application whatever a request alone can't. It belongs to whoever
// operates Gravity, runs on a worker with a clean environment, and finds GRAVITY_URL, GRAVITY_VERSION and
// GRAVITY_REVISION there. Exit code 0 passes.
type Probe struct {
	// Run is passed to /bin/sh -c.
	Run string `json:"run" yaml:"run"`
	// Timeout ends the command and all its descendants. Default 1m.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// DefaultLeast is the number of requests from which a rate is one.
const DefaultLeast = 20

func (h Health) withDefaults() Health {
	if len(h.Accept) == 0 {
		h.Accept = []string{"Ok", "Info"}
	}
	orElse(&h.Steady, DefaultSteady)
	orElse(&h.Settle, DefaultSettle)
	if h.Requests != nil {
		requests := *h.Requests
		orElse(&requests.Percentile, "P99")
		orElse(&requests.Least, DefaultLeast)
		h.Requests = &requests
	}
	if h.Compare != nil {
		compare := *h.Compare
		orElse(&compare.Least, DefaultLeast)
		h.Compare = &compare
	}
	if h.Check != nil {
		check := *h.Check
		orElse(&check.Path, "/")
		orElse(&check.Status, 200)
		orElse(&check.Times, DefaultCheckTimes)
		orElse(&check.Timeout, DefaultCheckTimeout)
		h.Check = &check
	}
	if h.Probe != nil {
		probe := *h.Probe
		orElse(&probe.Timeout, DefaultProbeTimeout)
		h.Probe = &probe
	}
	return h
}
