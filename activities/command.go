package activities

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"go.temporal.io/sdk/activity"

	"gravity/internal/bundle"
	"gravity/internal/delivery"
	"gravity/internal/runner"
)

// Sandbox is what a worker lets the project's commands use. A pipeline can ask for less.
type Sandbox struct {
	Limits runner.Limits
	// Accounts are who the commands run as where the worker is root. Nil: the worker itself.
	Accounts *runner.Accounts
	// Engine is the program that starts containers. Default: docker.
	Engine string
}

// TestReport is what the project's test reports say.
type TestReport = runner.Report

// FailedTest is one of the tests that a TestReport names.
type FailedTest = runner.FailedTest

// RunInput is one of the project's commands, with what it may know.
type RunInput struct {
	Workspace Workspace        `json:"workspace"`
	Command   delivery.Command `json:"command"`
	// Version and Revision reach the command as GRAVITY_VERSION and GRAVITY_REVISION.
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// Name is what people call the command: build, test, or test with the job of its matrix.
	Name string `json:"name,omitempty"`
	// Variables are those of the job.
	Variables []delivery.Variable `json:"variables,omitempty"`
	Sandbox   delivery.Sandbox    `json:"sandbox,omitzero"`
	// Reports and Retries are those of a test.
	Reports []string `json:"reports,omitempty"`
	Retries int      `json:"retries,omitempty"`
	// Log is the key under which the log is kept in the workspace's bucket. Empty: it is not kept.
	Log string `json:"log,omitempty"`
}

// LogKey is where the log of a run's command is kept: number counts the commands of the run.
func LogKey(workflowID, runID string, number int, command string) string {
	return fmt.Sprintf("%s%s/%s/%02d-%s.log", bundle.LogPrefix, workflowID, runID, number, notInKeys.ReplaceAllString(command, "-"))
}

// notInKeys is what a key is better without.
var notInKeys = regexp.MustCompile(`[^A-Za-z0-9._=-]+`)

// CommandResult is how the command ended. That it failed is the project's affair and no error here.
type CommandResult struct {
	Passed bool `json:"passed"`
	// Reason says in a few words why not.
	Reason string `json:"reason,omitempty"`
	// Tail is the end of its output.
	Tail string `json:"tail,omitempty"`
	// Report is what the last attempt's test reports say, if there are any.
	Report *TestReport `json:"report,omitempty"`
	// Attempts is how often the command ran, where that is more than once. One that passed then is
	// flaky, and FlakyTests failed before.
	Attempts   int          `json:"attempts,omitempty"`
	FlakyTests []FailedTest `json:"flakyTests,omitempty"`
	// Log is where all of the output is.
	Log *CommandLog `json:"log,omitempty"`
}

// CommandLog is where the output of a command is kept.
type CommandLog struct {
	// Command is what people call it.
	Command string `json:"command"`
	Bucket  string `json:"bucket"`
	Key     string `json:"key"`
	// Size in bytes, once it is whole.
	Size int64 `json:"size,omitempty"`
}

// CommandProgress is what a command that runs reports in heartbeats.
type CommandProgress struct {
	CommandLog
	// Text is the end of the output so far, clean, and End the place in the log at which it ends.
	Text string `json:"text,omitempty"`
	End  int64  `json:"end,omitempty"`
}

// Run runs a command of the project in its workspace, with a clean environment and within its limits, and again
// where its test may be retried.
func (b *Build) Run(ctx context.Context, input RunInput) (CommandResult, error) {
	part, done, err := b.enter(input.Workspace)
	if err != nil {
		return CommandResult{}, toTemporal(err)
	}
	defer done()
	log, err := b.openLog(ctx, input)
	if err != nil {
		return CommandResult{}, toTemporal(err)
	}
	stop := b.keepAlive(ctx, log)
	defer stop()
	command, release, err := b.command(ctx, input, part)
	if err != nil {
		return CommandResult{}, toTemporal(err)
	}
	stopParts := every(ctx, b.beat(), log.putPart)
	outcome, err := runner.RunTests(ctx, runner.Tests{Command: command, Reports: input.Reports, Retries: input.Retries}, log)
	release()
	stopParts()
	kept := log.finish(ctx)
	if err != nil {
		return CommandResult{}, toTemporal(err)
	}
	return resultOf(outcome, input, kept), nil
}

func resultOf(outcome runner.Outcome, input RunInput, kept *CommandLog) CommandResult {
	result := CommandResult{Passed: outcome.Result.Passed(), Log: kept, FlakyTests: outcome.FlakyTests}
	if outcome.Attempts > 1 {
		result.Attempts = outcome.Attempts
	}
	if len(input.Reports) > 0 {
		result.Report = &outcome.Report
	}
	if !result.Passed {
		result.Reason, result.Tail = outcome.Result.Reason(), outcome.Result.Tail
	}
	return result
}

// command is the command with this worker's limits and the pipeline's, whichever are narrower. The
// caller releases it.
func (b *Build) command(ctx context.Context, input RunInput, part string) (runner.Command, func(), error) {
	release := func() {}
	limits := b.Sandbox.Limits
	limits.Memory = narrower(limits.Memory, int64(input.Sandbox.Memory)<<20)
	limits.Processes = narrower(limits.Processes, input.Sandbox.Processes)
	limits.FileSize = narrower(limits.FileSize, int64(input.Sandbox.FileSize)<<20)
	limits.NoNetwork = limits.NoNetwork || input.Sandbox.Network == delivery.NetworkNone
	command := runner.Command{
		Line: input.Command.Run, Dir: part, Tree: treeOf(input.Workspace),
		Timeout: input.Command.Timeout.Std(), OutputLimit: int64(input.Sandbox.Output) << 20,
		Scratch: input.Workspace.Directory, Limits: limits,
		Variables: map[string]string{"GRAVITY_VERSION": input.Version, "GRAVITY_REVISION": input.Revision},
	}
	for _, variable := range input.Variables {
		command.Variables[variable.Name] = variable.Value
	}
	if input.Sandbox.Container != "" {
		command.Container = &runner.Container{Image: input.Sandbox.Container, Engine: b.Sandbox.Engine}
	} else if limits.NoNetwork && os.Getuid() != 0 {
		return command, release, delivery.Errorf(delivery.InvalidInput,
			"%s may have no network, which takes a worker that is root, or a container: set the pipeline's sandbox.container", input.Name)
	}
	if b.Sandbox.Accounts != nil {
		account, free, err := b.Sandbox.Accounts.Take(ctx)
		if err != nil {
			return command, release, err
		}
		command.Account, release = &account, free
	}
	if input.Workspace.Cache != nil || command.Account != nil {
		// The caches of the worker itself are closed to others.
		command.Caches = filepath.Join(input.Workspace.Directory, cachesDirectory)
	}
	return command, release, nil
}

// narrower is the smaller of two limits, of which zero is none.
func narrower[T int | int64](a, b T) T {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// commandLog keeps a command's output on disk, brings it to S3 in parts while the command runs, and
// as a whole in the end. That this does not work never fails a command.
type commandLog struct {
	*runner.Log
	build *Build
	at    CommandLog
	place int64 // up to where it was brought to S3
}

// openLog makes the log of an attempt of this activity.
func (b *Build) openLog(ctx context.Context, input RunInput) (*commandLog, error) {
	info := activity.GetInfo(ctx)
	log, err := runner.NewLog(filepath.Join(input.Workspace.Directory, fmt.Sprintf("%s-%d.log", info.ActivityID, info.Attempt)))
	if err != nil {
		return nil, err
	}
	kept := &commandLog{Log: log, build: b, at: CommandLog{Command: input.Name}}
	if bucket := input.Workspace.Bucket; bucket != "" && input.Log != "" {
		b.prepare(ctx, bucket)
		kept.at.Bucket, kept.at.Key = bucket, input.Log
	}
	return kept, nil
}

// progress is what watchers see.
func (l *commandLog) progress() CommandProgress {
	text, end := l.Tail()
	return CommandProgress{CommandLog: l.at, Text: text, End: end}
}

// maxPart bounds what of a log goes up at once, in bytes.
const maxPart = 4 << 20

// putPart brings what is new to S3. What fails is tried again with the next part.
func (l *commandLog) putPart(ctx context.Context) {
	if l.at.Key == "" {
		return
	}
	text, err := io.ReadAll(io.LimitReader(l.From(l.place), maxPart))
	if err != nil || len(text) == 0 {
		return
	}
	if err := l.build.Store.PutLogPart(ctx, l.at.Bucket, l.at.Key, l.place, text); err != nil {
		if ctx.Err() == nil {
			l.build.log().WarnContext(ctx, "a part of a command's log does not reach S3", "error", err)
		}
		return
	}
	l.place += int64(len(text))
}

// keepLog bounds how long the end of a log may take to reach S3. An abort does not cut it short: why a command
// was aborted is in its log.
const keepLog = 30 * time.Second

// finish brings the whole log to S3 and answers with its place, or nil when it is not there.
func (l *commandLog) finish(ctx context.Context) *CommandLog {
	defer func() { _ = l.Close() }()
	err := l.Finish()
	if l.at.Key == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepLog)
	defer cancel()
	if err == nil {
		err = l.build.Store.PutLog(ctx, l.at.Bucket, l.at.Key, l.From(0))
	}
	if err != nil {
		l.build.log().WarnContext(ctx, "the log of a command does not reach S3", "error", err)
		return nil
	}
	kept := l.at
	_, kept.Size = l.Tail()
	return &kept
}
