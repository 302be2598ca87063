package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gravity/internal/measures"
)

// knownBefore is how much earlier deployments are read than are counted: whether a version is new, and
// what a failure is restored from, is said by those before it.
const knownBefore = 30 * 24 * time.Hour

func newStats(g *globals) *cobra.Command {
	var flags historyFlags
	var report string
	command := &cobra.Command{
		Use:   "stats",
		Short: "The four DORA measures of each pipeline and environment",
		Long: `The four measures of software delivery (https://dora.dev) of each pipeline and environment, from the deployments that
Temporal keeps: deployment frequency; lead time from commit to environment; the share of changes that were taken back, by
the platform, by Gravity, or later by a person; and the time until that was mended. Rollbacks are no changes of their own.
Times are medians.`,
		Example: `  starter stats
  starter stats --since 2160h --environment site-production
  starter stats --html delivery.html`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error {
			return g.stats(command.Context(), flags, report)
		},
	}
	flags.add(command, 30*24*time.Hour)
	command.Flags().StringVar(&report, "html", "", "write a report with charts to this file; it needs nothing else to be shown")
	return command
}

// measured is the JSON answer of stats.
type measured struct {
	From     time.Time          `json:"from"`
	To       time.Time          `json:"to"`
	Measures []measures.Measure `json:"measures"`
}

func (g *globals) stats(ctx context.Context, flags historyFlags, report string) error {
	if flags.since < 24*time.Hour {
		return wrongUse("--since is %s: a day is the shortest period that can be measured", flags.since)
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	to := time.Now()
	from := to.Add(-flags.since)
	deployments, err := g.deployments(ctx, c, flags, from.Add(-knownBefore))
	if err != nil {
		return err
	}
	answer := measured{From: from, To: to, Measures: measures.Compute(deployments, from, to)}
	if report != "" {
		if err := writeReport(report, answer); err != nil {
			return err
		}
	}
	return g.show(answer, func(w io.Writer) {
		renderStats(w, answer, styleOf(w))
		if report != "" {
			printf(w, "\nthe report is in %s\n", report)
		}
	})
}

// writeReport replaces the file in one step, so that nobody reads half a report.
func writeReport(path string, answer measured) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".stats-*.html")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // gone already where all went well
	if err := measures.Report(file, answer.Measures, answer.From, answer.To); err != nil {
		_ = file.Close()
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.Chmod(file.Name(), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return os.Rename(file.Name(), path)
}

func renderStats(w io.Writer, answer measured, s style) {
	printf(w, "%s\n", s.dim(fmt.Sprintf("%s to %s", answer.From.Local().Format("2 Jan 2006"), answer.To.Local().Format("2 Jan 2006"))))
	if len(answer.Measures) == 0 {
		printf(w, "no deployment changed anything in that time\n")
		return
	}
	rows := [][]string{{s.dim("PIPELINE"), s.dim("ENVIRONMENT"), s.dim("DEPLOYED"), s.dim("A DAY"), s.dim("LEAD TIME"), s.dim("TAKEN BACK"), s.dim("RESTORED IN")}}
	for _, m := range answer.Measures {
		rows = append(rows, []string{
			clean(m.Pipeline), clean(m.Environment), fmt.Sprint(m.Succeeded), fmt.Sprintf("%.2f", m.PerDay),
			measures.Words(time.Duration(m.LeadTime)), fmt.Sprintf("%.0f%% (%d of %d)", 100*m.FailureRate, m.Failed, m.Deployments),
			measures.Words(time.Duration(m.TimeToRestore)),
		})
	}
	table(w, "", rows)
}
