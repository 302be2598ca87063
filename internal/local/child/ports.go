package child

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePorts draws TCP ports of 127.0.0.1, all different, from below the range from which systems hand out ports by
// themselves (32768 on Linux, 49152 elsewhere): between this check and the child's own listening, and between a kill
// and the next start, no program that asks for any port gets one of these.
func FreePorts(n int) ([]int, error) {
	const lowest, highest, tries = 15000, 32000, 200
	var ports []int
	var last error
	for range tries {
		if len(ports) == n {
			return ports, nil
		}
		port := lowest + rand.IntN(highest-lowest)
		listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			last = err
			continue
		}
		defer func() { _ = listener.Close() }() // not sooner, so that none is found twice
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d on 127.0.0.1: %w", n, lowest, highest, last)
}

// Free reports whether nobody listens on a port of 127.0.0.1. 0 is no port.
func Free(port int) bool {
	if port == 0 {
		return false
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err == nil {
		_ = listener.Close()
	}
	return err == nil
}
