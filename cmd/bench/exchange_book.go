package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// exchangeBook runs the book's own benchmarks, in memory and on one core: what the mix costs without HTTP, journal, queue and database.
type exchangeBook struct{}

func (exchangeBook) name() string { return "exchange-book" }

func (e exchangeBook) run(ctx context.Context, l *lab) error {
	book, err := e.measure(ctx, "BenchmarkBook", l.duration.String())
	if err != nil {
		return err
	}
	l.report.set(valueBookRate, book["operations/s"]/1e6)
	l.report.set(valueBookAllocs, book["allocs/op"])
	l.report.add(row{
		run: "the book in memory, one core (go test -bench)", pattern: orderMix, applied: book["operations/s"],
		remarks: fmt.Sprintf("%s ns, %s allocations and %s fills an operation", threeDigits(book["ns/op"]), threeDigits(book["allocs/op"]), threeDigits(book["fills/op"])),
	})
	deep, err := e.measure(ctx, "BenchmarkMillionAgainstEmpty", "20x")
	if err != nil {
		return err
	}
	l.report.set(valueBookDepth, deep["of_empty"])
	rebuild, err := e.measure(ctx, "BenchmarkRebuild", "3x")
	if err != nil {
		return err
	}
	l.report.add(row{
		run: "the same beside 1,000,000 resting orders, in turns with an empty book", pattern: orderMix, applied: deep["million/s"],
		remarks: fmt.Sprintf("%s of the empty book's %s/s; made anew from its orders in %s s", threeDigits(deep["of_empty"]), kilo(deep["empty/s"]), threeDigits(rebuild["s/million"])),
	})
	return nil
}

// measure runs one benchmark and returns its metrics by unit.
func (exchangeBook) measure(ctx context.Context, name, benchtime string) (map[string]float64, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+name+"$", "-benchtime", benchtime, "-benchmem", "-cpu", "1", "./models/exchange")
	command.Dir = root
	output, err := command.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, output)
	}
	return parseBenchmark(string(output), name)
}

// parseBenchmark reads the line of a benchmark: its name, how often it ran, and then values with their units.
func parseBenchmark(output, name string) (map[string]float64, error) {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0] != name {
			continue
		}
		metrics := map[string]float64{}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %q", name, line)
			}
			metrics[fields[i+1]] = value
		}
		return metrics, nil
	}
	return nil, fmt.Errorf("%s is not in %s", name, output)
}
