package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// conditions tells under what everything was measured; a figure without them means nothing.
func (l *lab) conditions(ctx context.Context) ([]string, error) {
	sync, err := syncTime(l.dir)
	if err != nil {
		return nil, err
	}
	list := []string{
		fmt.Sprintf("%s; commit %s", time.Now().UTC().Format("2006-01-02 15:04 UTC"), commit(ctx)),
		fmt.Sprintf("%d cores, %s; Linux %s; %s", runtime.NumCPU(), cpuModel(), kernel(), runtime.Version()),
		fmt.Sprintf("disk: a 4 KiB write with fdatasync takes %s µs (median)", fmt.Sprint(sync.Microseconds())),
		"the load generator runs on the same machine, as do all servers; closed loop, one connection a client, amount 1",
		fmt.Sprintf("window of each run %s (overload %s) after %s of warm-up, each on a fresh copy of the same books", l.duration, l.overload, l.warmup()),
		mixWords,
		seatWords,
		messageWords,
		fanoutWords,
		"accepted: sent within the window and answered; applied: finished within it; p50 and p99: from POST to applied (no-op: to the answer)",
	}
	if l.servers == nil {
		return list, nil
	}
	mariadb, redis, err := l.servers.versions(ctx)
	if err != nil {
		return nil, err
	}
	return append(list, fmt.Sprintf("MariaDB %s with innodb_flush_log_at_trx_commit=1 and doublewrite, Redis %s with appendonly yes and appendfsync always", mariadb, redis)), nil
}

// commit is the checked-out commit, and whether the tree differs from it.
func commit(ctx context.Context) string {
	output, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(output))
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// syncTime is the median time of an appended 4 KiB with fdatasync, which is what a commit waits for at least.
func syncTime(dir string) (time.Duration, error) {
	file, err := os.Create(filepath.Join(dir, "sync-time"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // nothing in it is needed
	block := make([]byte, 4096)
	var times []time.Duration
	for range 200 {
		begin := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begin))
	}
	return median(times), nil
}
