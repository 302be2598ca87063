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
		explainTest(line, *pipeline.Test)
	} else {
		line("    test     none: every revision passes")
	}
	for _, sentence := range surroundings(pipeline) {
		line("             %s", sentence)
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

func explainTest(line func(string, ...any), test delivery.Test) {
	if len(test.Matrix) > 0 {
		line("             in %d jobs side by side, all of which must pass", len(test.Jobs()))
	}
	if test.Retries > 0 {
		line("             a failure is tried again up to %d times; what passes only then is reported as flaky", test.Retries)
	}
	if len(test.Reports) > 0 {
		line("             failed tests are named from %s", oneLine(strings.Join(test.Reports, ", ")))
	}
}

// surroundings says in what the commands run.
func surroundings(pipeline delivery.Pipeline) []string {
	var said []string
	if pipeline.Sandbox.Container != "" {
		said = append(said, "in a container of "+oneLine(pipeline.Sandbox.Container))
	}
	if pipeline.Sandbox.Network == delivery.NetworkNone {
		said = append(said, "without a network")
	}
	if pipeline.Sandbox.Memory > 0 {
		said = append(said, fmt.Sprintf("with at most %d MB of memory", pipeline.Sandbox.Memory))
	}
	if pipeline.Cache != nil {
		said = append(said, "with the cache that belongs to the content of "+oneLine(strings.Join(pipeline.Cache.Files, ", ")))
	}
	if pipeline.Checkout.Submodules {
		said = append(said, "with submodules")
	}
	if pipeline.Checkout.LFS {
		said = append(said, "with the files that Git LFS keeps")
	}
	return said
}

// sentences is one stage in words, the first being its headline.
func sentences(stage delivery.Stage) []string {
	said := []string{fmt.Sprintf("%s: environment %s, %s", stage.Name, stage.Environment, stage.Strategy)}
	said = append(said, gateSentences(stage.Gate)...)
	if stage.Queue == delivery.QueueAll {
		said = append(said, "waits for its turn; every request is served")
	} else {
		said = append(said, "waits for its turn; a newer request of this pipeline replaces those that wait")
	}
	switch stage.Drift {
	case delivery.DriftOverwrite:
		said = append(said, "what somebody deployed by hand is overwritten")
	case delivery.DriftAdopt:
		said = append(said, "what somebody deployed by hand is taken as intended")
	default:
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
	said = append(said, healthSentences(stage.Health)...)
	if stage.Bake > 0 {
		said = append(said, fmt.Sprintf("then it is watched for %s more, before the next stage begins", short(stage.Bake)))
	}
	return append(said, "otherwise it is taken back to its last good version")
}

// gateSentences is a gate in words.
func gateSentences(gate delivery.Gate) []string {
	var said []string
	if gate.Rest > 0 {
		said = append(said, fmt.Sprintf("first it rests for %s after the previous stage", short(gate.Rest)))
	}
	if approval := gate.Approval; approval != nil {
		who := "a person approves"
		if approval.Count > 1 {
			who = fmt.Sprintf("%d people approve", approval.Count)
		}
		if allowed := slices.Concat(approval.Users, approval.Teams); len(allowed) > 0 {
			who += ", of " + listed(allowed)
		}
		if approval.FourEyes {
			who += ", but not the author"
		}
		end := "the run ends as rejected"
		if approval.Otherwise == delivery.OtherwiseApprove {
			end = "it goes on"
		}
		said = append(said, fmt.Sprintf("first %s; without an answer in %s %s", who, short(approval.Timeout), end))
	}
	if len(gate.Checks) > 0 {
		said = append(said, "waits until the revision's checks are green: "+listed(gate.Checks))
	}
	if len(gate.Alarms) > 0 {
		said = append(said, "waits until these alarms are quiet: "+listed(gate.Alarms))
	}
	if windows := gate.Windows; windows != nil {
		var open []string
		for _, window := range windows.Open {
			open = append(open, fmt.Sprintf("%s %s-%s", strings.Join(window.Days, ","), window.From, window.To))
		}
		said = append(said, fmt.Sprintf("starts only in its windows, %s time: %s; not on %d holidays",
			windows.TimeZone, strings.Join(open, " or "), len(windows.Holidays)))
	}
	return said
}

// healthSentences is what the health rules ask beyond the status and the request.
func healthSentences(health delivery.Health) []string {
	var said []string
	if requests := health.Requests; requests != nil {
		if requests.Errors != nil {
			said = append(said, fmt.Sprintf("and when at most %g%% of at least %d requests fail", *requests.Errors, requests.Least))
		}
		if requests.Latency > 0 {
			said = append(said, fmt.Sprintf("and when %s of its latency is at most %s", requests.Percentile, short(requests.Latency)))
		}
	}
	if compare := health.Compare; compare != nil {
		said = append(said, "and when it is not much worse than the old version while both serve")
	}
	if len(health.Alarms) > 0 {
		said = append(said, "and when none of these alarms is raised: "+listed(health.Alarms))
	}
	if health.Probe != nil {
		said = append(said, fmt.Sprintf("and when this passes: %s (at most %s)", oneLine(health.Probe.Run), short(health.Probe.Timeout)))
	}
	return said
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
