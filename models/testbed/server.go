package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout covers crash recovery on a slow disk.
	startTimeout = 60 * time.Second
	// stopTimeout covers flushing everything on a slow disk.
	stopTimeout = 30 * time.Second
	// readyInterval is short because tests start many servers, and Redis needs no longer than this.
	readyInterval = 5 * time.Millisecond
	logTail       = 2000 // bytes of a server's log shown when it does not start
)

// Options of a server. The zero Options make what it acknowledges durable: it survives Kill.
type Options struct {
	// Relaxed makes the server answer without waiting for the disk. MariaDB then loses what it acknowledged last when it is killed, and Redis, which
	// keeps nothing, loses everything.
	Relaxed bool
	// Args are further settings for its command line, after and above those of this package.
	Args []string
}

// server is what MariaDB and Redis have in common. Its methods may be called from any goroutine.
type server struct {
	name    string
	place   *place
	command func() *exec.Cmd
	ready   func(ctx context.Context) error

	mu      sync.Mutex
	process *process // nil before the first start and after Close
}

// Port on 127.0.0.1, the same for all of the server's life.
func (s *server) Port() int { return s.place.port }

// Dir holds the server's data (in "data") and its log (in "log"). Close removes it.
func (s *server) Dir() string { return s.place.dir }

// Kill ends the server at once (SIGKILL), as a crash would; its data stays.
func (s *server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kill()
}

func (s *server) kill() error {
	if s.process == nil {
		return nil
	}
	return s.process.kill()
}

// Stop ends the server in good order, after resuming it if it is paused; its data stays.
func (s *server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop()
}

func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	if err := errors.Join(s.process.signal(syscall.SIGTERM), s.process.signal(syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-s.process.ended:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("%s has not stopped within %s and was killed", s.name, stopTimeout), s.kill())
	}
}

// Restart starts the server again on its port and its data, after stopping it in good order if it runs, and returns when it answers.
func (s *server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.stop(), s.start(ctx))
}

// Pause freezes the server (SIGSTOP) and returns when it stands still: connections stay open and are accepted, and nothing is answered.
func (s *server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitStopped(s.process.command.Process.Pid)
}

// Resume ends a Pause.
func (s *server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signal(syscall.SIGCONT)
}

func (s *server) signal(signal os.Signal) error {
	if s.process == nil {
		return fmt.Errorf("%s is not running", s.name)
	}
	return s.process.signal(signal)
}

// Close kills the server, removes its data and gives its port back. A closed server cannot be used again.
func (s *server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.kill(), s.place.release())
	s.process = nil
	return err
}

// wipe kills the server and starts it again without its data.
func (s *server) wipe(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.kill(), os.RemoveAll(s.data()), os.Mkdir(s.data(), 0o700), s.start(ctx))
}

func (s *server) data() string { return filepath.Join(s.place.dir, "data") }

// start launches the server and waits until it answers.
func (s *server) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // nothing was written here; the server has its own descriptor
	command := s.command()
	command.Stdout, command.Stderr = log, log
	s.process, err = launch(command)
	if err != nil {
		return err
	}
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(fmt.Errorf("testbed: %s did not start: %w; the end of its log:\n%s", s.name, err, s.lastLog()), s.kill())
	}
	return nil
}

func (s *server) awaitReady(ctx context.Context) error {
	ticker := time.NewTicker(readyInterval)
	defer ticker.Stop()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.process.ended:
			return fmt.Errorf("it ended (%s)", s.process.command.ProcessState)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

func (s *server) logFile() string { return filepath.Join(s.place.dir, "log") }

func (s *server) lastLog() []byte {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(text[max(0, len(text)-logTail):])
}
