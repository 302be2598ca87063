package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/internal/local/temporal"
	"gravity/internal/webhook"
	"gravity/workflows"
)

// numbers holds the receiver to its numbers. Without it the loads are small, and only what they start is
// looked at: how fast they are says little on a machine that has other things to do.
var numbers = flag.Bool("numbers", false, "hold the receiver to its numbers, under whole loads; for a machine that does nothing else")

// sized is how large a load is.
func sized(whole int) int {
	if *numbers {
		return whole
	}
	return whole / 10
}

// loadVariable makes the test binary a load: its value is a loadSettings.
const loadVariable = "GRAVITY_TEST_LOAD"

// loadSettings say what to send. Every event has a revision of its own; of each five, one is sent twice.
type loadSettings struct {
	URL, Secret, Event string
	Body               []byte // with shaA for the revision
	From, Requests     int
	Concurrency        int
	// Again is how long something that was not taken is sent again, as people and `starter redeliver` do.
	Again time.Duration
	// Twice sends every fifth event twice, at about the same time.
	Twice bool
}

// loadResult is what a load saw.
type loadResult struct {
	Codes         map[int]int
	Seconds       float64
	P50, P99, Max float64 // seconds
	// Lost are revisions that were never taken.
	Lost int
}

func (r loadResult) rate() float64 {
	total := 0
	for _, n := range r.Codes {
		total += n
	}
	return float64(total) / r.Seconds
}

// revisionOf is the number-th revision of a load.
func revisionOf(number int) string {
	sum := sha256.Sum256(fmt.Append(nil, number))
	return hex.EncodeToString(sum[:20])
}

// runLoad is the load's process.
func runLoad(encoded string) error {
	var s loadSettings
	if err := json.Unmarshal([]byte(encoded), &s); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	sender := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: s.Concurrency}}
	var mutex sync.Mutex
	result := loadResult{Codes: map[int]int{}}
	var took []float64
	queue := make(chan int)
	var workers sync.WaitGroup
	began := time.Now()
	for range s.Concurrency {
		workers.Go(func() {
			for number := range queue {
				code, seconds := s.deliver(ctx, sender, number)
				mutex.Lock()
				result.Codes[code]++
				took = append(took, seconds)
				if code >= 300 || code == 0 {
					result.Lost++
				}
				mutex.Unlock()
			}
		})
	}
	for number := s.From; number < s.From+s.Requests; number++ {
		queue <- number
		if s.Twice && number%5 == 0 {
			queue <- number
		}
	}
	close(queue)
	workers.Wait()
	result.Seconds = time.Since(began).Seconds()
	slices.Sort(took)
	result.P50, result.P99, result.Max = took[len(took)/2], took[len(took)*99/100], took[len(took)-1]
	return json.NewEncoder(os.Stdout).Encode(result)
}

// deliver sends one event until it is taken, and answers with the last code and how long that answer took.
func (s loadSettings) deliver(ctx context.Context, sender *http.Client, number int) (code int, seconds float64) {
	body := bytes.ReplaceAll(s.Body, []byte(shaA), []byte(revisionOf(number)))
	signature := webhook.Sign([]byte(s.Secret), body)
	until := time.Now().Add(s.Again)
	for {
		began := time.Now()
		code := s.post(ctx, sender, body, signature)
		if code >= 200 && code < 300 || time.Now().After(until) || ctx.Err() != nil {
			return code, time.Since(began).Seconds()
		}
		timer := time.NewTimer(200 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (s loadSettings) post(ctx context.Context, sender *http.Client, body []byte, signature string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-GitHub-Event": s.Event, "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
		"X-Hub-Signature-256": signature, "User-Agent": "GitHub-Hookshot/1",
	} {
		request.Header.Set(name, value)
	}
	response, err := sender.Do(request)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

// underLoad runs a load as a process of its own.
func underLoad(t *testing.T, s loadSettings) loadResult {
	t.Helper()
	encoded, err := json.Marshal(s)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), loadVariable+"="+string(encoded))
	command.Stderr = os.Stderr
	output, err := command.Output()
	require.NoError(t, err)
	var result loadResult
	require.NoError(t, json.Unmarshal(output, &result))
	return result
}

// pushBody is a push as GitHub sends it, to a repository, with shaA for its revision.
func pushBody(t *testing.T, repository string) []byte {
	t.Helper()
	data, err := os.ReadFile("../internal/webhook/testdata/push.json")
	require.NoError(t, err)
	text := strings.ReplaceAll(string(data), "7fd1a60b01f91b314f59955a4e4d4e80d8edf11d", shaA)
	text = strings.ReplaceAll(text, "https://github.com/octocat/Hello-World.git", repository)
	return []byte(strings.ReplaceAll(text, "1795446245", fmt.Sprint(time.Now().Unix())))
}

// served runs a handler on a free port until the test ends.
func served(t *testing.T, server *http.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String() + webhookPath
}

const loadSecret = "It's a Secret to Everybody"

// bare does the same HMAC and nothing else.
func bare(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	mac := hmac.New(sha256.New, []byte(loadSecret))
	mac.Write(body)
	if err != nil || !hmac.Equal([]byte("sha256="+hex.EncodeToString(mac.Sum(nil))), []byte(r.Header.Get("X-Hub-Signature-256"))) {
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func TestTheReceiverTakesNearlyAsManyEventsAsABareHandler(t *testing.T) {
	if testing.Short() {
		t.Skip("puts the machine under load")
	}
	m := newMetrics()
	pipelines := config.File{Pipelines: []delivery.Pipeline{stagePipeline("site", "site", delivery.Stage{Name: "staging", Environment: "web"})}}
	receiver := served(t, webhook.NewServer("", newReceiver(receiverOptions{
		file: pipelines, secrets: [][]byte{[]byte(loadSecret)}, observe: m.observe, log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})))
	simple := served(t, &http.Server{Handler: http.HandlerFunc(bare)})
	settings := loadSettings{Secret: loadSecret, Event: "push", Body: pushBody(t, "https://github.com/octocat/Hello-World.git"), Requests: sized(6000), Concurrency: 16}
	at := func(url string) float64 {
		settings.URL = url
		result := underLoad(t, settings)
		require.Equal(t, map[int]int{http.StatusOK: settings.Requests}, result.Codes)
		return result.rate()
	}
	best := 0.0
	for range 5 { // the machine has other things to do: a round is one pair, and the best one counts
		ours, theirs := at(receiver), at(simple)
		t.Logf("unmatched pushes a second: receiver %.0f, bare handler %.0f: %.2f", ours, theirs, ours/theirs)
		if best = max(best, ours/theirs); best >= 0.8 || !*numbers {
			break
		}
	}
	if *numbers {
		require.GreaterOrEqual(t, best, 0.7)
	}
}

// startedBehind is a receiver before a Temporal server of its own, which nobody polls: runs begin and wait. What comes
// meets door first, if there is one.
func startedBehind(t *testing.T, directory string, door *door) (*temporal.Server, client.Client, string) {
	t.Helper()
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	server, err := temporal.Start(t.Context(), temporal.Options{Headless: true, DataDir: directory, SearchAttributes: attributes})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Close() })
	connected, err := client.Dial(client.Options{HostPort: server.Address(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(t, err)
	t.Cleanup(connected.Close)
	pipeline := stagePipeline("site", "site", delivery.Stage{Name: "staging", Environment: "web"}).WithDefaults()
	receiver := newReceiver(receiverOptions{
		temporal: connected, file: config.File{Pipelines: []delivery.Pipeline{pipeline}}, secrets: [][]byte{[]byte(loadSecret)},
		log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	if door != nil {
		receiver = door.before(receiver)
	}
	return server, connected, served(t, webhook.NewServer("", receiver))
}

// door lets so many deliveries in, and the next ones only after something else has happened.
type door struct {
	left int
	then func()
	mu   sync.Mutex
}

func (d *door) before(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		if d.left--; d.left == 0 {
			d.then()
		}
		d.mu.Unlock()
		handler.ServeHTTP(w, r)
	})
}

func TestTheReceiverStartsRunsAsFastAsAPushCanBe(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server")
	}
	_, _, address := startedBehind(t, "", nil) // in memory, as Temporal's development server is by itself
	settings := loadSettings{
		URL: address, Secret: loadSecret, Event: "push", Body: pushBody(t, "https://github.com/example/site.git"), Requests: sized(2000), Concurrency: 32,
		Again: time.Minute,
	}
	best := loadResult{}
	for round := range 3 {
		settings.From = round * settings.Requests
		result := underLoad(t, settings)
		require.Equal(t, map[int]int{http.StatusAccepted: settings.Requests}, result.Codes)
		t.Logf("%.0f runs started a second; p50 %.0f ms, p99 %.0f ms, at most %.0f ms", result.rate(), result.P50*1000, result.P99*1000, result.Max*1000)
		if best.Seconds == 0 || result.rate() > best.rate() {
			best = result
		}
		if best.rate() >= 200 && best.P99 < 1 || !*numbers {
			break
		}
	}
	if *numbers {
		require.GreaterOrEqual(t, best.rate(), 200.0)
		require.Less(t, best.P99, 1.0)
	}
}

func TestThousandsOfDeliveriesOverARestartGiveOneRunForEachRevision(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Temporal's server, and takes minutes")
	}
	revisions := sized(8330) // with a fifth of them twice: 10,000 deliveries
	halfway := &door{left: revisions / 2}
	server, connected, address := startedBehind(t, t.TempDir(), halfway)
	restarted := make(chan error, 1)
	halfway.then = func() {
		err := server.Kill()
		go func() { restarted <- errors.Join(err, server.Restart(t.Context())) }()
	}
	counted := func() int64 {
		found, err := connected.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: "WorkflowType = 'Pipeline'"})
		if err != nil {
			return -1
		}
		return found.GetCount()
	}
	result := underLoad(t, loadSettings{
		URL: address, Secret: loadSecret, Event: "push", Body: pushBody(t, "https://github.com/example/site.git"),
		Requests: revisions, Concurrency: 32, Twice: true, Again: 2 * time.Minute,
	})
	require.NoError(t, <-restarted, "Temporal was killed and came back in the middle")
	require.Equal(t, map[int]int{http.StatusAccepted: revisions + (revisions+4)/5}, result.Codes, "whatever was refused was taken when it came again")
	var runs int64
	require.Eventually(t, func() bool { runs = counted(); return runs >= int64(revisions) }, 2*time.Minute, 100*time.Millisecond)
	require.EqualValues(t, revisions, runs, "one run for each revision")
	var asking sync.WaitGroup
	var missing atomic.Int64
	queue := make(chan int)
	for range 16 {
		asking.Go(func() {
			for number := range queue {
				if _, err := connected.DescribeWorkflowExecution(t.Context(), delivery.RunID("site", revisionOf(number)), ""); err != nil {
					missing.Add(1)
				}
			}
		})
	}
	for number := range revisions {
		queue <- number
	}
	close(queue)
	asking.Wait()
	require.Zero(t, missing.Load(), "nothing was lost that was answered with 202")
	t.Logf("%.0f deliveries a second over the restart, p99 %.0f ms", result.rate(), result.P99*1000)
}
