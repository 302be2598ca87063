package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/mocks"

	"gravity/internal/webhook"
	"gravity/workflows"
)

// logged reads JSON log lines until one has the message, and answers with it.
func logged(t *testing.T, lines *bufio.Scanner, message string) map[string]any {
	t.Helper()
	for lines.Scan() {
		var line map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &line), lines.Text())
		if line["msg"] == message {
			return line
		}
	}
	require.FailNow(t, "never logged", message)
	return nil
}

// serving starts `serve` on a free port, and answers with its URL and its log.
func serving(t *testing.T, config, secret string) (url string, log *bufio.Scanner, stop func() error) {
	t.Helper()
	reader, writer := io.Pipe()
	late := time.AfterFunc(2*time.Minute, func() { _ = reader.Close() }) // what is never logged is not waited for
	t.Cleanup(func() { late.Stop() })
	temporal := mocked(t)
	temporal.On("ExecuteWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(nil, nil).Maybe()
	unscheduled(temporal)
	g := newGlobals(io.Discard, writer)
	g.temporal, g.configPath = temporal, config
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		err := g.serve(ctx, serveFlags{listen: "127.0.0.1:0", secrets: []string{secret}, webUI: "https://temporal.example.com"})
		_ = writer.Close()
		done <- err
	}()
	stop = func() error {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, reader) }()
		return <-done
	}
	log = bufio.NewScanner(reader)
	return "http://" + logged(t, log, "listening")["address"].(string), log, stop
}

// unscheduled is a Temporal without the schedule of the search for lost pushes.
func unscheduled(temporal *mocks.Client) {
	handle := &mocks.ScheduleHandle{}
	handle.On("Delete", mock.Anything).Return(serviceerror.NewNotFound("no schedule"))
	schedules := &mocks.ScheduleClient{}
	schedules.On("GetHandle", mock.Anything, workflows.CatchUpID).Return(handle)
	temporal.On("ScheduleClient").Return(schedules)
}

func sendPush(t *testing.T, url, secret string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+webhookPath, strings.NewReader(pushed))
	require.NoError(t, err)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1",
		"X-Hub-Signature-256": webhook.Sign([]byte(secret), []byte(pushed)),
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

func TestAHangupReadsEverythingAnewOrLeavesItAsItWas(t *testing.T) {
	directory := t.TempDir()
	config, secret := filepath.Join(directory, "gravity.yaml"), filepath.Join(directory, "secret")
	sample, err := os.ReadFile("../site/gravity.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(config, sample, 0o600))
	require.NoError(t, os.WriteFile(secret, []byte("first\n"), 0o600))
	url, log, stop := serving(t, config, secret)
	code := make(chan int, 1)
	send := func(with string) int {
		go func() { code <- sendPush(t, url, with) }()
		logged(t, log, "webhook")
		return <-code
	}

	assert.Equal(t, http.StatusAccepted, send("first"))
	assert.Equal(t, http.StatusUnauthorized, send("second"))

	require.NoError(t, os.WriteFile(config, []byte(wrongFile), 0o600))
	require.NoError(t, os.WriteFile(secret, []byte("second\n"), 0o600))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	assert.Contains(t, logged(t, log, "the configuration is wrong; the one before stays")["error"], "gravity.yaml:2:")
	assert.Equal(t, http.StatusAccepted, send("first"), "nothing of it was taken over")

	require.NoError(t, os.WriteFile(config, sample, 0o600))
	require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGHUP))
	logged(t, log, "configuration read")
	assert.Equal(t, http.StatusAccepted, send("second"))
	assert.Equal(t, http.StatusUnauthorized, send("first"))
	assert.NoError(t, stop())
}

func TestAnAcceptedRequestIsFinishedBeforeTheReceiverEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	began, finish := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		close(began)
		<-finish
		assert.NoError(t, request.Context().Err())
		w.WriteHeader(http.StatusOK)
	})
	ctx, cancel := context.WithCancel(t.Context())
	stopping := make(chan struct{})
	log := slog.New(slog.NewTextHandler(notifying{stopping, nil}, nil))
	ended := make(chan error, 1)
	go func() { ended <- (&service{handler: handler, log: log}).serveUntil(ctx, listener) }()
	answered := make(chan int, 1)
	go func() { answered <- sendPush(t, "http://"+listener.Addr().String(), "s") }()

	<-began
	cancel()
	<-stopping
	select {
	case <-ended:
		require.Fail(t, "the receiver ended with a request under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(finish)
	assert.Equal(t, http.StatusOK, <-answered)
	assert.NoError(t, <-ended)
}

// notifying closes its channel with the line that says that the end has begun. Where there is something to wait for,
// the end goes on after that.
type notifying struct {
	stopping   chan<- struct{}
	waitingFor <-chan struct{}
}

func (n notifying) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "stopping") {
		close(n.stopping)
		if n.waitingFor != nil {
			<-n.waitingFor
		}
	}
	return len(line), nil
}

func TestAnAddressInUseIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("s"), 0o600))
	g := newGlobals(io.Discard, io.Discard)
	temporal := mocked(t)
	unscheduled(temporal)
	g.temporal, g.configPath = temporal, "../site/gravity.yaml"
	err = g.serve(t.Context(), serveFlags{listen: listener.Addr().String(), secrets: []string{secret}})
	assert.ErrorContains(t, err, listener.Addr().String())
	assert.ErrorContains(t, err, "choose another address with --listen")
}
