package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"go.temporal.io/sdk/worker"
)

// settings are the worker's own; those of Temporal and AWS are read by their own libraries.
type settings struct {
	profile      string
	directory    string
	builds       int
	gitTokenFile string
	gitHost      string
	gitHub       gitHubApp
	sshKeyFile   string
	knownHosts   string
	sandbox      sandbox
	deployment   string
	buildID      string
	logFormat    string
	keysFile     string
	// metricsListen is where Prometheus finds metrics; empty for nowhere.
	metricsListen string
	github        githubSettings
	notices       noticeSettings
	fleet         fleetSettings
}

const help = `worker polls Temporal and runs Gravity's workflows and activities.

Usage:
  worker [flags]

Flags, and the environment variables that stand for them:
  --profile NAME         profile of temporal.toml                       TEMPORAL_PROFILE
  --directory PATH       mirrors and workspaces; several gigabytes      GRAVITY_DIRECTORY
                         (default: gravity/worker in the user's cache folder)
  --builds N             builds at the same time at most (default: one  GRAVITY_BUILDS
                         a core); fewer while cores or memory are busy
  --git-token-file PATH  file with a token for private repositories,    GRAVITY_GIT_TOKEN_FILE
                         read anew for every fetch, so it can be short-lived
                         (default: as GitHub's API is spoken with)
  --git-host HOST        the one host that gets to see the token        GRAVITY_GIT_HOST
                         (default: github.com)
  --git-app-id N         instead of a token: a GitHub App, which gets   GRAVITY_GIT_APP_ID
  --git-app-key-file P   a token for each repository, for reading it,   GRAVITY_GIT_APP_KEY_FILE
                         and for an hour; the file is its private key
  --ssh-key-file PATH    private key for git over ssh                   GRAVITY_SSH_KEY_FILE
  --ssh-known-hosts P    host keys that ssh accepts, and no others      GRAVITY_SSH_KNOWN_HOSTS
                         (default for both: the account's own)
  --mirrors-gb N         room for the mirrors of repositories           GRAVITY_MIRRORS_GB
                         (default: 20); those unused for longest go
  --caches-gb N          room for the caches of builds (default: 10)    GRAVITY_CACHES_GB
  --command-memory-mb N  memory of a project's command                  GRAVITY_COMMAND_MEMORY_MB
                         (default: four fifths of the machine's)
  --container-engine P   program that starts containers                 GRAVITY_CONTAINER_ENGINE
                         (default: docker)
  --commands-as-worker   run the projects' commands as the worker       GRAVITY_COMMANDS_AS_WORKER
                         itself even where that is root
  --local-repositories   also repositories of this machine: stand-ins,  GRAVITY_LOCAL_REPOSITORIES
                         never where strangers write gravity.yaml
  --deployment NAME      Worker Versioning: the deployment's name       TEMPORAL_DEPLOYMENT_NAME
  --build-id ID          Worker Versioning: this build                  TEMPORAL_WORKER_BUILD_ID
  --platform-rate N      steps that call AWS which begin a second, in   GRAVITY_PLATFORM_RATE
                         the whole fleet; all workers say the same
                         (default: 10; 0: no limit)
  --workflow-cache N     workflows kept in memory (default: 1000)       GRAVITY_WORKFLOW_CACHE
  --github-token-file PATH     file with a token for GitHub's API, read anew  GRAVITY_GITHUB_TOKEN_FILE
                               for every request; or instead of it:
  --github-app ID              a GitHub App's number, and                 GRAVITY_GITHUB_APP
  --github-app-key-file PATH   the file with its private key              GRAVITY_GITHUB_APP_KEY_FILE
  --github-url URL             the API (default: https://api.github.com/) GRAVITY_GITHUB_URL
  --encryption-keys-file PATH  keys with which payloads are encrypted         GRAVITY_ENCRYPTION_KEYS_FILE
                         before Temporal stores them: a name and 32 bytes in
                         base64 a line, the newest first
  --slack-token-file PATH      file with a bot's token, scope chat:write  GRAVITY_SLACK_TOKEN_FILE
  --notify-secret-file PATH    file with what signs notices to webhooks   GRAVITY_NOTIFY_SECRET_FILE
  --web-ui URL                 Temporal's web UI, for links to runs       GRAVITY_WEB_UI
  --metrics-listen ADDRESS     for Prometheus, such as 127.0.0.1:9465     GRAVITY_METRICS_LISTEN
                               (default: none)
  --log-format FORMAT    json or text (default: json)                   GRAVITY_LOG_FORMAT

Temporal is found as by all its tools: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY,
TEMPORAL_TLS_..., or a profile of temporal.toml. AWS as by all of its: AWS_PROFILE, AWS_REGION, roles.
Traces go where OpenTelemetry's own variables say: OTEL_EXPORTER_OTLP_ENDPOINT; without it nowhere.

Examples:
  worker
  TEMPORAL_ADDRESS=temporal.internal:7233 AWS_REGION=eu-central-1 worker --git-token-file /run/secrets/git
  worker --profile cloud --deployment gravity --build-id 2026-11-23.1

The first interrupt lets the steps under way end; the second ends the process at once.
Exit codes: 0 stopped in order, 1 Temporal or AWS cannot be used, 2 wrong flags.
`

// parse reads flags, and the environment for those that are not given.
func parse(arguments []string, environment func(string) (string, bool)) (settings, error) {
	s := settings{}
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.profile, "profile", "", "") // the environment is read by Temporal's library
	flags.StringVar(&s.directory, "directory", "", "")
	flags.IntVar(&s.builds, "builds", runtime.NumCPU(), "")
	flags.StringVar(&s.gitTokenFile, "git-token-file", "", "")
	flags.StringVar(&s.gitHost, "git-host", "github.com", "")
	s.buildFlags(flags)
	flags.StringVar(&s.deployment, "deployment", "", "")
	flags.StringVar(&s.buildID, "build-id", "", "")
	flags.StringVar(&s.logFormat, "log-format", "json", "")
	flags.StringVar(&s.keysFile, "encryption-keys-file", "", "")
	flags.StringVar(&s.metricsListen, "metrics-listen", "", "")
	s.github.flags(flags)
	s.notices.flags(flags)
	s.fleet.flags(flags)
	for name, variable := range map[string]string{
		"directory": "GRAVITY_DIRECTORY", "builds": "GRAVITY_BUILDS",
		"git-token-file": "GRAVITY_GIT_TOKEN_FILE", "git-host": "GRAVITY_GIT_HOST",
		"git-app-id": "GRAVITY_GIT_APP_ID", "git-app-key-file": "GRAVITY_GIT_APP_KEY_FILE",
		"ssh-key-file": "GRAVITY_SSH_KEY_FILE", "ssh-known-hosts": "GRAVITY_SSH_KNOWN_HOSTS",
		"mirrors-gb": "GRAVITY_MIRRORS_GB", "caches-gb": "GRAVITY_CACHES_GB",
		"command-memory-mb": "GRAVITY_COMMAND_MEMORY_MB", "container-engine": "GRAVITY_CONTAINER_ENGINE",
		"commands-as-worker": "GRAVITY_COMMANDS_AS_WORKER", "local-repositories": "GRAVITY_LOCAL_REPOSITORIES",
		"deployment": "TEMPORAL_DEPLOYMENT_NAME", "build-id": "TEMPORAL_WORKER_BUILD_ID",
		"log-format":        "GRAVITY_LOG_FORMAT",
		"github-token-file": "GRAVITY_GITHUB_TOKEN_FILE",
		"github-app":        "GRAVITY_GITHUB_APP", "github-app-key-file": "GRAVITY_GITHUB_APP_KEY_FILE", "github-url": "GRAVITY_GITHUB_URL",
		"encryption-keys-file": "GRAVITY_ENCRYPTION_KEYS_FILE", "metrics-listen": "GRAVITY_METRICS_LISTEN",
		"slack-token-file": "GRAVITY_SLACK_TOKEN_FILE", "notify-secret-file": "GRAVITY_NOTIFY_SECRET_FILE", "web-ui": "GRAVITY_WEB_UI",
		"platform-rate": "GRAVITY_PLATFORM_RATE", "workflow-cache": "GRAVITY_WORKFLOW_CACHE",
	} {
		value, ok := environment(variable)
		if !ok || value == "" {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return s, fmt.Errorf("%s=%s: %w", variable, strconv.Quote(value), err)
		}
	}
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return s, s.check()
}

func (s *settings) check() error {
	switch {
	case s.builds < 1:
		return fmt.Errorf("--builds is %d: at least one build must be possible at a time", s.builds)
	case s.logFormat != "json" && s.logFormat != "text":
		return fmt.Errorf("--log-format is %q: it is json or text", s.logFormat)
	case (s.deployment == "") != (s.buildID == ""):
		return errors.New("--deployment and --build-id belong together: give both, or neither")
	}
	if err := s.checkBuild(); err != nil {
		return err
	}
	if s.directory == "" && os.Getuid() == 0 {
		s.directory = "/var/lib/gravity/worker" // root's own home is closed to the accounts of commands
	}
	if err := s.fleet.check(); err != nil {
		return err
	}
	if _, err := s.github.client(); err != nil {
		return err
	}
	if _, err := s.notices.read(""); err != nil {
		return err
	}
	if s.directory == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("there is no cache folder for the mirrors of repositories: %w; give --directory", err)
		}
		s.directory = filepath.Join(cache, "gravity", "worker")
	}
	return nil
}

// credentials answers with the token to the one host that it is for: a pipeline that names another
// host must not send it there.
func (s settings) credentials() func(context.Context, string) (string, string, error) {
	if s.gitHub.app != nil {
		return s.gitHub.app.Credentials
	}
	if s.gitTokenFile == "" {
		return nil // the caller may have a GitHub App, which needs no token of its own for git
	}
	return func(_ context.Context, repository string) (username, token string, err error) {
		address, err := url.Parse(repository)
		if err != nil || address.Scheme != "https" || !strings.EqualFold(address.Host, s.gitHost) {
			return "", "", nil
		}
		token, err = s.token()
		return "x-access-token", token, err
	}
}

func (s settings) versioning() worker.DeploymentOptions {
	if s.deployment == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning: true,
		Version:       worker.WorkerDeploymentVersion{DeploymentName: s.deployment, BuildID: s.buildID},
	}
}

func (s settings) logger(w io.Writer) *slog.Logger {
	if s.logFormat == "text" {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}
