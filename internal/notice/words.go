package notice

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gravity/internal/delivery"
	"gravity/internal/github"
)

// title is a run in a few words.
func title(n delivery.Notice) string {
	return fmt.Sprintf("%s %s: %s", n.Pipeline, n.Revision.Short(), n.State)
}

// summary is a run as a Markdown table. Texts from outside, the commit's among them, stay texts.
func summary(m Message) string {
	lines := []string{
		fmt.Sprintf("**%s** %s: %s", plain(m.Pipeline), m.State, plain(m.Detail)), "",
		"| stage | state | |", "|---|---|---|",
		fmt.Sprintf("| build | %s | %s |", m.Build, plain(m.Version)),
	}
	for _, stage := range m.Stages {
		name := plain(stage.Stage)
		if stage.URL != "" {
			name = fmt.Sprintf("[%s](%s)", name, stage.URL)
		}
		lines = append(lines, fmt.Sprintf("| %s | %s | %s |", name, state(m.Notice, stage), plain(detail(m.Notice, stage))))
	}
	lines = append(lines, "", fmt.Sprintf("Revision %s", m.Revision.Short()))
	if m.URL != "" {
		lines[len(lines)-1] += fmt.Sprintf(" · [the run](%s)", m.URL)
	}
	return strings.Join(lines, "\n")
}

// evidence is what led to the verdict of a run that failed, for the eye.
func evidence(n delivery.Notice) string {
	var text strings.Builder
	for _, stage := range n.Stages {
		if len(stage.Evidence) > 0 {
			fmt.Fprintf(&text, "\n\n%s:\n\n```\n%s\n```", plain(stage.Stage), fenced(strings.Join(stage.Evidence, "\n")))
		}
	}
	if n.Output != "" {
		fmt.Fprintf(&text, "\n\nWhat it printed at last:\n\n```\n%s\n```", fenced(n.Output))
	}
	return text.String()
}

// state is a stage's state in words: one that was never reached is not waited for any more.
func state(n delivery.Notice, stage delivery.NoticeStage) string {
	if n.Ended && stage.State == delivery.NoticePending {
		return "not reached"
	}
	return stage.State
}

func detail(n delivery.Notice, stage delivery.NoticeStage) string {
	if n.Ended && stage.State == delivery.NoticePending {
		return "the run ended before: " + n.Detail
	}
	return stage.Detail
}

// plain keeps a text from outside from becoming structure, links, mentions or images.
func plain(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	text = strings.NewReplacer(
		"\\", "\\\\", "|", "\\|", "<", "&lt;", "`", "'", "[", "\\[", "]", "\\]", "*", "\\*", "_", "\\_", "@", "@\u200b", "#", "\\#",
	).Replace(text)
	return delivery.Clip(text, 300)
}

// fenced keeps a text from ending the block that it stands in.
func fenced(text string) string { return strings.ReplaceAll(text, "```", "'''") }

// place is what many compilers and test runners begin a line with: a file, a line, a message.
var place = regexp.MustCompile(`^\s*((?:[\w.-]+/)*[\w-][\w.-]*\.\w{1,5}):(\d{1,6})(?::\d+)?:?\s+(.+)$`)

// failedTest is the heading that Go's and others' test runners give a test that failed.
var failedTest = regexp.MustCompile(`^\s*--- FAIL: (\S+)`)

// annotations are the lines of a failed command's output that name a place in a file, and the reasons
// of stages that failed, at the pipeline's folder.
func annotations(n delivery.Notice) []github.Annotation {
	var found []github.Annotation
	heading := "failed"
	for line := range strings.Lines(n.Output) {
		if name := failedTest.FindStringSubmatch(line); name != nil {
			heading = name[1]
		}
		parts := place.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if parts == nil || strings.Contains(parts[1], "..") {
			continue
		}
		number, _ := strconv.Atoi(parts[2])
		found = append(found, github.Annotation{Path: path.Join(n.Path, parts[1]), Line: number, Title: heading, Message: parts[3]})
	}
	found = append(found, named(n, found)...)
	for _, stage := range n.Stages {
		if stage.State == delivery.NoticeSucceeded || stage.State == delivery.NoticePending || !n.Ended {
			continue
		}
		message := strings.Join(append([]string{stage.Detail}, stage.Evidence...), "\n")
		found = append(found, github.Annotation{Path: wholePath(n.Path), Title: stage.Stage + ": " + stage.State, Message: message})
	}
	if len(found) == 0 && n.Ended && n.State != delivery.NoticeSucceeded {
		found = append(found, github.Annotation{Path: wholePath(n.Path), Title: "build: " + n.State, Message: n.Detail})
	}
	return found
}

// named are the tests that the reports name, at the pipeline's folder: those that failed, as far as the output
// has not given them a place, and those that were flaky.
func named(n delivery.Notice, placed []github.Annotation) []github.Annotation {
	var found []github.Annotation
	for _, test := range n.FailedTests {
		if !slices.ContainsFunc(placed, func(a github.Annotation) bool { return strings.HasSuffix(test.Name, a.Title) }) {
			found = append(found, github.Annotation{Path: wholePath(n.Path), Title: "failed: " + test.Name, Message: cmp.Or(test.Message, "failed")})
		}
	}
	for _, test := range n.FlakyTests {
		found = append(found, github.Annotation{Path: wholePath(n.Path), Title: "flaky: " + test.Name, Message: cmp.Or(test.Message, "passed when it was tried again")})
	}
	return found
}

// wholePath stands for all of a repository, or of a part of it: GitHub wants a path, and shows one
// that is no file beside the check.
func wholePath(path string) string {
	if path == "" || path == "." {
		return ".github"
	}
	return path
}
