//go:build !linux

package process

import "go.temporal.io/sdk/worker"

// machineUsage is nil where the machine cannot be asked: builds are limited by their number alone.
func machineUsage() worker.SysInfoProvider { return nil }

// machineMemory is not known.
func machineMemory() int64 { return 0 }
