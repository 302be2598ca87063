package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
	"gravity/internal/local/git"
	"gravity/workflows"
)

// demo is the story that `starter up --demo` tells, with what each chapter must come to.
type demo struct {
	stack    *stack
	progress *progress
	working  *git.Working
	failures int
}

// firstRelease puts the repository's first revision on every stage, so that there is something to
// look at. A directory that has been used before has it already; what was pushed there last is left to
// whoever pushed it, since Temporal forgets runs after a while, and that one may have been bad.
func (d *demo) firstRelease(ctx context.Context) error {
	pipeline := d.stack.config.Pipelines[0]
	if d.releasedBefore(ctx, pipeline) {
		return nil
	}
	head, err := git.Clone(ctx, pipeline.Repository, d.clonePath("first"))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(head.Directory()) }()
	revision, err := head.Head(ctx)
	if err != nil {
		return err
	}
	started, err := startRun(ctx, d.stack.client, pipeline, delivery.Revision{SHA: revision, Ref: "refs/heads/main", Message: firstMessage}, false)
	if err != nil || started.Existing {
		return err
	}
	status, err := d.unattended(ctx, started.RunID)
	if err != nil {
		return err
	}
	if status.State != workflows.StateSucceeded {
		return fmt.Errorf("the first release %s: %s", status.State, status.Detail)
	}
	return nil
}

// releasedBefore reports whether every environment has a queue, which it gets with its first deployment.
func (d *demo) releasedBefore(ctx context.Context, pipeline delivery.Pipeline) bool {
	for _, stage := range pipeline.Stages {
		queue := delivery.EnvironmentID(pipeline.Application, stage.Environment)
		if _, err := d.stack.client.DescribeWorkflowExecution(ctx, queue, ""); err != nil {
			return false
		}
	}
	return true
}

// firstMessage is the message of the repository's first commit.
const firstMessage = "The sample site"

// tell tells the whole story under load. Its error is the verdict.
func (d *demo) tell(ctx context.Context) error {
	var err error
	d.working, err = git.Clone(ctx, d.stack.config.Pipelines[0].Repository, d.clonePath("demo"))
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(d.working.Directory()) }()
	var urls []string
	for _, site := range d.stack.sites() {
		urls = append(urls, site.URL)
	}
	users := startLoad(ctx, urls)
	defer users.stop()
	for _, chapter := range []func(context.Context) error{d.goodPush, d.brokenTest, d.failingHealth} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	requests, failed, first := users.stop()
	d.progress.doing("")
	d.progress.title("Meanwhile")
	d.expect(requests > 0 && failed == 0, "%d requests from users, %d failed%s", requests, failed, because(first))
	if d.failures > 0 {
		return &failedRelease{verdict: fmt.Sprintf("the demo failed: %d of its promises were not kept", d.failures)}
	}
	d.progress.say("\nEvery promise was kept.")
	return nil
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return "; the first: " + reason
}

func (d *demo) goodPush(ctx context.Context) error {
	d.progress.title("1. A good push")
	status, err := d.push(ctx, "Say when it was released", func() error {
		title := "<title>Automation for the people, " + time.Now().Format("15:04:05") + "</title>"
		return d.restore(func(page string) string {
			start, end := strings.Index(page, "<title>"), strings.Index(page, "</title>")+len("</title>")
			return page[:start] + title + page[end:]
		})
	})
	if err != nil {
		return err
	}
	d.expect(status.State == workflows.StateSucceeded, "the run %s: %s", status.State, status.Detail)
	labels := d.labels(ctx)
	for _, environment := range slices.Sorted(maps.Keys(labels)) {
		d.expect(labels[environment] == status.Version, "%s is on %s", environment, labels[environment])
	}
	return nil
}

func (d *demo) brokenTest(ctx context.Context) error {
	d.progress.title("2. A push that breaks a test")
	before, sent := d.labels(ctx), d.updates()
	uploaded, err := d.uploads(ctx)
	if err != nil {
		return err
	}
	status, err := d.push(ctx, "Say something else", func() error {
		return d.working.Replace("index.html", "<h1>Automation for the people</h1>", "<h1>Automation for nobody</h1>")
	})
	if err != nil {
		return err
	}
	d.expect(status.State == workflows.StateFailed && status.Build == workflows.StateFailed, "the run %s: %s", status.State, status.Detail)
	d.quote(lastLines(status.Output, shownOutput))
	after, err := d.uploads(ctx)
	if err != nil {
		return err
	}
	d.expect(after == uploaded, "nothing was uploaded, and no version was made of it")
	d.expect(d.updates() == sent && maps.Equal(before, d.labels(ctx)), "no environment was changed")
	return nil
}

func (d *demo) failingHealth(ctx context.Context) error {
	d.progress.title("3. A push that passes its tests and fails its health check")
	before, instances := d.labels(ctx), d.instances(ctx)
	status, err := d.push(ctx, "Serve the page by another name", func() error {
		if err := d.restore(func(page string) string { return page }); err != nil {
			return err
		}
		return d.working.Replace("Procfile", "--page index.html", "--page indx.html")
	})
	if err != nil {
		return err
	}
	d.expect(status.State == workflows.StateFailed && status.Build == workflows.StateSucceeded, "the run %s: %s", status.State, status.Detail)
	d.quote(status.Stages[0].Evidence)
	d.expect(maps.Equal(before, d.labels(ctx)), "every environment is on the version of before")
	d.expect(slices.Equal(instances, d.instances(ctx)), "the old instances were never replaced: %s", strings.Join(instances, ", "))
	return nil
}

// shownOutput is how many lines of a failed command's output are enough to see why.
const shownOutput = 6

// lastLines are the last lines of a text.
func lastLines(text string, most int) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[max(0, len(lines)-most):]
}

// quote shows what others said, below a verdict.
func (d *demo) quote(lines []string) {
	for _, line := range lines {
		d.progress.say("    %s", d.progress.style.dim(cleanKeepingIndent(line)))
	}
}

// restore puts the site's page and Procfile back as they came, with a change to the page; the
// last teller of this story may have left them broken.
func (d *demo) restore(change func(string) string) error {
	page, err := os.ReadFile(d.stack.options.Site + "/index.html")
	if err != nil {
		return err
	}
	procfile, err := os.ReadFile(d.stack.options.Site + "/Procfile")
	if err != nil {
		return err
	}
	if err := d.working.Write("Procfile", string(procfile)); err != nil {
		return err
	}
	return d.working.Write("index.html", change(string(page)))
}

// push commits a change, pushes it, and waits for the end of the run that the webhook starts.
func (d *demo) push(ctx context.Context, message string, change func() error) (workflows.RunStatus, error) {
	if err := change(); err != nil {
		return workflows.RunStatus{}, err
	}
	sha, err := d.working.Commit(ctx, message)
	if err != nil {
		return workflows.RunStatus{}, err
	}
	runID := delivery.RunID(d.stack.config.Pipelines[0].Name, sha)
	d.progress.say("  git push: %s %s", sha[:12], message)
	d.progress.say("  %s", d.progress.style.dim(d.stack.runURL(runID)))
	if err := d.working.Push(ctx, "main"); err != nil {
		return workflows.RunStatus{}, err
	}
	if err := d.started(ctx, runID); err != nil {
		return workflows.RunStatus{}, err
	}
	status, err := d.unattended(ctx, runID)
	d.progress.doing("")
	return status, err
}

// unattended sees a run through to its end, and answers at its gates, since nobody else is there to be asked.
func (d *demo) unattended(ctx context.Context, runID string) (workflows.RunStatus, error) {
	return d.stack.watchedThrough(ctx, runID, func(view runView) {
		d.progress.doing(headline(view))
		if view.State != workflows.StateWaiting {
			return
		}
		answer := workflows.Answer{By: "starter up", Reason: "nobody else is there to be asked"}
		if err := update(ctx, d.stack.client, runID, workflows.ApproveUpdate, answer, nil); err != nil {
			d.stack.options.Log.Warn("approving", "run", runID, "error", err) // the display says what it waits for
		}
	})
}

// startWithin is how long a webhook may take from the git host to Temporal.
const startWithin = time.Minute

// started waits until the webhook has started the run.
func (d *demo) started(ctx context.Context, runID string) error {
	deadline := time.NewTimer(startWithin)
	defer deadline.Stop()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		_, err := d.stack.client.DescribeWorkflowExecution(ctx, runID, "")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("no run began within %s of the push: %w", startWithin, err)
		case <-ticker.C:
		}
	}
}

func (d *demo) expect(kept bool, format string, arguments ...any) {
	if kept {
		d.progress.passed(format, arguments...)
		return
	}
	d.failures++
	d.progress.failed(format, arguments...)
}

// labels are the versions that the environments are on, by the platform's word.
func (d *demo) labels(ctx context.Context) map[string]string {
	labels := map[string]string{}
	d.observe(ctx, func(o delivery.Observation) { labels[o.Name] = o.VersionLabel })
	return labels
}

// instances are the IDs of all instances, sorted.
func (d *demo) instances(ctx context.Context) []string {
	var ids []string
	d.observe(ctx, func(o delivery.Observation) {
		for _, instance := range o.Instances {
			ids = append(ids, instance.ID)
		}
	})
	slices.Sort(ids)
	return ids
}

func (d *demo) observe(ctx context.Context, see func(delivery.Observation)) {
	platform := beanstalk.New(d.stack.platform.Config(), d.stack.options.Worker)
	pipeline := d.stack.config.Pipelines[0]
	for _, stage := range pipeline.Stages {
		observed, err := platform.OfStage(ctx, pipeline.Application, stage)
		if err == nil {
			err = platform.Health(ctx, &observed)
		}
		if err != nil {
			d.expect(false, "%s can be described: %v", stage.Environment, err)
			continue
		}
		see(observed)
	}
}

// updates is how many updates were sent to the platform so far.
func (d *demo) updates() int { return d.stack.platform.Calls()["UpdateEnvironment"] }

// uploads is how many bundles and versions have reached the platform so far. What a command printed is kept
// there as well, whether it failed or not.
func (d *demo) uploads(ctx context.Context) (int, error) {
	found := d.stack.platform.Calls()["CreateApplicationVersion"]
	store := s3.NewFromConfig(d.stack.platform.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	buckets, err := store.ListBuckets(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return 0, fmt.Errorf("looking for bundles: %w", err)
	}
	for _, bucket := range buckets.Buckets {
		pages := s3.NewListObjectsV2Paginator(store, &s3.ListObjectsV2Input{Bucket: bucket.Name})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return 0, fmt.Errorf("looking for bundles: %w", err)
			}
			for _, object := range page.Contents {
				if strings.HasSuffix(aws.ToString(object.Key), ".zip") {
					found++
				}
			}
		}
	}
	return found, nil
}

func (d *demo) clonePath(name string) string {
	return fmt.Sprintf("%s/clones/%s-%d", d.stack.options.Directory, name, os.Getpid())
}
