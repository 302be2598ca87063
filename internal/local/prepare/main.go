// Command prepare makes sure that there are Temporal's servers that tests start, building them where
// necessary: the development server, and the one for PostgreSQL where that is installed. CI runs it
// ahead of the tests, whose time limits would otherwise count the builds.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"gravity/internal/local/cluster"
	"gravity/internal/local/temporal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := prepare(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func prepare(ctx context.Context) error {
	progress := func(line string) { fmt.Fprintln(os.Stderr, line) }
	path, err := temporal.Binary(ctx, progress)
	if err != nil {
		return err
	}
	fmt.Println(path)
	programs, err := cluster.Programs(ctx, progress)
	if errors.Is(err, cluster.ErrNoPostgreSQL) {
		progress(err.Error() + "; tests that need it will skip")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Println(programs.Temporal)
	return nil
}
