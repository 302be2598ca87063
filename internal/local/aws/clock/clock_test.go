package clock

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestASteppedClockRunsCallbacksInOrderAndAtTheirTimes(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := NewStepped(start)
	var seen []string
	note := func(name string) func() {
		return func() { seen = append(seen, name+" "+c.Now().Sub(start).String()) }
	}
	c.AfterFunc(2*time.Second, note("second"))
	c.AfterFunc(time.Second, func() {
		note("first")()
		c.AfterFunc(500*time.Millisecond, note("made by first"))
	})
	c.AfterFunc(2*time.Second, note("third"))
	stopped := c.AfterFunc(time.Second, note("stopped"))
	assert.True(t, stopped.Stop())
	assert.False(t, stopped.Stop())
	c.AfterFunc(3*time.Second, note("later"))
	c.Advance(2 * time.Second)
	assert.Equal(t, []string{"first 1s", "made by first 1.5s", "second 2s", "third 2s"}, seen)
	assert.Equal(t, start.Add(2*time.Second), c.Now())
}

func TestASteppedClockWaitsForWorkInFlight(t *testing.T) {
	c := NewStepped(time.Unix(0, 0))
	release := make(chan struct{})
	finished := false
	c.AfterFunc(time.Second, func() {
		done := c.Busy()
		go func() {
			<-release
			finished = true
			done()
			done() // a second time does no harm
		}()
		close(release)
	})
	c.Advance(time.Minute)
	assert.True(t, finished)
}

func TestAClockThatStartsLaterGoesAtTheSamePace(t *testing.T) {
	c := NewStepped(time.Unix(100, 0))
	assert.Equal(t, Clock(c), NotBefore(c, time.Unix(100, 0)))
	later := NotBefore(c, time.Unix(160, 0))
	assert.Equal(t, time.Unix(160, 0).UTC(), later.Now())
	var called time.Time
	later.AfterFunc(time.Minute, func() { called = later.Now() })
	c.Advance(time.Minute)
	assert.Equal(t, time.Unix(220, 0).UTC(), called)
}

func TestAScaledClockRunsFaster(t *testing.T) {
	c := Scaled(1000)
	before := c.Now()
	called := make(chan time.Time, 1)
	c.AfterFunc(10*time.Second, func() { called <- c.Now() })
	assert.GreaterOrEqual(t, (<-called).Sub(before), 10*time.Second)
}
