package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A lab is what the scenarios share. What it holds is made when first asked for, so that a run of one
// scenario neither starts servers nor builds programs that it does not need.
type lab struct {
	options
	dir    string // everything the bench writes, but for the servers of testbed, whose files are below TMPDIR as well
	self   string // this program
	report *report

	program  string // guichet, built
	servers  *realServers
	realBook *stock
	embedded *stock
}

func openLab(o options) (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "guichet-bench-")
	if err != nil {
		return nil, err
	}
	return &lab{options: o, dir: dir, self: self, report: new(report)}, nil
}

// close stops the servers and removes what was written.
func (l *lab) close() {
	if l.servers != nil {
		if err := l.servers.stop(); err != nil {
			progress("stopping the servers: %v", err)
		}
	}
	if err := os.RemoveAll(l.dir); err != nil {
		progress("cleaning up: %v", err)
	}
}

// warmup precedes each window: pools fill, code paths and caches get warm.
func (l *lab) warmup() time.Duration { return min(2*time.Second, l.duration) }

// generator is this process, watched like the servers.
func (l *lab) generator() *process { return &process{name: "generator", pid: os.Getpid()} }

// real starts private MariaDB and Redis servers, once.
func (l *lab) real(ctx context.Context) (*realServers, error) {
	if l.servers == nil {
		progress("starting MariaDB and Redis")
		servers, err := startRealServers(ctx)
		if err != nil {
			return nil, err
		}
		l.servers = servers
	}
	return l.servers, nil
}

// guichet builds the program under measurement, once, and returns its path.
func (l *lab) guichet(ctx context.Context) (string, error) {
	if l.program != "" {
		return l.program, nil
	}
	progress("building guichet")
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.dir, "guichet")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/guichet")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build guichet: %w: %s", err, output)
	}
	l.program = path
	return path, nil
}

// moduleRoot is the directory of the go.mod that applies here.
func moduleRoot(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	path := strings.TrimSpace(string(output))
	if err != nil || path == "" || path == os.DevNull {
		return "", errors.Join(errors.New("run the bench inside its module"), err)
	}
	return filepath.Dir(path), nil
}
