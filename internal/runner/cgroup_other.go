//go:build unix && !linux

package runner

// cgroup is Linux's; elsewhere it does nothing.
type cgroup struct{}

func newCgroup(Limits) *cgroup { return nil }

func (g *cgroup) add(int) error { return nil }

func (g *cgroup) outOfMemory() bool { return false }

func (g *cgroup) end() {}
