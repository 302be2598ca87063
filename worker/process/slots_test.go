package process

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
)

// busyMachine lets builds begin while it is told to.
type busyMachine struct {
	worker.SlotSupplier
	free     bool
	released int
}

func (m *busyMachine) TryReserveSlot(worker.SlotReservationInfo) *worker.SlotPermit {
	if m.free {
		return &worker.SlotPermit{}
	}
	return nil
}

func (m *busyMachine) ReleaseSlot(worker.SlotReleaseInfo) { m.released++ }

// givenBack gives a permit back.
type givenBack struct {
	worker.SlotReleaseInfo
	permit *worker.SlotPermit
}

func (g givenBack) Permit() *worker.SlotPermit { return g.permit }

func TestBuildsBeginAsTheMachineAllowsAndNeverMoreThanTheNumberGiven(t *testing.T) {
	building := 0
	machine := &busyMachine{}
	slots := &buildSlots{resources: machine, building: func() int { return building }, most: 3}

	first := slots.TryReserveSlot(nil)
	require.NotNil(t, first, "a machine that builds nothing always takes one, however busy it is")
	require.Nil(t, slots.TryReserveSlot(nil), "and no second one while it is busy")
	machine.free = true
	second := slots.TryReserveSlot(nil)
	require.NotNil(t, second)

	building = 1
	slots.ReleaseSlot(givenBack{permit: first})
	require.Zero(t, machine.released, "the machine was not asked for it")
	third := slots.TryReserveSlot(nil)
	require.NotNil(t, third)
	require.Nil(t, slots.TryReserveSlot(nil), "one build and two beginnings are three")

	building = 3
	slots.ReleaseSlot(givenBack{permit: second})
	slots.ReleaseSlot(givenBack{permit: third})
	require.Equal(t, 2, machine.released)
	require.Nil(t, slots.TryReserveSlot(nil), "three builds")

	ctx, cancel := context.WithTimeout(t.Context(), 2*slotPoll)
	defer cancel()
	_, err := slots.ReserveSlot(ctx, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	building = 0
	permit, err := slots.ReserveSlot(t.Context(), nil)
	require.NoError(t, err)
	require.NotNil(t, permit)
}

func TestTheTunerOfBuildsFollowsTheMachine(t *testing.T) {
	tuner, err := newBuildTuner(4, func() int { return 0 })
	require.NoError(t, err)
	slots, ours := tuner.GetActivityTaskSlotSupplier().(*buildSlots)
	require.True(t, ours)
	require.Equal(t, 4, slots.MaxSlots())
	_, byResources := slots.resources.(*worker.ResourceBasedSlotSupplier)
	require.Equal(t, machineUsage() != nil, byResources)
	require.Greater(t, ramp, time.Second, "a second build waits until the first one shows")
}
