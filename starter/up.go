package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gravity/internal/local/aws"
	"gravity/worker/tracing"
	"gravity/workflows"
)

// upFlags are the flags of `starter up`.
type upFlags struct {
	directory, site string
	fresh, demo     bool
	standInsOnly    bool
	platform        platformFlags
	temporalPort    int
	uiPort          int
	awsPort         int
	gitPort         int
	webhookPort     int
}

func newUp(g *globals) *cobra.Command {
	f := &upFlags{}
	command := &cobra.Command{
		Use:   "up",
		Short: "Run all of Gravity on this machine, with stand-ins for AWS and GitHub",
		Long: `Run all of Gravity on this machine: Temporal's development server with its web UI, stand-ins for
Elastic Beanstalk and S3, a git host that sends signed push webhooks, the webhook receiver, a worker,
and a sample site with a staging and a production environment. It needs Go and git alone, and stays until
Ctrl-C. Started again on the same directory, it continues with what was there.

With --demo it then tells its story unattended, and the exit code is the verdict: a good push, a push
that breaks a test, and a push that fails its health check, all under a load of requests of which none
may fail.

With --stand-ins nothing is started but AWS and the git host. A Temporal, a receiver at --webhook-port and workers
with --local-repositories come from elsewhere, and find in the directory gravity.yaml (once everything is there),
webhook-secret, and aws-config for AWS_CONFIG_FILE.`,
		Example: `  go run ./starter up
  go run ./starter up --demo
  go run ./starter up --fresh --temporal-port 0 --ui-port 0`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error { return f.up(command.Context(), g) },
	}
	flags := command.Flags()
	flags.StringVar(&f.directory, "directory", ".gravity", "where everything is kept")
	flags.StringVar(&f.site, "site", "", "directory of the sample site (default: site/ of this source tree)")
	flags.BoolVar(&f.fresh, "fresh", false, "start over: remove what an earlier start left in the directory")
	flags.BoolVar(&f.demo, "demo", false, "tell the story, and exit with its verdict")
	flags.BoolVar(&f.standInsOnly, "stand-ins", false, "only the stand-ins, for a Temporal, a receiver and workers of your own")
	flags.IntVar(&f.temporalPort, "temporal-port", 7233, "port of Temporal; 0 takes a free one")
	flags.IntVar(&f.uiPort, "ui-port", 8233, "port of Temporal's web UI; 0 takes a free one")
	flags.IntVar(&f.awsPort, "aws-port", 8234, "port of the AWS endpoint; 0 takes a free one")
	flags.IntVar(&f.gitPort, "git-port", 8235, "port of the git host; 0 takes a free one")
	flags.IntVar(&f.webhookPort, "webhook-port", 8236, "port of the webhook receiver; 0 takes a free one")
	f.platform.register(flags)
	return command
}

func (f *upFlags) up(ctx context.Context, g *globals) error {
	ctx, stopListening := signal.NotifyContext(ctx, syscall.SIGHUP) // a terminal that is closed
	defer stopListening()
	options, err := f.options()
	if err != nil {
		return err
	}
	faults, err := f.platform.parse()
	if err != nil {
		return err
	}
	release, err := takeDirectory(f.directory)
	if err != nil {
		return err
	}
	defer release()
	if err := options.checkPorts(); err != nil {
		return err // before --fresh removes anything
	}
	if f.fresh {
		if err := emptyDirectory(f.directory); err != nil {
			return err
		}
	}
	progress := newProgress(g.stdout, g.json())
	options.Progress = progress.doing
	closeLog, err := f.log(&options)
	if err != nil {
		return err
	}
	defer closeLog()
	if f.standInsOnly {
		return f.standIns(ctx, options, faults, progress)
	}
	return f.everything(ctx, g, options, faults, progress)
}

// everything starts the whole stack, and stays until it is ended or the story is told.
func (f *upFlags) everything(ctx context.Context, g *globals, options stackOptions, faults aws.Faults, progress *progress) (err error) {
	if options.Traces, err = tracing.Start(ctx, "gravity-up", options.Log); err != nil {
		return err
	}
	defer func() {
		if err := options.Traces.Stop(); err != nil {
			options.Log.Warn("traces are lost", "error", err)
		}
	}()
	stack, err := startStack(ctx, options)
	if err != nil {
		return interruptedOr(ctx, err)
	}
	defer func() {
		progress.doing("ending every part")
		stack.Close()
		progress.doing("")
	}()
	g.temporal, g.where = stack.client, stack.temporal.Address()
	defer func() { g.temporal = nil }() // the stack closes it
	ctx, stop := f.whileTemporalRuns(ctx, stack)
	defer stop()
	demo := &demo{stack: stack, progress: progress}
	if err := demo.firstRelease(ctx); err != nil {
		return interruptedOr(ctx, err)
	}
	if err := stack.platform.SetFaults(faults); err != nil {
		return err
	}
	f.show(progress, stack)
	if f.demo {
		return interruptedOr(ctx, demo.tell(ctx))
	}
	<-ctx.Done() // Ctrl-C is how this command is meant to end
	return partEnded(ctx)
}

// endedPart is the end of a part that the rest cannot do without.
type endedPart struct{ error }

// whileTemporalRuns ends the context with an endedPart when Temporal's server ends by itself.
func (f *upFlags) whileTemporalRuns(ctx context.Context, stack *stack) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-stack.temporal.Done():
			cancel(endedPart{fmt.Errorf("%w\nMore is in %s. Start again, and everything goes on where it was",
				stack.temporal.Err(), shown(f.logPath()))})
		}
	}()
	return ctx, func() { cancel(nil) }
}

// partEnded is why a context ended, if it was the end of a part.
func partEnded(ctx context.Context) error {
	var ended endedPart
	if errors.As(context.Cause(ctx), &ended) {
		return ended
	}
	return nil
}

// interruptedOr tells an interruption, and the end of a part, from a failure that they caused.
func interruptedOr(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case partEnded(ctx) != nil:
		return partEnded(ctx)
	case ctx.Err() != nil:
		return fmt.Errorf("%w; everything was ended", errInterrupted)
	default:
		return err
	}
}

// options checks the flags.
func (f *upFlags) options() (stackOptions, error) {
	site, err := f.siteDirectory()
	if err != nil {
		return stackOptions{}, err
	}
	directory, err := filepath.Abs(f.directory)
	if err != nil {
		return stackOptions{}, err
	}
	f.directory = directory
	options := stackOptions{
		Directory: directory, Site: site,
		TemporalPort: f.temporalPort, UIPort: f.uiPort, AWSPort: f.awsPort, GitPort: f.gitPort, WebhookPort: f.webhookPort,
	}
	if f.standInsOnly {
		if f.demo {
			return options, wrongUse("--demo tells of a whole stack: leave out --stand-ins")
		}
		// Their ports are other programs'.
		options.ReceiverPort, options.TemporalPort, options.UIPort, options.WebhookPort = f.webhookPort, 0, 0, 0
	}
	return options, f.platform.apply(&options)
}

// siteDirectory finds the sample site in the source tree that the program was started in.
func (f *upFlags) siteDirectory() (string, error) {
	if f.site != "" {
		if _, err := os.Stat(filepath.Join(f.site, "gravity.yaml")); err != nil {
			return "", wrongUse("--site %s has no gravity.yaml, which says how it is built and where it goes: %w", f.site, err)
		}
		return filepath.Abs(f.site)
	}
	module, err := exec.Command("go", "env", "GOMOD").Output()
	root := filepath.Dir(strings.TrimSpace(string(module)))
	if err == nil {
		if _, err := os.Stat(filepath.Join(root, "site", "gravity.yaml")); err == nil {
			return filepath.Join(root, "site"), nil
		}
	}
	return "", wrongUse("the sample site is not here; run `starter up` in Gravity's source tree, or name it with --site")
}

func (f *upFlags) logPath() string { return filepath.Join(f.directory, "up.log") }

// shown is a path as people would type it here.
func shown(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if relative, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return path
}

// log keeps what the parts log out of the story, in a file.
func (f *upFlags) log(options *stackOptions) (end func(), err error) {
	file, err := os.OpenFile(f.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	options.Log = slog.New(slog.NewJSONHandler(file, nil))
	return func() { _ = file.Close() }, nil
}

// seenThrough waits for the end of a run, saying what it does meanwhile, the platform's events included.
func (s *stack) seenThrough(ctx context.Context, runID string, doing func(string)) (workflows.RunStatus, error) {
	return s.watchedThrough(ctx, runID, func(view runView) { doing(headline(view)) })
}

// watchedThrough waits for the end of a run, and looks at it meanwhile.
func (s *stack) watchedThrough(ctx context.Context, runID string, look func(runView)) (workflows.RunStatus, error) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.client.GetWorkflow(ctx, runID, "").Get(ctx, nil) // fails when the run did; its status says how
	}()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	observer := newGlobals(io.Discard, io.Discard)
	for {
		select {
		case <-ctx.Done():
			return workflows.RunStatus{}, ctx.Err()
		case <-ticker.C:
			if view, err := observer.observeRun(ctx, s.client, runID); err == nil {
				look(view)
			}
		case <-ended:
			return s.runStatus(ctx, runID)
		}
	}
}

// headline is what a run does now: what the platform says of it, if it is at work for it.
func headline(view runView) string {
	for _, step := range view.Live {
		if p := step.Progress; p != nil && p.Event != "" {
			return p.Environment + ": " + p.Event
		}
	}
	return view.Detail
}

func (s *stack) runStatus(ctx context.Context, runID string) (workflows.RunStatus, error) {
	var status workflows.RunStatus
	answer, err := s.client.QueryWorkflow(ctx, runID, "", workflows.StatusQuery)
	if err != nil {
		return status, fmt.Errorf("asking %s for its status: %w", runID, err)
	}
	return status, answer.Get(&status)
}
