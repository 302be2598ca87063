// Starter is Gravity's command line and webhook receiver: it starts runs, shows them, and carries
// people's answers to them. It holds no state of its own; Temporal has all of it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// commands lists every command.
var commands = []func(*globals) *cobra.Command{
	newDeploy, newRetry, newStatus, newWatch, newLogs, newHistory, newStats,
	newApprove, newReject, newAbort, newRollback, newFreeze, newThaw,
	newProvision, newDestroy, newBootstrap, newWorkers,
	newServe, newProbe, newRedeliver, newCodec, newValidate, newUp,
}

// run is the whole program: it is given its arguments and answers with the exit code.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	return runAt(ctx, time.Second, arguments, stdout, stderr)
}

// runAt is run with another pace at which what is watched is asked.
func runAt(ctx context.Context, pace time.Duration, arguments []string, stdout, stderr io.Writer) int {
	g := newGlobals(stdout, stderr)
	g.pace = pace
	defer g.close()
	root := newRoot(g)
	root.SetArgs(arguments)
	return g.report(root.ExecuteContext(ctx))
}

func newRoot(g *globals) *cobra.Command {
	root := &cobra.Command{
		Use:   "starter",
		Short: "Gravity: a push becomes a healthy release on Elastic Beanstalk, or is taken back",
		Long: `Gravity: a push becomes a healthy release on Elastic Beanstalk, or is taken back.

Temporal is found as by all its tools: TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY,
TEMPORAL_TLS_..., or a profile of temporal.toml.

Exit codes: 0 success; 1 a release that failed; 2 wrong use, or Temporal cannot be reached;
130 interrupted while watching (what was watched goes on).`,
		SilenceErrors:     true, // report prints them, in one place
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		PersistentPreRunE: func(*cobra.Command, []string) error { return g.check() },
	}
	root.SetOut(g.stdout)
	root.SetErr(g.stderr)
	root.SetFlagErrorFunc(func(command *cobra.Command, err error) error {
		return wrongUse("%w; `%s --help` lists them", err, command.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&g.output, "output", "o", "text", "text or json")
	flags.StringVarP(&g.configPath, "config", "c", "", "the pipelines' file (default gravity.yaml; GRAVITY_CONFIG)")
	flags.StringVar(&g.profile, "profile", "", "profile of temporal.toml (TEMPORAL_PROFILE)")
	flags.StringVar(&g.address, "address", "", "Temporal's host:port (TEMPORAL_ADDRESS; default localhost:7233)")
	flags.StringVar(&g.namespace, "namespace", "", "Temporal's namespace (TEMPORAL_NAMESPACE; default default)")
	flags.StringVar(&g.encryptionKeys, "encryption-keys-file", "", "keys with which payloads are encrypted (GRAVITY_ENCRYPTION_KEYS_FILE)")
	for _, command := range commands {
		root.AddCommand(command(g))
	}
	return root
}

// exactly asks for a number of arguments, and says which.
func exactly(names ...string) cobra.PositionalArgs {
	return between(len(names), names...)
}

// between asks for at least some of the named arguments.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(command *cobra.Command, arguments []string) error {
		switch {
		case len(arguments) < least:
			return wrongUse("%s is missing: %s", names[len(arguments)], command.UseLine())
		case len(arguments) > len(names):
			return wrongUse("unexpected argument %q: %s", arguments[len(names)], command.UseLine())
		default:
			return nil
		}
	}
}

// printf writes to a terminal or a pipe. Whoever closed the pipe wants no more of it.
func printf(w io.Writer, format string, arguments ...any) {
	_, _ = fmt.Fprintf(w, format, arguments...)
}
