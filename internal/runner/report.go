package runner

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/joshdk/go-junit"

	"gravity/internal/delivery"
)

// Limits of what is read from a project's test reports, which the project's own code wrote.
const (
	maxReports     = 1000
	maxReportSize  = 32 << 20 // bytes of one report
	maxNamedTests  = 50       // failed tests that a report names
	maxNameLength  = 200      // bytes
	maxTestMessage = 500      // bytes
)

// Report is what the test reports of one run of a command say.
type Report struct {
	Tests   int `json:"tests"`
	Passed  int `json:"passed"`
	Skipped int `json:"skipped"`
	// Failed counts the tests that failed or could not be run; FailedTests names the first 50 of them.
	Failed      int          `json:"failed"`
	FailedTests []FailedTest `json:"failedTests,omitempty"`
	// Problems are reports that could not be read, and why.
	Problems []string `json:"problems,omitempty"`
}

// FailedTest is a test that failed: clean text, safe to show.
type FailedTest struct {
	Name    string `json:"name"`
	Message string `json:"message,omitempty"`
}

// ReadReports reads the JUnit XML files below dir whose paths match one of the patterns, such as
// build/test-results/**/*.xml, and that were written since a moment: a report that came with the
// repository, or that an earlier attempt left, says nothing. Links are not followed out of dir.
func ReadReports(dir string, patterns []string, since time.Time) (Report, error) {
	var report Report
	root, err := os.OpenRoot(dir)
	if err != nil {
		return report, delivery.Errorf(delivery.WorkspaceLost, "read test reports: %w", err)
	}
	defer func() { _ = root.Close() }()
	seen := map[string]bool{}
	for _, pattern := range patterns {
		if !fs.ValidPath(pattern) || !doublestar.ValidatePattern(pattern) {
			return report, delivery.Errorf(delivery.InvalidInput, "the test report pattern %q is not a path below the pipeline's folder", pattern)
		}
		paths, err := doublestar.Glob(root.FS(), pattern, doublestar.WithFilesOnly(), doublestar.WithNoFollow())
		if err != nil {
			return report, fmt.Errorf("look for test reports like %q: %w", pattern, err)
		}
		for _, path := range paths {
			if seen[path] {
				continue
			}
			if seen[path] = true; len(seen) > maxReports {
				report.Problems = append(report.Problems, fmt.Sprintf("more than %d reports: the others are not read", maxReports))
				return report, nil
			}
			report.read(root, path, since)
		}
	}
	return report, nil
}

func (r *Report) read(root *os.Root, path string, since time.Time) {
	content, err := readFresh(root, path, since)
	if err == nil && content == nil {
		return
	}
	var suites []junit.Suite
	if err == nil {
		suites, err = junit.Ingest(content)
	}
	if err != nil {
		r.Problems = append(r.Problems, short(fmt.Sprintf("%s: %v", path, err), maxTestMessage))
		return
	}
	for _, suite := range suites {
		r.add(suite)
	}
}

// readFresh reads a report, or nothing when it is older than since.
func readFresh(root *os.Root, path string, since time.Time) ([]byte, error) {
	info, err := root.Lstat(path)
	if err != nil {
		return nil, err
	}
	// File systems keep times less exactly than clocks do: by up to a tick of the kernel.
	if !info.Mode().IsRegular() || info.ModTime().Before(since.Add(-20*time.Millisecond)) {
		return nil, nil
	}
	file, err := root.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxReportSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxReportSize {
		return nil, fmt.Errorf("larger than %d bytes", maxReportSize)
	}
	return content, nil
}

func (r *Report) add(suite junit.Suite) {
	for _, test := range suite.Tests {
		r.Tests++
		switch test.Status {
		case junit.StatusPassed:
			r.Passed++
		case junit.StatusSkipped:
			r.Skipped++
		case junit.StatusFailed, junit.StatusError:
			r.Failed++
			if len(r.FailedTests) < maxNamedTests {
				r.FailedTests = append(r.FailedTests, failedTest(suite, test))
			}
		}
	}
	for _, below := range suite.Suites {
		r.add(below)
	}
}

func failedTest(suite junit.Suite, test junit.Test) FailedTest {
	name := test.Name
	if group := cmp.Or(test.Classname, suite.Name); group != "" && !strings.HasPrefix(name, group) {
		name = group + "." + name
	}
	message := test.Message
	if problem, ok := test.Error.(junit.Error); ok { //nolint:errorlint // the library's own value, never wrapped
		message = cmp.Or(message, problem.Body)
	}
	return FailedTest{Name: oneLine(name, maxNameLength), Message: short(strings.TrimSpace(message), maxTestMessage)}
}

func oneLine(text string, length int) string {
	return short(strings.Join(strings.Fields(Clean(text)), " "), length)
}

// short makes a text clean and cuts it.
func short(text string, length int) string {
	text = Clean(text)
	if len(text) > length {
		text = strings.ToValidUTF8(text[:length-len("…")], "") + "…"
	}
	return text
}

// Tests are a project's test command and what to make of its failures.
type Tests struct {
	Command Command
	// Reports are patterns of JUnit XML files, relative to Command.Dir. Optional.
	Reports []string
	// Retries is how often a failed command is run again. What passes only then is reported as flaky.
	Retries int
}

// Outcome is how tests ended.
type Outcome struct {
	// Result of the last attempt.
	Result Result
	// Report of the last attempt.
	Report Report
	// Attempts is how often the command ran.
	Attempts int
	// Flaky says that an attempt failed and a later one passed. The tests that failed are in
	// FlakyTests, if there was a report that named them.
	Flaky      bool
	FlakyTests []FailedTest
}

// RunTests runs a test command, and again as often as it may when it fails. An attempt that was
// ended by a limit is not repeated: it would take as long again.
func RunTests(ctx context.Context, t Tests, output io.Writer) (Outcome, error) {
	var outcome Outcome
	var failedBefore []FailedTest
	for {
		started := time.Now()
		result, err := Run(ctx, t.Command, output)
		if err != nil {
			return outcome, err
		}
		outcome.Result = result
		outcome.Attempts++
		if outcome.Report, err = t.read(started); err != nil {
			return outcome, err
		}
		if result.Passed() {
			outcome.Flaky = outcome.Attempts > 1
			outcome.FlakyTests = failedBefore
			return outcome, nil
		}
		if outcome.Attempts > t.Retries || result.TimedOut || result.OutputExceeded || result.DiskExceeded {
			return outcome, nil
		}
		failedBefore = addNew(failedBefore, outcome.Report.FailedTests)
		if _, err := fmt.Fprintf(output, "\n--- the command %s; attempt %d of %d follows\n", result.Reason(), outcome.Attempts+1, t.Retries+1); err != nil {
			return outcome, fmt.Errorf("keep the output of %q: %w", t.Command.Line, err)
		}
	}
}

// read reads the reports of an attempt. The command may have put a link in the place of its own folder.
func (t Tests) read(started time.Time) (Report, error) {
	if len(t.Reports) == 0 {
		return Report{}, nil
	}
	dir, err := filepath.EvalSymlinks(t.Command.Dir)
	if err != nil {
		return Report{Problems: []string{"the command removed the folder in which it ran"}}, nil
	}
	if t.Command.Tree != "" {
		tree, err := filepath.EvalSymlinks(t.Command.Tree)
		if err != nil {
			return Report{}, delivery.Errorf(delivery.WorkspaceLost, "read test reports: %w", err)
		}
		if below, err := filepath.Rel(tree, dir); err != nil || !filepath.IsLocal(below) {
			return Report{Problems: []string{"the command put a link that leads out of the repository in the place of the folder in which it ran"}}, nil
		}
	}
	return ReadReports(dir, t.Reports, started)
}

func addNew(known, more []FailedTest) []FailedTest {
	names := map[string]bool{}
	for _, test := range known {
		names[test.Name] = true
	}
	for _, test := range more {
		if !names[test.Name] && len(known) < maxNamedTests {
			names[test.Name] = true
			known = append(known, test)
		}
	}
	return known
}
