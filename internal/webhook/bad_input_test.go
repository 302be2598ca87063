package webhook

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lines collects what is logged, by line.
type lines struct {
	mutex sync.Mutex
	text  bytes.Buffer
	more  chan struct{}
}

func (l *lines) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.more <- struct{}{}
	return l.text.Write(line)
}

// wire is a request as bytes, with the headers of a push but those that are replaced; an empty one is left out.
func wire(body string, headers ...string) string {
	all := [][2]string{
		{"Host", "gravity"}, {"Content-Type", "application/json"}, {"X-GitHub-Event", "push"}, {"X-GitHub-Delivery", guid},
		{"X-Hub-Signature-256", Sign(secret, []byte(body))}, {"Content-Length", fmt.Sprint(len(body))},
	}
	for i := 0; i < len(headers); i += 2 {
		if name, twice := strings.CutPrefix(headers[i], "+"); twice {
			all = append(all, [2]string{name, headers[i+1]})
			continue
		}
		found := false
		for j := range all {
			if all[j][0] == headers[i] {
				all[j][1], found = headers[i+1], true
			}
		}
		if !found {
			all = append(all, [2]string{headers[i], headers[i+1]})
		}
	}
	var text strings.Builder
	text.WriteString("POST /webhook HTTP/1.1\r\n")
	for _, header := range all {
		if header[1] != "" {
			text.WriteString(header[0] + ": " + header[1] + "\r\n")
		}
	}
	return text.String() + "\r\n" + body
}

// TestBadInputGetsItsStatusStartsNothingAndLeavesOneLine sends bytes to a real server, as the internet does.
func TestBadInputGetsItsStatusStartsNothingAndLeavesOneLine(t *testing.T) {
	push := string(sample(t, "push.json", nil))
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(push))
	form := "payload=" + url.QueryEscape(push)
	nested := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	old := string(sample(t, "push.json", map[string]any{"repository.pushed_at": 1600000000}))
	elsewhere := string(sample(t, "push.json", map[string]any{"repository.clone_url": "https://github.com/x/y.git"}))
	for name, c := range map[string]struct {
		sent string
		code int
	}{
		"no JSON":                           {wire("hello"), 400},
		"JSON that ends early":              {wire(push[:len(push)/2]), 400},
		"a body of nothing":                 {wire(""), 400},
		"JSON with something after it":      {wire(push + "x"), 400},
		"a list":                            {wire("[]"), 400},
		"nested 100,000 deep":               {wire(nested), 400},
		"a body that ends early":            {wire(push, "Content-Length", fmt.Sprint(len(push)+100)), 400},
		"enormous, by its own word":         {wire("x", "Content-Length", fmt.Sprint(maxBody+1)), 413},
		"a signature by SHA-1 alone":        {wire(push, "X-Hub-Signature-256", "", "X-Hub-Signature", "sha1="+hex.EncodeToString(mac.Sum(nil))), 401},
		"SHA-1 in the place of SHA-256":     {wire(push, "X-Hub-Signature-256", "sha1="+hex.EncodeToString(mac.Sum(nil))), 401},
		"forged":                            {wire(push, "X-Hub-Signature-256", Sign([]byte("x"), []byte(push))), 401},
		"two signatures, one of them right": {wire(push, "+X-Hub-Signature-256", Sign([]byte("x"), []byte(push))), 400},
		"two events":                        {wire(push, "+X-GitHub-Event", "ping"), 400},
		"two content types":                 {wire(push, "+Content-Type", "text/plain"), 400},
		"two lengths":                       {wire(push, "+Content-Length", "3"), 400},
		"no content type":                   {wire(push, "Content-Type", ""), 415},
		"another content type":              {wire(push, "Content-Type", "text/xml"), 415},
		"another charset":                   {wire(push, "Content-Type", "application/json; charset=utf-16"), 415},
		"not in the charset":                {wire(strings.Replace(push, "Octocat", "Oc\xfftocat", 1)), 400},
		"compressed":                        {wire(push, "Content-Encoding", "gzip"), 415},
		"a form with two payloads":          {wire(form+"&"+form, "Content-Type", "application/x-www-form-urlencoded"), 400},
		"a form without a payload":          {wire("a=b", "Content-Type", "application/x-www-form-urlencoded"), 400},
		"a form that is none":               {wire("payload=%zz", "Content-Type", "application/x-www-form-urlencoded"), 400},
		"a delivery that is old":            {wire(old), 410},
		"a repository that is not known":    {wire(elsewhere), 200},
		"an unknown event":                  {wire(push, "X-GitHub-Event", "star"), 200},
		"no event":                          {wire(push, "X-GitHub-Event", ""), 200},
		"a delivery without its ID":         {wire(push, "X-GitHub-Delivery", ""), 400},
		"another method":                    {strings.Replace(wire(push), "POST", "PUT", 1), 405},
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{}
			log := &lines{more: make(chan struct{}, 10)}
			receiver := receiver(runs)
			receiver.Log = slog.New(slog.NewJSONHandler(log, nil))
			address := serving(t, receiver)
			connection, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer func() { _ = connection.Close() }()
			require.NoError(t, connection.SetDeadline(time.Now().Add(time.Minute)))
			go func() { // a server that has seen enough does not read to the end
				_, _ = connection.Write([]byte(c.sent))
				_ = connection.(*net.TCPConn).CloseWrite()
			}()
			answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
			require.NoError(t, err)
			require.NoError(t, answer.Body.Close())
			require.Equal(t, c.code, answer.StatusCode)
			require.Empty(t, runs.started)
			if name == "two lengths" {
				return // net/http answers that itself, before there is a request
			}
			<-log.more
			log.mutex.Lock()
			defer log.mutex.Unlock()
			require.Equal(t, 1, strings.Count(log.text.String(), "\n"))
			require.Less(t, log.text.Len(), 1500)
			require.Contains(t, log.text.String(), `"request":"`)
		})
	}
}

func TestASlowSenderIsSentAway(t *testing.T) {
	for name, sent := range map[string]string{
		"in its headers": "POST /webhook HTTP/1.1\r\nHost: gravity\r\nX-A: b\r\n",
		"in its body":    wire("x", "Content-Length", "1000000"),
	} {
		t.Run(name, func(t *testing.T) {
			runs := &runs{}
			address := servingWith(t, receiver(runs), func(s *http.Server) {
				s.ReadHeaderTimeout, s.ReadTimeout = 100*time.Millisecond, 200*time.Millisecond
			})
			connection, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer func() { _ = connection.Close() }()
			_, err = connection.Write([]byte(sent))
			require.NoError(t, err)
			require.NoError(t, connection.SetReadDeadline(time.Now().Add(time.Minute)))
			answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
			if err == nil { // or it was closed without a word
				require.Contains(t, []int{http.StatusBadRequest, http.StatusRequestTimeout}, answer.StatusCode)
				require.NoError(t, answer.Body.Close())
			}
			require.NotErrorIs(t, err, net.ErrClosed)
			require.Empty(t, runs.started)
		})
	}
}

func TestManySlowSendersTakeLittleMemoryAndKeepNobodyOut(t *testing.T) {
	runs := &runs{}
	receiver := receiver(runs)
	receiver.Bodies = NewBodies(64 << 20)
	address := servingWith(t, receiver, func(server *http.Server) {
		// The slow ones are sent away after as long, which is to be long after all of them were begun with.
		server.ReadHeaderTimeout, server.ReadTimeout, server.WriteTimeout = time.Minute, 10*time.Minute, 10*time.Minute
	})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const senders = 300
	for range senders {
		connection, err := net.Dial("tcp", address)
		require.NoError(t, err)
		defer func() { _ = connection.Close() }()
		_, err = connection.Write([]byte(wire("x", "Content-Length", fmt.Sprint(maxBody))))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { // all of them are being read
		receiver.Bodies.mutex.Lock()
		defer receiver.Bodies.mutex.Unlock()
		return receiver.Bodies.free == 64<<20-senders*firstRead
	}, time.Minute, 5*time.Millisecond)
	r := request("push", sample(t, "push.json", nil))
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", address
	answer, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapInuse)-int64(before.HeapInuse), int64(40<<20), "300 announced bodies of 25 MB")
}

func TestWhatDoesNotFitIntoMemoryIsSentAwayAndGivenRoomAgain(t *testing.T) {
	runs := &runs{}
	receiver := receiver(runs)
	receiver.Bodies = NewBodies(100 << 10)
	large := sample(t, "push.json", map[string]any{"padding": strings.Repeat("x", 200<<10)})
	code, answer := send(t, receiver, request("push", large))
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, answer.Reason, "deliver it again")
	require.Empty(t, runs.started)
	for range 20 {
		code, _ = send(t, receiver, request("push", sample(t, "push.json", nil)))
		require.Equal(t, http.StatusAccepted, code)
	}
	require.EqualValues(t, 100<<10, receiver.Bodies.free)
}
