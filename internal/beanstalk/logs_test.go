package beanstalk

import (
	"archive/zip"
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

const tailSample = `----------------------------------------
/var/log/eb-engine.log
----------------------------------------
2026/11/23 10:01:00 [INFO] Executing instruction: StartApplication
2026/11/23 10:01:01 [ERROR] The process web ended.

----------------------------------------
/var/log/nginx/access.log
----------------------------------------
10.0.0.1 GET /secret-path 200

----------------------------------------
/var/log/web.stdout.log
----------------------------------------
one
two
three
` + "\x1b[31mpanic: no database\x1b[0m\x00\x07" + `
`

// logServer stands for S3, and for the platform that puts logs there when it is asked to.
type logServer struct {
	*httptest.Server
	mu    sync.Mutex
	asked bool
}

func serveLogs(t *testing.T, sample string) *logServer {
	server := &logServer{}
	server.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, sample) }))
	t.Cleanup(server.Close)
	return server
}

// answer gives samples of two instances after they were asked for, and an old one before.
func (s *logServer) answer(api *fakeAPI) {
	api.request = func(*elasticbeanstalk.RequestEnvironmentInfoInput) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = true
		return nil
	}
	api.retrieve = func(*elasticbeanstalk.RetrieveEnvironmentInfoInput) ([]types.EnvironmentInfoDescription, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		samples := []types.EnvironmentInfoDescription{sampleOf("i-0", s.URL+"/old", monday)}
		if s.asked {
			samples = append(samples, sampleOf("i-2", s.URL+"?X-Amz-Signature=hush", monday.Add(time.Hour)), sampleOf("i-1", s.URL+"?X-Amz-Signature=hush", monday.Add(time.Hour)))
		}
		return samples, nil
	}
}

func sampleOf(instance, url string, at time.Time) types.EnvironmentInfoDescription {
	return types.EnvironmentInfoDescription{Ec2InstanceId: aws.String(instance), Message: aws.String(url), SampleTimestamp: aws.Time(at)}
}

func TestAFailureComesWithTheEndOfTheInstancesLogs(t *testing.T) {
	api := &fakeAPI{}
	ill := with(onV1(), well, changed, health("Severe"))
	ill.Instances[1].HealthStatus = "Severe" // i-2
	api.script(ill)
	serveLogs(t, tailSample).answer(api)
	proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"i-2 web.stdout.log: one", "i-2 web.stdout.log: two", "i-2 web.stdout.log: three", "i-2 web.stdout.log: panic: no database",
		"i-2 eb-engine.log: 2026/11/23 10:01:01 [ERROR] The process web ended.",
		"i-1 web.stdout.log: one", "i-1 web.stdout.log: two", "i-1 web.stdout.log: three", "i-1 web.stdout.log: panic: no database",
		"i-1 eb-engine.log: 2026/11/23 10:01:01 [ERROR] The process web ended.",
	}, proof.Evidence, "those of the ill instance first, the application's before the platform's, and what was requested not at all")
}

func TestLogsThatNobodyNeedsAnyMoreLeaveNothingRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails where a goroutine is left
		var logs pendingLogs
		logs.begin(t.Context(), NewFromAPI(&fakeAPI{}, quick), with(onV1(), well))
		logs.stop() // before they could be asked for
	})
}

func TestAnUpdateThatWasTakenBackComesWithTheLogsThatThePlatformKept(t *testing.T) {
	var bundle bytes.Buffer
	archive := zip.NewWriter(&bundle)
	for name, text := range map[string]string{"var/log/eb-engine.log": "[ERROR] An error occurred\n", "var/log/web.stdout.log": strings.Repeat("noise\n", 100_000) + "no such file: indx.html\n", "var/log/x.gz": "binary"} {
		entry, err := archive.Create(name)
		require.NoError(t, err)
		_, err = entry.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, archive.Close())
	server := serveLogs(t, bundle.String())
	api := &fakeAPI{}
	api.script(with(onV1(), changed))
	api.retrieve = func(in *elasticbeanstalk.RetrieveEnvironmentInfoInput) ([]types.EnvironmentInfoDescription, error) {
		assert.Equal(t, types.EnvironmentInfoTypeBundle, in.InfoType)
		return []types.EnvironmentInfoDescription{
			sampleOf("i-8", server.URL, monday.Add(-time.Hour)), // of an update before
			sampleOf("i-9", server.URL, monday.Add(time.Minute)),
		}, nil
	}
	proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
	require.NoError(t, err)
	assert.Equal(t, delivery.VerdictNotUpdated, proof.Verdict)
	assert.Equal(t, []string{
		"i-9 web.stdout.log: noise", "i-9 web.stdout.log: noise", "i-9 web.stdout.log: noise", "i-9 web.stdout.log: no such file: indx.html",
		"i-9 eb-engine.log: [ERROR] An error occurred",
	}, proof.Evidence)
	assert.Zero(t, api.count("RequestEnvironmentInfo"), "those instances are gone")
}

func TestLogsThatCannotBeHadAreSaidToBeAndTheirAddressIsNot(t *testing.T) {
	api := &fakeAPI{}
	api.script(with(onV1(), well, changed, health("Severe")))
	server := serveLogs(t, "")
	server.answer(api)
	server.Close()
	proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
	require.NoError(t, err)
	require.Len(t, proof.Evidence, 2)
	assert.Contains(t, proof.Evidence[0], "the logs of i-2 could not be read")
	assert.NotContains(t, strings.Join(proof.Evidence, ""), "hush", "whoever has the address has the logs")
}

func TestLogsOfAnySizeAndShapeAreBounded(t *testing.T) {
	for name, sample := range map[string]string{
		"one endless line":    strings.Repeat("x", 20<<20),
		"many logs":           strings.Repeat("----------\n/var/log/a.log\n----------\nline\n", 50_000),
		"no log at all":       "\n\n\n",
		"rules without names": strings.Repeat("----------\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			api := &fakeAPI{}
			api.script(with(onV1(), well, changed, health("Severe")))
			serveLogs(t, sample).answer(api)
			proof, err := NewFromAPI(api, quick).AwaitHealth(limited(t), toV2(time.Now().Add(time.Hour)), ignored)
			require.NoError(t, err)
			assert.LessOrEqual(t, len(proof.Evidence), maxLogLines)
			for _, line := range proof.Evidence {
				assert.LessOrEqual(t, len(line), maxLine)
			}
		})
	}
}
