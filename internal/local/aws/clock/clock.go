// Package clock is the time of the stand-in: real, scaled, or stepped by a test.
//
// The platform does nothing but by a callback of its clock, and marks the work that goes on
// elsewhere (a process that starts, a health check on its way) as busy. So a stepped clock knows
// when everything of one moment has happened, and a test of half an hour takes a second.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and calls back when some of it has passed.
type Clock interface {
	// Now is the current time, in UTC.
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed.
	AfterFunc(d time.Duration, f func()) Timer
	// Busy marks work in flight, which a stepped clock waits for before it moves on. The returned
	// function ends the mark and may be called more than once.
	Busy() (done func())
}

// Timer is a callback that is still to come.
type Timer interface {
	// Stop calls it off, and tells whether it was in time.
	Stop() bool
}

// Real is the machine's clock.
func Real() Clock { return real{} }

type real struct{}

func (real) Now() time.Time                            { return time.Now().UTC() }
func (real) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
func (real) Busy() func()                              { return func() {} }

// Scaled is a clock that begins now and runs factor times as fast as the machine's.
func Scaled(factor float64) Clock {
	return scaled{began: time.Now(), factor: max(factor, 0.001)}
}

type scaled struct {
	began  time.Time
	factor float64
}

func (c scaled) Now() time.Time {
	passed := float64(time.Since(c.began)) * c.factor
	return c.began.Add(time.Duration(passed)).UTC()
}

func (c scaled) AfterFunc(d time.Duration, f func()) Timer {
	return time.AfterFunc(time.Duration(float64(d)/c.factor), f)
}

func (c scaled) Busy() func() { return func() {} }

// NotBefore is the clock itself, or one that is as much ahead of it that it begins at the given time.
func NotBefore(c Clock, start time.Time) Clock {
	if ahead := start.Sub(c.Now()); ahead > 0 {
		return shifted{Clock: c, by: ahead}
	}
	return c
}

type shifted struct {
	Clock
	by time.Duration
}

func (c shifted) Now() time.Time { return c.Clock.Now().Add(c.by) }

// onceFunc makes the end of a busy mark safe to call again.
func onceFunc(f func()) func() {
	var once sync.Once
	return func() { once.Do(f) }
}
