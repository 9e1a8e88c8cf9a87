package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"guichet/models/testbed"
)

func TestExitStatusIsTheCommands(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -9 $$": 137} {
		status, err := execute(nil, []string{"sh", "-c", script}, os.Environ())
		if status != want || err != nil {
			t.Errorf("%s: %d, %v", script, status, err)
		}
	}
	if status, err := execute(nil, []string{"/no/such/program"}, nil); status != 127 || err == nil {
		t.Errorf("no program: %d, %v", status, err)
	}
}

func TestSignalEndsTheCommand(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	status, err := execute(signals, []string{"sleep", "60"}, os.Environ())
	if status != 128+int(syscall.SIGTERM) || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
}

func TestNothingOutlivesTheCommand(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	status, err := execute(nil, []string{"sh", "-c", "sleep 60 & echo $! > " + file}, os.Environ())
	if status != 0 || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(time.Minute)
	for isAlive(pid) {
		select {
		case <-deadline:
			t.Fatalf("process %d still runs", pid)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// isAlive is false for a zombie, whose command line is empty.
func isAlive(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	return err == nil && len(text) > 0
}

func TestCommandIsToldTheServer(t *testing.T) {
	t.Setenv(testbed.MySQLDSNVariable, "")
	status, err := run(t.Context(), nil, []string{"sh", "-c", "test -n \"$" + testbed.MySQLDSNVariable + "\""})
	if status != 0 || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	t.Setenv(testbed.MySQLDSNVariable, "given")
	status, err = run(t.Context(), nil, []string{"sh", "-c", "test \"$" + testbed.MySQLDSNVariable + "\" = given"})
	if status != 0 || err != nil {
		t.Fatalf("a server that was named: %d, %v", status, err)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	if words, err := parse([]string{"--", "a", "--", "b"}); err != nil || strings.Join(words, " ") != "a -- b" {
		t.Errorf("%q, %v", words, err)
	}
	if words, err := parse(nil); err != nil || words != nil {
		t.Errorf("%q, %v", words, err)
	}
	for _, wrong := range [][]string{{"--"}, {"a"}, {"-h"}} {
		if _, err := parse(wrong); !errors.Is(err, errUsage) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
