package process

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"
)

// usage tells how much of the machine is in use: of the container's share where the worker has one,
// since a machine that is idle is of no use to a container at its limit.
type usage struct {
	root string // of the file system, for tests
	now  func() time.Time

	mutex sync.Mutex
	at    time.Time
	cpu   float64
	busy  float64 // processor seconds that were used until at
}

// machineUsage is what this machine is asked by.
func machineUsage() worker.SysInfoProvider { return &usage{root: "/", now: time.Now} }

// cpuPause is the least time over which the use of processors is measured.
const cpuPause = 500 * time.Millisecond

// MemoryUsage is the share of memory in use, from 0 to 1.
func (u *usage) MemoryUsage(*worker.SysInfoContext) (float64, error) {
	total, available, err := u.memory()
	if err != nil {
		return 0, err
	}
	return 1 - float64(available)/float64(total), nil
}

// memory is how much there is, and how much of it is to be had, in bytes.
func (u *usage) memory() (total, available int64, err error) {
	about, err := u.fields("proc/meminfo", ":")
	if err != nil {
		return 0, 0, err
	}
	total, available = kilobytes(about["MemTotal"]), kilobytes(about["MemAvailable"])
	if total <= 0 {
		return 0, 0, errors.New("/proc/meminfo does not tell the memory")
	}
	for _, each := range []struct{ controller, limit, used, statistics, cached string }{
		{"", "memory.max", "memory.current", "memory.stat", "inactive_file"},
		{"memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file"},
	} {
		folder := u.cgroup(each.controller)
		limit, known := u.number(filepath.Join(folder, each.limit))
		if !known || limit <= 0 || limit >= total {
			continue
		}
		used, _ := u.number(filepath.Join(folder, each.used))
		statistics, _ := u.fields(filepath.Join(folder, each.statistics), " ")
		cached, _ := strconv.ParseInt(statistics[each.cached], 10, 64) // files that are dropped when memory is needed
		total, available = limit, max(min(available, limit-used+cached), 0)
	}
	return total, available, nil
}

// CpuUsage is the share of the processors in use, from 0 to 1, since it was asked before.
func (u *usage) CpuUsage(*worker.SysInfoContext) (float64, error) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	now := u.now()
	if now.Sub(u.at) < cpuPause {
		return u.cpu, nil
	}
	busy, cores, err := u.processors()
	if err != nil {
		return 0, err
	}
	if !u.at.IsZero() {
		u.cpu = min(max((busy-u.busy)/(now.Sub(u.at).Seconds()*cores), 0), 1)
	}
	u.at, u.busy = now, busy
	return u.cpu, nil
}

// processors is how many seconds of them were used so far, and how many there are.
func (u *usage) processors() (busy, cores float64, err error) {
	if quota, used, limited := u.quota(); limited {
		return used, quota, nil
	}
	content, err := os.ReadFile(filepath.Join(u.root, "proc/stat"))
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[0] != "cpu" {
		return 0, 0, errors.New("/proc/stat does not tell the use of processors")
	}
	for i, field := range fields[1:] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, 0, err
		}
		const idle, waiting, guest = 3, 4, 8 // guests are in the other numbers already
		if i != idle && i != waiting && i < guest {
			busy += ticks
		}
	}
	const perSecond = 100 // on every architecture that Go knows
	return busy / perSecond, float64(runtime.NumCPU()), nil
}

// quota is how many processors a container may use, and for how many seconds it did.
func (u *usage) quota() (cores, used float64, limited bool) {
	folder := u.cgroup("")
	if content, err := os.ReadFile(filepath.Join(folder, "cpu.max")); err == nil {
		fields := strings.Fields(string(content))
		statistics, err := u.fields(filepath.Join(folder, "cpu.stat"), " ")
		if len(fields) == 2 && fields[0] != "max" && err == nil {
			quota, _ := strconv.ParseFloat(fields[0], 64)
			period, _ := strconv.ParseFloat(fields[1], 64)
			micros, _ := strconv.ParseFloat(statistics["usage_usec"], 64)
			return quota / period, micros / 1e6, quota > 0 && period > 0
		}
	}
	quota, known := u.number(filepath.Join(u.cgroup("cpu"), "cpu.cfs_quota_us"))
	period, _ := u.number(filepath.Join(u.cgroup("cpu"), "cpu.cfs_period_us"))
	nanos, measured := u.number(filepath.Join(u.cgroup("cpuacct"), "cpuacct.usage"))
	if !known || !measured || quota <= 0 || period <= 0 {
		return 0, 0, false
	}
	return float64(quota) / float64(period), float64(nanos) / 1e9, true
}

// cgroup is the folder of the worker's own group for a controller; "" is the second version's.
func (u *usage) cgroup(controller string) string {
	own, _ := os.ReadFile(filepath.Join(u.root, "proc/self/cgroup"))
	for line := range strings.Lines(string(own)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for name := range strings.SplitSeq(parts[1], ",") {
			if name != controller {
				continue
			}
			folder := filepath.Join(u.root, "sys/fs/cgroup", controller, parts[2])
			// In a container the path is the host's, and the group itself lies at the top.
			if _, err := os.Stat(folder); err == nil {
				return folder
			}
		}
	}
	return filepath.Join(u.root, "sys/fs/cgroup", controller)
}

func (u *usage) number(path string) (int64, bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	value, err := strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	return value, err == nil
}

// fields reads lines of a name and a value.
func (u *usage) fields(path, separator string) (map[string]string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(u.root, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), separator); ok {
			found[name] = strings.TrimSpace(value)
		}
	}
	return found, nil
}

func kilobytes(text string) int64 {
	value, _ := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	return value << 10
}

// machineMemory is how much memory the worker has, in bytes, or 0.
func machineMemory() int64 {
	total, _, err := (&usage{root: "/", now: time.Now}).memory()
	if err != nil {
		return 0
	}
	return total
}
