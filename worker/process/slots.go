package process

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"
)

const (
	// targetMemory and targetCPU are the shares of the machine up to which builds begin on it.
	targetMemory, targetCPU = 0.8, 0.9
	// ramp is the least time between the beginnings of two builds on one worker: what the first one
	// takes has to show before it is decided about the second.
	ramp = 2 * time.Second
	// between is the most time between two steps of a build. A build that waits longer, as one does for
	// the other jobs of its matrix, makes room for them: nobody waits for who waits for him.
	between = 3 * time.Second
	// slotPoll is how often a slot that is not to be had is asked for again.
	slotPoll = 50 * time.Millisecond
)

// buildSlots hands out the beginnings of builds: as many as the machine's cores and memory allow,
// never more than a number at a time, and always one to a machine that builds nothing.
//
// The other steps of a build need no slot: a build that has begun must not wait, or its worker
// would count as lost.
type buildSlots struct {
	// resources decides by how busy the machine is.
	resources worker.SlotSupplier
	// building counts the builds that have begun here.
	building func() int
	most     int

	mutex  sync.Mutex
	issued int
}

// newBuildTuner is for the queue of first steps.
func newBuildTuner(most int, building func() int) (worker.WorkerTuner, error) {
	resources, err := newResourceSlots(most)
	if err != nil {
		return nil, fmt.Errorf("limiting builds by what the machine has: %w", err)
	}
	none, err := worker.NewFixedSizeSlotSupplier(1)
	if err != nil {
		return nil, err
	}
	return worker.NewCompositeTuner(worker.CompositeTunerOptions{
		ActivitySlotSupplier: &buildSlots{resources: resources, building: building, most: most},
		// Nothing else is done on this queue.
		WorkflowSlotSupplier: none, LocalActivitySlotSupplier: none, NexusSlotSupplier: none, SessionActivitySlotSupplier: none,
	})
}

// newResourceSlots follows the machine's cores and memory, where it can be asked for them.
func newResourceSlots(most int) (worker.SlotSupplier, error) {
	usage := machineUsage()
	if usage == nil {
		return worker.NewFixedSizeSlotSupplier(most)
	}
	options := worker.DefaultResourceControllerOptions()
	options.MemTargetPercent, options.CpuTargetPercent, options.InfoSupplier = targetMemory, targetCPU, usage
	return worker.NewResourceBasedSlotSupplier(worker.NewResourceController(options), worker.ResourceBasedSlotSupplierOptions{
		MinSlots: 0, MaxSlots: most, RampThrottle: ramp,
	})
}

// ReserveSlot waits until a build may begin.
func (s *buildSlots) ReserveSlot(ctx context.Context, info worker.SlotReservationInfo) (*worker.SlotPermit, error) {
	ticker := time.NewTicker(slotPoll)
	defer ticker.Stop()
	for {
		if permit := s.TryReserveSlot(info); permit != nil {
			return permit, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ticker.C:
		}
	}
}

// TryReserveSlot answers with nil when no build may begin now.
func (s *buildSlots) TryReserveSlot(info worker.SlotReservationInfo) *worker.SlotPermit {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	under := s.issued + s.building()
	if under >= s.most {
		return nil
	}
	permit := &worker.SlotPermit{}
	if under > 0 {
		if permit = s.resources.TryReserveSlot(info); permit == nil {
			return nil
		}
		permit = &worker.SlotPermit{UserData: permit}
	}
	s.issued++
	return permit
}

// MarkSlotUsed has nothing to do: what a step takes shows by itself.
func (s *buildSlots) MarkSlotUsed(worker.SlotMarkUsedInfo) {}

// ReleaseSlot ends a first step. By then its build counts as one that has begun.
func (s *buildSlots) ReleaseSlot(info worker.SlotReleaseInfo) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.issued--
	if _, limited := info.Permit().UserData.(*worker.SlotPermit); limited {
		s.resources.ReleaseSlot(info)
	}
}

// MaxSlots is the number of builds that may begin at a time.
func (s *buildSlots) MaxSlots() int { return s.most }
