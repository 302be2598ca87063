package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"gravity/internal/proof/lab"
)

// machine is what something was measured on.
type machine struct {
	Cores int `json:"cores"`
	// Memory is in bytes; 0 where the system does not tell.
	Memory int64 `json:"memory,omitempty"`
	// Temporal is the server that was used.
	Temporal string `json:"temporal"`
}

func thisMachine(server lab.Kind) machine {
	return machine{Cores: runtime.NumCPU(), Memory: installedMemory(), Temporal: server.Describe()}
}

func (m machine) String() string {
	text := fmt.Sprintf("%d cores", m.Cores)
	if m.Memory > 0 {
		text += fmt.Sprintf(" and %.0f GiB of memory", float64(m.Memory)/gibibyte)
	}
	return text + ", with " + m.Temporal
}

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30
)

// installedMemory reads Linux's /proc/meminfo.
func installedMemory() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "MemTotal:"); found {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
