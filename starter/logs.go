package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"gravity/activities"
	"gravity/internal/bundle"
	"gravity/internal/runner"
	"gravity/workflows"
)

func newLogs(g *globals) *cobra.Command {
	var follow bool
	var only string
	command := &cobra.Command{
		Use:   "logs [RUN]",
		Short: "Show what a run's build and test commands printed; --follow while they run",
		Long: `Show what a run's build and test commands printed; --follow while they run.

The end of what is being printed comes through Temporal. All the rest, and what was printed faster than
that, is read from S3, with the AWS settings of this machine (AWS_PROFILE, AWS_REGION, roles).

Without RUN, the only run that is going on. ` + runForms + ".",
		Example: `  starter logs site --follow
  starter logs site/4f2a91c
  starter logs site --command "test SHARD=2"`,
		Args: between(0, "RUN"),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx := command.Context()
			c, err := g.connect(ctx)
			if err != nil {
				return err
			}
			run, err := g.resolveRun(ctx, c, first(arguments), newest)
			if err != nil {
				return err
			}
			return newLogReader(g, only).read(ctx, c, run.RunID, follow)
		},
	}
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the commands have ended")
	command.Flags().StringVar(&only, "command", "", "one command alone, such as build or test")
	return command
}

// logReader prints the logs of a run, each from where it came to.
type logReader struct {
	g      *globals
	only   string
	logs   map[string]*readLog // by key
	store  *bundle.Store
	closed error // why S3 cannot be read
}

// readLog is how far a log was read.
type readLog struct {
	activities.CommandLog
	place int64
	whole bool
	// midLine says that the last line printed has not ended.
	midLine bool
	// behind is since when something is missing that is not in S3 either.
	behind time.Time
}

// patience is how long S3 may lag behind what heartbeats tell.
const patience = 15 * time.Second

func newLogReader(g *globals, only string) *logReader {
	return &logReader{g: g, only: only, logs: map[string]*readLog{}}
}

// read prints what there is, and with follow what comes, until every command has ended.
func (r *logReader) read(ctx context.Context, c client.Client, runID string, follow bool) error {
	ticker := time.NewTicker(r.g.pace)
	defer ticker.Stop()
	for {
		view, err := r.g.observeRun(ctx, c, runID)
		switch {
		case ctx.Err() != nil:
			return errInterrupted
		case err != nil && (!follow || !passing(err)):
			return r.g.explain(err, "asking "+runID)
		case err == nil:
			if err := r.look(ctx, view); err != nil {
				return err
			}
			if !follow || view.Build != workflows.StateBuilding || view.State.Ended() {
				return r.end(view, follow)
			}
		}
		select {
		case <-ctx.Done():
			return errInterrupted
		case <-ticker.C:
		}
	}
}

// look prints what is new.
func (r *logReader) look(ctx context.Context, view runView) error {
	running := map[string]activities.CommandProgress{}
	for _, step := range view.Live {
		if step.Output != nil && step.Output.Key != "" {
			running[step.Output.Key] = *step.Output
		}
	}
	building := view.Build == workflows.StateBuilding && !view.State.Ended()
	for _, log := range view.Logs {
		if r.only != "" && log.Command != r.only {
			continue
		}
		known := r.logs[log.Key]
		if known == nil {
			known = &readLog{}
			r.logs[log.Key] = known
		}
		known.CommandLog = log
		if known.whole {
			continue
		}
		progress, runs := running[log.Key]
		var err error
		switch {
		case runs:
			err = r.live(ctx, known, progress)
		case log.Size > 0 || !building:
			err = r.rest(ctx, known)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// live prints the end of a log that grows. What was printed faster than it was reported is in S3.
func (r *logReader) live(ctx context.Context, log *readLog, progress activities.CommandProgress) error {
	begins := progress.End - int64(len(progress.Text))
	if log.place < begins {
		if err := r.fromS3(ctx, log); err != nil {
			return err
		}
	}
	switch {
	case log.place >= begins:
		log.behind = time.Time{}
	case r.closed == nil && log.behind.IsZero():
		log.behind = time.Now()
		return nil
	case r.closed == nil && time.Since(log.behind) < patience:
		return nil
	default:
		reason := r.closed
		if reason == nil {
			reason = errors.New("the worker does not get them to S3")
		}
		r.print(log, fmt.Sprintf("… %d bytes are left out here: %v\n", begins-log.place, reason))
		log.place, log.behind = begins, time.Time{}
	}
	if log.place < progress.End {
		r.print(log, progress.Text[log.place-begins:])
		log.place = progress.End
	}
	return nil
}

// rest prints what is left of a log whose command has ended.
func (r *logReader) rest(ctx context.Context, log *readLog) error {
	if log.Size > 0 && log.place >= log.Size {
		log.whole = true
		return nil
	}
	err := r.fromS3(ctx, log)
	if r.closed != nil {
		r.print(log, fmt.Sprintf("… the rest is in s3://%s/%s: %v\n", log.Bucket, log.Key, r.closed))
		log.whole = true
	}
	return err
}

// askS3 bounds one reading.
const askS3 = time.Minute

// fromS3 prints what of a log is in S3 from its place on. That S3 cannot be read is no error: it is
// remembered, and said where something is missing for it.
func (r *logReader) fromS3(ctx context.Context, log *readLog) error {
	if r.closed != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askS3)
	defer cancel()
	if r.store == nil {
		if r.store, r.closed = openStore(ctx); r.closed != nil {
			return nil
		}
	}
	lines := &lineWriter{print: func(text string) { r.print(log, text) }}
	reached, whole, err := r.store.CopyLog(ctx, log.Bucket, log.Key, log.place, lines)
	lines.flush()
	log.place, log.whole = reached, whole
	if errors.Is(err, context.Canceled) {
		return errInterrupted
	}
	r.closed = err
	return nil
}

// openStore reads S3 with this machine's AWS settings.
func openStore(ctx context.Context) (*bundle.Store, error) {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("the AWS settings cannot be read: %w", err)
	}
	if settings.Region == "" {
		return nil, errors.New("no AWS region is set here (AWS_REGION, or region in the profile)")
	}
	return &bundle.Store{S3: s3.NewFromConfig(settings, func(o *s3.Options) {
		o.UsePathStyle = settings.BaseEndpoint != nil
		o.DisableLogOutputChecksumValidationSkipped = true // a part of an object has no checksum, which nobody needs to read
	})}, nil
}

// lineWriter hands on whole lines, so that no character is cut in two.
type lineWriter struct {
	pending []byte
	print   func(string)
}

func (w *lineWriter) Write(text []byte) (int, error) {
	w.pending = append(w.pending, text...)
	end := bytes.LastIndexByte(w.pending, '\n') + 1
	if end > 0 {
		w.print(string(w.pending[:end]))
		w.pending = append(w.pending[:0], w.pending[end:]...)
	}
	return len(text), nil
}

func (w *lineWriter) flush() {
	if len(w.pending) > 0 {
		w.print(string(w.pending))
		w.pending = nil
	}
}

// print writes a piece of a log: each line behind the name of its command, unless there is only one.
func (r *logReader) print(log *readLog, text string) {
	text = runner.Clean(text) // the worker did, and somebody else may write into the bucket
	if r.g.json() {
		line, _ := json.Marshal(struct {
			Command string `json:"command"`
			Text    string `json:"text"`
		}{log.Command, text}) // two texts always marshal
		printf(r.g.stdout, "%s\n", line)
		return
	}
	if r.only != "" {
		_, _ = io.WriteString(r.g.stdout, text)
		return
	}
	prefix := styleOf(r.g.stdout).dim(clean(log.Command) + " │ ")
	var out bytes.Buffer
	for line := range strings.Lines(text) {
		if !log.midLine {
			out.WriteString(prefix)
		}
		out.WriteString(line)
		log.midLine = !strings.HasSuffix(line, "\n")
	}
	_, _ = r.g.stdout.Write(out.Bytes())
}

// end says, where nothing was printed, why.
func (r *logReader) end(view runView, follow bool) error {
	for _, log := range r.logs {
		if log.midLine {
			printf(r.g.stdout, "\n")
		}
	}
	switch {
	case len(r.logs) == 0 && r.only != "":
		return wrongUse("%s has no log of a command %q; it has %s", view.RunID, r.only, commandsOf(view.Logs))
	case len(r.logs) == 0:
		printf(r.g.stderr, "no command of %s has printed anything that was kept\n", view.RunID)
	case follow:
		printf(r.g.stderr, "the build %s\n", verb(view.Build))
	}
	return nil
}

func commandsOf(logs []activities.CommandLog) string {
	if len(logs) == 0 {
		return "none at all"
	}
	names := make([]string, len(logs))
	for i, log := range logs {
		names[i] = clean(log.Command)
	}
	return strings.Join(names, ", ")
}

// verb is how a build ended, in a sentence.
func verb(state workflows.RunState) string {
	if state == workflows.StateAborted {
		return "was aborted"
	}
	return string(state)
}
