package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/workflows"
)

// bootstrapFlags say where the receiver is, and what GitHub is reached with.
type bootstrapFlags struct {
	webhookURL string
	secretFile string
	gitHubURL  string
	tokenFile  string
	noWebhook  bool
}

func newBootstrap(g *globals) *cobra.Command {
	var flags bootstrapFlags
	command := &cobra.Command{
		Use:   "bootstrap",
		Short: "From a fresh account to a site that serves: stacks, first release, webhook, checks",
		Long: `From a fresh account to a site that serves: make the stacks of gravity.yaml, release the head of main through every
pipeline, register the webhook at GitHub, and check that each part answers. Gates ask as always: answer with starter
approve. Ended at any point, it can be run again, and goes on with what is not there yet.

It needs Temporal, a worker with permissions to make the stacks, and a receiver (starter serve) that GitHub reaches.`,
		Example: `  starter bootstrap --webhook-url https://gravity.example.com --secret-file /run/secrets/webhook --github-token-file /run/secrets/github
  starter bootstrap --no-webhook`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error { return g.bootstrap(command.Context(), flags) },
	}
	command.Flags().StringVar(&flags.webhookURL, "webhook-url", "", "public address of the receiver, without a path")
	command.Flags().StringVar(&flags.secretFile, "secret-file", "", "file with the webhook's secret; the first line is registered")
	command.Flags().StringVar(&flags.gitHubURL, "github-url", "https://api.github.com/", "address of GitHub's API")
	command.Flags().StringVar(&flags.tokenFile, "github-token-file", "", "file with a token that may administer the repositories' webhooks, and read private ones")
	command.Flags().BoolVar(&flags.noWebhook, "no-webhook", false, "register none: pushes are found in another way")
	return command
}

// check refuses what could not work before anything is made.
func (f bootstrapFlags) check() error {
	if f.noWebhook {
		return nil
	}
	address, err := url.Parse(f.webhookURL)
	switch {
	case f.webhookURL == "" || f.secretFile == "" || f.tokenFile == "":
		return wrongUse("--webhook-url, --secret-file and --github-token-file are needed to register the webhook; --no-webhook registers none")
	case err != nil || address.Host == "" || address.User != nil || strings.Trim(address.Path, "/") != "" || address.RawQuery != "":
		return wrongUse("--webhook-url is %q: it is an address like https://gravity.example.com, without a path", f.webhookURL)
	case address.Scheme != "https" && !onThisMachine(address.Hostname()):
		return wrongUse("--webhook-url is %q: a webhook goes over https", f.webhookURL)
	}
	return nil
}

func onThisMachine(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// bootstrapped is the JSON answer of bootstrap.
type bootstrapped struct {
	Stacks  workflows.ProvisionStatus `json:"stacks"`
	Runs    []runView                 `json:"runs"`
	Webhook []string                  `json:"webhooks,omitempty"`
	Checks  []string                  `json:"checks"`
	// Took says where the time went.
	Took []timed `json:"took"`
}

type timed struct {
	What string            `json:"what"`
	Took delivery.Duration `json:"took"`
}

func (g *globals) bootstrap(ctx context.Context, flags bootstrapFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	file, err := g.load()
	if err != nil {
		return err
	}
	stacks, scope, err := g.stacks(nil)
	if err != nil {
		return err
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	b := &bootstrapping{globals: g, file: file, flags: flags, temporal: c}
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return b.provision(ctx, scope, stacks) }, b.release, b.webhooks, b.checkParts,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return g.show(b.done, func(w io.Writer) { b.render(w, styleOf(w)) })
}

// bootstrapping is a bootstrap under way.
type bootstrapping struct {
	*globals
	file     config.File
	flags    bootstrapFlags
	temporal client.Client
	done     bootstrapped
}

// say tells a step's beginning; with -o json, where the answer alone is printed, beside it.
func (b *bootstrapping) say(format string, arguments ...any) {
	printf(b.stderr, format+"\n", arguments...)
}

func (b *bootstrapping) provision(ctx context.Context, scope string, stacks []delivery.Stack) error {
	b.say("stacks")
	view, err := b.quietly().provisioned(ctx, b.temporal, scope, workflows.ProvisionInput{Stacks: stacks})
	if err != nil {
		return err
	}
	b.done.Stacks = view.ProvisionStatus
	for _, stack := range view.Stacks {
		if stack.Result != nil && stack.Result.Took > 0 {
			b.done.Took = append(b.done.Took, timed{"stack " + stack.Stack, stack.Result.Took})
		}
	}
	return provisionVerdict(view)
}

// quietly shows what is followed where it does not mix with the answer.
func (b *bootstrapping) quietly() *globals {
	quiet := *b.globals
	if quiet.json() {
		quiet.output = "text"
		quiet.stdout = quiet.stderr
	}
	return &quiet
}

// release takes the head of main through every pipeline. A revision that has its run is not run again, unless that
// run failed.
func (b *bootstrapping) release(ctx context.Context) error {
	for _, pipeline := range b.file.Pipelines {
		branch := firstBranch(pipeline)
		revision, err := b.revision(ctx, pipeline, deployFlags{branch: branch, tokenFile: b.flags.tokenFile})
		if err != nil {
			return err
		}
		b.say("first release of %s: %s %s", pipeline.Name, revision.Short(), clean(revision.Message))
		started, err := startRun(ctx, b.temporal, pipeline, revision, false)
		if err != nil {
			return err
		}
		view, err := b.quietly().followRun(ctx, b.temporal, started.RunID)
		if err != nil {
			return err
		}
		if why := b.again(ctx, pipeline, view); started.Existing && why != "" {
			b.say("%s runs again: %s", started.RunID, why)
			if started, err = startRun(ctx, b.temporal, pipeline, revision, true); err != nil {
				return err
			}
			if view, err = b.quietly().followRun(ctx, b.temporal, started.RunID); err != nil {
				return err
			}
		}
		b.done.Runs = append(b.done.Runs, view)
		b.done.Took = append(b.done.Took, timed{"run " + shortID(view.RunID), delivery.Duration(view.EndedAt.Sub(view.StartedAt))})
		if err := verdict(view); err != nil {
			return err
		}
	}
	return nil
}

// again says why a revision whose run has ended has to run once more, if so: the run failed, or an environment was
// made anew since.
func (b *bootstrapping) again(ctx context.Context, pipeline delivery.Pipeline, before runView) string {
	if before.State != workflows.StateSucceeded {
		return "it had ended as " + string(before.State)
	}
	for _, stage := range pipeline.StagesFor(before.Revision.Branch()) {
		id := delivery.EnvironmentID(pipeline.Application, stage.Environment)
		described, err := b.temporal.DescribeWorkflowExecution(ctx, id, "")
		if err != nil || described.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return stage.Environment + " is a new one"
		}
	}
	return ""
}

// firstBranch is main where it reaches a stage, else the first branch without a pattern.
func firstBranch(pipeline delivery.Pipeline) string {
	if len(pipeline.StagesFor("main")) > 0 {
		return "main"
	}
	for _, stage := range pipeline.Stages {
		for _, branch := range stage.Branches {
			if !strings.ContainsAny(branch, `*?[\`) {
				return branch
			}
		}
	}
	return "main"
}

func (b *bootstrapping) webhooks(ctx context.Context) error {
	if b.flags.noWebhook {
		return nil
	}
	secret, err := firstLine(b.flags.secretFile)
	if err != nil {
		return err
	}
	token, err := firstLine(b.flags.tokenFile)
	if err != nil {
		return err
	}
	done := map[string]bool{}
	for _, pipeline := range b.file.Pipelines {
		if done[pipeline.Repository] {
			continue
		}
		done[pipeline.Repository] = true
		b.say("webhook of %s", pipeline.Repository)
		said, err := registerWebhook(ctx, hookRequest{API: b.flags.gitHubURL, Token: token, Repository: pipeline.Repository,
			Address: strings.TrimSuffix(b.flags.webhookURL, "/") + webhookPath, Secret: secret, Pace: b.pace})
		if err != nil {
			return err
		}
		b.done.Webhook = append(b.done.Webhook, said)
	}
	return nil
}

// checkParts asks every part whether it answers.
func (b *bootstrapping) checkParts(ctx context.Context) error {
	b.say("checks")
	if !b.flags.noWebhook {
		if err := b.answers(ctx, strings.TrimSuffix(b.flags.webhookURL, "/")+healthPath, http.StatusOK, ""); err != nil {
			return err
		}
	}
	addresses := map[string]string{}
	for _, stack := range b.done.Stacks.Stacks {
		if stack.Result != nil && stack.Result.Outputs["Environment"] != "" {
			addresses[stack.Result.Outputs["Environment"]] = stack.Result.Outputs["Address"]
		}
	}
	for i, pipeline := range b.file.Pipelines {
		for _, stage := range pipeline.StagesFor(firstBranch(pipeline)) {
			if err := b.checkStage(ctx, pipeline, stage, addresses[stage.Environment], b.done.Runs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkStage looks whether an environment is on the version that was released, and serves it.
func (b *bootstrapping) checkStage(ctx context.Context, pipeline delivery.Pipeline, stage delivery.Stage, address string, run runView) error {
	queue, err := b.observeEnvironment(ctx, b.temporal, delivery.EnvironmentID(pipeline.Application, stage.Environment))
	if err != nil {
		return b.explain(err, "asking the queue of "+stage.Environment)
	}
	if queue.LeftOn != run.Version {
		return &failedRelease{verdict: fmt.Sprintf("%s is on %s, not on %s that was released: starter status --environment %s tells why",
			stage.Environment, orElse(queue.LeftOn, "nothing"), run.Version, stage.Environment)}
	}
	b.done.Checks = append(b.done.Checks, stage.Environment+" is on "+run.Version)
	check := stage.Health.Check
	if check == nil {
		check = &delivery.Check{Path: "/", Status: http.StatusOK}
	}
	if check.URL != "" {
		address = check.URL
	}
	if address == "" { // an environment that none of the stacks made; the deployment has proven it
		return nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	contains := strings.NewReplacer("${version}", run.Version, "${revision}", run.Revision.SHA).Replace(check.Contains)
	return b.answers(ctx, strings.TrimSuffix(address, "/")+check.Path, check.Status, contains)
}

const (
	// partTimeout bounds one request to a part.
	partTimeout = 10 * time.Second
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 64 << 10
)

// answers asks an address, and wants a status and a text.
func (b *bootstrapping) answers(ctx context.Context, address string, status int, contains string) error {
	ctx, cancel := context.WithTimeout(ctx, partTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return wrongUse("%s cannot be asked: %w", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return &failedRelease{verdict: fmt.Sprintf("%s does not answer: %v; once it does, run starter bootstrap again", address, err)}
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return &failedRelease{verdict: fmt.Sprintf("%s does not answer to the end: %v", address, err)}
	case response.StatusCode != status:
		return &failedRelease{verdict: fmt.Sprintf("%s answers %d instead of %d", address, response.StatusCode, status)}
	case !strings.Contains(string(content), contains):
		return &failedRelease{verdict: fmt.Sprintf("%s answers without %q", address, contains)}
	}
	b.done.Checks = append(b.done.Checks, fmt.Sprintf("%s answers %d", address, response.StatusCode))
	return nil
}

// render says what is there now, and where the time went.
func (b *bootstrapping) render(w io.Writer, s style) {
	printf(w, "\n%s\n", s.bold("everything answers"))
	for _, line := range append(b.done.Webhook, b.done.Checks...) {
		printf(w, "  %s %s\n", s.green("✓"), clean(line))
	}
	var sum time.Duration
	rows := [][]string{}
	for _, part := range b.done.Took {
		sum += part.Took.Std()
		rows = append(rows, []string{clean(part.What), took(part.Took.Std())})
	}
	printf(w, "\n%s\n", s.bold("took"))
	table(w, "  ", append(rows, []string{s.bold("together"), s.bold(took(sum))}))
}
