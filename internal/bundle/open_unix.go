//go:build unix

package bundle

import "syscall"

// nonBlocking keeps the opening of a named pipe, swapped in for a file, from waiting for a writer.
const nonBlocking = syscall.O_NONBLOCK
