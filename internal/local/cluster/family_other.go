//go:build !linux

package cluster

import (
	"os"

	"gravity/internal/local/child"
)

// killFamily kills the parent: PostgreSQL's other processes notice that at once, and end by themselves.
func killFamily(parent *child.Process) error { return parent.End(os.Kill, stopTimeout) }
