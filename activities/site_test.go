package activities

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"gravity/internal/delivery"
)

// typeOf is the type by which a workflow decides what to do about a failed step.
func typeOf(t *testing.T, err error) delivery.ErrorType {
	t.Helper()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	return delivery.ErrorType(failure.Type())
}

// checkOf is a check of v2 by the site's own rules, with the defaults of gravity.yaml.
func checkOf(address, contains string) CheckInput {
	return CheckInput{
		Address: strings.TrimPrefix(address, "http://"),
		Version: delivery.Version{Label: "v2", Revision: delivery.Revision{SHA: "5f5cf5a1b2c3"}},
		Check: delivery.Check{
			Path: "/health", Status: http.StatusOK, Contains: contains, Times: 3, Timeout: delivery.Duration(time.Minute),
		},
	}
}

func newTestSite() *Site {
	site := NewSite()
	site.Pause = time.Millisecond
	return site
}

func TestCheck(t *testing.T) {
	const good = `{"version":"v2","revision":"5f5cf5a1b2c3"}`
	type answer = func(w http.ResponseWriter, r *http.Request, request int)
	cases := []struct {
		name     string
		contains string
		answer   answer
		requests int
		says     string // empty when the check passes
	}{
		{
			name: "a site that answers as expected passes after as many requests as asked", requests: 3,
			answer: func(w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, good) },
		},
		{
			name: "the version is looked for", contains: `"version":"${version}"`, requests: 3,
			answer: func(w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, good) },
		},
		{
			name: "the revision is looked for", contains: `"revision":"${revision}"`, requests: 3,
			answer: func(w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, good) },
		},
		{
			name: "another version fails", contains: `"version":"${version}"`, requests: 3, says: `answered without "\"version\":\"v2\""`,
			answer: func(w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, `{"version":"v1"}`) },
		},
		{
			name: "three failures in a row fail", requests: 3, says: "answered 503 instead of 200",
			answer: func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(http.StatusServiceUnavailable) },
		},
		{
			name: "two failures in a row may be the network's", requests: 5,
			answer: func(w http.ResponseWriter, _ *http.Request, request int) {
				if request <= 2 {
					w.WriteHeader(http.StatusBadGateway)
				}
			},
		},
		{
			name: "a failure begins the counting anew", requests: 6,
			answer: func(w http.ResponseWriter, _ *http.Request, request int) {
				if request == 3 {
					w.WriteHeader(http.StatusBadGateway)
				}
			},
		},
		{
			name: "good and bad answers in turn fail, as when one instance of two is ill", requests: 30, says: "500",
			answer: func(w http.ResponseWriter, _ *http.Request, request int) {
				if request%2 == 0 {
					w.WriteHeader(http.StatusInternalServerError)
				}
			},
		},
		{
			name: "two good answers to a bad one fail in the end", requests: 30, says: "500",
			answer: func(w http.ResponseWriter, _ *http.Request, request int) {
				if request%3 == 0 {
					w.WriteHeader(http.StatusInternalServerError)
				}
			},
		},
		{
			name: "a redirect is not followed: the page that it leads to says nothing of this one", requests: 3, says: "answered 302 instead of 200",
			answer: func(w http.ResponseWriter, r *http.Request, _ int) {
				if r.URL.Path == "/health" {
					http.Redirect(w, r, "/login", http.StatusFound)
				}
			},
		},
		{
			name: "no answer at all is met with more patience: it may be the network's fault", requests: checkUnreached, says: "EOF",
			answer: func(http.ResponseWriter, *http.Request, int) { panic(http.ErrAbortHandler) },
		},
		{
			name: "what lies far down in a long answer is not looked at", contains: "needle", requests: 3, says: "answered without",
			answer: func(w http.ResponseWriter, _ *http.Request, _ int) {
				fmt.Fprint(w, strings.Repeat("x", checkedBytes), "needle")
			},
		},
	}
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				test.answer(w, r, int(requests.Add(1)))
			}))
			defer server.Close()
			server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			site := newTestSite()
			_, err := newSteps(t, site).ExecuteActivity(site.Check, checkOf(server.URL, test.contains))
			if test.says == "" {
				require.NoError(t, err)
			} else {
				assert.Equal(t, delivery.CheckFailed, typeOf(t, err))
				require.ErrorContains(t, err, test.says)
			}
			assert.EqualValues(t, test.requests, requests.Load())
		})
	}
}

func TestEveryRequestOfACheckHasAConnectionOfItsOwn(t *testing.T) {
	var mu sync.Mutex
	from := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
	}))
	defer server.Close()
	site := newTestSite()
	_, err := newSteps(t, site).ExecuteActivity(site.Check, checkOf(server.URL, ""))
	require.NoError(t, err)
	assert.Len(t, from, 3, "a balancer decides by connection which instance answers")
}

func TestARequestOfACheckThatIsNotAnsweredTimesOut(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(release)
	input := checkOf(server.URL, "")
	input.Check.Timeout = delivery.Duration(10 * time.Millisecond)
	site := newTestSite()
	_, err := newSteps(t, site).ExecuteActivity(site.Check, input)
	assert.Equal(t, delivery.CheckFailed, typeOf(t, err))
	assert.ErrorContains(t, err, "deadline exceeded")
}

func TestAnAnswerWithoutEndIsReadNoFurtherThanItIsSearched(t *testing.T) {
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := []byte(strings.Repeat("x", 32<<10))
		for {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	input := checkOf(server.URL, "x")
	input.Check.Times = 1
	site := newTestSite()
	_, err := newSteps(t, site).ExecuteActivity(site.Check, input)
	require.NoError(t, err)
	assert.Less(t, sent.Load(), int64(64<<20), "what the network had in store already")
}

func TestACheckOfAnotherDomainGoesThere(t *testing.T) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { paths = append(paths, r.URL.Path) }))
	defer server.Close()
	input := checkOf("nobody.invalid", "")
	input.Check.URL, input.Check.Times = server.URL+"/", 1
	site := newTestSite()
	_, err := newSteps(t, site).ExecuteActivity(site.Check, input)
	require.NoError(t, err)
	assert.Equal(t, []string{"/health"}, paths)
}

func TestAPlaceholderThatStandsForNothingDoesNotPass(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "anything") }))
	defer server.Close()
	input := checkOf(server.URL, "${revision}")
	input.Version.Revision.SHA = ""
	site := newTestSite()
	_, err := newSteps(t, site).ExecuteActivity(site.Check, input)
	assert.Equal(t, delivery.CheckFailed, typeOf(t, err))
}

func TestWhatASiteAnswersCannotFillAHistoryOrATerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "\x1b[2J\xff", strings.Repeat("long ", 10_000))
	}))
	defer server.Close()
	site := newTestSite()
	_, err := newSteps(t, site).ExecuteActivity(site.Check, checkOf(server.URL, ""))
	require.Error(t, err)
	assert.Less(t, len(err.Error()), 1000)
	assert.NotContains(t, err.Error(), "\x1b")
}

// cancelling ends a context with the request that it is given.
type cancelling struct{ cancel context.CancelFunc }

func (c cancelling) RoundTrip(*http.Request) (*http.Response, error) {
	c.cancel()
	return nil, errors.New("connection refused")
}

func TestAnAbortDuringACheckIsNoFailedCheck(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	input := checkOf("shop.invalid", "")
	site := &Site{HTTP: &http.Client{Transport: cancelling{cancel}}}
	require.ErrorIs(t, site.Check(ctx, input), context.Canceled)
}

func TestTheProgressOfACheckIsShown(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer server.Close()
	site := newTestSite()
	steps, shown := newShownSteps(t, site)
	_, err := steps.ExecuteActivity(site.Check, checkOf(server.URL, ""))
	require.NoError(t, err)
	assert.Equal(t, []any{"1 of 3 passed", "2 of 3 passed", "3 of 3 passed"}, shown())
}
