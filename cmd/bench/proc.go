package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU time in /proc/<pid>/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// A cpuUse is the CPU time that a program used during a span of wall time. Processes of one name are added up.
type cpuUse struct {
	name string
	time time.Duration
	span time.Duration
}

// percent of one core.
func (u cpuUse) percent() float64 { return 100 * float64(u.time) / float64(u.span) }

// others names the use of all processes that are not watched: a machine that was not ours alone shows.
const others = "others"

// measureCPU waits for start, then for end or stop, and tells what each process used in between, and
// last what all others did.
func measureCPU(ctx context.Context, watch []*process, start, end time.Time, stop <-chan struct{}) ([]cpuUse, error) {
	if len(watch) == 0 {
		return nil, nil
	}
	waitUntil(ctx, start, nil)
	before, err := cpuTimes(watch)
	if err != nil {
		return nil, err
	}
	from := time.Now()
	waitUntil(ctx, end, stop)
	after, err := cpuTimes(watch)
	if err != nil {
		return nil, err
	}
	span := time.Since(from)
	var uses []cpuUse
	rest := cpuUse{others, after[len(watch)] - before[len(watch)], span}
	for i, p := range watch {
		use := cpuUse{p.name, after[i] - before[i], span}
		rest.time -= use.time
		if n := len(uses); n > 0 && uses[n-1].name == p.name {
			uses[n-1].time += use.time
		} else {
			uses = append(uses, use)
		}
	}
	rest.time = max(0, rest.time) // the kernel does not add up all of them at the same moment
	return append(uses, rest), nil
}

func waitUntil(ctx context.Context, t time.Time, stop <-chan struct{}) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-stop:
	case <-timer.C:
	}
}

// cpuTimes is what each process has used so far, and last the whole machine.
func cpuTimes(watch []*process) ([]time.Duration, error) {
	times := make([]time.Duration, len(watch)+1)
	for i, p := range watch {
		var err error
		if times[i], err = cpuTime(p.pid); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, err
	}
	times[len(watch)], err = parseMachine(string(text))
	return times, err
}

// parseMachine adds the busy fields of the first line of /proc/stat: user, nice, system, irq, softirq and
// steal, without idle and iowait (the fourth and fifth).
func parseMachine(text string) (time.Duration, error) {
	fields := strings.Fields(strings.SplitN(text, "\n", 2)[0])
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("machine statistics %.60q", text)
	}
	var busy time.Duration
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("machine statistics: %w", err)
		}
		busy += time.Duration(n) * tick
	}
	return busy, nil
}

// cpuTime is what a process has used so far, in user and kernel.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(text))
}

// parseStat adds the fields utime and stime (14 and 15) of a stat line. The second field, the name, may
// hold blanks and brackets, so fields are counted from its last bracket.
func parseStat(line string) (time.Duration, error) {
	_, rest, found := cutLast(line, ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 13 {
		return 0, fmt.Errorf("stat line %q", line)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	kernel, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+kernel) * tick, errors.Join(err1, err2)
}

func cutLast(s, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(s, separator); i >= 0 {
		return s[:i], s[i+len(separator):], true
	}
	return s, "", false
}

// residentMemory is the resident set of a process, in bytes.
func residentMemory(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d has no resident set", pid)
}
