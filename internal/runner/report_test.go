package runner

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

const sampleReport = `<?xml version="1.0"?>
<testsuites><testsuite name="shop">
 <testcase classname="shop.Cart" name="adds" time="0.1"/>
 <testcase classname="shop.Cart" name="removes"><failure message="expected 1, got 2">at line 3</failure></testcase>
 <testcase name="skips"><skipped/></testcase>
 <testsuite name="inner"><testcase name="breaks"><error>boom&#x1b;[31m</error></testcase></testsuite>
</testsuite></testsuites>`

func writeReport(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
}

func TestReportsNameTheFailedTests(t *testing.T) {
	dir := t.TempDir()
	writeReport(t, dir, "build/results/deep/a.xml", strings.ReplaceAll(sampleReport, "&#x1b;[31m", ""))
	report, err := ReadReports(dir, []string{"build/**/*.xml", "build/results/**"}, time.Time{})
	require.NoError(t, err)
	require.Equal(t, Report{Tests: 4, Passed: 1, Skipped: 1, Failed: 2, FailedTests: []FailedTest{
		{Name: "shop.Cart.removes", Message: "expected 1, got 2"}, {Name: "inner.breaks", Message: "boom"},
	}}, report)
}

func TestReportsOfOthersSayNothing(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	writeReport(t, outside, "a.xml", sampleReport)
	writeReport(t, dir, "old.xml", sampleReport)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "old.xml"), time.Now(), time.Now().Add(-time.Hour)))
	require.NoError(t, os.Symlink(filepath.Join(outside, "a.xml"), filepath.Join(dir, "link.xml")))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "linked")))
	report, err := ReadReports(dir, []string{"**/*.xml"}, time.Now())
	require.NoError(t, err)
	require.Zero(t, report.Tests)

	for _, pattern := range []string{"../*.xml", "/etc/*.xml", "a[", ""} {
		_, err := ReadReports(dir, []string{pattern}, time.Time{})
		require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err), pattern)
	}
	_, err = ReadReports(filepath.Join(dir, "gone"), nil, time.Time{})
	require.Equal(t, delivery.WorkspaceLost, delivery.TypeOf(err))
}

func TestHostileReportsAreProblemsAndNothingMore(t *testing.T) {
	dir := t.TempDir()
	writeReport(t, dir, "broken.xml", "<testsuite><testcase")
	writeReport(t, dir, "entities.xml", `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>`)
	writeReport(t, dir, "deep.xml", strings.Repeat("<a>", 200_000))
	writeReport(t, dir, "huge.xml", "<testsuite>"+strings.Repeat(" ", maxReportSize)+"</testsuite>")
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, `<testcase name="%s&#10;%d"><failure>%s</failure></testcase>`, strings.Repeat("n", 1000), i, strings.Repeat("é", 1000))
	}
	writeReport(t, dir, "many.xml", "<testsuite>"+many.String()+"</testsuite>")
	report, err := ReadReports(dir, []string{"*.xml"}, time.Time{})
	require.NoError(t, err)
	require.Len(t, report.Problems, 4, "%v", report.Problems)
	require.Equal(t, 200, report.Failed)
	require.Len(t, report.FailedTests, maxNamedTests)
	for _, test := range report.FailedTests {
		require.LessOrEqual(t, len(test.Name), maxNameLength)
		require.LessOrEqual(t, len(test.Message), maxTestMessage)
		require.NotContains(t, test.Name, "\n")
	}
}

func runTests(t *testing.T, line string, retries int) (Outcome, string) {
	t.Helper()
	dir := t.TempDir()
	writeReport(t, dir, "sample", strings.ReplaceAll(sampleReport, "&#x1b;[31m", ""))
	var output bytes.Buffer
	outcome, err := RunTests(t.Context(), Tests{
		Command: Command{Line: line, Dir: dir, Scratch: t.TempDir(), Timeout: 20 * time.Second}, Reports: []string{"*.xml"}, Retries: retries,
	}, &output)
	require.NoError(t, err)
	return outcome, output.String()
}

func TestAFlakyTestIsReportedAsFlakyAndNeverAsPassedSilently(t *testing.T) {
	// Fails and writes a report the first time, passes the second.
	const flaky = `if [ -e again ]; then rm *.xml; exit 0; fi; touch again; cat sample > a.xml; exit 1`
	outcome, output := runTests(t, flaky, 2)
	require.True(t, outcome.Result.Passed())
	require.True(t, outcome.Flaky)
	require.Equal(t, 2, outcome.Attempts)
	require.Equal(t, "shop.Cart.removes", outcome.FlakyTests[0].Name)
	require.Contains(t, output, "failed with exit code 1; attempt 2 of 3 follows")

	outcome, _ = runTests(t, flaky, 0)
	require.False(t, outcome.Result.Passed())
	require.False(t, outcome.Flaky)
	require.Equal(t, 1, outcome.Attempts)
	require.Equal(t, 2, outcome.Report.Failed)

	outcome, _ = runTests(t, "true", 2)
	require.True(t, outcome.Result.Passed())
	require.False(t, outcome.Flaky)
	require.Equal(t, 1, outcome.Attempts)

	outcome, _ = runTests(t, "cat sample > a.xml; exit 1", 2)
	require.False(t, outcome.Result.Passed())
	require.False(t, outcome.Flaky)
	require.Equal(t, 3, outcome.Attempts)
	require.Len(t, outcome.Report.FailedTests, 2)
}

func TestWhatALimitEndedIsNotTriedAgain(t *testing.T) {
	outcome, err := RunTests(t.Context(), Tests{
		Command: Command{Line: "sleep 1000", Dir: t.TempDir(), Timeout: 50 * time.Millisecond, Grace: 50 * time.Millisecond}, Retries: 3,
	}, &bytes.Buffer{})
	require.NoError(t, err)
	require.True(t, outcome.Result.TimedOut)
	require.Equal(t, 1, outcome.Attempts)
}
