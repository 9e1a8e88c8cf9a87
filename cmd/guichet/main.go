// Command guichet is the one program: the API, the workers, or both in one process, and the tools of whoever operates them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// version is set at release: -ldflags "-X main.version=…".
var version = "dev"

// Exit statuses beside 0.
const (
	exitFault    = 1  // it did not work
	exitUsage    = 2  // the command line or a setting is wrong
	exitUnsound  = 3  // audit: the books do not hold
	exitLostLane = 75 // another process took a lane that was ours; a supervisor should start us again (EX_TEMPFAIL of sysexits.h)
)

// gcPercent lets the heap grow further than Go's default of 100 before it is collected: what lives long is small here, and what is made for
// each request is much. The variable GOGC wins.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is main without the globals. It returns the exit status.
func run(ctx context.Context, args, environment []string, stdout, stderr io.Writer) int {
	command, err := parse(args, environment, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "guichet:", err)
		return exitUsage
	}
	if command == nil { // --help was answered
		return 0
	}
	return command(ctx)
}
