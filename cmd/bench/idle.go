package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// idle measures what the system costs when nobody asks anything, and how soon the embedded one is ready.
type idle struct{}

const (
	// settling passes before the idle window: start-up work and the last request's have then ended.
	settling = 10 * time.Second
	// idleWindow is long, because the kernel tells CPU in hundredths of a second.
	idleWindow = 30 * time.Second
	starts     = 3
)

func (idle) name() string { return "idle" }

func (i idle) run(ctx context.Context, l *lab) error {
	for _, s := range shapes {
		h, err := l.openHouse(ctx, s, peopleFor(1))
		if err != nil {
			return err
		}
		if err := h.close(ctx, i.rest(ctx, l, h)); err != nil {
			return fmt.Errorf("%s: %w", s.word, err)
		}
	}
	return i.start(ctx, l)
}

// rest measures CPU over the idle window, and memory at its end.
func (idle) rest(ctx context.Context, l *lab, h *house) error {
	from := time.Now().Add(settling)
	uses, err := measureCPU(ctx, h.watched(false), from, from.Add(idleWindow), nil)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var memory []string
	var cpu, megabytes float64
	for _, use := range uses[:len(uses)-1] { // the last is what is not ours
		cpu += use.percent()
	}
	for _, p := range h.processes {
		rss, err := residentMemory(p.pid)
		if err != nil {
			return err
		}
		megabytes += float64(rss) / 1e6
		memory = append(memory, fmt.Sprintf("%s %.0f MB", p.name, float64(rss)/1e6))
	}
	l.report.set(valueIdleCPU, cpu)
	if !h.real {
		l.report.set(valueIdleMemory, megabytes)
	}
	l.report.add(row{
		run:     "idle; " + h.label,
		remarks: fmt.Sprintf("CPU over %s: %s; resident: %s", idleWindow, cpuShares(uses), strings.Join(memory, ", ")),
	})
	return nil
}

// start measures the embedded program from spawn to ready, on an empty directory and then on what it left there.
func (idle) start(ctx context.Context, l *lab) error {
	program, err := l.guichet(ctx)
	if err != nil {
		return err
	}
	var fresh, again []time.Duration
	for i := range starts {
		dir := filepath.Join(l.dir, fmt.Sprintf("start-%d", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		for _, times := range []*[]time.Duration{&fresh, &again} {
			took, err := startToReady(ctx, l.dir, program, dir)
			if err != nil {
				return err
			}
			*times = append(*times, took)
			l.report.set(valueStart, took.Seconds())
		}
	}
	l.report.add(row{
		run:     "start to ready; " + embeddedShape.label,
		remarks: fmt.Sprintf("median of %d: empty directory %s ms, existing books %s ms", starts, millis(median(fresh)), millis(median(again))),
	})
	return nil
}

func startToReady(ctx context.Context, logs, program, data string) (time.Duration, error) {
	address, err := freeAddress()
	if err != nil {
		return 0, err
	}
	env := append(cleanEnvironment(), "GUICHET_DATA_DIR="+data, "GUICHET_LISTEN="+address)
	begin := time.Now()
	p, err := spawn(logs, "start", program, []string{"serve"}, env)
	if err != nil {
		return 0, err
	}
	err = p.waitReady(ctx, "http://"+address+"/readyz", 2*time.Millisecond)
	took := time.Since(begin)
	return took, errors.Join(err, p.stop())
}
