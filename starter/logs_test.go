package main

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/activities"
	"gravity/internal/bundle"
	"gravity/internal/delivery"
	"gravity/workflows"
)

// reader reads logs without any S3.
func reader(only string) (*logReader, *bytes.Buffer) {
	var out bytes.Buffer
	g := newGlobals(&out, &bytes.Buffer{})
	g.output = "text"
	r := newLogReader(g, only)
	r.closed = errors.New("no AWS here")
	return r, &out
}

// building is a run whose commands run, each with what its heartbeat tells.
func building(progresses ...activities.CommandProgress) runView {
	view := runView{RunStatus: workflows.RunStatus{RunID: delivery.RunID("site", shaA), Build: workflows.StateBuilding, State: workflows.StateBuilding}}
	for i := range progresses {
		view.Logs = append(view.Logs, progresses[i].CommandLog)
		view.Live = append(view.Live, liveStep{Output: &progresses[i]})
	}
	return view
}

func heartbeat(command, text string, end int) activities.CommandProgress {
	return activities.CommandProgress{CommandLog: activities.CommandLog{Command: command, Bucket: "b", Key: "k/" + command}, Text: text, End: int64(end)}
}

// emptyStore is an S3 in which there is nothing.
func emptyStore(t *testing.T) *bundle.Store {
	t.Helper()
	memory := s3mem.New()
	require.NoError(t, memory.CreateBucket("b"))
	server := httptest.NewServer(gofakes3.New(memory).Server())
	t.Cleanup(server.Close)
	return &bundle.Store{S3: s3.New(s3.Options{
		BaseEndpoint: sdk.String(server.URL), UsePathStyle: true, Region: "eu-west-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
	})}
}

func TestHeartbeatsThatOverlapArePrintedOnce(t *testing.T) {
	r, out := reader("")
	for _, each := range []activities.CommandProgress{
		heartbeat("test", "one\n", 4), heartbeat("test", "one\n", 4), heartbeat("test", "one\ntwo\nth", 10), heartbeat("test", "two\nthree\n", 14),
	} {
		require.NoError(t, r.look(t.Context(), building(each)))
	}
	assert.Equal(t, "test │ one\ntest │ two\ntest │ three\n", out.String())
}

func TestWhatIsMissingIsSaidAndTheRestGoesOn(t *testing.T) {
	r, out := reader("")
	require.NoError(t, r.look(t.Context(), building(heartbeat("test", "one\n", 4))))
	require.NoError(t, r.look(t.Context(), building(heartbeat("test", "nine\n", 45))))
	ended := building()
	ended.Build, ended.Logs = workflows.StateFailed, []activities.CommandLog{{Command: "test", Bucket: "b", Key: "k/test", Size: 60}}
	for range 2 {
		require.NoError(t, r.look(t.Context(), ended))
	}
	assert.Equal(t, "test │ one\ntest │ … 36 bytes are left out here: no AWS here\ntest │ nine\ntest │ … the rest is in s3://b/k/test: no AWS here\n", out.String())
}

func TestS3ThatLagsBehindIsWaitedForButNotForEver(t *testing.T) {
	r, out := reader("")
	log := &readLog{CommandLog: activities.CommandLog{Command: "test", Bucket: "b", Key: "k/test"}, behind: time.Now().Add(-2 * patience)}
	r.closed = nil
	// An S3 that answers and has nothing yet.
	r.store = emptyStore(t)
	require.NoError(t, r.live(t.Context(), &readLog{CommandLog: log.CommandLog}, heartbeat("test", "nine\n", 45)))
	assert.Empty(t, out.String(), "it may still come")
	require.NoError(t, r.live(t.Context(), log, heartbeat("test", "nine\n", 45)))
	assert.Equal(t, "test │ … 40 bytes are left out here: the worker does not get them to S3\ntest │ nine\n", out.String())
}

func TestSeveralCommandsAtOnceAreToldApartAndOneAloneIsPrintedAsItIs(t *testing.T) {
	both := building(heartbeat("test SHARD=1", "a\n", 2), heartbeat("test SHARD=2", "b\n", 2))
	r, out := reader("")
	require.NoError(t, r.look(t.Context(), both))
	assert.Equal(t, "test SHARD=1 │ a\ntest SHARD=2 │ b\n", out.String())
	r, out = reader("test SHARD=2")
	require.NoError(t, r.look(t.Context(), both))
	assert.Equal(t, "b\n", out.String())
	r, out = reader("")
	r.g.output = "json"
	require.NoError(t, r.look(t.Context(), building(heartbeat("test", "\x1b[2Jhostile\n", len("\x1b[2Jhostile\n")))))
	assert.Equal(t, `{"command":"test","text":"hostile\n"}`+"\n", out.String())
	assert.False(t, strings.Contains(out.String(), "\x1b"))
}
