package proof

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"gravity/internal/proof/lab"
	"gravity/worker/process"
)

// workerVariable makes the test binary a worker, so that it can be killed as a machine would: its value
// is the worker's settings.
const workerVariable = "GRAVITY_PROOF_WORKER"

type workerSettings struct {
	Temporal, AWS, Region, AccessKey, SecretKey, Directory string
}

func TestMain(m *testing.M) {
	lab.RunWorker()
	if settings := os.Getenv(workerVariable); settings != "" {
		fmt.Fprintln(os.Stderr, runWorker(settings))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// runWorker runs the worker that every fleet runs. It stops at every boundary until its parent, which
// has the choice to kill it there, says a line.
func runWorker(encoded string) error {
	var s workerSettings
	if err := json.Unmarshal([]byte(encoded), &s); err != nil {
		return err
	}
	temporal, err := lab.Dial(context.Background(), s.Temporal, &tap{Hurry: lab.Hurry{By: 8}, answers: bufio.NewReader(os.Stdin)})
	if err != nil {
		return err
	}
	_, err = process.Start(process.Options{
		Temporal: temporal, Pace: crashPace, Directory: s.Directory, CommandsAsWorker: true, Log: slog.New(slog.DiscardHandler),
		AWS: sdk.Config{
			Region: s.Region, BaseEndpoint: sdk.String(s.AWS),
			Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, ""),
		},
	})
	if err != nil {
		return err
	}
	select {}
}

// workerProcess is a worker as a process of its own.
type workerProcess struct {
	command *exec.Cmd
	answers io.WriteCloser
}

// startWorker starts one; boundary is called with each boundary that it comes to, and reports whether it
// may go on.
func startWorker(t *testing.T, l *lab.Lab, directory string, boundary func(w *workerProcess, name string) bool) *workerProcess {
	config := l.Server.Config()
	keys, err := config.Credentials.Retrieve(context.Background())
	require.NoError(t, err)
	encoded, err := json.Marshal(workerSettings{
		Temporal: l.Temporal.Address(), AWS: l.Server.URL(), Region: config.Region,
		AccessKey: keys.AccessKeyID, SecretKey: keys.SecretAccessKey, Directory: filepath.Join(directory, "worker"),
	})
	require.NoError(t, err)
	w := &workerProcess{command: exec.Command(os.Args[0])}
	w.command.Env = append(os.Environ(), workerVariable+"="+string(encoded))
	w.command.Stderr = os.Stderr
	w.answers, err = w.command.StdinPipe()
	require.NoError(t, err)
	names, err := w.command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, w.command.Start())
	go func() {
		for lines := bufio.NewScanner(names); lines.Scan(); {
			if boundary(w, lines.Text()) {
				_, _ = io.WriteString(w.answers, "go on\n") // fails when it was killed meanwhile
			}
		}
	}()
	return w
}

// kill ends the worker with SIGKILL, and returns when it is gone.
func (w *workerProcess) kill() {
	_ = w.command.Process.Kill()
	_ = w.command.Wait()
}

// tap stops a worker at the beginning and the end of each of its steps, and after each heartbeat, until its
// parent lets it go on.
type tap struct {
	lab.Hurry

	mu      sync.Mutex
	answers *bufio.Reader
}

func (t *tap) stop(ctx context.Context, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Println(activity.GetInfo(ctx).ActivityType.Name + " " + what)
	if _, err := t.answers.ReadString('\n'); err != nil {
		os.Exit(2) // the parent is gone
	}
}

func (t *tap) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &tappedActivity{tap: t}
	i.Next = next
	return i
}

type tappedActivity struct {
	interceptor.ActivityInboundInterceptorBase
	tap *tap
}

func (a *tappedActivity) Init(next interceptor.ActivityOutboundInterceptor) error {
	o := &tappedOutbound{tap: a.tap}
	o.Next = next
	return a.Next.Init(o)
}

func (a *tappedActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	a.tap.stop(ctx, "begins")
	result, err := a.Next.ExecuteActivity(ctx, in)
	a.tap.stop(ctx, "has ended")
	return result, err
}

type tappedOutbound struct {
	interceptor.ActivityOutboundInterceptorBase
	tap *tap
}

func (o *tappedOutbound) RecordHeartbeat(ctx context.Context, details ...any) {
	o.Next.RecordHeartbeat(ctx, details...)
	o.tap.stop(ctx, "beats")
}
