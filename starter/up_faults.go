package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/aws"
)

// platformFlags say how the stand-in for AWS behaves.
type platformFlags struct {
	pace         string
	seed         uint64
	faults       string
	loseRequests float64
	skipRollback bool
}

func (f *platformFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.pace, "pace", "demo", "how long Beanstalk takes: quick (under a second an update), demo (half a minute) or real (as on AWS)")
	flags.Float64Var(&f.loseRequests, "lose-requests", 0, "fault: the share of requests that the load balancers lose, 0 to 1")
	flags.BoolVar(&f.skipRollback, "skip-rollback", false, "fault: Beanstalk keeps updates that failed")
	flags.StringVar(&f.faults, "faults", "", `any other faults, as JSON: callsPerSecond, callRates, throttleCalls, failCalls, dropCalls, loseAnswers, slowCalls, `+
		`staleReads, neverEnd, manualChanges, stacks, and instances that crash, hang, flap, are slow, broken, or never boot: `+
		`{"loseAnswers": 0.1, "instances": [{"kind": "never-boots", "zone": "us-east-1a"}]} (all of them: go doc ./internal/local/aws/faults Faults)`)
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the faults: the same one gives the same faults again (default: another one each time)")
}

// parse gives the faults, which begin after the first release, so that there is something to break.
func (f *platformFlags) parse() (aws.Faults, error) {
	var faults aws.Faults
	if f.faults != "" {
		decoder := json.NewDecoder(strings.NewReader(f.faults))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&faults); err != nil {
			return faults, wrongUse("--faults: %w", err)
		}
	}
	if f.loseRequests != 0 {
		faults.LoseRequests = f.loseRequests
	}
	faults.SkipRollback = faults.SkipRollback || f.skipRollback
	if err := faults.Check(); err != nil {
		return faults, wrongUse("faults: %w", err)
	}
	return faults, nil
}

// apply chooses the pace of the platform, the worker's pace of asking it, and rules of health that fit both. At
// AWS's own, the site's own rules suit.
func (f *platformFlags) apply(options *stackOptions) error {
	options.Seed = f.seed
	options.Worker = demoAsking
	switch f.pace {
	case "quick":
		options.Platform, options.Worker = aws.TestPace(), quickAsking
		options.Steady, options.Settle = quickSteady, quickSettle
	case "demo":
		options.Platform, options.Steady, options.Settle = aws.DemoPace(), demoSteady, demoSettle
	case "real":
		options.Platform = aws.RealPace()
	default:
		return wrongUse("--pace is %q: it is quick, demo or real", f.pace)
	}
	return nil
}

// The rules of health of the paces at which people watch, and at which nobody does.
const (
	demoSteady  = delivery.Duration(3 * time.Second)
	demoSettle  = delivery.Duration(30 * time.Second)
	quickSteady = delivery.Duration(50 * time.Millisecond)
	quickSettle = delivery.Duration(3 * time.Second)
)

// How often the worker asks the platform: a platform on this machine has no rate that it must keep.
var (
	demoAsking  = beanstalk.Pace{Fast: 250 * time.Millisecond, Slow: 2 * time.Second, Events: 2 * time.Second, Lag: time.Second}
	quickAsking = beanstalk.Pace{Fast: 20 * time.Millisecond, Slow: 200 * time.Millisecond, Events: 100 * time.Millisecond, Lag: 100 * time.Millisecond}
)
