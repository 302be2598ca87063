package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// Pair is the environment that had the users' address before a deployment, and the one that is made beside it.
type Pair = beanstalk.Pair

// Mark tells an environment that a deployment made from everybody else's.
type Mark = beanstalk.Mark

// AwaitLiveInput says which stage's live environment, and until when.
type AwaitLiveInput struct {
	Application string `json:"application"`
	// Environment is the stage's own, and CNAME the prefix of the address that users have.
	Environment string    `json:"environment"`
	CNAME       string    `json:"cname"`
	Until       time.Time `json:"until"`
}

// AwaitLive finds which of the stage's two environments users have, and waits until nobody's change holds it.
func (b *Beanstalk) AwaitLive(ctx context.Context, input AwaitLiveInput) (delivery.Observation, error) {
	return handOver(ctx, func(ctx context.Context) (delivery.Observation, error) {
		live, err := b.Client.AwaitLive(ctx, input.Application, input.Environment, input.CNAME, input.Until, heartbeat(ctx))
		return live, toTemporal(err)
	})
}

// MakeBesideInput is the environment to make, and the live one that it is to be as.
type MakeBesideInput struct {
	Live    delivery.Observation `json:"live"`
	Name    string               `json:"name"`
	Version string               `json:"version"`
	Mark    Mark                 `json:"mark"`
	Until   time.Time            `json:"until"`
}

// MakeBeside makes an environment beside the live one, exactly once. It does not wait for its launch.
func (b *Beanstalk) MakeBeside(ctx context.Context, input MakeBesideInput) (delivery.Observation, error) {
	made, err := b.Client.MakeBeside(ctx, beanstalk.Beside{Live: input.Live, Name: input.Name, Version: input.Version, Mark: input.Mark},
		activity.HasHeartbeatDetails(ctx), input.Until, announce(ctx, "making "+input.Name), heartbeat(ctx))
	return made, toTemporal(err)
}

// SwapInput is the environment that has the users' address, and the one that is to have it.
type SwapInput struct {
	From  delivery.Observation `json:"from"`
	To    delivery.Observation `json:"to"`
	Until time.Time            `json:"until"`
}

// Swap moves an address from one environment to another, exactly once, and waits until that is done.
func (b *Beanstalk) Swap(ctx context.Context, input SwapInput) (delivery.Observation, error) {
	live, err := b.Client.Swap(ctx, beanstalk.Swap{From: input.From, To: input.To},
		activity.HasHeartbeatDetails(ctx), input.Until, announce(ctx, "swapping the addresses"), heartbeat(ctx))
	return live, toTemporal(err)
}

// SettlePairInput is a pair as it was last known.
type SettlePairInput struct {
	Pair  Pair      `json:"pair"`
	Until time.Time `json:"until"`
}

// SettlePair waits until nothing changes a pair any more, and gives what it is then.
func (b *Beanstalk) SettlePair(ctx context.Context, input SettlePairInput) (Pair, error) {
	return handOver(ctx, func(ctx context.Context) (Pair, error) {
		settled, err := b.Client.SettlePair(ctx, input.Pair, input.Until, heartbeat(ctx))
		return settled, toTemporal(err)
	})
}

// DrainInput is the environment that an address moved away from, and when.
type DrainInput struct {
	Name    string    `json:"name"`
	Swapped time.Time `json:"swapped"`
}

// Drain waits until no name server should lead anybody there any more.
func (b *Beanstalk) Drain(ctx context.Context, input DrainInput) error {
	_, err := handOver(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, toTemporal(b.Client.Drain(ctx, input.Name, input.Swapped, heartbeat(ctx)))
	})
	return err
}

// RetireInput is the environment to end.
type RetireInput struct {
	Application string `json:"application"`
	Name        string `json:"name"`
	// ID is Beanstalk's own; without it, the environment is the one with the mark.
	ID   string `json:"id,omitempty"`
	Mark Mark   `json:"mark"`
	// Public is the users' address, whose environment is never ended.
	Public string `json:"public"`
	// Swapped is when that address last moved, if it did.
	Swapped time.Time `json:"swapped,omitzero"`
	Until   time.Time `json:"until"`
}

// Retired answers Retire.
type Retired struct {
	// Ended is false when there was nothing to end.
	Ended bool `json:"ended"`
}

// Retire begins the end of an environment, exactly once, and deletes what the new environment was made from.
func (b *Beanstalk) Retire(ctx context.Context, input RetireInput) (Retired, error) {
	ended, err := b.Client.Retire(ctx, beanstalk.Retirement{
		Application: input.Application, Name: input.Name, ID: input.ID, Mark: input.Mark, Public: input.Public, Swapped: input.Swapped,
	}, activity.HasHeartbeatDetails(ctx), input.Until, announce(ctx, "ending "+input.Name), heartbeat(ctx))
	return Retired{Ended: ended}, toTemporal(err)
}

// announce puts on record that an attempt is about to send a change, before it does. The next attempt then gives
// that change time to show. So does any other heartbeat, which costs that time and no more.
func announce(ctx context.Context, change string) func() {
	return func() { activity.RecordHeartbeat(ctx, change) }
}
