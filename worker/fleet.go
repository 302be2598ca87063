package main

import (
	"flag"
	"fmt"
	"math"

	"go.temporal.io/sdk/worker"
)

const (
	// platformRate bounds how many steps that call AWS begin a second in the whole fleet. A step makes one to four calls
	// at once, and what follows of a long one goes through the watcher that a worker's waits share. AWS publishes
	// no rates, and shares them with the console and all other tools of the account. Ten steps a second let the
	// usual quota of 200 environments begin their deployments within a minute, which take many, and a single
	// deployment never notices it: Temporal lets as many steps as the rate begin at once after a quiet moment.
	platformRate = 10
	// workflowCache is how many workflows stay in memory between their tasks; docs/fleet.md has what one takes.
	workflowCache = 2000
)

// fleetSettings are those that belong to many workers beside each other.
type fleetSettings struct {
	platformRate  float64
	workflowCache int
}

func (s *fleetSettings) flags(flags *flag.FlagSet) {
	flags.Float64Var(&s.platformRate, "platform-rate", platformRate, "")
	flags.IntVar(&s.workflowCache, "workflow-cache", workflowCache, "")
}

func (s *fleetSettings) check() error {
	switch {
	case s.platformRate < 0 || math.IsNaN(s.platformRate) || math.IsInf(s.platformRate, 0):
		return fmt.Errorf("--platform-rate is %v: it is a number of steps a second, or 0 for no limit", s.platformRate)
	case s.workflowCache < 1:
		return fmt.Errorf("--workflow-cache is %d: at least one workflow must stay in memory", s.workflowCache)
	}
	return nil
}

// sizeCache holds for the whole process, and has to come before the first worker.
func (s *fleetSettings) sizeCache() { worker.SetStickyWorkflowCacheSize(s.workflowCache) }
