package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"gravity/internal/delivery"
	"gravity/internal/local/git"
	"gravity/internal/proof/lab"
)

// staging is the first environment of the sample site.
const staging = "site-staging"

// measurePushes starts everything as `starter up` does, pushes again and again to the sample site, and measures
// from the beginning of `git push` to the platform's own word that an update begins, without the time that
// the site's build and test commands take. The first push warms the caches.
func measurePushes(ctx context.Context, pushes int) ([]measure, error) {
	u, err := startUp(ctx)
	if err != nil {
		return nil, err
	}
	defer u.end()
	var beyond, commands []float64
	for n := range pushes + 1 {
		took, own, err := u.push(ctx, n)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			beyond, commands = append(beyond, (took-own).Seconds()), append(commands, own.Seconds())
		}
	}
	return []measure{
		{Name: "push → UpdateEnvironment, beyond build and test, median", Value: median(beyond), Unit: "s", Limit: mostPush,
			How: fmt.Sprintf("%d pushes to site/, warm caches", pushes)},
		{Name: "the site's own build and test commands", Value: median(commands), Unit: "s"},
	}, nil
}

// up is `starter up` as a process of its own.
type up struct {
	directory string
	process   *exec.Cmd
	temporal  client.Client
	platform  *elasticbeanstalk.Client
	working   *git.Working
}

func startUp(ctx context.Context) (*up, error) {
	directory, err := os.MkdirTemp("", "gravity-bench-")
	if err != nil {
		return nil, err
	}
	u := &up{directory: directory}
	if err := u.start(ctx); err != nil {
		u.end()
		return nil, err
	}
	return u, nil
}

func (u *up) start(ctx context.Context) error {
	program := filepath.Join(u.directory, "starter")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./starter")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building starter: %w; run this in Gravity's source tree", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	u.process = exec.Command(program, "up", "--directory", filepath.Join(u.directory, "up"), "--temporal-port", fmt.Sprint(port),
		"--ui-port", "0", "--aws-port", "0", "--git-port", "0", "--webhook-port", "0")
	u.process.Stderr = os.Stderr
	said, err := u.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := u.process.Start(); err != nil {
		return err
	}
	var endpoint, repository string
	for lines := bufio.NewScanner(said); (endpoint == "" || repository == "") && lines.Scan(); {
		repository = named(lines.Text(), "git repository", repository)
		endpoint = named(lines.Text(), "AWS endpoint", endpoint)
	}
	if endpoint == "" || repository == "" {
		return errors.New("starter up ended before everything was up")
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	u.platform = elasticbeanstalk.NewFromConfig(sdk.Config{
		Region: "us-east-1", BaseEndpoint: sdk.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("LOCALSTANDIN", "local-stand-in", ""), // as the README says
	})
	if u.temporal, err = lab.Dial(ctx, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return err
	}
	u.working, err = git.Clone(ctx, repository, filepath.Join(u.directory, "clone"))
	return err
}

// named reads the address in a line such as "  AWS endpoint       http://127.0.0.1:8234".
func named(line, name, otherwise string) string {
	if rest, found := strings.CutPrefix(strings.TrimSpace(line), name); found {
		return strings.TrimSpace(rest)
	}
	return otherwise
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

func (u *up) end() {
	if u.temporal != nil {
		u.temporal.Close()
	}
	if u.process != nil && u.process.Process != nil {
		_ = u.process.Process.Signal(syscall.SIGINT)
		_ = u.process.Wait()
	}
	_ = os.RemoveAll(u.directory)
}

// push pushes a change, and gives the time until its update began on staging, and that of the site's own commands.
func (u *up) push(ctx context.Context, n int) (took, commands time.Duration, err error) {
	if err := u.working.Write("bench.txt", fmt.Sprintf("push %d\n", n)); err != nil {
		return 0, 0, err
	}
	sha, err := u.working.Commit(ctx, fmt.Sprintf("Push %d", n))
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := u.working.Push(ctx, "main"); err != nil {
		return 0, 0, err
	}
	started, err := u.updated(ctx, began, "Environment update is starting.")
	if err != nil {
		return 0, 0, err
	}
	if commands, err = u.commands(ctx, delivery.RunID("site", sha)); err != nil {
		return 0, 0, err
	}
	// The next push is measured against an environment that takes updates.
	_, err = u.updated(ctx, began, "Environment update completed successfully.")
	return started.Sub(began), commands, err
}

// updated waits for an event of staging.
func (u *up) updated(ctx context.Context, since time.Time, message string) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		out, err := u.platform.DescribeEvents(ctx, &elasticbeanstalk.DescribeEventsInput{
			EnvironmentName: sdk.String(staging), StartTime: sdk.Time(since),
		})
		if err != nil {
			return time.Time{}, err
		}
		for _, event := range out.Events {
			if sdk.ToString(event.Message) == message {
				return sdk.ToTime(event.EventDate), nil
			}
		}
		select {
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting for %q: %w", message, ctx.Err())
		case <-ticker.C:
		}
	}
}

// commands adds up how long the project's own commands of a run took, by the run's history.
func (u *up) commands(ctx context.Context, runID string) (total time.Duration, err error) {
	running := map[int64]bool{}      // scheduled
	started := map[int64]time.Time{} // by the ID of the scheduled event
	events := u.temporal.GetWorkflowHistory(ctx, runID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return 0, err
		}
		at := event.GetEventTime().AsTime()
		switch event.GetEventType() { //nolint:exhaustive // the three that matter
		case enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
			running[event.GetEventId()] = event.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == "Run"
		case enums.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			started[event.GetActivityTaskStartedEventAttributes().GetScheduledEventId()] = at
		case enums.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
			if id := event.GetActivityTaskCompletedEventAttributes().GetScheduledEventId(); running[id] {
				total += at.Sub(started[id])
			}
		}
	}
	return total, nil
}
