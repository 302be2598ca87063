package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/mocks"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/internal/scrape"
	"gravity/workflows"
)

// writeCertificate makes a certificate for 127.0.0.1 with a serial number.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gravity"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	encoded, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), 0o600))
}

func TestTLSIsEndedWithACertificateThatCanBeRenewed(t *testing.T) {
	directory := t.TempDir()
	c := &certificate{certFile: filepath.Join(directory, "crt"), keyFile: filepath.Join(directory, "key")}
	require.Error(t, c.load())
	writeCertificate(t, c.certFile, c.keyFile, 1)
	require.NoError(t, c.load())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s := &service{handler: http.NotFoundHandler(), log: slog.New(slog.DiscardHandler), tls: c, reload: func() error { return nil }}
	go func() { ended <- s.serveUntil(ctx, listener) }()
	serial := func() int64 {
		connection, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		require.NoError(t, err)
		defer connection.Close()
		return connection.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	assert.EqualValues(t, 1, serial())
	require.NoError(t, os.WriteFile(c.certFile, []byte("no certificate"), 0o600))
	s.reloadAll()
	assert.EqualValues(t, 1, serial(), "what is wrong is not taken over")
	writeCertificate(t, c.certFile, c.keyFile, 2)
	s.reloadAll()
	assert.EqualValues(t, 2, serial())
	_, err = tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	require.Error(t, err)
	cancel()
	require.NoError(t, <-ended)
}

func TestALoadBalancerIsToldBeforeTheListenerCloses(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stopping := &atomic.Bool{}
	answered := &mocks.Client{}
	answered.On("CheckHealth", mock.Anything, mock.Anything).Return(nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	told, asked := make(chan struct{}), make(chan struct{})
	s := &service{
		handler: newReceiver(receiverOptions{temporal: answered, stopping: stopping}), log: slog.New(slog.NewTextHandler(notifying{told, asked}, nil)),
		stopping: stopping, drain: 300 * time.Millisecond,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serveUntil(ctx, listener) }()
	ask := func() int {
		response, err := http.Get("http://" + listener.Addr().String() + readyPath)
		if err != nil {
			return 0
		}
		_ = response.Body.Close()
		return response.StatusCode
	}
	require.Equal(t, http.StatusOK, ask())
	cancel()
	<-told
	require.Equal(t, http.StatusServiceUnavailable, ask(), "it still answers, and says that it stops")
	drains := time.Now()
	close(asked)
	require.NoError(t, <-ended)
	require.GreaterOrEqual(t, time.Since(drains), s.drain, "load balancers had their time")
}

func TestPrometheusFindsWhatTheReceiverAnsweredAndNobodyElsesWords(t *testing.T) {
	m := newMetrics()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	beside, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	s := &service{
		handler: newReceiver(receiverOptions{temporal: &mocks.Client{}, secrets: [][]byte{[]byte("s")}, observe: m.observe}),
		log:     slog.New(slog.DiscardHandler), metrics: m, metricsListener: beside,
	}
	ended := make(chan error, 1)
	go func() { ended <- s.serveUntil(ctx, listener) }()
	require.Equal(t, http.StatusUnauthorized, sendPush(t, "http://"+listener.Addr().String(), "another"))
	require.Equal(t, http.StatusOK, sendPush(t, "http://"+listener.Addr().String(), "s"), "no pipeline has the repository")
	response, err := http.Get("http://" + beside.Addr().String() + scrape.Path)
	require.NoError(t, err)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Contains(t, string(text), `gravity_webhook_requests_total{code="401",event="other",outcome="error"} 1`)
	require.Contains(t, string(text), `gravity_webhook_requests_total{code="200",event="push",outcome="ignored"} 1`)
	require.Contains(t, string(text), `gravity_webhook_duration_seconds_count{event="push"} 1`)
	response, err = http.Get("http://" + listener.Addr().String() + scrape.Path)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusNotFound, response.StatusCode, "the door to the internet shows none")
	cancel()
	require.NoError(t, <-ended)
}

func TestServeFlagsThatCannotBeAreRefused(t *testing.T) {
	secret := []string{"x"}
	for says, flags := range map[string]serveFlags{
		"--secret-file is missing": {},
		"belong together":          {secrets: secret, tlsCert: "x"},
		"at least 10s":             {secrets: secret, catchUp: time.Second},
		"--web-ui":                 {secrets: secret, webUI: "temporal"},
	} {
		assert.ErrorContains(t, flags.check(), says)
	}
}

func TestTheSearchForLostPushesIsScheduledAndTakesNewPipelinesOver(t *testing.T) {
	file := config.File{Pipelines: []delivery.Pipeline{{Name: "site"}}}
	right := mock.MatchedBy(func(o client.ScheduleOptions) bool {
		action := o.Action.(*client.ScheduleWorkflowAction)
		return o.ID == workflows.CatchUpID && action.Workflow == workflows.CatchUpWorkflow && o.Spec.Intervals[0].Every == time.Minute &&
			assert.ObjectsAreEqual([]any{workflows.CatchUpInput{Pipelines: file.Pipelines}}, action.Args)
	})
	log := slog.New(slog.DiscardHandler)
	for name, c := range map[string]struct {
		created error
		updates bool
		kind    delivery.ErrorType
	}{
		"for the first time": {nil, false, ""},
		"over one there is":  {temporal.ErrScheduleAlreadyRunning, true, ""},
		"without an answer":  {serviceerror.NewUnavailable("away"), false, delivery.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			handle, schedules, c2 := &mocks.ScheduleHandle{}, &mocks.ScheduleClient{}, mocked(t)
			c2.On("ScheduleClient").Return(schedules)
			schedules.On("Create", mock.Anything, right).Return(handle, c.created).Once()
			if c.updates {
				schedules.On("GetHandle", mock.Anything, workflows.CatchUpID).Return(handle)
				handle.On("Update", mock.Anything, mock.MatchedBy(func(o client.ScheduleUpdateOptions) bool {
					update, err := o.DoUpdate(client.ScheduleUpdateInput{})
					return err == nil && update.Schedule.Spec.Intervals[0].Every == time.Minute && update.Schedule.Action != nil
				})).Return(nil).Once()
			}
			err := scheduleCatchUp(t.Context(), c2, file, time.Minute, log)
			assert.Equal(t, c.kind, delivery.TypeOf(err), fmt.Sprint(err))
			schedules.AssertExpectations(t)
			handle.AssertExpectations(t)
		})
	}
}
