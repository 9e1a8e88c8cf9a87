// Command testbed runs a command beside private servers:
//
//	go run ./cmd/testbed -- go test ./...
//
// It finds or installs MariaDB and Redis, starts a MariaDB that the command's tests share (named to them by TESTBED_MYSQL_DSN, which is left as it is if
// set already), stops it when the command has ended, and exits with the command's status. Tests start a Redis each by themselves.
//
// Without a command it starts a durable MariaDB and Redis, prints the settings that make guichet use them, and runs until it is interrupted. Their data
// is then removed.
//
// The shared MariaDB does not wait for the disk: the tests on it are about what guichet does, not about what survives a crash, and a commit would cost
// them 0.5 to 5 ms each on an ordinary disk. Tests that kill servers start durable ones of their own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"guichet/models/testbed"
)

var errUsage = errors.New("usage: testbed [-- COMMAND [ARGUMENT…]]")

const (
	// parentInterval is how often we look whether who started us is still there.
	parentInterval = 500 * time.Millisecond
	// endTimeout is how long a command may take to end after it was signalled.
	endTimeout = 20 * time.Second
)

func main() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go watchParent(os.Getppid(), signals)
	command, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	status, err := run(context.Background(), signals, command)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func parse(arguments []string) ([]string, error) {
	if len(arguments) == 0 {
		return nil, nil
	}
	if arguments[0] != "--" || len(arguments) == 1 {
		return nil, errUsage
	}
	return arguments[1:], nil
}

func run(ctx context.Context, signals <-chan os.Signal, command []string) (status int, err error) {
	if _, err := testbed.FindOrInstall(ctx, os.Stderr); err != nil {
		return 1, err
	}
	if len(command) == 0 {
		return 0, serve(ctx, signals)
	}
	if os.Getenv(testbed.MySQLDSNVariable) != "" {
		return execute(signals, command, os.Environ())
	}
	mariadb, err := testbed.StartMariaDB(ctx, testbed.Options{Relaxed: true})
	if err != nil {
		return 1, err
	}
	status, err = execute(signals, command, append(os.Environ(), testbed.MySQLDSNVariable+"="+mariadb.DSN("")))
	return status, errors.Join(err, mariadb.Close())
}

// execute runs a command in a process group of its own, so that a signal reaches all that it has started. Whoever it is that still runs when the command
// has ended is killed. The command cannot read a terminal.
func execute(signals <-chan os.Signal, words, environment []string) (status int, err error) {
	command := exec.Command(words[0], words[1:]...) //nolint:noctx // ended by signals, which it may handle
	command.Env = environment
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		return 127, err // as shells say it
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // how it ended is in command.ProcessState
	}()
	defer signalGroup(command, syscall.SIGKILL)
	var late <-chan time.Time
	for {
		select {
		case <-ended:
			return exitStatus(command), nil
		case s := <-signals:
			signalGroup(command, s.(syscall.Signal))
			late = time.After(endTimeout)
		case <-late:
			signalGroup(command, syscall.SIGKILL)
		}
	}
}

// signalGroup ignores that nobody of the group may be left.
func signalGroup(command *exec.Cmd, signal syscall.Signal) {
	_ = syscall.Kill(-command.Process.Pid, signal)
}

// exitStatus is what a shell would say of an ended command.
func exitStatus(command *exec.Cmd) int {
	if status, ok := command.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return command.ProcessState.ExitCode()
}

// serve offers servers until a signal comes.
func serve(ctx context.Context, signals <-chan os.Signal) (err error) {
	mariadb, err := testbed.StartMariaDB(ctx, testbed.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mariadb.Close()) }()
	redis, err := testbed.StartRedis(ctx, testbed.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, redis.Close()) }()
	if err := mariadb.CreateDatabase(ctx, "guichet"); err != nil {
		return err
	}
	fmt.Printf("export GUICHET_MYSQL_DSN='%s'\nexport GUICHET_REDIS_URL='%s'\n", mariadb.DSN("guichet"), redis.URL())
	<-signals
	return nil
}

// watchParent makes the end of the process that started us a signal to end: `go run` dies of a SIGTERM without passing it on.
func watchParent(parent int, signals chan<- os.Signal) {
	for range time.Tick(parentInterval) {
		if os.Getppid() != parent {
			signals <- syscall.SIGTERM
			return
		}
	}
}
