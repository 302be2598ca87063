package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// load asks sites without a pause worth mentioning, as their users would, and counts the requests
// that failed: no answer, or one that is not 200.
type load struct {
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	requests int
	failed   int
	first    string // the first failure
}

// loadPause is between two requests to one site: about 50 a second.
const loadPause = 20 * time.Millisecond

// startLoad begins to ask the URLs, each by a user of its own.
func startLoad(ctx context.Context, urls []string) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel}
	for _, url := range urls {
		l.done.Go(func() { l.user(ctx, url) })
	}
	return l
}

func (l *load) user(ctx context.Context, url string) {
	// Where a connection that it used before ends without an answer, Go's client asks again and says nothing
	// (net/http, Transport). A user's request that was lost has to be seen, so each has a connection of its own.
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	ticker := time.NewTicker(loadPause)
	defer ticker.Stop()
	for ctx.Err() == nil {
		err := ask(ctx, client, url)
		if ctx.Err() != nil {
			return // what the end of the load cut off is no failure
		}
		l.count(err)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func ask(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("reading %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	return nil
}

func (l *load) count(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if err != nil {
		l.failed++
		if l.first == "" {
			l.first = time.Now().Format(time.TimeOnly) + " " + err.Error()
		}
	}
}

// stop ends the load and gives what it counted.
func (l *load) stop() (requests, failed int, first string) {
	l.cancel()
	l.done.Wait()
	return l.requests, l.failed, l.first
}
