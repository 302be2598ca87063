// Command prepare makes sure that there is a Temporal development server, building it where
// necessary, and prints the path of its binary. CI runs it ahead of the tests, whose time limits
// would otherwise count the build.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"gravity/internal/local/temporal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	path, err := temporal.Binary(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(path)
}
