package runner

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"

	"gravity/internal/delivery"
)

// accountPoll is how often a wait for a free account looks again.
const accountPoll = 100 * time.Millisecond

// Accounts are user numbers that nobody on the machine has, one for each command that runs at the
// same time: so that a worker that is root runs nothing as root, and no command can touch another's
// files or processes. The numbers need no entry in /etc/passwd.
type Accounts struct {
	// Folder holds a lock for each account, shared by all workers on the machine.
	Folder string
	// First and Count are the range of numbers, for users and groups alike. Defaults 61200 and 64:
	// below what systemd gives away, above what administrators do.
	First, Count int
}

// Take waits for a free account. The answer gives it back.
func (a Accounts) Take(ctx context.Context) (Account, func(), error) {
	if os.Getuid() != 0 {
		return Account{}, nil, delivery.Errorf(delivery.InvalidInput, "only a worker that is root can run commands as somebody else")
	}
	if a.First <= 0 {
		a.First, a.Count = 61200, 64
	}
	if err := os.MkdirAll(a.Folder, 0o700); err != nil {
		return Account{}, nil, fmt.Errorf("make the folder of accounts: %w", err)
	}
	ticker := time.NewTicker(accountPoll)
	defer ticker.Stop()
	for {
		for number := a.First; number < a.First+a.Count; number++ {
			lock := flock.New(filepath.Join(a.Folder, strconv.Itoa(number)+".lock"), flock.SetPermissions(0o600))
			free, err := lock.TryLock()
			if err != nil {
				return Account{}, nil, fmt.Errorf("lock the account %d: %w", number, err)
			}
			if free {
				return Account{UID: number, GID: number}, func() { _ = lock.Close() }, nil
			}
			_ = lock.Close()
		}
		select {
		case <-ctx.Done():
			return Account{}, nil, fmt.Errorf("wait for one of %d accounts: %w", a.Count, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
