package temporal

import (
	"net"
	"strconv"

	"gravity/internal/delivery"
	"gravity/internal/local/child"
)

// choosePorts fixes the ports at the first launch; a restart keeps them. It checks before the server
// does, because the server's own message names neither the flag nor what to do.
func (s *Server) choosePorts() error {
	var err error
	if s.port, err = choosePort(s.port, s.options.Port, "--temporal-port"); err != nil {
		return err
	}
	if s.options.Headless {
		return nil
	}
	s.uiPort, err = choosePort(s.uiPort, s.options.UIPort, "--ui-port")
	return err
}

// choosePort takes the port of before if there is one, else the wanted one, else a free one.
func choosePort(before, wanted int, flag string) (int, error) {
	switch {
	case before != 0:
		return before, checkPort(before, flag)
	case wanted != 0:
		return wanted, checkPort(wanted, flag)
	default:
		return freePort()
	}
}

func checkPort(port int, flag string) error {
	if port < 1 || port > 65535 {
		return delivery.Errorf(delivery.InvalidInput, "port %d does not exist: %s takes 1 to 65535, or 0 for a free one", port, flag)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return delivery.Errorf(delivery.InvalidInput, "port %d is in use: end what listens there, or choose another with %s (%w)", port, flag, err)
	}
	return listener.Close()
}

func freePort() (int, error) {
	ports, err := child.FreePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}
