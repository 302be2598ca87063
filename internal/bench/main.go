// Bench measures what Gravity promises in numbers, and fails when a promise is not kept:
//
//	go run ./internal/bench deploy
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := &cobra.Command{
		Use: "bench", Short: "measures what Gravity promises in numbers",
		SilenceUsage: true, SilenceErrors: true,
	}
	command.AddCommand(deployCommand())
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// measure is one number, its limit, and what it is the number of.
type measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Limit is the most that is promised; 0 for a number that explains another one.
	Limit float64 `json:"limit,omitempty"`
	How   string  `json:"how,omitempty"`
}

func (m measure) missed() bool { return m.Limit > 0 && m.Value > m.Limit }

// errMissed is told beside the table, which says which.
var errMissed = errors.New("a limit is missed")

// report prints measures, and answers with an error when one misses its limit.
func report(w io.Writer, output string, measures []measure) error {
	var err error
	for _, m := range measures {
		if m.missed() {
			err = errMissed
		}
	}
	if output == "json" {
		return errors.Join(json.NewEncoder(w).Encode(measures), err)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range measures {
		limit, verdict := "", ""
		if m.Limit > 0 {
			limit, verdict = fmt.Sprintf("at most %g %s", m.Limit, m.Unit), "✓"
		}
		if m.missed() {
			verdict = "✗"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%.4g %s\t%s\t%s\n", verdict, m.Name, m.Value, m.Unit, limit, m.How)
	}
	return errors.Join(table.Flush(), err)
}
