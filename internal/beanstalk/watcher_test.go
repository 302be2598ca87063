package beanstalk

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// platform answers a watcher's looks and records them.
type platform struct {
	mu     sync.Mutex
	looks  []pastLook
	answer func(names []string) ([]delivery.Observation, error)
}

type pastLook struct {
	at    time.Time
	names []string
}

func (p *platform) describe(_ context.Context, names []string) ([]delivery.Observation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks = append(p.looks, pastLook{time.Now(), slices.Sorted(slices.Values(names))})
	return p.answer(names)
}

func (p *platform) past() []pastLook {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.looks)
}

// ready answers that every environment is Ready.
func ready(names []string) ([]delivery.Observation, error) {
	var observed []delivery.Observation
	for _, name := range names {
		observed = append(observed, with(onV1(), func(o *delivery.Observation) { o.Name = name }))
	}
	return observed, nil
}

func receive(t *testing.T, looks <-chan look) look {
	t.Helper()
	select {
	case l := <-looks:
		return l
	case <-time.After(5 * time.Second):
		require.Fail(t, "the watcher tells nothing")
		return look{}
	}
}

func TestManyWaitsCostOneCallALook(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := &platform{answer: ready}
		w := newWatcher(p.describe, quick)
		const waits = 100
		var all sync.WaitGroup
		for i := range waits {
			all.Go(func() {
				looks, _, stop := w.watch("shop", fmt.Sprintf("shop-%d", i/2)) // two waits an environment
				defer stop()
				for range 5 {
					l := receive(t, looks)
					assert.NoError(t, l.err)
					assert.Equal(t, fmt.Sprintf("shop-%d", i/2), l.observed.Name)
				}
			})
		}
		all.Wait()
		past := p.past()
		assert.Less(t, len(past), waits, "500 answers were given")
		whole := 0
		for _, look := range past {
			assert.Equal(t, slices.Compact(slices.Clone(look.names)), look.names, "each environment is named once")
			if len(look.names) == waits/2 {
				whole++
			}
		}
		assert.NotZero(t, whole, "one call asks for all of them")
	})
}

func TestMoreEnvironmentsThanOneCallCanNameAreAllLookedAtByOneThatNamesNone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var all []string
		for i := range maxNames + 50 {
			all = append(all, fmt.Sprintf("shop-%d", i))
		}
		p := &platform{}
		p.answer = func(names []string) ([]delivery.Observation, error) {
			if names == nil {
				return ready(append(all, "somebody-elses"))
			}
			return ready(names)
		}
		w := newWatcher(p.describe, quick)
		var waits []<-chan look
		for _, name := range all {
			looks, _, stop := w.watch("shop", name)
			defer stop()
			waits = append(waits, looks)
		}
		for i, looks := range waits {
			l := receive(t, looks)
			require.NoError(t, l.err)
			assert.Equal(t, all[i], l.observed.Name)
		}
		calls := len(p.past())
		require.Eventually(t, func() bool { return len(p.past()) > calls }, 5*time.Second, time.Millisecond)
		assert.Empty(t, p.past()[calls].names, "one call, for all that there are")
	})
}

// A thousand environments that are updated at different times always have one whose end is due.
func TestTheMoreWaitsThereAreTheFurtherApartAreTheLooks(t *testing.T) {
	for _, c := range []struct {
		waits int
		apart time.Duration
	}{{1, time.Second}, {5, 5 * time.Second}, {1000, 15 * time.Second}} {
		t.Run(fmt.Sprint(c.waits), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				changes := 0
				p := &platform{}
				p.answer = func(names []string) ([]delivery.Observation, error) {
					observed, err := ready(names)
					changes++
					for i := range observed {
						observed[i].UpdatedAt = monday.Add(time.Duration(changes) * time.Minute)
					}
					return observed, err
				}
				w := newWatcher(p.describe, DefaultPace)
				var stops []func()
				for i := range c.waits {
					_, _, stop := w.watch("shop", fmt.Sprintf("shop-%d", i))
					stops = append(stops, stop)
				}
				time.Sleep(10 * time.Minute)
				for _, stop := range stops {
					stop()
				}
				time.Sleep(time.Minute) // it ends
				past := p.past()
				mean := past[len(past)-1].at.Sub(past[1].at) / time.Duration(len(past)-2)
				assert.InDelta(t, c.apart.Seconds(), mean.Seconds(), 0.1)
			})
		})
	}
}

func TestTheWatcherStopsWhenNobodyWaits(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := &platform{answer: ready}
		w := newWatcher(p.describe, quick)
		looks, _, stop := w.watch("shop", "shop-production")
		receive(t, looks)
		stop()
		stopped := func() bool { w.mu.Lock(); defer w.mu.Unlock(); return !w.running }
		require.Eventually(t, stopped, 5*time.Second, time.Millisecond)
		calls := len(p.past())
		time.Sleep(5 * quick.Slow)
		assert.Len(t, p.past(), calls)

		looks, _, stop = w.watch("shop", "shop-production")
		defer stop()
		assert.NoError(t, receive(t, looks).err, "it begins again with the next wait")
	})
}

func TestLooksGetRarerWhileNothingChangesAndFrequentWhenSomethingDoes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		calls := 0
		p := &platform{}
		p.answer = func(names []string) ([]delivery.Observation, error) {
			observed, err := ready(names)
			if calls++; calls > 10 { // from here on, every look shows something new
				observed[0].UpdatedAt = monday.Add(time.Duration(calls) * time.Minute)
			}
			return observed, err
		}
		pace := Pace{Fast: 2 * time.Millisecond, Slow: 20 * time.Millisecond}
		w := newWatcher(p.describe, pace)
		_, _, stop := w.watch("shop", "shop-production")
		require.Eventually(t, func() bool { return len(p.past()) >= 20 }, 5*time.Second, time.Millisecond)
		stop()
		past := p.past()
		gap := func(i int) time.Duration { return past[i].at.Sub(past[i-1].at) }
		assert.GreaterOrEqual(t, gap(9), pace.Slow, "nothing changed for ten looks")
		var changing []time.Duration
		for i := 12; i < 20; i++ {
			changing = append(changing, gap(i))
		}
		assert.Less(t, slices.Min(changing), pace.Slow/2, "everything changes")
	})
}

func TestWaitsThatBeginOneAfterTheOtherDoNotCostACallEach(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := &platform{answer: func([]string) ([]delivery.Observation, error) {
			return nil, delivery.Errorf(delivery.Throttled, "Rate exceeded")
		}}
		pace := Pace{Fast: 10 * time.Millisecond, Slow: 20 * time.Millisecond}
		w := newWatcher(p.describe, pace)
		began := time.Now()
		for range 40 {
			_, _, stop := w.watch("shop", "shop-production")
			defer stop()
			time.Sleep(time.Millisecond)
		}
		calls := len(p.past())
		assert.LessOrEqual(t, calls, int(time.Since(began)/pace.Fast)+1)
	})
}

func TestOneBadEnvironmentDoesNotDisturbAnother(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := &platform{answer: func(names []string) ([]delivery.Observation, error) {
			return ready(slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "gone" }))
		}}
		w := newWatcher(p.describe, quick)
		bad, _, stopBad := w.watch("shop", "gone")
		defer stopBad()
		good, _, stopGood := w.watch("shop", "shop-production")
		defer stopGood()
		for range 3 {
			assert.Equal(t, delivery.EnvironmentNotFound, delivery.TypeOf(receive(t, bad).err))
			assert.NoError(t, receive(t, good).err)
		}
	})
}

func TestAnEnvironmentOfAnotherApplicationIsNotTaken(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := &platform{answer: ready}
		w := newWatcher(p.describe, quick)
		looks, _, stop := w.watch("blog", "shop-production")
		defer stop()
		assert.Equal(t, delivery.EnvironmentNotFound, delivery.TypeOf(receive(t, looks).err))
	})
}

func TestAnErrorIsToldToEveryWaitAndIsOverWhenThePlatformAnswersAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var mu sync.Mutex
		broken := true
		p := &platform{answer: func(names []string) ([]delivery.Observation, error) {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return nil, delivery.Errorf(delivery.Unavailable, "connection refused")
			}
			return ready(names)
		}}
		w := newWatcher(p.describe, quick)
		first, _, stopFirst := w.watch("shop", "shop-staging")
		defer stopFirst()
		second, _, stopSecond := w.watch("shop", "shop-production")
		defer stopSecond()
		assert.Equal(t, delivery.Unavailable, delivery.TypeOf(receive(t, first).err))
		assert.Equal(t, delivery.Unavailable, delivery.TypeOf(receive(t, second).err))
		mu.Lock()
		broken = false
		mu.Unlock()
		for _, looks := range []<-chan look{first, second} {
			assert.Eventually(t, func() bool { return receive(t, looks).err == nil }, 5*time.Second, time.Millisecond)
		}
	})
}

func TestWhoeverIsSlowToReadGetsTheNewestLook(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		calls := 0
		p := &platform{}
		p.answer = func(names []string) ([]delivery.Observation, error) {
			observed, err := ready(names)
			calls++
			observed[0].VersionLabel = fmt.Sprintf("look %d", calls)
			return observed, err
		}
		w := newWatcher(p.describe, quick)
		looks, _, stop := w.watch("shop", "shop-production")
		defer stop()
		require.Eventually(t, func() bool { return len(p.past()) >= 5 }, 5*time.Second, time.Millisecond)
		assert.NotContains(t, []string{"look 1", "look 2", "look 3"}, receive(t, looks).observed.VersionLabel)
	})
}
