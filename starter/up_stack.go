package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"gravity/activities"
	"gravity/internal/awscalls"
	"gravity/internal/beanstalk"
	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/internal/github"
	"gravity/internal/local/aws"
	platformclock "gravity/internal/local/aws/clock"
	"gravity/internal/local/git"
	"gravity/internal/local/temporal"
	"gravity/internal/webhook"
	"gravity/worker/process"
	"gravity/worker/subject"
	"gravity/worker/tracing"
	"gravity/workflows"
)

// stackOptions says what `starter up` embeds, and where.
type stackOptions struct {
	// Directory keeps everything; a second start continues with what is there.
	Directory string
	// Site is the directory of the sample site.
	Site string
	// Ports on 127.0.0.1; 0 takes a free one.
	TemporalPort, UIPort, AWSPort, GitPort, WebhookPort int
	// ReceiverPort is where somebody else's receiver is, for stand-ins alone.
	ReceiverPort int
	Platform     aws.Pace
	Faults       aws.Faults
	Worker       beanstalk.Pace
	// Seed of the faults; a random one when 0.
	Seed uint64
	// Steady and Settle replace the site's own when they are set: local instances are quick to judge.
	Steady, Settle delivery.Duration
	// Bare leaves the account as a fresh one is: without application and environments.
	Bare bool
	// Clock of the platform; the machine's when nil.
	Clock platformclock.Clock
	// NoWorker leaves the worker out, for tests that run it as a process of its own.
	NoWorker bool
	// Versioning is set by tests that run the worker as part of a Worker Deployment.
	Versioning worker.DeploymentOptions
	// Metrics is where freezes are told; the stand-in has no metrics.
	Metrics activities.MetricsAPI
	// GitHub is told and asked, where it is set; it is given the host of the repositories.
	GitHub   func(host string) (*github.Client, error)
	Notify   []delivery.Receiver
	Progress func(string)
	// Traces are what the receiver and the worker tell of themselves. Default: nothing.
	Traces *tracing.Traces
	Log    *slog.Logger
}

// stack is everything on one machine: Temporal, AWS, a git host, the webhook receiver and a worker.
type stack struct {
	options  stackOptions
	subjects *subject.Subjects
	temporal *temporal.Server
	client   client.Client
	platform *aws.Server
	git      *git.Host
	config   config.File
	receiver string
	closers  []func()
}

// siteRepository is the one repository of the git host.
const siteRepository = "example/site"

// startStack starts the parts in the order in which they need each other.
func startStack(ctx context.Context, o stackOptions) (*stack, error) {
	if err := o.checkPorts(); err != nil {
		return nil, err
	}
	if o.Traces == nil {
		o.Traces = tracing.Off
	}
	s := &stack{options: o, subjects: subject.New()}
	s.options.Log = slog.New(s.subjects.Handler(o.Log.Handler()))
	for _, start := range []func(context.Context) error{
		s.startTemporal, s.startPlatform, s.startGit, s.configure, s.writeConfiguration, s.startReceiver, s.startWorker, s.createEnvironments,
	} {
		if err := start(ctx); err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Close ends every part, the last first, and every process that they started.
func (s *stack) Close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

func (s *stack) onClose(end func()) { s.closers = append(s.closers, end) }

func (s *stack) startTemporal(ctx context.Context) error {
	attributes := map[string]string{}
	for _, name := range workflows.SearchAttributes() {
		attributes[name] = "Keyword"
	}
	server, err := temporal.Start(ctx, temporal.Options{
		DataDir: filepath.Join(s.options.Directory, "temporal"), Port: s.options.TemporalPort, UIPort: s.options.UIPort,
		SearchAttributes: attributes, Progress: s.options.Progress, Log: s.options.Log,
	})
	if err != nil {
		return err
	}
	s.temporal = server
	s.onClose(func() { s.warn("ending Temporal", server.Close()) })
	options := client.Options{
		HostPort: server.Address(), Namespace: server.Namespace(), Logger: log.NewStructuredLogger(s.options.Log),
	}
	s.options.Traces.Trace(&options)
	s.subjects.Intercept(&options)
	s.client, err = client.DialContext(ctx, options)
	if err != nil {
		return fmt.Errorf("connecting to Temporal at %s: %w", server.Address(), err)
	}
	s.onClose(s.client.Close)
	return nil
}

func (s *stack) startPlatform(ctx context.Context) error {
	s.options.Progress("starting the stand-in for Elastic Beanstalk and S3")
	var err error
	s.platform, err = aws.Start(ctx, aws.Options{
		DataDir: filepath.Join(s.options.Directory, "aws"), Addr: loopback(s.options.AWSPort),
		Clock: s.options.Clock, Pace: s.options.Platform, Faults: s.options.Faults, Seed: s.options.Seed, Log: s.options.Log,
	})
	if err != nil {
		return err
	}
	s.onClose(func() { s.warn("ending the stand-in for AWS", s.platform.Close()) })
	return nil
}

func (s *stack) startGit(ctx context.Context) error {
	s.options.Progress("starting the git host")
	var err error
	s.git, err = git.Start(ctx, git.Options{
		DataDir: filepath.Join(s.options.Directory, "git"), Addr: loopback(s.options.GitPort), Log: s.options.Log,
	})
	if err != nil {
		return err
	}
	s.onClose(func() { s.warn("ending the git host", s.git.Close()) })
	if err := s.git.Create(ctx, siteRepository); err != nil {
		return err
	}
	_, err = s.git.Fill(ctx, siteRepository, s.options.Site, firstMessage)
	return err
}

// configure takes the site's own gravity.yaml, with the repository of this machine's git host.
func (s *stack) configure(context.Context) error {
	file, err := config.Load(filepath.Join(s.options.Site, "gravity.yaml"))
	if err != nil {
		return err
	}
	for i := range file.Pipelines {
		pipeline := &file.Pipelines[i]
		pipeline.Repository = s.git.CloneURL(siteRepository)
		if s.options.Notify != nil {
			pipeline.Notify = s.options.Notify
		}
		for j := range pipeline.Stages {
			if s.options.Steady != 0 {
				pipeline.Stages[j].Health.Steady, pipeline.Stages[j].Health.Settle = s.options.Steady, s.options.Settle
			}
		}
	}
	file.Path = s.configPath()
	s.config = file
	return nil
}

// writeConfiguration writes it where the other commands find it.
func (s *stack) writeConfiguration(context.Context) error {
	file := s.config
	text, err := yaml.Marshal(struct {
		Pipelines []delivery.Pipeline `yaml:"pipelines"`
		Stacks    []delivery.Stack    `yaml:"stacks,omitempty"`
	}{file.Pipelines, file.Stacks})
	if err != nil {
		return fmt.Errorf("writing %s: %w", file.Path, err)
	}
	return os.WriteFile(file.Path, text, 0o600)
}

func (s *stack) configPath() string { return filepath.Join(s.options.Directory, "gravity.yaml") }

func (s *stack) secretPath() string { return filepath.Join(s.options.Directory, "webhook-secret") }

// startReceiver serves the webhook, and tells the git host where.
func (s *stack) startReceiver(context.Context) error {
	secret, err := keptSecret(s.secretPath())
	if err != nil {
		return err
	}
	address := loopback(s.options.WebhookPort)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	receiver := newReceiver(receiverOptions{
		temporal: s.client, file: s.config, secrets: [][]byte{secret}, runURL: s.runURL, log: s.options.Log, tracer: s.options.Traces.Tracer(),
	})
	server := webhook.NewServer(address, receiver)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.options.Log.Error("the webhook receiver ended", "error", err)
		}
	}()
	s.onClose(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.warn("ending the webhook receiver", server.Shutdown(ctx))
	})
	s.receiver = "http://" + listener.Addr().String() + webhookPath
	s.git.SetWebhook(s.receiver, secret)
	return nil
}

func (s *stack) startWorker(ctx context.Context) error {
	if s.options.NoWorker {
		return nil
	}
	var gitHub *github.Client
	if s.options.GitHub != nil {
		made, err := s.options.GitHub(strings.TrimPrefix(s.git.URL(), "http://"))
		if err != nil {
			return err
		}
		gitHub = made
	}
	platform := s.platform.Config()
	awscalls.Watch(&platform, awscalls.Options{Tracer: s.options.Traces.Tracer()})
	polling, err := process.Start(process.Options{
		GitHub: gitHub, Notices: process.Notices{RunURL: s.runURL},
		Temporal: s.client, AWS: platform, Metrics: s.options.Metrics, Directory: filepath.Join(s.options.Directory, "worker"),
		Pace: s.options.Worker, LocalRepositories: true, CommandsAsWorker: true, Versioning: s.options.Versioning, Grace: 5 * time.Second, Log: s.options.Log,
	})
	if err != nil {
		return err
	}
	s.onClose(polling.Stop)
	return process.Schedule(ctx, s.client)
}

// runURL is where a run is seen in Temporal's web UI.
func (s *stack) runURL(runID string) string {
	return workflowURL(s.temporal.UIURL(), s.temporal.Namespace(), runID)
}

func (s *stack) warn(doing string, err error) {
	if err != nil {
		s.options.Log.Warn(doing, "error", err)
	}
}

// keptSecret reads the secret that signs webhooks, or makes it.
func keptSecret(path string) ([]byte, error) {
	kept, err := os.ReadFile(path)
	if err == nil {
		return []byte(strings.TrimSpace(string(kept))), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	secret := []byte(hex.EncodeToString(random))
	return secret, os.WriteFile(path, append(secret, '\n'), 0o600)
}
