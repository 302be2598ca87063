package notice

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// asked keeps what a server was asked, and answers as it is told to.
type asked struct {
	mutex    sync.Mutex
	requests []*http.Request
	bodies   []string
	answer   func(http.ResponseWriter, *http.Request, string)
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.requests, a.bodies = append(a.requests, r), append(a.bodies, string(body))
	a.answer(w, r, string(body))
}

func serve(t *testing.T, answer func(http.ResponseWriter, *http.Request, string)) (*asked, string) {
	t.Helper()
	a := &asked{answer: answer}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return a, server.URL
}

func TestSlackHasOneMessageARunAndAReplyAtEachMoment(t *testing.T) {
	var sent []string
	slack, address := serve(t, func(w http.ResponseWriter, r *http.Request, body string) {
		form, err := url.ParseQuery(body)
		if err != nil || form.Get("channel") != "C024BE91L" {
			_, _ = w.Write([]byte(`{"ok":false,"error":"channel_not_found"}`))
			return
		}
		sent = append(sent, strings.TrimPrefix(r.URL.Path, "/")+" "+form.Get("ts")+form.Get("thread_ts")+" "+form.Get("text"))
		_, _ = w.Write([]byte(`{"ok":true,"channel":"C024BE91L","ts":"1.5"}`))
	})
	receivers, memory := Receivers{"slack": NewSlack("xoxb-token", address)}, Memory{}
	for _, message := range story("https://github.com/octocat/hello") {
		if message.Moment() != delivery.MomentStarted {
			memory, _ = tell(t, receivers, "slack", message, memory)
		}
	}
	require.Len(t, sent, 3)
	require.Regexp(t, `^chat.postMessage  \*<https://temporal.example.com/run\|hello 7fd1a60b01f9: waiting>\*`, sent[0])
	require.Contains(t, sent[0], "Say hello &lt;!here&gt; @octocat", "nobody is called by a commit's message")
	require.Regexp(t, `^chat.update 1.5 `, sent[1])
	require.Contains(t, sent[1], "production: failed. unhealthy; taken back")
	require.Regexp(t, `^chat.postMessage 1.5 hello: production: unhealthy`, sent[2])
	require.NotContains(t, fmt.Sprint(memory), "xoxb", "no secret is remembered")
	require.Contains(t, slack.bodies[0], "token=xoxb-token")
}

func TestWhatSlackSaysDecidesWhetherItIsToldAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answer    func(http.ResponseWriter)
		kind      delivery.ErrorType
		retryable bool
		wait      time.Duration
	}{
		"a limit":            {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "30"); w.WriteHeader(429) }, delivery.Throttled, true, 30 * time.Second},
		"a wrong channel":    {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"ok":false,"error":"channel_not_found"}`)) }, delivery.AccessDenied, false, 0},
		"trouble of its own": {func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"ok":false,"error":"internal_error"}`)) }, delivery.Unavailable, true, 0},
		"a bad gateway":      {func(w http.ResponseWriter) { w.WriteHeader(502) }, delivery.Unavailable, true, 0},
		"a refusal":          {func(w http.ResponseWriter) { w.WriteHeader(403) }, delivery.AccessDenied, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) { c.answer(w) })
			err := NewSlack("token", address).Tell(t.Context(), story("")[2], Memory{})
			var typed *delivery.Error
			require.ErrorAs(t, err, &typed)
			require.Equal(t, c.kind, typed.Type)
			require.Equal(t, c.retryable, typed.Retryable())
			require.Equal(t, c.wait, typed.RetryAfter)
		})
	}
}

func TestAWebhookGetsASignedCloudEventOnce(t *testing.T) {
	fails := true
	hook, address := serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		if fails {
			w.WriteHeader(http.StatusBadGateway)
		}
		fails = false
	})
	secret := []byte("a secret of the receiver's")
	receivers := Receivers{"webhook": &Webhook{Secret: secret}}
	message := story("https://github.com/octocat/hello")[4]
	message.Target = address + "/hook"
	memory, attempts := tell(t, receivers, "webhook", message, Memory{})
	require.Equal(t, 2, attempts)
	tell(t, receivers, "webhook", message, memory)
	require.Len(t, hook.requests, 2, "what was taken is not sent again")
	for i, r := range hook.requests {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "." + hook.bodies[i]))
		require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), r.Header.Get("webhook-signature"))
		require.Equal(t, "e-1/5", r.Header.Get("webhook-id"), "the same however often it is sent")
		require.Equal(t, "application/cloudevents+json; charset=utf-8", r.Header.Get("Content-Type"))
	}
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(hook.bodies[1]), &got))
	require.Equal(t, "1.0", got["specversion"])
	require.Equal(t, "gravity.run.failed", got["type"])
	require.Equal(t, "run/hello/"+sha, got["subject"])
	require.Equal(t, "/gravity/hello", got["source"])
	require.Equal(t, "2026-11-23T15:05:00Z", got["time"])
	require.Equal(t, "failed", got["data"].(map[string]any)["state"])
}

func TestWhatAWebhookAnswersDecidesWhetherItIsToldAgain(t *testing.T) {
	for code, c := range map[int]struct {
		kind delivery.ErrorType
		wait time.Duration
	}{
		429: {delivery.Throttled, 20 * time.Second}, 503: {delivery.Unavailable, 20 * time.Second},
		302: {delivery.InvalidInput, 0}, 404: {delivery.InvalidInput, 0}, 410: {delivery.InvalidInput, 0},
	} {
		_, address := serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
			w.Header().Set("Retry-After", "20")
			w.Header().Set("Location", "http://169.254.169.254/")
			w.WriteHeader(code)
		})
		message := story("")[4]
		message.Target = address
		err := (&Webhook{Secret: []byte("s")}).Tell(t.Context(), message, Memory{})
		var typed *delivery.Error
		require.ErrorAs(t, err, &typed)
		require.Equal(t, c.kind, typed.Type, code)
		require.Equal(t, c.wait, typed.RetryAfter, code)
	}
}

func TestATopicGetsTheEventInItsOrder(t *testing.T) {
	topic, address := serve(t, func(w http.ResponseWriter, _ *http.Request, _ string) {
		w.Header().Set("Content-Type", "text/xml")
		_, _ = w.Write([]byte(`<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>m-1</MessageId></PublishResult></PublishResponse>`))
	})
	receivers := Receivers{"sns": NewSNS(aws.Config{
		Region: "us-east-1", BaseEndpoint: &address, Credentials: credentials.NewStaticCredentialsProvider("id", "key", ""),
	})}
	message := story("https://github.com/octocat/hello")[4]
	message.Target = "arn:aws:sns:eu-central-1:123456789012:releases.fifo"
	memory, _ := tell(t, receivers, "sns", message, Memory{})
	tell(t, receivers, "sns", message, memory)
	require.Len(t, topic.requests, 1)
	form, err := url.ParseQuery(topic.bodies[0])
	require.NoError(t, err)
	require.Equal(t, "Publish", form.Get("Action"))
	require.Equal(t, message.Target, form.Get("TopicArn"))
	require.Equal(t, "hello 7fd1a60b01f9: failed", form.Get("Subject"))
	require.Equal(t, "run/hello/"+sha, form.Get("MessageGroupId"), "the notices of a run keep their order")
	require.Equal(t, "e-1/5", form.Get("MessageDeduplicationId"))
	require.Contains(t, form.Get("Message"), `"type":"gravity.run.failed"`)
	require.Contains(t, topic.requests[0].Header.Get("Authorization"), "/eu-central-1/sns/", "the topic's region, not the worker's")
}

func TestAReceiverWithoutCredentialsIsSaid(t *testing.T) {
	_, err := Receivers{}.Tell(t.Context(), "slack", Message{}, nil)
	require.ErrorContains(t, err, "no credentials to tell slack")
}
