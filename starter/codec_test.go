package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"

	"gravity/internal/delivery"
	"gravity/worker/connection"
)

func keysFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	key := "2026-11 " + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)) + "\n"
	require.NoError(t, os.WriteFile(path, []byte(key), 0o600))
	return path
}

// codecAt runs a codec server for pages of one origin, until the test ends.
func codecAt(t *testing.T, origin string) string {
	t.Helper()
	encryption, err := connection.LoadEncryption(keysFile(t))
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveCodec(ctx, listener, encryption, origin) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	return "http://" + listener.Addr().String()
}

func askCodec(t *testing.T, method, url, origin, body string) (status int, answer string, header http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	if origin != "" {
		request.Header.Set("Origin", origin)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content), response.Header
}

func TestWhatARunStoresIsEncryptedAndStillShownToWhoeverHasTheKey(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	const planted = "The secret price list"
	b := newBenchWith(t, keysFile(t))
	sha := b.commit(planted)
	require.Equal(t, exitSuccess, b.starter("deploy", "site").code)
	runID := delivery.RunID("site", sha)
	b.waiting(runID)
	shown := b.starter("status")
	require.Contains(t, shown.stdout, planted, "the memo is decrypted")
	require.Equal(t, exitSuccess, b.starter("approve", "--reason", "fine").code)
	require.Equal(t, exitSuccess, b.starter("watch", "run/site/"+sha).code)

	clear, err := client.Dial(client.Options{HostPort: os.Getenv("TEMPORAL_ADDRESS")})
	require.NoError(t, err)
	defer clear.Close()
	var stored bytes.Buffer
	listed, err := clear.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{})
	require.NoError(t, err)
	require.NotEmpty(t, listed.GetExecutions())
	stored.WriteString(protojson.Format(listed))
	for _, execution := range listed.GetExecutions() {
		events := clear.GetWorkflowHistory(t.Context(), execution.GetExecution().GetWorkflowId(), execution.GetExecution().GetRunId(),
			false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for events.HasNext() {
			event, err := events.Next()
			require.NoError(t, err)
			stored.WriteString(protojson.Format(event))
		}
	}
	for _, encoded := range []string{planted, base64.StdEncoding.EncodeToString([]byte(`"` + planted + `"`))[:24]} {
		require.NotContains(t, stored.String(), encoded)
	}
	require.NotContains(t, stored.String(), base64.StdEncoding.EncodeToString([]byte(`"json/plain"`)))
}

func TestTheCodecDecryptsForItsWebUIAlone(t *testing.T) {
	const ui = "https://temporal.example.com"
	address := codecAt(t, ui)
	encryption, err := connection.LoadEncryption(keysFile(t))
	require.NoError(t, err)
	plain, err := converter.GetDefaultDataConverter().ToPayload("the price list")
	require.NoError(t, err)
	encrypted, err := encryption.Encode([]*commonpb.Payload{plain})
	require.NoError(t, err)
	payload := protojson.Format(&commonpb.Payloads{Payloads: encrypted})

	status, answer, header := askCodec(t, http.MethodPost, address+"/decode", ui, payload)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, ui, header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, answer, base64.StdEncoding.EncodeToString([]byte(`"the price list"`)))
	status, _, _ = askCodec(t, http.MethodOptions, address+"/decode", ui, "")
	require.Equal(t, http.StatusNoContent, status)
	status, _, _ = askCodec(t, http.MethodPost, address+"/decode", "", payload)
	require.Equal(t, http.StatusOK, status, "Temporal's command line sends no origin")

	status, answer, header = askCodec(t, http.MethodPost, address+"/decode", "https://evil.example.com", payload)
	require.Equal(t, http.StatusForbidden, status)
	require.Empty(t, header.Get("Access-Control-Allow-Origin"))
	require.NotContains(t, answer, "price")
	status, _, _ = askCodec(t, http.MethodPost, address+"/encode", ui, payload)
	require.Equal(t, http.StatusNotFound, status, "what could encrypt could forge")
	status, _, _ = askCodec(t, http.MethodPost, address+"/decode", ui, "not json")
	require.Equal(t, http.StatusBadRequest, status)
}
