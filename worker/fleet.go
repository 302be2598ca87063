package main

import (
	"flag"
	"fmt"
	"math"

	"go.temporal.io/sdk/worker"

	"gravity/worker/process"
)

// fleetSettings are those that belong to many workers beside each other.
type fleetSettings struct {
	platformRate  float64
	workflowCache int
}

func (s *fleetSettings) flags(flags *flag.FlagSet) {
	flags.Float64Var(&s.platformRate, "platform-rate", process.PlatformRate, "")
	flags.IntVar(&s.workflowCache, "workflow-cache", process.WorkflowCache, "")
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
