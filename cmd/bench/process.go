package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Limits on what processes do, generous because they guard against hanging and measure nothing.
const (
	readyTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// A process is a program under measurement, started by us or (the database and Redis) only watched.
type process struct {
	name string
	pid  int

	command *exec.Cmd
	log     string        // path of what it wrote
	ended   chan struct{} // closed when it has ended
	ending  error         // why; valid after ended
	wanted  bool          // we ended it

	profiles string // the directory for its profiles; empty: none are taken
	pprof    string // where it serves them
}

// spawn starts a program that writes to a log file in dir.
func spawn(dir, name, path string, args, env []string) (*process, error) {
	log, err := os.CreateTemp(dir, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()     // the child has its own copy
	command := exec.Command(path, args...) //nolint:noctx // ends by stop or kill, in the order that the house wants
	command.Env, command.Stdout, command.Stderr, command.Dir = env, log, log, dir
	// A group of its own, so that Ctrl-C reaches the bench alone, which then stops its processes in
	// order; should the bench itself be killed, they go with it.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, pid: command.Process.Pid, command: command, log: log.Name(), ended: make(chan struct{})}
	go func() {
		p.ending = command.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end and waits for it; one that had ended by itself is an error.
func (p *process) stop() error {
	select {
	case <-p.ended:
		if p.wanted {
			return nil
		}
		return fmt.Errorf("%s ended by itself (%s): %s", p.name, p.command.ProcessState, p.tail())
	default:
	}
	p.wanted = true
	_ = p.command.Process.Signal(syscall.SIGTERM) // fails only if it has ended, which is what we want
	select {
	case <-p.ended:
		return nil
	case <-time.After(stopTimeout):
		p.kill()
		return fmt.Errorf("%s did not stop within %s of SIGTERM", p.name, stopTimeout)
	}
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() {
	p.wanted = true
	_ = p.command.Process.Kill() // fails only if it has ended
	<-p.ended
}

// tail is the end of what the process wrote.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return filepath.Base(p.log) + ": " + strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// waitReady polls a URL until it answers 200, every interval; it gives up when the process ends.
func (p *process) waitReady(ctx context.Context, url string, interval time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if answers200(ctx, url) {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended before it was ready (%s): %s", p.name, p.command.ProcessState, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %s", p.name, ctx.Err(), p.tail())
		case <-ticker.C:
		}
	}
}

func answers200(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	_ = response.Body.Close() // nothing was read from it
	return response.StatusCode == http.StatusOK
}

// freeAddress is a loopback address that nobody listened on a moment ago.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// cleanEnvironment is ours without the settings of guichet, so that nothing measured depends on who calls.
func cleanEnvironment() []string {
	var env []string
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "GUICHET_") {
			env = append(env, setting)
		}
	}
	return env
}

// runToEnd runs a program and returns an error with the end of its output unless it exits with 0.
func runToEnd(ctx context.Context, dir, name, path string, args, env []string) error {
	p, err := spawn(dir, name, path, args, env)
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.kill()
	}
	if p.ending != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("%s: %w: %s", name, p.ending, p.tail()))
	}
	return ctx.Err()
}
