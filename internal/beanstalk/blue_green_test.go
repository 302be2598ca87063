package beanstalk

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func unsaid() {}

// inTime is when a wait of these tests must be over.
func inTime() time.Time { return time.Now().Add(5 * time.Second) }

func TestTheLiveEnvironmentIsTheOneThatHasTheUsersAddress(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const region = ".eu-west-1.elasticbeanstalk.com"
		for name, c := range map[string]struct {
			blue, green, prefix string
			dns                 map[string]string
			live                string
			fails               delivery.ErrorType
			says                string
		}{
			"by the prefix it was given":           {blue: "shop" + region, green: "x" + region, prefix: "shop", live: "shop-production"},
			"after a swap":                         {blue: "x" + region, green: "shop" + region, prefix: "shop", live: "shop-production-green"},
			"whatever the case":                    {blue: "Shop" + region, green: "x" + region, prefix: "shop", live: "shop-production"},
			"at an address that Beanstalk chose":   {blue: "x" + region, green: "shop-production.eba-1234abcd" + region, prefix: "shop-production", live: "shop-production-green"},
			"at an address of another form":        {blue: "127.0.0.1:1", green: "127.0.0.1:2", prefix: "shop", dns: map[string]string{"shop": "127.0.0.1:2"}, live: "shop-production-green"},
			"before there is another":              {blue: "shop" + region, prefix: "shop", live: "shop-production"},
			"when the first one is gone":           {green: "shop" + region, prefix: "shop", live: "shop-production-green"},
			"none, where both have other names":    {blue: "a" + region, green: "b" + region, prefix: "shop", fails: delivery.InvalidInput, says: "shop-production has a.eu"},
			"none, where a third one has the name": {blue: "a" + region, green: "b" + region, prefix: "shop", dns: map[string]string{"shop": "shop" + region}, fails: delivery.InvalidInput, says: "set cname"},
			"none, where both could be meant":      {blue: "shop.eba-1" + region, green: "shop.eba-2" + region, prefix: "shop", fails: delivery.Drift, says: "both"},
			"none, where there is neither":         {prefix: "shop", fails: delivery.EnvironmentNotFound, says: "shop-production-green"},
		} {
			p := &twins{calls: map[string]int{}, dns: c.dns}
			if c.blue != "" {
				p.add("shop-production", "e-1", "v1", c.blue)
			}
			if c.green != "" {
				p.add("shop-production-green", "e-2", "v1", c.green)
			}
			stage := delivery.Stage{Environment: "shop-production", CNAME: c.prefix, Strategy: delivery.BlueGreen}
			live, err := p.client().OfStage(t.Context(), "shop", stage)
			if c.fails != "" {
				require.Equal(t, c.fails, delivery.TypeOf(err), name)
				require.ErrorContains(t, err, c.says, name)
				continue
			}
			require.NoError(t, err, name)
			require.Equal(t, c.live, live.Name, name)
		}
	})
}

func TestAnEnvironmentOfAnotherApplicationOrOneThatEndsIsNeverLive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		p.named("shop-production").ApplicationName = aws.String("other")
		p.named("shop-production-green").Status = types.EnvironmentStatusTerminating
		_, err := p.client().Live(t.Context(), "shop", "shop-production", "shop-production")
		require.Equal(t, delivery.EnvironmentNotFound, delivery.TypeOf(err))
	})
}

func TestOtherStrategiesHaveOneEnvironment(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		observed, err := p.client().OfStage(t.Context(), "shop", delivery.Stage{Environment: "shop-production", CNAME: "other", Strategy: delivery.Immutable})
		require.NoError(t, err)
		require.Equal(t, "e-1", observed.ID)
	})
}

func TestTheLiveEnvironmentIsWaitedForAndLookedForAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		blue, green := p.named("shop-production"), p.named("shop-production-green")
		p.takes = 4
		p.begin(blue, types.EnvironmentStatusUpdating, func() { blue.CNAME, green.CNAME = green.CNAME, blue.CNAME })
		live, err := p.client().AwaitLive(limited(t), "shop", "shop-production", "shop-production", inTime(), ignored)
		require.NoError(t, err)
		require.Equal(t, "shop-production-green", live.Name, "somebody swapped while it was waited for")
		require.True(t, live.Ready())
	})
}

func TestWhatMustNotBeCopiedIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(false)
		live := p.see("shop-production")
		require.NoError(t, p.client().Copyable(t.Context(), live))

		p.settings = map[setting]string{{"aws:rds:dbinstance", "HasCoupledDatabase"}: "true"}
		err := p.client().Copyable(t.Context(), live)
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
		require.ErrorContains(t, err, "decouple the database")

		p.named("shop-production").Tier = &types.EnvironmentTier{Name: aws.String("Worker")}
		require.ErrorContains(t, p.client().Copyable(t.Context(), live), "no address to swap")
	})
}

func TestAPairIsSettledOnceNothingMovesAnyMore(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		p.takes, p.lag = 5, 3
		before := Pair{Old: p.see("shop-production"), New: p.see("shop-production-green")}
		_, err := p.SwapEnvironmentCNAMEs(t.Context(), swapInput("e-1", "e-2"))
		require.NoError(t, err)
		settled, err := p.client().SettlePair(limited(t), before, inTime(), ignored)
		require.NoError(t, err)
		require.True(t, settled.Old.Ready() && settled.New.Ready())
		require.Equal(t, before.Old.Address, settled.New.Address, "what did not show at first is waited for")

		p.named("shop-production-green").Status = types.EnvironmentStatusTerminated
		settled, err = p.client().SettlePair(limited(t), before, inTime(), ignored)
		require.NoError(t, err)
		require.Equal(t, gone, settled.New.Status)
		require.Empty(t, settled.New.Address)

		p.named("shop-production").Status = types.EnvironmentStatusUpdating
		_, err = p.client().SettlePair(limited(t), Pair{Old: before.Old}, time.Now(), ignored)
		require.Equal(t, delivery.EnvironmentBusy, delivery.TypeOf(err))
	})
}

func TestADrainLastsUntilNameServersKnow(t *testing.T) {
	pace := quick
	pace.Drain = time.Hour
	client := NewFromAPI(pairOfShop(true), pace)
	require.NoError(t, client.Drain(t.Context(), "shop-production", time.Time{}, ignored), "nothing was swapped")
	require.NoError(t, client.Drain(t.Context(), "shop-production", time.Now().Add(-time.Hour), ignored))
	ctx, cancel := context.WithCancel(t.Context())
	var told Progress
	err := client.Drain(ctx, "shop-production", time.Now(), func(p Progress) { told = p; cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Contains(t, told.Event, "name servers")
}
