package config

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"gravity/internal/delivery"
)

// Explain says in words what will happen for a push to which branch. An error of the writer ends
// it quietly: it is for a terminal.
func (f File) Explain(w io.Writer) {
	out := bufio.NewWriter(w)
	defer func() { _ = out.Flush() }()
	for i, pipeline := range f.Pipelines {
		if i > 0 {
			_, _ = fmt.Fprintln(out)
		}
		explainPipeline(out, pipeline)
	}
}

func explainPipeline(out io.Writer, pipeline delivery.Pipeline) {
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	line("pipeline %s, from %s", pipeline.Name, pipeline.Repository)
	line("  for every revision, once:")
	if pipeline.Build != nil {
		line("    build    %s (at most %s)", oneLine(pipeline.Build.Run), short(pipeline.Build.Timeout))
	}
	if pipeline.Test != nil {
		line("    test     %s (at most %s); if it fails, nothing is uploaded", oneLine(pipeline.Test.Run), short(pipeline.Test.Timeout))
	} else {
		line("    test     none: every revision passes")
	}
	line("    version  %s of the repository, in %s, as a version of application %s", tree(pipeline.Path), bucket(pipeline.Bucket), pipeline.Application)
	for _, pattern := range patterns(pipeline) {
		line("  a push to %s goes to:", branchesOf(pattern))
		for i, stage := range stagesFor(pipeline, pattern) {
			for j, sentence := range sentences(stage) {
				if j == 0 {
					line("    %d. %s", i+1, sentence)
				} else {
					line("       %s", sentence)
				}
			}
		}
	}
	for _, sentence := range atGitHub(pipeline) {
		line("  %s", sentence)
	}
	line("  a push to any other branch does nothing.")
}

// sentences is one stage in words, the first being its headline.
func sentences(stage delivery.Stage) []string {
	said := []string{fmt.Sprintf("%s: environment %s, %s", stage.Name, stage.Environment, stage.Strategy)}
	if stage.Gate.Approval != nil {
		said = append(said, fmt.Sprintf("first a person approves; without an answer in %s the run ends as rejected", short(stage.Gate.Approval.Timeout)))
	}
	if stage.Queue == delivery.QueueAll {
		said = append(said, "waits for its turn; every request is served")
	} else {
		said = append(said, "waits for its turn; a newer request of this pipeline replaces those that wait")
	}
	if stage.Drift == delivery.DriftOverwrite {
		said = append(said, "what somebody deployed by hand is overwritten")
	} else {
		said = append(said, "stops when somebody deployed by hand")
	}
	said = append(said, fmt.Sprintf("waits up to %s for somebody else's update to end, then has %s to prove itself", short(stage.Patience), short(stage.Deadline)))
	said = append(said, fmt.Sprintf("good when its health is %s for %s without a break, reached within %s after the update",
		strings.Join(stage.Health.Accept, " or "), short(stage.Health.Steady), short(stage.Health.Settle)))
	if check := stage.Health.Check; check != nil {
		said = append(said, checkSentence(*check))
	} else {
		said = append(said, "no request is made to it: health.check is recommended")
	}
	return append(said, "otherwise it is taken back to its last good version")
}

func checkSentence(check delivery.Check) string {
	address := "its own address"
	if check.URL != "" {
		address = check.URL
	}
	said := fmt.Sprintf("and when GET %s at %s answers %d, %d times in a row, each within %s", check.Path, address, check.Status, check.Times, short(check.Timeout))
	if check.Contains != "" {
		said += fmt.Sprintf(", with %s in the body", oneLine(check.Contains))
	}
	return said
}

// patterns lists the branch patterns of all stages, each once, in order.
func patterns(pipeline delivery.Pipeline) []string {
	var found []string
	for _, stage := range pipeline.Stages {
		for _, pattern := range stage.Branches {
			if !slices.Contains(found, pattern) {
				found = append(found, pattern)
			}
		}
	}
	return found
}

// stagesFor lists the stages that every branch of a pattern passes through: those that name the
// pattern itself, and those whose own pattern covers it.
func stagesFor(pipeline delivery.Pipeline, pattern string) []delivery.Stage {
	var through []delivery.Stage
	for _, stage := range pipeline.Stages {
		if slices.Contains(stage.Branches, pattern) || stage.Serves(pattern) {
			through = append(through, stage)
		}
	}
	return through
}

func branchesOf(pattern string) string {
	if strings.ContainsAny(pattern, `*?[\`) {
		return "a branch like " + pattern
	}
	return pattern
}

func tree(path string) string {
	if path == "." {
		return "all"
	}
	return path
}

func bucket(name string) string {
	if name == "" {
		return "Beanstalk's own bucket"
	}
	return "bucket " + name
}

// oneLine shows the first line of a text that may have several, and escapes what a terminal would obey.
func oneLine(text string) string {
	first, rest, more := strings.Cut(strings.TrimSpace(text), "\n")
	if strings.ContainsFunc(first, func(r rune) bool { return !unicode.IsPrint(r) }) {
		first = strconv.Quote(first)
	}
	if more {
		first += fmt.Sprintf(" … (the first of %d lines)", strings.Count(rest, "\n")+2)
	}
	return first
}
