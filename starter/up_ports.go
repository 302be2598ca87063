package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// chosenPort is the port of one part, with the flag that chooses another.
type chosenPort struct {
	flag string
	port int
}

// ports lists them in the order in which their parts start.
func (o *stackOptions) ports() []chosenPort {
	return []chosenPort{
		{"--temporal-port", o.TemporalPort}, {"--ui-port", o.UIPort},
		{"--aws-port", o.AWSPort}, {"--git-port", o.GitPort}, {"--webhook-port", o.WebhookPort},
	}
}

// checkPorts makes sure that every port can be listened on before anything is started, or even compiled: whoever
// has to choose another one learns it at once.
func (o *stackOptions) checkPorts() error {
	taken := map[int]string{}
	for _, p := range o.ports() {
		if p.port == 0 {
			continue // a free one is found
		}
		if other, twice := taken[p.port]; twice {
			return wrongUse("%s and %s are both %d: choose another for one of them (0 takes a free one)", other, p.flag, p.port)
		}
		taken[p.port] = p.flag
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

// check listens there for a moment.
func (p chosenPort) check() error {
	if p.port < 0 || p.port > 65535 {
		return wrongUse("%s is %d: a port is 1 to 65535, or 0 for a free one", p.flag, p.port)
	}
	listener, err := net.Listen("tcp", loopback(p.port))
	switch {
	case err == nil:
		return listener.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return wrongUse("port %d is in use: end what listens there, or choose another with %s (0 takes a free one)", p.port, p.flag)
	default:
		return wrongUse("port %d cannot be listened on; choose another with %s (0 takes a free one): %w", p.port, p.flag, err)
	}
}

// loopback is an address that only this machine reaches.
func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
