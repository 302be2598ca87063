package clock

import (
	"container/heap"
	"sync"
	"time"
)

// Stepped is a clock that moves only when it is told to. Callbacks run one after the other, in
// the order of their times, in the goroutine that calls Advance: the same calls give the same run.
type Stepped struct {
	mu      sync.Mutex
	idle    sync.Cond // signalled when busy falls to zero
	now     time.Time
	busy    int
	serial  int
	pending callbacks
}

// NewStepped returns a clock that stands at the given time.
func NewStepped(start time.Time) *Stepped {
	c := &Stepped{now: start.UTC()}
	c.idle.L = &c.mu
	return c
}

// Now is the time the clock was last advanced to.
func (c *Stepped) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc calls f during the Advance that reaches its time.
func (c *Stepped) AfterFunc(d time.Duration, f func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serial++
	entry := &callback{at: c.now.Add(max(d, 0)), serial: c.serial, run: f}
	heap.Push(&c.pending, entry)
	return &steppedTimer{clock: c, entry: entry}
}

// Busy marks work that Advance waits for.
func (c *Stepped) Busy() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy++
	return onceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.busy--
		if c.busy == 0 {
			c.idle.Broadcast()
		}
	})
}

// Advance moves the clock by d, runs every callback that falls due on the way, and waits for the
// work they started. It must not be called from a callback.
func (c *Stepped) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	target := c.now.Add(d)
	for {
		for c.busy > 0 {
			c.idle.Wait()
		}
		if len(c.pending) == 0 || c.pending[0].at.After(target) {
			c.now = target
			return
		}
		next := heap.Pop(&c.pending).(*callback)
		if next.at.After(c.now) {
			c.now = next.at
		}
		c.mu.Unlock()
		next.run()
		c.mu.Lock()
	}
}

type callback struct {
	at     time.Time
	serial int
	run    func()
	index  int
}

type steppedTimer struct {
	clock *Stepped
	entry *callback
}

func (t *steppedTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.entry.index < 0 {
		return false
	}
	heap.Remove(&t.clock.pending, t.entry.index)
	return true
}

// callbacks is a heap: the earliest first, and those of one time in the order they were asked for.
type callbacks []*callback

func (h callbacks) Len() int { return len(h) }
func (h callbacks) Less(i, j int) bool {
	if h[i].at.Equal(h[j].at) {
		return h[i].serial < h[j].serial
	}
	return h[i].at.Before(h[j].at)
}
func (h callbacks) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *callbacks) Push(x any) {
	entry := x.(*callback)
	entry.index = len(*h)
	*h = append(*h, entry)
}
func (h *callbacks) Pop() any {
	last := len(*h) - 1
	entry := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	entry.index = -1
	return entry
}
