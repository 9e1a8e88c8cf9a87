// Command bench measures guichet on this machine and prints one markdown report: the conditions, a
// table of what was measured, and the figures to reach beside what was reached.
//
// It starts private MariaDB and Redis servers with durable settings, builds guichet into a temporary
// directory and drives it over HTTP from the outside, as its clients do: the contract is all it knows
// of the program, but for a few questions to its tables: whether all that is matched is settled
// (exchange_burst.go), what a million resting orders cost, which would take minutes to place one by
// one (exchange_prefill.go), and when a reservation, which Redis has first, is a row (events_lag.go). In the same run it measures naive handlers on the same MariaDB and the ceiling
// of HTTP itself, so that every ratio compares figures of one machine, one disk and one hour.
//
// All files, of the stores too, are below TMPDIR: it says which disk is measured.
//
// After each run the books are audited. The exit status is 1 when an audit fails, when a request
// errs or when a run cannot be made; a figure that falls short is printed and changes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == baselineCommand {
		exit(serveBaseline(os.Args[2:]))
	}
	options, err := parseOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		exit(err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	exit(bench(ctx, options))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench runs the scenarios and prints the report even when some of them failed; the failures are its error.
func bench(ctx context.Context, o options) error {
	// The generator shares the cores with the servers; memory is cheaper to it than collections.
	debug.SetGCPercent(400)
	l, err := openLab(o)
	if err != nil {
		return err
	}
	defer l.close()
	var failures []error
	for _, s := range o.scenarios {
		progress("%s", s.name())
		if err := s.run(ctx, l); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", s.name(), err))
			progress("%s failed: %v", s.name(), err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	conditions, err := l.conditions(ctx)
	if err != nil {
		failures = append(failures, err)
	}
	l.report.print(os.Stdout, conditions, failures)
	return errors.Join(failures...)
}

// progress tells on stderr what is going on; stdout carries the report alone.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// options are the flags of the command.
type options struct {
	duration        time.Duration // of each run's window, after its warm-up
	overload        time.Duration // of each of the two overload runs
	overloadClients int
	clients         []int // ascending
	exchangeLanes   int   // that the symbols are spread over
	raceRounds      int   // of the race for seats, each for an event of its own
	raceClients     int
	profiles        string // the directory for profiles of guichet; empty: none are taken
	scenarios       []scenario
}

func parseOptions(args []string) (options, error) {
	var o options
	var only, clients string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "duration", 10*time.Second, "window of each run")
	flags.DurationVar(&o.overload, "overload", time.Minute, "window of each overload run")
	flags.IntVar(&o.overloadClients, "overload-clients", 1024, "clients of the overload runs")
	flags.IntVar(&o.exchangeLanes, "exchange-lanes", 1, "lanes that the exchange's symbols are spread over, 1 to 64")
	flags.IntVar(&o.raceRounds, "race-rounds", 50, "rounds of the race for seats")
	flags.IntVar(&o.raceClients, "race-clients", 500, "clients of the race for seats")
	flags.StringVar(&clients, "clients", "1,32,256", "comma list of client counts")
	flags.StringVar(&only, "only", "", "comma list of scenarios: "+strings.Join(names(scenarios), ",")+" (default all)")
	flags.StringVar(&o.profiles, "profiles", "", "directory for CPU profiles of guichet, one of each process and window (default none; they cost some percent)")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.duration < 100*time.Millisecond || o.overload < 100*time.Millisecond || o.overloadClients < 1 {
		return o, errors.New("durations are 100ms or more, overload-clients 1 or more")
	}
	if o.exchangeLanes < 1 || o.exchangeLanes > 64 {
		return o, errors.New("exchange-lanes are 1 to 64")
	}
	if o.raceRounds < 1 || o.raceClients < 1 || o.raceClients > 10_000 {
		return o, errors.New("race-rounds are 1 or more, race-clients 1 to 10000")
	}
	var err error
	if o.clients, err = parseCounts(clients); err != nil {
		return o, err
	}
	o.scenarios, err = chosen(only)
	return o, err
}

// parseCounts reads a comma list of client counts, 1 to 10,000 each.
func parseCounts(list string) ([]int, error) {
	var counts []int
	for word := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > 10_000 {
			return nil, fmt.Errorf("clients: %q is not a count of 1 to 10000", word)
		}
		counts = append(counts, n)
	}
	slices.Sort(counts)
	return slices.Compact(counts), nil
}
