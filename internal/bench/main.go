// Bench measures what Gravity promises in numbers, and fails when a promise is not kept:
//
//	go run ./internal/bench deploy
//
// What measures a fleet starts this program again as its workers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gravity/internal/proof/lab"
)

func main() {
	lab.RunWorker()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	command := &cobra.Command{
		Use: "bench", Short: "measures what Gravity promises in numbers",
		SilenceUsage: true, SilenceErrors: true,
	}
	command.AddCommand(deployCommand(), fleetCommand(), waitingCommand(), sustainedCommand(), upgradeCommand(), chaosCommand())
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
	// None promises that there is none.
	None bool   `json:"none,omitempty"`
	How  string `json:"how,omitempty"`
}

func (m measure) missed() bool { return m.promised() && m.Value > m.Limit }

func (m measure) promised() bool { return m.Limit > 0 || m.None }

// limit is what is promised, in words.
func (m measure) limit() string {
	switch {
	case m.None:
		return "none"
	case m.Limit > 0:
		return fmt.Sprintf("at most %g %s", m.Limit, m.Unit)
	default:
		return ""
	}
}

// errMissed is told beside the table, which says which.
var errMissed = errors.New("a limit is missed")

// reported is what a command answers with.
type reported struct {
	Machine  machine   `json:"machine"`
	Measures []measure `json:"measures"`
}

// report prints measures and what they were measured on, and answers with an error when one misses its limit.
func report(w io.Writer, output string, on machine, measures []measure) error {
	var err error
	if slices.ContainsFunc(measures, measure.missed) {
		err = errMissed
	}
	if output == "json" {
		return errors.Join(json.NewEncoder(w).Encode(reported{on, measures}), err)
	}
	_, _ = fmt.Fprintf(w, "on %s\n", on)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range measures {
		verdict := ""
		switch {
		case m.missed():
			verdict = "✗"
		case m.promised():
			verdict = "✓"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%.4g %s\t%s\t%s\n", verdict, m.Name, m.Value, m.Unit, m.limit(), m.How)
	}
	return errors.Join(table.Flush(), err)
}
