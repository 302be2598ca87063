// Worker polls Temporal and runs Gravity's workflows and activities. As many of them as needed run
// side by side; `worker --help` says how one is set up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/config"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"gravity/internal/awscalls"
	"gravity/worker/connection"
	"gravity/worker/process"
	"gravity/worker/subject"
	"gravity/worker/tracing"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitStopped = 0 // asked to stop, and stopped in order
	exitFailed  = 1 // Temporal or AWS can't be used
	exitUsage   = 2 // wrong flags
)

// run is the whole program; it ends when the context does.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	settings, err := parse(arguments, os.LookupEnv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, help)
		return exitStopped
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "worker: %v\nworker --help explains every flag.\n", err)
		return exitUsage
	}
	if err := work(ctx, settings, settings.logger(stderr)); err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(stderr, "worker: %v\n", err)
		return exitFailed
	}
	return exitStopped
}

// work polls until the context ends, or until polling fails for good.
func work(ctx context.Context, s settings, log *slog.Logger) error {
	subjects := subject.New()
	log = slog.New(subjects.Handler(log.Handler()))
	traces, err := tracing.Start(ctx, "gravity-worker", log)
	if err != nil {
		return err
	}
	defer func() {
		if err := traces.Stop(); err != nil {
			log.Warn("traces are lost", "error", err)
		}
	}()
	options, err := connection.Settings{Profile: s.profile, EncryptionKeysFile: s.keysFile, Traces: traces, Log: log}.Options()
	if err != nil {
		return err
	}
	subjects.Intercept(&options)
	calls := awscalls.Options{Tracer: traces.Tracer()}
	if s.metricsListen != "" {
		m, err := newMetrics()
		if err != nil {
			return err
		}
		closeMetrics, err := m.serve(s.metricsListen, log)
		if err != nil {
			return err
		}
		defer closeMetrics()
		options.MetricsHandler = m.handler(log)
		calls.Registerer = m.registry
	}
	temporal, err := connection.Dial(ctx, options)
	if err != nil {
		return err
	}
	defer temporal.Close()
	if err := prepare(ctx, temporal, options, log); err != nil {
		return err
	}
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("reading the AWS settings: %w; look at AWS_PROFILE, AWS_REGION and ~/.aws/config", err)
	}
	if aws.Region == "" {
		return errors.New("no AWS region is set: set AWS_REGION, or region in the profile that AWS_PROFILE names")
	}
	awscalls.Watch(&aws, calls)
	gitHub, err := s.github.client()
	if err != nil {
		return err
	}
	notices, err := s.notices.read(options.Namespace)
	if err != nil {
		return err
	}
	credentials := s.credentials()
	if credentials == nil {
		credentials = gitCredentials(gitHub)
	}
	s.fleet.sizeCache()
	failed := make(chan error, 1)
	p, err := process.Start(process.Options{
		Temporal:    temporal,
		AWS:         aws,
		Directory:   s.directory,
		Builds:      s.builds,
		Credentials: credentials, SSHKey: s.sshKeyFile, KnownHosts: s.knownHosts,
		MirrorSize: int64(s.sandbox.mirrorsGB) << 30, CacheSize: int64(s.sandbox.cachesGB) << 30,
		CommandMemory: int64(s.sandbox.memoryMB) << 20, ContainerEngine: s.sandbox.engine, CommandsAsWorker: s.sandbox.asWorker,
		LocalRepositories: s.sandbox.localRepositories, PlatformRate: s.fleet.platformRate,
		GitHub: gitHub, Notices: notices, DataConverter: options.DataConverter, Versioning: s.versioning(),
		Failed: func(err error) {
			select {
			case failed <- err:
			default: // the first reason is the one to tell
			}
		},
		Log: log,
	})
	if err != nil {
		return err
	}
	defer p.Stop()
	select {
	case <-ctx.Done():
		log.Info("stopping; steps under way may end, what does not is taken over by another worker")
		return nil
	case err := <-failed:
		return fmt.Errorf("polling Temporal ended: %w; look whether namespace %s still exists and these credentials may use it", err, options.Namespace)
	}
}

// prepare makes sure of the search attributes and schedules. Where only an operator may add them, as on
// Temporal Cloud, the worker goes on: runs fail with a clear sentence until somebody has.
func prepare(ctx context.Context, temporal client.Client, options client.Options, log *slog.Logger) error {
	err := process.Prepare(ctx, temporal, options.Namespace)
	var denied *serviceerror.PermissionDenied
	var unimplemented *serviceerror.Unimplemented
	if errors.As(err, &denied) || errors.As(err, &unimplemented) {
		log.Warn("the search attributes could not be prepared", "namespace", options.Namespace, "error", err)
	} else if err != nil {
		return err
	}
	err = process.Schedule(ctx, temporal)
	// Who may not keep a schedule may not poll either. Temporal's SDK would go on trying, as a worker that looks alive.
	if denied := connection.Denied(err, "working in namespace "+options.Namespace, options.HostPort); denied != nil {
		return denied
	}
	if err != nil {
		log.Warn("changes by hand are noticed by the next deployment alone", "error", err)
	}
	return nil
}
