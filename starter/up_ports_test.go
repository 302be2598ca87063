package main

import (
	"net"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// freePorts are flags that let every part find a port of its own.
var freePorts = []string{"--temporal-port", "0", "--ui-port", "0", "--aws-port", "0", "--git-port", "0", "--webhook-port", "0"}

func TestAPortInUseIsNamedWithItsFlagBeforeAnythingIsStarted(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	directory := filepath.Join(t.TempDir(), "data")
	for _, flag := range []string{"--temporal-port", "--ui-port", "--aws-port", "--git-port", "--webhook-port"} {
		arguments := append([]string{"up", "--directory", directory, "--site", "../site"}, freePorts...)
		got := starter(t, append(arguments, flag, port)...)
		assert.Equal(t, exitUsage, got.code)
		assert.Contains(t, got.stderr, "port "+port+" is in use: end what listens there, or choose another with "+flag)
		assert.Empty(t, got.stdout, "nothing was begun")
	}
}

func TestTwoPartsOnOnePortAreRefusedByBothFlags(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	options := stackOptions{AWSPort: port, GitPort: port}
	require.ErrorContains(t, options.checkPorts(), "--aws-port and --git-port are both "+strconv.Itoa(port))
}

func TestAPortThatIsNoneIsRefused(t *testing.T) {
	for _, port := range []int{-1, 65536} {
		options := stackOptions{UIPort: port}
		require.ErrorContains(t, options.checkPorts(), "--ui-port is "+strconv.Itoa(port))
	}
}
