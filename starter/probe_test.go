package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAProbeSaysWhetherAProcessIsWell(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Path != "/readyz" {
			http.Error(w, "Temporal cannot be reached\x1b[2J", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	assert.Equal(t, exitSuccess, starter(t, "probe", server.URL+"/readyz").code)

	got := starter(t, "probe", server.URL+"/other")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "503 Service Unavailable Temporal cannot be reached")
	assert.NotContains(t, got.stderr, "\x1b")

	server.Close()
	got = starter(t, "probe", server.URL+"/readyz")
	assert.Equal(t, exitUsage, got.code)
	assert.Contains(t, got.stderr, "nobody answers")

	assert.Contains(t, starter(t, "probe", "127.0.0.1:8080").stderr, "is no address")
}
