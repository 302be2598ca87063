package runner

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup bounds a command and all its descendants together. Its zero value, and nil, do nothing:
// most workers may not make cgroups, and then the limits of each process have to do.
type cgroup struct {
	// folders of the group: one where the system has cgroups of the second version, one for each
	// limit where it has those of the first.
	folders []string
	unified bool
}

const cgroupRoot = "/sys/fs/cgroup"

// newCgroup makes a group with limits, or nil when there are none or the system refuses.
func newCgroup(l Limits) *cgroup {
	if l.Memory <= 0 && l.Processes <= 0 {
		return nil
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	return makeCgroup(cgroupRoot, string(own), l)
}

// makeCgroup is newCgroup for a file system at root and the worker's own groups, as /proc tells them.
func makeCgroup(root, own string, l Limits) *cgroup {
	name := "gravity-" + rand.Text()[:12]
	paths := map[string]string{}
	for line := range strings.Lines(own) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 {
			for controller := range strings.SplitSeq(fields[1], ",") {
				paths[controller] = fields[2]
			}
		}
	}
	if g := makeUnified(root, paths[""], name, l); g != nil {
		return g
	}
	group := &cgroup{}
	for _, limit := range []struct {
		controller, file string
		value            int64
	}{{"memory", "memory.limit_in_bytes", l.Memory}, {"pids", "pids.max", int64(l.Processes)}} {
		path, offered := paths[limit.controller]
		if !offered || limit.value <= 0 {
			continue
		}
		folder := filepath.Join(root, limit.controller, path, name)
		if os.Mkdir(folder, 0o755) != nil {
			continue
		}
		group.folders = append(group.folders, folder)
		if set(folder, limit.file, limit.value) != nil {
			group.end()
			return nil
		}
	}
	return group
}

// makeUnified makes a group of the second version: below the worker's own group, or beside it,
// because a group that holds processes itself may not pass its controllers on.
func makeUnified(root, own, name string, l Limits) *cgroup {
	for _, parent := range []string{filepath.Join(root, own), filepath.Join(root, filepath.Dir("/"+own))} {
		control := filepath.Join(parent, "cgroup.subtree_control")
		// Opened without making it: where there are no such cgroups, the folder may be an ordinary one.
		if file, err := os.OpenFile(control, os.O_WRONLY, 0); err == nil {
			// Not every worker may pass the controllers on; where they are passed on already, it need not.
			_, _ = file.WriteString("+memory +pids")
			_ = file.Close()
		}
		passed, err := os.ReadFile(control)
		if err != nil || !strings.Contains(string(passed), "memory") || !strings.Contains(string(passed), "pids") {
			continue
		}
		folder := filepath.Join(parent, name)
		if os.Mkdir(folder, 0o755) != nil {
			continue
		}
		group := &cgroup{folders: []string{folder}, unified: true}
		if l.Memory > 0 && set(folder, "memory.max", l.Memory) != nil || l.Processes > 0 && set(folder, "pids.max", int64(l.Processes)) != nil {
			group.end()
			continue
		}
		// Memory that is swapped out is memory, too. Without swap the file is missing.
		_ = set(folder, "memory.swap.max", 0)
		return group
	}
	return nil
}

func set(folder, file string, value int64) error {
	return os.WriteFile(filepath.Join(folder, file), []byte(strconv.FormatInt(value, 10)), 0o644)
}

func (g *cgroup) add(pid int) error {
	if g == nil {
		return nil
	}
	for _, folder := range g.folders {
		if err := set(folder, "cgroup.procs", int64(pid)); err != nil {
			return fmt.Errorf("put the command into its cgroup: %w", err)
		}
	}
	return nil
}

// outOfMemory reports whether the kernel ended anything in the group for its memory.
func (g *cgroup) outOfMemory() bool {
	if g == nil {
		return false
	}
	for _, folder := range g.folders {
		for _, name := range []string{"memory.events", "memory.oom_control"} {
			if counted(filepath.Join(folder, name), "oom_kill") > 0 {
				return true
			}
		}
	}
	return false
}

func counted(path, key string) int {
	file, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && name == key {
			count, _ := strconv.Atoi(value)
			return count
		}
	}
	return 0
}

// end ends what is left in the group, and removes it.
func (g *cgroup) end() {
	if g == nil {
		return
	}
	for _, folder := range g.folders {
		if g.unified {
			_ = os.WriteFile(filepath.Join(folder, "cgroup.kill"), []byte("1"), 0o644)
		}
		_ = os.Remove(folder)
	}
}
