package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gravity/internal/delivery"
)

// probeTimeout is longer than a receiver waits for Temporal before it says that it is not ready.
const probeTimeout = 8 * time.Second

func newProbe(*globals) *cobra.Command {
	return &cobra.Command{
		Use:   "probe URL",
		Short: "Ask a process whether it is well, where there is no other program to ask with",
		Long: `Ask a process whether it is well: an image that holds nothing but Gravity has no curl. Exit code 0 means that
the address answered with a success, 2 that it did not, with the reason.`,
		Example: `  starter probe http://127.0.0.1:8080/readyz
  starter probe http://127.0.0.1:9465/metrics`,
		Args: exactly("URL"),
		RunE: func(command *cobra.Command, arguments []string) error { return probe(command.Context(), arguments[0]) },
	}
}

func probe(ctx context.Context, address string) error {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return wrongUse("%q is no address: it is one like http://127.0.0.1:8080%s", address, readyPath)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return wrongUse("%q cannot be asked: %w", address, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return delivery.Errorf(delivery.Unavailable, "nobody answers: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode/100 != 2 {
		reason, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // the code says enough without it
		return delivery.Errorf(delivery.Unavailable, "%s", strings.TrimSpace(fmt.Sprintf("%s %s", answer.Status, clean(string(reason)))))
	}
	return nil
}
