package runner

import (
	"context"
	"fmt"
	"time"
)

// Limits bound what a command may use, beside its time and output. Zero is no limit, except for
// FreeDisk. Where the system offers cgroups, Memory and Processes count for the command and all
// its descendants together; elsewhere the kernel's limits for each process take their place.
type Limits struct {
	// Memory in bytes.
	Memory int64
	// Processes, threads among them. Without cgroups it counts for the command's user, and root is exempt.
	Processes int
	// FileSize is the largest file that may be written, in bytes.
	FileSize int64
	// FreeDisk is what must stay free on the workspace's file system, in bytes: a command that eats
	// into it is ended before the worker itself runs out. Default DefaultFreeDisk, negative for none.
	FreeDisk int64
	// NoNetwork leaves the command with 127.0.0.1 alone. Needs root on Linux; elsewhere use a container.
	NoNetwork bool
}

// DefaultFreeDisk stays free on the workspace's file system, in bytes.
const DefaultFreeDisk = 256 << 20

// diskPoll is how often the free disk is looked at.
const diskPoll = 250 * time.Millisecond

// Account is who a command runs as.
type Account struct {
	UID, GID int
}

// watchDisk ends the command when the disk runs out.
func watchDisk(ctx context.Context, path string, keep int64, end context.CancelCauseFunc) {
	ticker := time.NewTicker(diskPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if free, err := freeDisk(path); err == nil && free < keep {
				end(fmt.Errorf("%w: %d bytes are left", errDisk, free))
				return
			}
		}
	}
}
