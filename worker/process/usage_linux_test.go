package process

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// machine is a file system that tells of a machine of 8 GB, of which 6 are to be had.
func machine(t *testing.T, files map[string]string) *usage {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{
		"proc/meminfo":     "MemTotal:        8388608 kB\nMemFree:          100 kB\nMemAvailable:    6291456 kB\n",
		"proc/stat":        "cpu  100 0 100 1000 50 0 0 0 0 0\ncpu0 1 2 3\n",
		"proc/self/cgroup": "0::/system.slice/worker\n4:memory:/worker\n5:cpu,cpuacct:/worker\n",
	} {
		if _, given := files[name]; !given {
			if files == nil {
				files = map[string]string{}
			}
			files[name] = content
		}
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	now := time.Unix(1_000_000, 0)
	return &usage{root: root, now: func() time.Time { now = now.Add(time.Second); return now }}
}

func TestTheMemoryThatCountsIsTheContainersWhereThereIsOne(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  float64
	}{
		"the machine's": {want: 0.25},
		"no limit":      {files: map[string]string{"sys/fs/cgroup/system.slice/worker/memory.max": "max\n"}, want: 0.25},
		"cgroups of the second version": {files: map[string]string{
			"sys/fs/cgroup/system.slice/worker/memory.max": "1073741824\n", "sys/fs/cgroup/system.slice/worker/memory.current": "1073741824\n",
			"sys/fs/cgroup/system.slice/worker/memory.stat": "anon 1\ninactive_file 536870912\n",
		}, want: 0.5},
		"in a container, whose group lies at the top": {files: map[string]string{
			"sys/fs/cgroup/memory.max": "1073741824\n", "sys/fs/cgroup/memory.current": "805306368\n",
		}, want: 0.75},
		"cgroups of the first version": {files: map[string]string{
			"sys/fs/cgroup/memory/worker/memory.limit_in_bytes": "1073741824\n", "sys/fs/cgroup/memory/worker/memory.usage_in_bytes": "1073741824\n",
			"sys/fs/cgroup/memory/worker/memory.stat": "total_inactive_file 268435456\n",
		}, want: 0.75},
	} {
		got, err := machine(t, test.files).MemoryUsage(nil)
		require.NoError(t, err, name)
		require.InDelta(t, test.want, got, 0.001, name)
	}
	_, err := machine(t, map[string]string{"proc/meminfo": "nothing"}).MemoryUsage(nil)
	require.Error(t, err)
	require.Positive(t, machineMemory(), "this machine has some")
}

func TestTheProcessorsThatCountAreTheContainersWhereThereIsOne(t *testing.T) {
	for name, test := range map[string]struct {
		before, after map[string]string
		want          func(cores float64) float64
	}{
		"the machine's": {
			after: map[string]string{"proc/stat": "cpu  130 0 120 1100 50 0 0 0 0 0\n"},
			want:  func(cores float64) float64 { return 0.5 / cores },
		},
		"a quota of the second version": {
			before: map[string]string{"sys/fs/cgroup/system.slice/worker/cpu.max": "200000 100000\n", "sys/fs/cgroup/system.slice/worker/cpu.stat": "usage_usec 1000000\n"},
			after:  map[string]string{"sys/fs/cgroup/system.slice/worker/cpu.stat": "usage_usec 2500000\n"},
			want:   func(float64) float64 { return 0.75 },
		},
		"a quota of the first version": {
			before: map[string]string{
				"sys/fs/cgroup/cpu/worker/cpu.cfs_quota_us": "50000\n", "sys/fs/cgroup/cpu/worker/cpu.cfs_period_us": "100000\n",
				"sys/fs/cgroup/cpuacct/worker/cpuacct.usage": "1000000000\n",
			},
			after: map[string]string{"sys/fs/cgroup/cpuacct/worker/cpuacct.usage": "1250000000\n"},
			want:  func(float64) float64 { return 0.5 },
		},
	} {
		u := machine(t, test.before)
		first, err := u.CpuUsage(nil)
		require.NoError(t, err, name)
		require.Zero(t, first, "nothing is known yet")
		for path, content := range test.after {
			require.NoError(t, os.WriteFile(filepath.Join(u.root, path), []byte(content), 0o644))
		}
		got, err := u.CpuUsage(nil)
		require.NoError(t, err, name)
		_, cores, err := u.processors()
		require.NoError(t, err)
		require.InDelta(t, test.want(cores), got, 0.001, name)
	}
}
