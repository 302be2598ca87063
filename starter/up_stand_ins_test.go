package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/config"
	"gravity/internal/local/git"
	"gravity/internal/webhook"
)

func TestStandInsTellEverybodyElseWhereTheyAre(t *testing.T) {
	type delivered struct {
		body      []byte
		signature string
	}
	pushes := make(chan delivered, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		pushes <- delivered{body, request.Header.Get("X-Hub-Signature-256")}
	}))
	defer receiver.Close()
	port := strconv.Itoa(receiver.Listener.Addr().(*net.TCPAddr).Port)

	directory := filepath.Join(t.TempDir(), "data")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	site := smallSite(t)
	var said, trouble transcript
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"up", "--stand-ins", "--directory", directory, "--site", site, "--pace", "quick",
			"--aws-port", "0", "--git-port", "0", "--webhook-port", port}, &said, &trouble)
	}()
	// Whoever waits for the file, as health checks do, finds everything there.
	require.Eventually(t, func() bool {
		_, err := config.Load(filepath.Join(directory, "gravity.yaml"))
		return err == nil
	}, 4*time.Minute, 5*time.Millisecond, "%s", &trouble)
	assert.NoDirExists(t, filepath.Join(directory, "temporal"), "no server of its own was started")

	file, err := config.Load(filepath.Join(directory, "gravity.yaml"))
	require.NoError(t, err)
	settings, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithSharedConfigFiles([]string{filepath.Join(directory, awsConfigName)}),
		awsconfig.WithSharedCredentialsFiles(nil))
	require.NoError(t, err)
	answer, err := elasticbeanstalk.NewFromConfig(settings).DescribeEnvironments(ctx, &elasticbeanstalk.DescribeEnvironmentsInput{})
	require.NoError(t, err, "the file says where AWS is, and with which keys it is spoken with")
	assert.Len(t, answer.Environments, len(file.Pipelines[0].Stages))
	for _, environment := range answer.Environments {
		assert.Equal(t, "Ready", string(environment.Status), "the pipelines' file is there once everything else is")
	}

	working, err := git.Clone(ctx, file.Pipelines[0].Repository, filepath.Join(t.TempDir(), "clone"))
	require.NoError(t, err)
	require.NoError(t, working.Write("more.txt", "more\n"))
	_, err = working.Commit(ctx, "More")
	require.NoError(t, err)
	require.NoError(t, working.Push(ctx, "main"))
	secret, err := os.ReadFile(filepath.Join(directory, "webhook-secret"))
	require.NoError(t, err)
	push := <-pushes
	assert.Equal(t, webhook.Sign([]byte(strings.TrimSpace(string(secret))), push.body), push.signature)

	interrupt()
	assert.Equal(t, exitSuccess, <-ended, trouble.String())
	assert.Contains(t, said.String(), "The stand-ins are up")
}
